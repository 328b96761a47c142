"""What depth does to both."""

import numpy as np

from experiments._stated import Stated
from experiments._vanishing_gradients.claims.common import DEPTH, OFF_CENTER, UNITS
from experiments._vanishing_gradients.claims.quantities import (
    deepest,
    lambda_ratio,
    steps_ratio,
    trained,
)
from experiments._vanishing_gradients.results import Results
from signdyn.claims import Claim, above, ratio_evidence, within


def depth_claims(results: Results) -> Stated:
    told = {
        "relu": (
            "The deeper a ReLU network, the larger the factor by which centering cuts its steps.",
            above(1.0),
        ),
        "sigmoid": (
            "The factor by which centering cuts the steps of sigmoid networks depends on depth by "
            "less than half either way: one layer is almost all mean.",
            within(2.0 / 3.0, 1.5),
        ),
    }
    for activation in OFF_CENTER:
        many, one = (lambda_ratio(results, activation, d) for d in (deepest(results), 1))
        yield (
            Claim(
                f"deeper_lambda_{activation}",
                ("b15", "b9"),
                f"The deeper a {UNITS[activation]} network, the more its units' means add to the "
                "Fisher's largest eigenvalue.",
                "lambda_max at the start, raw / centered, of the deepest / with one hidden layer",
                above(1.0),
                DEPTH,
            ),
            ratio_evidence(many, one),
        )
        ratios = [
            np.divide(*steps_ratio(results, activation, "own", depth))
            for depth in (trained(results), 1)
        ]
        sentence, rule = told[activation]
        yield (
            Claim(
                f"deeper_steps_{activation}",
                ("b15", "b9"),
                sentence,
                "steps to target, raw / centered, of the deepest trained / with one hidden layer",
                rule,
                DEPTH,
            ),
            ratio_evidence(*ratios),
        )
