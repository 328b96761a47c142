"""Networks whose deltas do not vanish: their means, and what centering buys them."""

import numpy as np

from experiments._stated import NO_DIFFERENCE, Stated, evidence_of_ratios
from experiments._vanishing_gradients.claims.common import (
    DEPTH,
    FACTORIAL,
    OFF_CENTER,
    PROFILE,
    UNITS,
)
from experiments._vanishing_gradients.claims.quantities import (
    deepest,
    mean_energy_behind,
    steps_ratio,
    trained,
)
from experiments._vanishing_gradients.plan import FALLS, Race
from experiments._vanishing_gradients.results import Results
from experiments._vanishing_gradients.start import PAIR
from signdyn.claims import Claim, above, below, mean_evidence, ratio_evidence


def mean_claims(results: Results) -> Stated:
    depth = deepest(results)
    told = {
        "relu": ("ReLU networks, whose deltas do not vanish, are off center", above(0.25)),
        "tanh": ("Networks of tanh units behind centered inputs are not off center", below(0.05)),
    }
    for activation, (sentence, rule) in told.items():
        yield (
            Claim(
                f"mean_{activation}",
                ("b9", "b15"),
                f"{sentence}.",
                "|E h|^2 / E|h|^2 of hidden units before the first step, mean over layers",
                rule,
                PROFILE,
            ),
            mean_evidence(mean_energy_behind(results, activation, depth, "raw")),
        )
    for activation in OFF_CENTER:
        ratios = []
        for slopes in FALLS:
            raw, centered = (
                results.lambda_max(Race(activation, trained(results), slopes, arm)) for arm in PAIR
            )
            ratios.append(raw / centered)
        yield (
            Claim(
                f"lambda_{activation}",
                ("b9", "b8", "b5"),
                f"Whether deltas vanish or not, the mean of {UNITS[activation]} units makes the "
                "Fisher's largest eigenvalue larger.",
                "lambda_max at the start, raw / centered, smallest over the activation's own "
                "slopes, level deltas and falling deltas",
                above(1.5),
                DEPTH,
            ),
            evidence_of_ratios(np.min(ratios, axis=0)),
        )


def speed_claims(results: Results) -> Stated:
    statistic = "steps to target, raw / centered, each at its best rate"
    for activation in OFF_CENTER:
        yield (
            Claim(
                f"steps_{activation}",
                ("b9", "b5"),
                f"Centering hidden units cuts the steps of {UNITS[activation]} networks, though it "
                "touches no delta at the start.",
                statistic,
                above(1.0),
                DEPTH,
            ),
            ratio_evidence(*steps_ratio(results, activation, "own")),
        )
    for activation in OFF_CENTER:
        yield (
            Claim(
                f"only_vanishing_{activation}",
                ("b9",),
                "Off-center activations are a problem because gradients vanish: where slopes make "
                f"all layers' deltas alike, centering {UNITS[activation]} units gains nothing.",
                f"{statistic}, level deltas",
                NO_DIFFERENCE,
                FACTORIAL,
            ),
            ratio_evidence(*steps_ratio(results, activation, "level")),
        )
