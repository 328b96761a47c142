"""Whether deltas vanish, and whether centering cures it."""

import numpy as np

from experiments._stated import Stated, evidence_of_ratios
from experiments._vanishing_gradients.claims.common import PROFILE, UNITS
from experiments._vanishing_gradients.claims.quantities import (
    deepest,
    first_and_last,
    predicted_fall,
)
from experiments._vanishing_gradients.results import Results
from experiments._vanishing_gradients.start import PAIR
from signdyn.claims import Claim, above, below, ratio_evidence, within


def cure_claims(results: Results) -> Stated:
    depth = deepest(results)
    first = {arm: first_and_last(results, "sigmoid", depth, arm)[0] for arm in PAIR}
    yield (
        Claim(
            "centering_cures",
            ("b9",),
            "Centering cures vanishing gradients: in the deepest sigmoid network it makes the "
            "first layer's deltas larger by a tenth or more.",
            "rms delta of the first layer before the first step, centered / raw",
            above(1.1),
            PROFILE,
        ),
        ratio_evidence(first["centered"], first["raw"]),
    )
    norms = {arm: results.start("kernel_gradient", "sigmoid", depth, arm)[:, 1:] for arm in PAIR}
    mean_log = np.log(norms["centered"] / norms["raw"]).mean(axis=1)
    yield (
        Claim(
            "centering_amplifies",
            ("b9", "b5"),
            "Centering makes the gradients of kernels that read sigmoid units larger.",
            "norm of a kernel's gradient before the first step, centered / raw, geometric mean "
            "over layers",
            above(1.0),
        ),
        evidence_of_ratios(np.exp(mean_log)),
    )


def vanishing_claims(results: Results) -> Stated:
    depth = deepest(results)
    statistic = "rms delta before the first step, first / last hidden layer, deepest network"
    told = {
        "sigmoid": ("vanish", "Deltas vanish in deep sigmoid networks", below(0.1)),
        "tanh": (
            "vanish",
            "Deltas vanish in deep tanh networks, whose units saturate",
            below(0.5),
        ),
        "relu": ("keep", "Deltas do not vanish in deep ReLU networks", above(0.5)),
    }
    for activation, (name, sentence, rule) in told.items():
        yield (
            Claim(
                f"{name}_{activation}",
                ("b9",),
                f"{sentence} (weights scaled to keep the second moment of pre-activations).",
                statistic,
                rule,
                PROFILE,
            ),
            ratio_evidence(*first_and_last(results, activation, depth)),
        )
    for activation in told:
        first, last = first_and_last(results, activation, depth)
        yield (
            Claim(
                f"theory_{activation}",
                ("b9", "b14"),
                f"The slope of {UNITS[activation]} units says by how much deltas fall or grow, "
                "without looking at any mean: (E[phi'^2] / E[phi^2])^(1/2) a layer.",
                "factor a layer by which the rms delta falls, measured / predicted",
                within(0.9, 1.1),
                PROFILE,
            ),
            ratio_evidence(
                (first / last) ** (1.0 / (depth - 1)),
                np.full_like(first, predicted_fall(activation)),
            ),
        )
