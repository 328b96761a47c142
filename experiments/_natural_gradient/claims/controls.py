"""Negative controls: gradient descent, sign flips, other seeds."""

from experiments._natural_gradient.claims.common import COORDINATES, DIFFERENT, GAP
from experiments._natural_gradient.results import Results
from experiments._stated import Stated
from signdyn.claims import (
    Claim,
    above,
    always,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
    within,
)


def control_claims(results: Results) -> Stated:
    yield (
        Claim(
            "flip",
            ("b4", "a4"),
            "Control: under sign flips gradient descent takes the same function-space steps.",
            f"{GAP}, gradient descent",
            always(0.0),
            COORDINATES,
            control=True,
        ),
        exact_evidence(results.gap("sgd", "flipped")),
    )
    yield (
        Claim(
            "other_seeds",
            ("b8",),
            "Control: natural gradient from other seeds does not take the same steps.",
            f"{GAP}, natural gradient from other starts",
            above(DIFFERENT),
            control=True,
        ),
        mean_evidence(results.gap("natural", "again")),
    )
    yield (
        Claim(
            "again",
            ("b8",),
            "Control: raw against raw with other seeds makes no difference to the race.",
            "steps to target on raw, natural gradient / natural gradient from other seeds",
            within(0.8, 1.25),
            control=True,
        ),
        ratio_evidence(results.at_best("natural", "raw"), results.at_best("natural", "again")),
    )
