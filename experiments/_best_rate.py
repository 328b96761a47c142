"""The best learning rate of a ladder, chosen fairly, and where a ladder must grow."""

from collections.abc import Sequence

import numpy as np

from signdyn.choice import Chosen, resamples


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


def at_best_for_others(
    values: np.ndarray, steps: np.ndarray, arrived: np.ndarray | None = None
) -> Chosen:
    """Return a quantity [seed, ...] at the rate that is best for the *other* seeds.

    NaN where a seed does not arrive at that rate or the rate lies on the ladder's edge, and
    throughout unless the rate that is best for all lies inside. It knows what it would be if the
    rate were chosen anew by resampled seeds.

    Args:
        values: [rate, seed, ...], by ascending rate.
        steps: [rate, seed] updates before the target; NaN where it is not reached.
        arrived: [rate, seed] where values count; by default where ``steps`` is finite.

    Example:
        >>> steps = np.array([[9.0, 8.0, 9.0], [4.0, 5.0, 3.0], [7.0, np.nan, 9.0]])
        >>> at_best_for_others(steps, steps).tolist()
        [4.0, 5.0, 3.0]
    """
    num_rates, num_seeds = steps.shape
    arrived = np.isfinite(steps) if arrived is None else arrived

    def picked(place: np.ndarray, seeds: np.ndarray) -> np.ndarray:
        known = (place > 0) & (place < num_rates - 1) & arrived[place, seeds]
        found = values[place, seeds].astype(np.float64)
        return np.where(known.reshape(*known.shape, *[1] * (values.ndim - 2)), found, np.nan)

    def drawn() -> np.ndarray:
        seeds = resamples(num_seeds)
        medians = np.median(np.where(np.isnan(steps), np.inf, steps)[:, seeds], axis=2)
        place = np.where(np.isfinite(medians).any(axis=0), medians.argmin(axis=0), 0)
        return picked(np.broadcast_to(place[:, None], seeds.shape), seeds)

    found = picked(best_for_others(steps), np.arange(num_seeds))
    if best_rate(steps) in (None, 0, num_rates - 1):
        found = np.full_like(found, np.nan)
    return Chosen(found, drawn)


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
