"""Natural gradients of single units."""

from experiments._natural_gradient.claims.common import SAME, UNITS
from experiments._natural_gradient.results import Results
from experiments._stated import Stated, evidence_of_ratios
from signdyn.claims import Claim, above, below, exact_evidence


def unit_claims(results: Results) -> Stated:
    yield (
        Claim(
            "unit_correction",
            ("b8", "b14"),
            "What a unit's natural gradient corrects is the inputs' delta^2-weighted mean: with "
            "inputs centered by it, the bias's step needs no correction (k = 1).",
            "largest |k - 1| over units, inputs centered by the weighted mean",
            below(SAME),
            UNITS,
        ),
        exact_evidence(results.start("weighted_bias_factor").max(axis=1)),
    )
    yield (
        Claim(
            "unit_weights",
            ("b8", "b14"),
            "That centering changes no weight's natural step.",
            "largest change of a weight's step, over the largest step",
            below(SAME),
            UNITS,
        ),
        exact_evidence(results.start("weighted_weight_step").max(axis=1)),
    )
    yield (
        Claim(
            "unit_uncentered",
            ("b8", "b5"),
            "On raw inputs the correction is not small.",
            "largest |k - 1| over units, raw inputs",
            above(0.1),
            UNITS,
        ),
        evidence_of_ratios(results.start("bias_factor").max(axis=1)),
    )
    yield (
        Claim(
            "unit_plain_mean",
            ("b5", "b14"),
            "Centering by the plain mean over examples does the same.",
            "largest |k - 1| over units, inputs centered by the plain mean",
            below(0.01),
            UNITS,
        ),
        exact_evidence(results.start("plain_bias_factor").max(axis=1)),
    )
