"""Where the signs of deltas come from: slopes, weights, residuals."""

import numpy as np

from experiments._sign_coherence.claims.common import POSITIVE, SCOPES, SIGNED
from experiments._sign_coherence.results import Results
from experiments._sign_coherence.start import TOO_SMALL
from experiments._stated import Stated
from signdyn.claims import Claim, Rule, above, always, exact_evidence, mean_evidence, within


def delta_claims(results: Results) -> Stated:
    names = (*POSITIVE, *SIGNED)

    def claim(id: str, sentence: str, statistic: str, rule: Rule) -> Claim:
        return Claim(id, ("b2", "b13"), sentence, statistic, rule, SCOPES)

    yield (
        claim(
            "positive_deltas",
            "A sigmoid's slope is positive, so the deltas of sigmoid units are.",
            "share of positive deltas, hidden sigmoid layers, start",
            above(0.95),
        ),
        mean_evidence(results.start("positive_deltas", "sigmoid")[:, :-1].mean(axis=1)),
    )
    half = [results.start("positive_deltas", name)[:, :-1] for name in names]
    yield (
        claim(
            "half",
            "As weights are drawn, about half of the hidden deltas are positive.",
            f"share of positive deltas, mean over hidden layers of {', '.join(names)}, start",
            within(0.4, 0.6),
        ),
        mean_evidence(np.mean(half, axis=(0, 2))),
    )
    yield (
        claim(
            "from_above",
            "A hidden delta has the sign of the deltas above it times the weights between, "
            "wherever it is not zero.",
            f"share of deltas above {TOO_SMALL:.0%} of the layer's largest, hidden layers of "
            f"{', '.join(names)}, start",
            always(1.0),
        ),
        exact_evidence(np.stack([results.start("signs_from_above", name) for name in names])),
    )
    tied = np.stack([results.start("tied", name) for name in names])
    yield (
        claim(
            "tied_as_drawn",
            "As weights are drawn, a hidden delta has the sign of its example's residual half of "
            "the time.",
            "share of deltas, one output, mean over hidden layers and activations, start",
            within(0.4, 0.6),
        ),
        mean_evidence(tied[:, :, 0].mean(axis=(0, 2))),
    )
    yield (
        claim(
            "tied_if_positive",
            "With all weights positive every hidden delta has the sign of its example's residual.",
            "share of deltas, one output, all weights at their absolute values, start",
            always(1.0),
        ),
        exact_evidence(tied[:, :, 1]),
    )
    whole = [results.start("parity_network_unanimity", name)[:, 1] for name in names]
    yield (
        claim(
            "network_if_positive",
            "With all weights positive, and inputs as well, all gradients of the network on one "
            "example have one sign.",
            "share of examples, one output, all weights at their absolute values, start",
            always(1.0),
        ),
        exact_evidence(np.stack(whole)),
    )
    residuals = [results.start("positive_residuals", name)[:, 1] for name in names]
    yield (
        claim(
            "positive_if_positive",
            "With all weights positive, as slopes and inputs are, all gradients are positive.",
            "share of examples on which they are: whose residual is positive, one output, mean "
            "over activations",
            above(0.95),
        ),
        mean_evidence(np.mean(residuals, axis=0)),
    )
