"""Negative controls: sign flips, other seeds."""

import numpy as np

from experiments._fisher_spectrum.activation import NAMES
from experiments._flip_gap import flip_gap
from experiments._stated import NO_DIFFERENCE, Stated, evidence_of_ratios, geometric_mean
from experiments._vanishing_gradients.claims.common import DEPTH
from experiments._vanishing_gradients.claims.quantities import (
    best_steps,
    steps_ratio,
    trained,
    worst,
)
from experiments._vanishing_gradients.plan import AGAIN, Race
from experiments._vanishing_gradients.results import Results
from signdyn.claims import Claim, always, exact_evidence


def control_claims(results: Results) -> Stated:
    yield (
        Claim(
            "flip_deltas",
            ("b9", "b4"),
            "Control: sign flips of inputs and hidden units change no delta by any bit.",
            "largest difference of a delta, over the largest",
            always(0.0),
            control=True,
        ),
        exact_evidence(worst(results, "delta_gap", "flipped")),
    )
    yield (
        Claim(
            "flip_losses",
            ("b9", "b4"),
            "Control: flipped networks have raw networks' losses at every step, bit for bit.",
            "largest difference of a loss along a descent, nat",
            always(0.0),
            control=True,
        ),
        exact_evidence(_loss_gaps(results)),
    )
    pairs = {
        "tanh": [steps_ratio(results, "tanh", "own", d) for d in results.trained_depths],
        "again": [
            [best_steps(results, AGAIN, arm, "own", d) for arm in ("raw", "again")]
            for d in results.trained_depths[:-1]
        ],
    }
    ratios = {
        name: geometric_mean([one / other for one, other in pair]) for name, pair in pairs.items()
    }
    yield (
        Claim(
            "steps_tanh",
            ("b9", "b5"),
            "Control: tanh units behind centered inputs have no mean, and centering them gains "
            "nothing.",
            "steps to target, raw / centered, each at its best rate, geometric mean over depths",
            NO_DIFFERENCE,
            DEPTH,
            control=True,
        ),
        evidence_of_ratios(ratios["tanh"]),
    )
    yield (
        Claim(
            "again",
            ("b9",),
            f"Control: raw against raw with other seeds makes no difference ({AGAIN}).",
            "steps to target on raw, seeds / other seeds, geometric mean over all depths but the "
            "largest",
            NO_DIFFERENCE,
            control=True,
        ),
        evidence_of_ratios(ratios["again"]),
    )


def _loss_gaps(results: Results) -> np.ndarray:
    """Return [seed] the largest difference of flipped and raw losses; inf if one is missing."""
    largest = []
    for activation in NAMES:
        flipped, raw = (
            Race(activation, trained(results), "own", arm) for arm in ("flipped", "raw")
        )
        place = results.climb(raw).rates.tolist().index(results.climb(flipped).rates[0])
        gap = flip_gap(results.losses(flipped)[0], results.losses(raw)[place])
        largest.append(gap.max(axis=1))
    return np.max(largest, axis=0)
