"""Figures, thresholds and readings that several modules of claims share."""

import numpy as np
from scipy import stats

from experiments._centering.results import Results

ARMS, DOSE, SCALE, NORM = "arms", "doses", "scale", "norms"
"""Figures."""

NO_MORE = 1.25
"""Up to a quarter more steps count as no more."""

STEPS = "steps to target at the best rates"


def steps_to_target(results: Results, activation: str, arm: str, norm: str = "none") -> np.ndarray:
    """Return [seed] the steps to the target, each at the rate that is best for the others."""
    return results.at_best("steps", activation, arm, norm)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return [seed] the rank correlation of rows; NaN where a value is."""
    pairs = zip(a, b, strict=True)
    return np.array([stats.spearmanr(x, y).statistic for x, y in pairs])
