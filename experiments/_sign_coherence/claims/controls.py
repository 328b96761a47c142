"""Negative controls: means of zero, random flips, small steps, other seeds."""

import numpy as np

from experiments._sign_coherence.claims.common import BATCH
from experiments._sign_coherence.plan import CONTROLLED, FLIPPED_FAMILY
from experiments._sign_coherence.results import Results
from experiments._sign_coherence.training import ACTIVATIONS as TRAINED
from experiments._stated import Stated
from signdyn.claims import Claim, Rule, below, mean_evidence, within


def control_claims(results: Results) -> Stated:
    place = int(np.flatnonzero(results.sizes == results.batch_size)[0])
    size, last = f"batches of {results.batch_size}", f"{results.sizes[-1]} examples"

    def claim(id: str, sentence: str, statistic: str, rule: Rule, *questions: str) -> Claim:
        text = f"Control: {sentence}"
        return Claim(id, questions, text, statistic, rule, BATCH, control=True)

    yield (
        claim(
            "no_mean",
            "weights that read features of mean zero agree by chance.",
            f"agreement, normal features of mean 0, {last}",
            within(0.48, 0.52),
            "b5",
            "b12",
        ),
        mean_evidence(results.features("agreement", "normal")[:, -1]),
    )
    yield (
        claim(
            "flipped_features",
            "with the signs of random features flipped, their means' lengths kept, weights agree "
            "by chance.",
            f"agreement, {FLIPPED_FAMILY} features with random signs, {last}",
            within(0.48, 0.52),
            "b4",
            "b12",
        ),
        mean_evidence(results.features("agreement", FLIPPED_FAMILY, flip=1.0)[:, -1]),
    )
    flipped = [results.start("agreement", name, "flipped")[..., place] for name in CONTROLLED]
    yield (
        claim(
            "flipped_networks",
            "flipping random inputs and hidden units, and the weights that read them, leaves no "
            "common sign in any layer of the same network.",
            f"agreement, mean of {' and '.join(CONTROLLED)} and over layers; {size}, start",
            within(0.48, 0.52),
            "b4",
            "a4",
        ),
        mean_evidence(np.mean(flipped, axis=(0, 2))),
    )
    rises = [results.training("loss_rises", name) for name in TRAINED]
    yield (
        claim(
            "small_steps",
            "the small full-batch steps do not oscillate: they hardly ever raise the loss.",
            f"share of steps that raise the training loss, mean of {' and '.join(TRAINED)}",
            below(0.02),
            "b4",
        ),
        mean_evidence(np.mean(rises, axis=0)),
    )
    raw, again = (
        results.start("agreement", CONTROLLED[0], arm)[..., place].mean(axis=1)
        for arm in ("raw", "again")
    )
    yield (
        claim(
            "again",
            "raw against raw with other seeds makes no difference.",
            f"agreement, {CONTROLLED[0]}, mean over layers, raw - again; {size}, start",
            within(-0.05, 0.05),
            "b12",
        ),
        mean_evidence(raw - again),
    )
