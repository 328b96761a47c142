"""Negative controls: other seeds, changes that change no function."""

from collections.abc import Sequence

import numpy as np

from experiments._sigmoid_vs_tanh.plan import AGAIN
from experiments._sigmoid_vs_tanh.results import Results
from experiments._stated import NO_DIFFERENCE, Stated, geometric_mean
from signdyn.claims import Claim, below, exact_evidence, ratio_evidence

SAME = 1e-9
"""Difference of outputs up to which two networks are one function."""


def control_claims(results: Results) -> Stated:
    first, second = (
        geometric_mean([_mean_over_arms(results, name, arms) for name in results.datasets])
        for arms in AGAIN
    )
    yield (
        Claim(
            "again",
            ("b11",),
            "Control: tanh and tanh with other seeds need equally many steps.",
            f"steps to target, tanh / tanh with other seeds, {len(AGAIN[0])} of each for a seed",
            NO_DIFFERENCE,
            control=True,
        ),
        ratio_evidence(first, second),
    )
    gaps = [
        np.abs(results.start(name, arm, "outputs") - results.start(name, "tanh", "outputs"))
        for name in results.datasets
        for arm in ("sigmoid", "shifted", "doubled", "offset", "scale")
    ]
    yield (
        Claim(
            "same_start",
            ("b11",),
            "Control: matched networks start as one function.",
            "largest |output difference| to tanh before the first step, over examples and networks",
            below(SAME),
            control=True,
        ),
        exact_evidence(np.max(gaps, axis=(0, 2))),
    )


def _mean_over_arms(results: Results, dataset: str, arms: Sequence[str]) -> np.ndarray:
    """Return [seed] the geometric mean of the steps of those arms that have some."""
    steps = np.stack([results.steps(dataset, arm) for arm in arms])
    known = ~np.isnan(steps)
    logs = np.log(np.where(known, steps, 1.0))
    with np.errstate(invalid="ignore"):
        return np.exp(logs.sum(axis=0) / known.sum(axis=0))
