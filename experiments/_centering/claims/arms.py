"""Which centering buys what: inputs, hidden units, both, by constants or by batch."""

from collections.abc import Callable

import numpy as np
from scipy import stats

from experiments._centering.claims.common import (
    ARMS,
    NO_MORE,
    NORM,
    STEPS,
    rank_correlation,
    steps_to_target,
)
from experiments._centering.plan import CENTERED
from experiments._centering.results import Results
from experiments._fisher_spectrum.activation import NAMES
from experiments._stated import Stated, evidence_of_ratios
from signdyn.claims import Claim, above, below, mean_evidence, ratio_evidence


def _least(ratio_of: Callable[[str], np.ndarray]) -> np.ndarray:
    """Return [seed] the least over activations; NaN where one is."""
    return np.min([ratio_of(name) for name in NAMES], axis=0)


def arm_claims(results: Results) -> Stated:
    steps = {(name, arm): steps_to_target(results, name, arm) for name in NAMES for arm in CENTERED}
    yield (
        Claim(
            "both",
            ("b4", "b5"),
            "Centering inputs and hidden units by constants cuts the steps to the target to less "
            "than half, whatever the activation.",
            f"{STEPS}, none / both, least over activations",
            above(2.0),
            ARMS,
        ),
        evidence_of_ratios(_least(lambda name: steps[name, "none"] / steps[name, "both"])),
    )
    for name in NAMES:
        yield (
            Claim(
                f"data_enough_{name}",
                ("b5", "b15"),
                "It is enough to center the data: with centered inputs, centering hidden units "
                f"saves hardly any steps ({name}).",
                f"{STEPS}, input / both",
                below(NO_MORE),
                ARMS,
            ),
            ratio_evidence(steps[name, "input"], steps[name, "both"]),
        )
    for name in NAMES:
        yield (
            Claim(
                f"hidden_enough_{name}",
                ("b5",),
                "It is the activations that must be centered: with centered hidden units, "
                f"centering the data saves hardly any steps ({name}).",
                f"{STEPS}, hidden / both",
                below(NO_MORE),
                ARMS,
            ),
            ratio_evidence(steps[name, "hidden"], steps[name, "both"]),
        )
    yield (
        Claim(
            "synergy",
            ("b5", "b8"),
            "Data and hidden units are no separate matters: the two centerings together save more "
            "than the product of what each saves alone.",
            f"{STEPS}, (input x hidden) / (none x both), least over activations",
            above(1.0),
            ARMS,
        ),
        evidence_of_ratios(
            _least(
                lambda name: (
                    (steps[name, "input"] * steps[name, "hidden"])
                    / (steps[name, "none"] * steps[name, "both"])
                )
            ),
        ),
    )
    yield (
        Claim(
            "lambda_tells",
            ("b5", "b8"),
            "Which centering buys more can be read off lambda_max before the first step: arms in "
            "its order are nearly in the order of their steps.",
            f"rank correlation of lambda_max and steps over {', '.join(CENTERED)}; mean over "
            "activations",
            above(0.7),
            ARMS,
        ),
        mean_evidence(
            np.mean(
                [
                    rank_correlation(
                        np.stack([results.start("lambda_max", name, arm) for arm in CENTERED], 1),
                        np.stack([steps[name, arm] for arm in CENTERED], 1),
                    )
                    for name in NAMES
                ],
                axis=0,
            ),
        ),
    )


def batch_claims(results: Results) -> Stated:
    yield (
        Claim(
            "batch",
            ("b5",),
            "Subtracting the batch's own mean at every step saves more than subtracting the mean "
            "of the start, on average over activations, though both start with the same values in "
            "all units.",
            f"{STEPS}, both / batch, geometric mean over activations",
            above(1.0),
            ARMS,
        ),
        evidence_of_ratios(
            stats.gmean(
                [
                    steps_to_target(results, name, "both") / steps_to_target(results, name, "batch")
                    for name in NAMES
                ]
            ),
        ),
    )
    yield (
        Claim(
            "batch_curvature",
            ("b5", "b8"),
            "Means that move along take more out of the curvature than constants do.",
            "lambda_max of the Gauss-Newton matrix at the start, both / batch, least over "
            "activations",
            above(1.0),
            ARMS,
        ),
        evidence_of_ratios(
            _least(
                lambda name: (
                    results.start("lambda_max", name, "both")
                    / results.start("lambda_max", name, "batch")
                )
            ),
        ),
    )
    yield (
        Claim(
            "means_return",
            ("b5", "b15"),
            "Constants go stale: when the target is reached, hidden units that were centered by "
            "them have a mean again.",
            "|E h|^2 / E|h|^2, mean over hidden layers, at the target; least over activations, "
            "both",
            above(0.05),
            NORM,
        ),
        mean_evidence(
            _least(
                lambda name: results.at_best("mean_energy_last", name, "both")[:, 1:].mean(axis=1)
            ),
        ),
    )
