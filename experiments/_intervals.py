"""The bars of the figures: intervals of means over seeds."""

import numpy as np

from signdyn.stats import paired_bootstrap


def interval_of_mean(values: np.ndarray) -> np.ndarray:
    """Return low, estimate and high of the mean of ``values`` [seed], at 95%.

    Example:
        >>> print(interval_of_mean(np.ones(6)))
        [1. 1. 1.]
    """
    interval = paired_bootstrap(values, seed=0, num_resamples=2000)
    return np.array([interval.low, interval.estimate, interval.high])
