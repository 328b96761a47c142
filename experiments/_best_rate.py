"""The best learning rate of a ladder, chosen fairly, and where a ladder must grow."""

from collections.abc import Sequence

import numpy as np


def best_rate(steps: np.ndarray) -> int | None:
    """Return the row of the rate with the fewest steps at the median seed; None if none.

    A seed that never reaches the target counts as infinitely many steps.

    Example:
        >>> best_rate(np.array([[9.0, 8.0], [4.0, 5.0], [np.nan, np.nan]]))
        1
    """
    medians = np.median(np.where(np.isnan(steps), np.inf, steps), axis=1)
    return int(medians.argmin()) if np.isfinite(medians).any() else None


def best_for_others(steps: np.ndarray) -> np.ndarray:
    """Return [seed] the best row when that seed is not looked at.

    A rate picked on the seed that it is then judged by would flatter the arm with more rates
    that are nearly best.

    Example:
        >>> best_for_others(np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]]))
        array([1, 0, 0])
    """
    places = []
    for seed in range(steps.shape[1]):
        best = best_rate(np.delete(steps, seed, axis=1)) if steps.shape[1] > 1 else None
        places.append(best if best is not None else best_rate(steps) or 0)
    return np.array(places)


def best_of_each(steps: np.ndarray) -> np.ndarray:
    """Return [seed] the row with the fewest steps for that very seed; the lowest among equals."""
    return np.where(np.isnan(steps), np.inf, steps).argmin(axis=0)


def edge_rungs(best: Sequence[int | None], rungs: Sequence[int]) -> list[int]:
    """Return the rungs to add so that no arm's best rate lies on an edge of the ladder.

    Args:
        best: For each arm, the place of its best rate among the sorted rungs, or None.
        rungs: The ladder so far.

    Example:
        >>> edge_rungs([0, 2], [3, 4, 5, 6])
        [2]
        >>> edge_rungs([1, 3], [3, 4, 5, 6])
        [7]
    """
    below = [min(rungs) - 1] if any(place == 0 for place in best) else []
    above = [max(rungs) + 1] if any(place == len(rungs) - 1 for place in best) else []
    return below + above
