"""Networks before their first step: in which layers weights move together."""

import numpy as np

from experiments._sign_coherence.claims.common import ABOVE_CHANCE, BATCH, CHANCE, POSITIVE, SIGNED
from experiments._sign_coherence.plan import CONTROLLED, NARROW
from experiments._sign_coherence.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, Rule, above, below, mean_evidence, within

HIDDEN = slice(1, None)
"""Layers that read hidden units."""


def layer_claims(results: Results) -> Stated:
    place = int(np.flatnonzero(results.sizes == results.batch_size)[0])
    size = f"batches of {results.batch_size}"

    def claim(id: str, sentence: str, statistic: str, rule: Rule, *questions: str) -> Claim:
        return Claim(id, questions, sentence, statistic, rule, BATCH)

    errors = [
        np.abs(results.start("random_agreement", name)[..., -1] - results.start("plateau", name))
        for name in (*POSITIVE, *SIGNED)
    ]
    yield (
        claim(
            "plateau_on_digits",
            "The closed form holds for data and hidden units too, if deltas are drawn.",
            f"mean |agreement - predicted| over layers and activations, {results.sizes[-1]} "
            f"{results.examples}, deltas N(0, 1)",
            below(0.05),
            "b12",
            "b14",
        ),
        mean_evidence(np.mean(errors, axis=(0, 2))),
    )
    least = [results.start("agreement", name)[..., place].min(axis=1) for name in POSITIVE]
    yield (
        claim(
            "every_layer",
            "Behind activations without negative values the common sign reaches every layer.",
            f"{ABOVE_CHANCE}, least over layers and over {', '.join(POSITIVE)}; {size}, start",
            above(0.05),
            "b15",
        ),
        mean_evidence(np.min(least, axis=0) - CHANCE),
    )
    signed = [results.start("agreement", name)[:, HIDDEN, place] for name in SIGNED]
    yield (
        claim(
            "signed_layers",
            f"Behind {' and '.join(SIGNED)} units there is no common sign.",
            f"agreement, mean over layers that read them; {size}, start",
            within(0.48, 0.52),
            "b5",
            "b15",
        ),
        mean_evidence(np.mean(signed, axis=(0, 2))),
    )
    aligned = [results.start("aligned_agreement", name)[:, HIDDEN, place] for name in SIGNED]
    yield (
        claim(
            "signed_means",
            f"{' and '.join(SIGNED)} units only hide it: with the units flipped whose mean is "
            "negative, and the weights that read them, which changes no function, there is a "
            "common sign.",
            f"{ABOVE_CHANCE}, {' and '.join(SIGNED)} flipped to positive means, mean over the same",
            above(0.05),
            "b4",
            "b5",
        ),
        mean_evidence(np.mean(aligned, axis=(0, 2)) - CHANCE),
    )
    narrow, wide = (
        [results.start("random_agreement", name, arm)[:, HIDDEN, place:] for name in CONTROLLED]
        for arm in ("narrow", "raw")
    )
    yield (
        claim(
            "width_pairs",
            f"Width does not matter to two weights: in layers {NARROW} times narrower they agree "
            "as often.",
            f"agreement, narrow - wide, mean of {' and '.join(CONTROLLED)}, hidden layers, and "
            f"{size} and more; deltas N(0, 1)",
            within(-0.05, 0.05),
            "b12",
        ),
        mean_evidence(np.mean(narrow, axis=(0, 2, 3)) - np.mean(wide, axis=(0, 2, 3))),
    )
    narrow, wide = (
        results.start("unanimity", "relu", arm)[:, HIDDEN, place].mean(axis=1)
        for arm in ("narrow", "raw")
    )
    yield (
        claim(
            "width_all",
            f"Width matters to all of them: in layers {NARROW} times narrower all weights of a "
            "unit have one sign more often.",
            f"share of units, narrow - wide, relu, mean over hidden layers; {size}, start",
            above(0.05),
            "b1",
            "b3",
        ),
        mean_evidence(narrow - wide),
    )
