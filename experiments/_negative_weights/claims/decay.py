"""What weight decay has to do with it."""

import numpy as np

from experiments._negative_weights.arms import DECAYS, RATE, STRONG_DECAY
from experiments._negative_weights.claims.common import DECAY, STRONG
from experiments._negative_weights.results import Results
from experiments._stated import Stated
from signdyn.claims import (
    Claim,
    always,
    below,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
)


def decay_claims(results: Results) -> Stated:
    yield (
        Claim(
            "decay_alone",
            ("a2",),
            "Control: weight decay without data changes the sign of no weight.",
            "weights of another sign than at the start, after training",
            always(0.0),
            DECAY,
            control=True,
        ),
        exact_evidence(results.value("perceptron", "decay_alone", "flipped")[:, -1].sum(axis=1)),
    )
    every = (results.share_of_all("perceptron", arm)[:, -1] for arm in ("positive", STRONG))
    yield (
        Claim(
            "decay_needed",
            ("a2",),
            "It is weight decay that makes weights negative: without it, from a positive start, "
            f"there are not half as many as with a decay of {STRONG_DECAY:g}.",
            "share of weights below zero after training, no decay / decay",
            below(0.5),
            DECAY,
        ),
        ratio_evidence(*every),
    )
    yield (
        Claim(
            "decay_half",
            ("a2",),
            "Weight decay prefers weights centered on zero: with it, half of every layer's weights "
            "become negative.",
            "|share of weights below zero after training - 1/2|, largest over layers, positive "
            f"start, decay {STRONG_DECAY:g}",
            below(0.05),
            DECAY,
        ),
        mean_evidence(np.abs(results.share("perceptron", STRONG)[:, -1] - 0.5).max(axis=1)),
    )
    yield (
        Claim(
            "decay_forgets",
            ("a2",),
            "What weight decay does is to let the start be forgotten: the output layer's mean "
            "weight, which no gradient of a softmax moves, decays as (1 - rate x decay)^steps.",
            "largest |mean output weight over its start - (1 - rate x decay)^steps| over marks and "
            "decays, 0 included",
            below(0.01),
            DECAY,
        ),
        exact_evidence(_off_law(results)),
    )


def decay_law(results: Results, decay: float) -> np.ndarray:
    """Return [mark] what weight decay alone leaves of a weight, in shares of its start."""
    return (1.0 - RATE * decay) ** results.marks("perceptron")


def _off_law(results: Results) -> np.ndarray:
    arms = {0.0: "positive", **{decay: f"decay_{decay:g}" for decay in DECAYS}}
    off = [
        np.abs(results.mean_weight(arm)[..., -1] - decay_law(results, decay)).max(axis=1)
        for decay, arm in arms.items()
    ]
    return np.max(off, axis=0)
