"""The record, read back from disk and asked for numbers by optimizer and arm."""

import numpy as np
import xarray as xr

from experiments._flip_gap import flip_gap
from experiments._ladder import Climb, climb
from experiments._optimizers.plan import Course, Plan
from experiments._optimizers.probe import READINGS
from experiments._path_probe import steps_to_target
from experiments._stated import NotRunError
from signdyn.claims import MAX_LEFT_OUT
from signdyn.records import load

COMMON = 2
"""Octaves below raw's best rate at which raw and centered are compared at one rate."""


class Results:
    """The record of one run; arrays are [seed], or [rate, seed] by ascending rate.

    Args:
        plan: The run's plan; its folder must hold the cells that are asked for.
    """

    def __init__(self, plan: Plan):
        """Remember the plan; tables are read when they are asked for."""
        self.target_loss = plan.target_loss
        self.batch_size = plan.config.batch_size
        self.central = plan.config.central
        self.num_seeds = plan.config.seeds
        self.fan_in = plan.data.x_train.shape[1]
        self._folder = plan.session.folder
        self._tables: dict[Course, xr.Dataset] = {}
        self._climbs: dict[tuple[Course, str], Climb] = {}

    def climb(self, course: Course, arm: str) -> Climb:
        """Return the descents of one arm at every rate of its ladder."""
        if (course, arm) not in self._climbs:
            table = self._table(course)
            rows = table.isel(variant=np.flatnonzero(table.arm == arm))
            self._climbs[course, arm] = climb(rows, self._steps, "learning_rate")
        return self._climbs[course, arm]

    def at_best(self, name: str, course: Course, arm: str) -> np.ndarray:
        """Return a quantity [seed, ...] at the best rate, see `experiments._ladder.Climb`."""
        return self.climb(course, arm).at_best(name)

    def at_common_rate(self, course: Course) -> tuple[np.ndarray, np.ndarray]:
        """Return [seed] steps of raw and of centered at a fraction, 2^-COMMON, of raw's best rate.

        NaN where raw has no best rate.

        Raises:
            NotRunError: If a ladder has no such rate.
        """
        descents = {arm: self.climb(course, arm) for arm in ("raw", "centered")}
        raw = descents["raw"]
        if raw.best is None:
            return np.full(self.num_seeds, np.nan), np.full(self.num_seeds, np.nan)
        rate = raw.rates[raw.best] * 2.0**-COMMON
        places = {arm: np.flatnonzero(np.isclose(own.rates, rate)) for arm, own in descents.items()}
        for arm, found in places.items():
            if not len(found):
                raise NotRunError(f"{arm} at learning rate {rate:g}", self.num_seeds)
        steps = {arm: own.steps[places[arm][0]] for arm, own in descents.items()}
        return steps["raw"], steps["centered"]

    def flip_gap(self, course: Course) -> np.ndarray:
        """Return [seed] the largest |raw - flipped| over rates, of the loss at every step.

        NaN agrees with NaN only; anything else is infinitely far from it.
        """
        raw, flipped = self._both(course, "loss")
        return _largest_gap(raw, flipped)

    def flip_gap_of_path(self, course: Course) -> np.ndarray:
        """Return [seed] the same of what is read of the path, all but its sign coherence."""
        blind = [name for name in READINGS if name not in ("coherence", "sum_drift")]
        gaps = [_largest_gap(*self._both(course, name)) for name in blind]
        return np.max(gaps, axis=0)

    def losses_apart(self, course: Course) -> np.ndarray:
        """Return [seed] the largest |raw - flipped| loss over steps, nats, at raw's best rate."""
        place = self.climb(course, "raw").best
        if place is None:
            return np.full(self.num_seeds, np.nan)
        raw, flipped = self._both(course, "loss")
        return np.abs(raw - flipped)[:, place].max(axis=-1)

    def _both(self, course: Course, name: str) -> tuple[np.ndarray, np.ndarray]:
        raw, flipped = (
            self.climb(course, arm).rows[name].transpose("seed", "variant", ...)
            for arm in ("raw", "flipped")
        )
        return raw.values.astype(np.float64), flipped.values.astype(np.float64)

    def _table(self, course: Course) -> xr.Dataset:
        if course not in self._tables:
            self._tables[course] = load(self._folder, part=course.part)
        return self._tables[course]

    def _steps(self, rows: xr.Dataset) -> np.ndarray:
        # with full batches every step's loss is the training loss
        name = "train_loss" if rows.sizes["record"] > 1 else "loss"
        losses = rows[name].transpose("variant", "seed", ...).values
        return without_gambles(steps_to_target(losses, self.target_loss, 1))


def without_gambles(steps: np.ndarray) -> np.ndarray:
    """Return [rate, seed] steps with NaN for all seeds where too many do not arrive.

    At the edge of stability the median seed can be fast while others never arrive. No claim could
    be decided at such a rate, so it is not to be anyone's best.

    Example:
        >>> print(without_gambles(np.array([[9.0, 8.0, 9.0, 7.0], [4.0, 3.0, np.nan, np.nan]])))
        [[ 9.  8.  9.  7.]
         [nan nan nan nan]]
    """
    lost = np.isnan(steps).mean(axis=1, keepdims=True)
    return np.where(lost > MAX_LEFT_OUT, np.nan, steps)


def _largest_gap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return flip_gap(one, other).reshape(len(one), -1).max(axis=1)
