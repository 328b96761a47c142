"""Adding up a batch: what drawn features and deltas leave of a common sign."""

import numpy as np

from experiments._sign_coherence.claims.common import ABOVE_CHANCE, BATCH, CHANCE
from experiments._sign_coherence.features import NUM_WEIGHTS
from experiments._sign_coherence.plan import (
    CORRELATIONS,
    DELTA_MEANS,
    FAMILIES,
    NORMAL_MEAN,
    RATIOS,
)
from experiments._sign_coherence.results import (
    Results,
    predicted_agreement,
    predicted_bias_agreement,
    predicted_delta_agreement,
    predicted_unanimity,
)
from experiments._sign_coherence.training import ACTIVATIONS as TRAINED
from experiments._stated import Stated
from signdyn.claims import Claim, Rule, above, below, mean_evidence, within

SETTLED = 32
"""Examples from which on closed forms for large batches are held against what is measured."""


def batch_claims(results: Results) -> Stated:
    settled, last = results.sizes >= SETTLED, f"{results.sizes[-1]} examples"

    def claim(id: str, sentence: str, statistic: str, rule: Rule, *questions: str) -> Claim:
        return Claim(id, questions or ("b12", "b14"), sentence, statistic, rule, BATCH)

    relu, sigmoid = (results.features("agreement", name) for name in TRAINED)
    yield (
        claim(
            "mixing",
            "Adding up a batch mixes signs: weights that read ReLUs of normal numbers agree less "
            f"often on {last} than on one.",
            f"agreement on one example - on {last}, drawn features and deltas",
            above(0.2),
            "b12",
        ),
        mean_evidence(relu[:, 0] - relu[:, -1]),
    )
    yield (
        claim(
            "mixed",
            f"Adding up a batch of {last} mixes the signs until they are as good as random.",
            f"{ABOVE_CHANCE}, ReLUs of normal numbers, {last}",
            below(0.02),
            "b12",
        ),
        mean_evidence(relu[:, -1] - CHANCE),
    )
    change = [
        values[:, -1] - values[:, results.sizes == SETTLED].mean(axis=1)
        for values in (relu, sigmoid, results.features("agreement", "uniform"))
    ]
    yield (
        claim(
            "plateau_reached",
            f"Signs mix down to a plateau: from {SETTLED} examples on, more change nothing, on "
            "average over features.",
            f"agreement on {last} - on {SETTLED}, mean of relu, sigmoid, uniform features",
            within(-0.02, 0.02),
        ),
        mean_evidence(np.mean(change, axis=0)),
    )
    variants = [("normal", {"shift": ratio}) for ratio in RATIOS]
    variants += [(family, {}) for family in FAMILIES]
    correlated = [("normal", {"shift": NORMAL_MEAN, "correlation": rho}) for rho in CORRELATIONS]
    errors = [
        _settled(results, "agreement", settled, family, **more)
        - predicted_agreement(family, **more)
        for family, more in [*variants, *correlated]
    ]
    yield (
        claim(
            "plateau",
            "The plateau is 1/2 + asin(c) / pi with c the uncentered cosine of two inputs, (m^2 + "
            "r s^2) / (m^2 + s^2) at every mean m, spread s and correlation r.",
            "mean |agreement - predicted| over activations of normal numbers, uniform numbers, "
            f"{len(RATIOS)} m / s and {len(CORRELATIONS)} r; batches of {SETTLED} and more",
            below(0.02),
        ),
        mean_evidence(np.abs(errors).mean(axis=0)),
    )
    errors = [
        _settled(results, "bias_agreement", settled, family, **more)
        - predicted_bias_agreement(family, **more)
        for family, more in variants
    ]
    yield (
        claim(
            "with_bias",
            "A weight moves with its unit's bias with probability 1/2 + atan(m / s) / pi.",
            "mean |share - predicted|, over the same but the correlated features, same batches",
            below(0.03),
            "b12",
            "b13",
            "b14",
        ),
        mean_evidence(np.abs(errors).mean(axis=0)),
    )
    errors = [
        _settled(results, "unanimity", settled, family)[:, place] - predicted_unanimity(family, n)
        for family in ("relu", "sigmoid", "uniform")
        for place, n in enumerate(NUM_WEIGHTS)
    ]
    yield (
        claim(
            "unanimity",
            "All n weights of a unit move the same way with probability "
            "2 int phi(u) Phi(m u / s)^n du.",
            f"mean |share - predicted| over n = {', '.join(map(str, NUM_WEIGHTS))}; relu, sigmoid, "
            f"uniform features, batches of {SETTLED} and more",
            below(0.05),
            "b1",
            "b12",
            "b14",
        ),
        mean_evidence(np.abs(errors).mean(axis=0)),
    )
    yield (
        claim(
            "all_weights",
            f"In a batch too, all {NUM_WEIGHTS[-1]} gradients into a unit that reads sigmoids have "
            "one sign.",
            f"share of units, sigmoids of normal numbers, {last}",
            above(0.95),
            "b1",
            "b12",
        ),
        mean_evidence(results.features("unanimity", "sigmoid")[:, -1, -1]),
    )
    yield from _delta_mean_claims(results, claim)


def _delta_mean_claims(results: Results, claim) -> Stated:
    last = f"{results.sizes[-1]} examples"
    shares = [
        results.features("bias_agreement", "normal", shift=NORMAL_MEAN, delta_mean=mean)[:, -1]
        for mean in DELTA_MEANS
    ]
    errors = [
        share - predicted_delta_agreement(mean, int(results.sizes[-1]))
        for share, mean in zip(shares, DELTA_MEANS, strict=True)
    ]
    yield (
        claim(
            "delta_mean",
            "The closed form for deltas that have a mean says how often a weight moves with its "
            "unit's bias.",
            f"mean |share - predicted| over deltas of mean / sd "
            f"{' and '.join(f'{mean:g}' for mean in DELTA_MEANS)}, {last}",
            below(0.05),
        ),
        mean_evidence(np.abs(errors).mean(axis=0)),
    )
    values = results.features("agreement", "normal", shift=NORMAL_MEAN, delta_mean=DELTA_MEANS[-1])
    yield (
        claim(
            "unmixing",
            "Where deltas have a mean, adding up examples does not mix signs but brings the "
            "common one back.",
            f"agreement on {last} - on one, deltas of mean / sd {DELTA_MEANS[-1]:g}",
            above(0.2),
            "b12",
        ),
        mean_evidence(values[:, -1] - values[:, 0]),
    )


def _settled(
    results: Results, name: str, settled: np.ndarray, family: str, **more: float
) -> np.ndarray:
    """Return a share [seed, ...] of drawn features, mean over large batch sizes."""
    return results.features(name, family, **more)[:, settled].mean(axis=1)
