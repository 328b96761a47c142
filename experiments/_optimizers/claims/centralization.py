"""Gradient centralization and flips, each with and without the other."""

import numpy as np

from experiments._optimizers.claims.common import CENTRALIZATION
from experiments._optimizers.plan import CENTRAL, Course
from experiments._optimizers.results import Results
from experiments._stated import NO_DIFFERENCE, Stated, evidence_of_ratios
from signdyn.claims import Claim, above, mean_evidence


def central_gain(results: Results, arm: str, activation: str) -> np.ndarray:
    """Return [seed] steps of plain gradient descent over steps of centralized, best rates."""
    plain, central = (
        results.at_best("steps", Course(activation, optimizer), arm)
        for optimizer in ("sgd", CENTRAL)
    )
    return plain / central


def centralization_claims(results: Results) -> Stated:
    for activation in results.central:
        raw, flipped, centered = (
            central_gain(results, arm, activation) for arm in ("raw", "flipped", "centered")
        )
        yield (
            Claim(
                f"central_{activation}",
                ("b5", "b8"),
                f"Gradient centralization cuts the steps of the raw network ({activation}).",
                "steps to target, plain / centralized, raw, best rates",
                above(1.0),
                CENTRALIZATION,
            ),
            evidence_of_ratios(raw),
        )
        yield (
            Claim(
                f"central_flipped_{activation}",
                ("b4", "b8"),
                "After random signs are flipped, the same function with the same mean, it neither "
                f"helps nor hurts ({activation}).",
                "steps to target, plain / centralized, flipped, best rates",
                NO_DIFFERENCE,
                CENTRALIZATION,
            ),
            evidence_of_ratios(flipped),
        )
        yield (
            Claim(
                f"interaction_{activation}",
                ("b4", "b8"),
                "It rests on the mean's pointing along the all-ones vector: its gain is larger on "
                f"the raw network than on the flipped one ({activation}).",
                "gain of centralization, raw / flipped",
                above(1.0),
                CENTRALIZATION,
            ),
            evidence_of_ratios(raw / flipped),
        )
        yield (
            Claim(
                f"central_share_{activation}",
                ("b8",),
                "It takes the updates off the mean on the raw network, and not on the flipped one "
                f"({activation}).",
                "share of the first layer's update along the mean, what centralization takes off "
                "it: raw - flipped",
                above(0.25),
                CENTRALIZATION,
            ),
            mean_evidence(
                _taken(results, "raw", activation) - _taken(results, "flipped", activation),
            ),
        )
        yield (
            Claim(
                f"central_enough_{activation}",
                ("b5",),
                "Centering the gradients does as much as centering what the units read "
                f"({activation}).",
                "steps to target, centralized on raw / plain on centered, best rates",
                NO_DIFFERENCE,
                CENTRALIZATION,
            ),
            evidence_of_ratios(
                results.at_best("steps", Course(activation, CENTRAL), "raw")
                / results.at_best("steps", Course(activation, "sgd"), "centered"),
            ),
        )
        yield (
            Claim(
                f"central_centered_{activation}",
                ("b5",),
                "And on the mean's being there: on the centered network it gains less than on the "
                f"raw one ({activation}).",
                "gain of centralization, raw / centered",
                above(1.0),
                CENTRALIZATION,
            ),
            evidence_of_ratios(raw / centered),
        )
    yield (
        Claim(
            "central_feels_flip",
            ("b4",),
            "Unlike the other four, centralized gradient descent feels the flip: it depends on "
            "which sign a unit has.",
            "largest |loss difference| over steps at raw's best rate, raw and flipped, nats, "
            f"{results.central[0]}",
            above(0.1),
        ),
        mean_evidence(results.losses_apart(Course(results.central[0], CENTRAL))),
    )


def _taken(results: Results, arm: str, activation: str) -> np.ndarray:
    """Return [seed] by how much centralization lowers the first layer's share along the mean."""
    plain, central = (
        results.at_best("along_mean", Course(activation, optimizer), arm)
        for optimizer in ("sgd", CENTRAL)
    )
    return plain - central
