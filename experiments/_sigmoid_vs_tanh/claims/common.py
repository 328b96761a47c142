"""What several modules of claims and the figures name alike."""

import numpy as np

from experiments._sigmoid_vs_tanh.results import Results
from experiments._stated import geometric_mean
from signdyn.claims import above

PLAYGROUND, PATHWAY, LABELS, RATES = "playground", "path", "labels", "rates"
"""Figures."""

MATTERS = above(1.25)

COUNTED = "a sigmoid network that has not arrived counts with its last step"


def pooled_factor(results: Results, change: str, *, best: bool = False) -> np.ndarray:
    """Return [seed] by what factor a change cuts the steps, geometric mean over data sets."""
    names = results.raced if best else results.datasets
    return geometric_mean([results.factor(change, name, best=best) for name in names])


def largest_difference(results: Results, one: str, other: str) -> np.ndarray:
    """Return [seed] the largest |loss difference| over looks and data sets."""
    largest = []
    for name in results.datasets:
        a, b = results.losses(name, one), results.losses(name, other)
        # where one descent has ended and the other goes on, the whole loss is the difference
        largest.append(np.abs(np.nan_to_num(a) - np.nan_to_num(b)).max(axis=1))
    return np.max(largest, axis=0)
