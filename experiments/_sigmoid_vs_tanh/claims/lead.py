"""Whether tanh trains faster in the playground."""

import numpy as np

from experiments._sigmoid_vs_tanh.claims.common import COUNTED, PLAYGROUND
from experiments._sigmoid_vs_tanh.results import Results
from experiments._stated import NO_DIFFERENCE, Stated, evidence_of_ratios, geometric_mean
from signdyn.claims import Claim, above


def lead(results: Results, dataset: str, labels: str = "") -> np.ndarray:
    """Return the steps of sigmoid over those of tanh, both from the drawn weights.

    Args:
        results: The record.
        dataset: The data set.
        labels: "01" for labels 0 and 1 behind a sigmoid output unit.
    """
    slow = results.steps(dataset, f"drawn{labels}", at_least=True)
    return slow / results.steps(dataset, f"tanh{labels}")


def lead_claims(results: Results) -> Stated:
    for name in results.datasets:
        yield (
            Claim(
                f"lead_{name}",
                ("b11",),
                f"In the playground's own setting tanh trains faster than sigmoid ({name}).",
                f"steps to target, sigmoid / tanh, from the same drawn weights; {COUNTED}",
                above(1.0),
                PLAYGROUND,
            ),
            evidence_of_ratios(lead(results, name)),
        )
    matched = [results.steps(n, "sigmoid") / results.steps(n, "tanh") for n in results.datasets]
    yield (
        Claim(
            "linearly_related",
            ("b11",),
            "Being linearly related, the two train alike once weights and biases are matched, so "
            "that both networks start as one function.",
            "steps to target, sigmoid / tanh, matched",
            NO_DIFFERENCE,
            PLAYGROUND,
        ),
        evidence_of_ratios(geometric_mean(matched)),
    )
