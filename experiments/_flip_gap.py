"""How far a flipped descent is from its raw twin, of which it must not differ by a bit."""

import numpy as np


def flip_gap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return |one - other|, in float64; 0 where both are the same.

    NaN agrees with NaN only: it is infinitely far from any number, so that a descent that diverges
    alone is noticed.

    Example:
        >>> nan, inf = np.nan, np.inf
        >>> print(flip_gap(np.array([1.0, nan, nan, inf]), np.array([1.5, nan, 2.0, inf])))
        [0.5 0.  inf 0. ]
    """
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        gap = np.abs(one - other)
    return np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
