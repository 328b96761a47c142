"""Negative controls: sign flips, other seeds."""

import numpy as np

from experiments._optimizers.plan import CENTRAL, Course
from experiments._optimizers.results import Results
from experiments._stated import NO_DIFFERENCE, Stated, evidence_of_ratios
from signdyn.claims import Claim, above, below, exact_evidence, mean_evidence

ROUNDING = 1e-5
"""Share of a unit's way that its weight sum may move by rounding."""


def control_claims(results: Results) -> Stated:
    plain = Course(results.central[0], "sgd")
    yield (
        Claim(
            "central_sums",
            ("b8",),
            "Centralization freezes the sum of every unit's incoming weights, up to rounding.",
            "largest change of a weight sum over the largest absolute change of a unit's weights, "
            "largest over activations",
            below(ROUNDING),
        ),
        exact_evidence(_drifts(results, CENTRAL).max(axis=0)),
    )
    yield (
        Claim(
            "plain_sums",
            ("b8",),
            "Control: plain gradient descent moves those sums.",
            "largest change of a weight sum over the largest absolute change of a unit's weights, "
            "least over activations",
            above(0.1),
            control=True,
        ),
        mean_evidence(_drifts(results, "sgd").min(axis=0)),
    )
    yield (
        Claim(
            "again",
            ("b4",),
            f"Control: the raw network and the raw network with other seeds need equally many "
            f"steps ({plain.activation}, plain gradient descent).",
            "steps to target, raw / raw with other seeds, best rates",
            NO_DIFFERENCE,
            control=True,
        ),
        evidence_of_ratios(
            results.at_best("steps", plain, "raw") / results.at_best("steps", plain, "again"),
        ),
    )


def _drifts(results: Results, optimizer: str) -> np.ndarray:
    """Return [activation, seed] how far a unit's weight sum moved, raw."""
    drifts = [results.at_best("sum_drift", Course(a, optimizer), "raw") for a in results.central]
    return np.stack(drifts)
