"""The record, read back from disk and asked for numbers by regime, activation and arm."""

from functools import cached_property

import numpy as np
import xarray as xr

from experiments._flip_gap import flip_gap
from experiments._generalization.plan import LARGE_RATE, LEVELS, Plan
from experiments._generalization.spans import effective_dimension, second_moment_spectrum
from experiments._ladder import Climb, climb
from experiments._path_probe import steps_to_target
from experiments._stated import NotRunError
from signdyn.choice import apply
from signdyn.records import load

RISE = 1.25
"""A descent that rises above its first loss by more than this factor has been thrown out of the
valley: what arrives in the end started elsewhere."""

MOST_THROWN = 0.125
"""Share of seeds, at most, that may fail to arrive at a rate that is anybody's best."""


class Results:
    """The record of one run; arrays are [seed, ...] in the order of every part's seeds.

    Args:
        plan: The run's plan; its folder must hold all cells.
    """

    def __init__(self, plan: Plan):
        """Remember the plan; parts are read when they are asked for."""
        self.plan = plan
        self._parts: dict[str, xr.Dataset] = {}
        self._climbs: dict[tuple[str, str, str], Climb] = {}

    @cached_property
    def num_seeds(self) -> int:
        """Return the number of seeds."""
        return self._part("race").sizes["seed"]

    def climb(self, regime: str, activation: str, arm: str) -> Climb:
        """Return an arm's descents by ascending rate x lambda_max, with what is read at levels.

        The variables ``matched_test_loss`` and ``matched_test_error`` have a dimension ``level``,
        see `at_level`; the target is the last level, and steps are those of `steady_steps`.
        """
        key = (regime, activation, arm)
        if key not in self._climbs:
            table = self._part("race")
            chosen = (
                (table.regime == regime) & (table.activation == activation) & (table.arm == arm)
            )
            rows = table.isel(variant=np.flatnonzero(chosen))
            levels = LEVELS[regime]
            losses = _steps_last(rows, "loss")
            for name in ("test_loss", "test_error"):
                values = _steps_last(rows, name)
                matched = [at_level(losses, values, level) for level in levels]
                rows[f"matched_{name}"] = ("variant", "seed", "level"), np.stack(matched, axis=-1)
            self._climbs[key] = climb(
                rows,
                lambda rows: steady_steps(_steps_last(rows, "loss"), levels[-1]),
                "rate",
            )
        return self._climbs[key]

    def at_best(self, name: str, regime: str, activation: str, arm: str) -> np.ndarray:
        """Return a quantity [seed, ...] at the arm's best rate, see `experiments._ladder.Climb`."""
        return self.climb(regime, activation, arm).at_best(name)

    def at_rate(self, rate: float, name: str, regime: str, activation: str, arm: str) -> np.ndarray:
        """Return a quantity [seed, ...] at a given rate x lambda_max.

        NaN where the rate is, as the best rate of an arm is of which none arrives.

        Raises:
            NotRunError: If the arm has no descent at that rate.
        """
        own = self.climb(regime, activation, arm)
        values = own.rows[name].transpose("variant", "seed", ...).values.astype(np.float64)
        if np.isnan(rate):
            return np.full(values.shape[1:], np.nan)
        places = np.flatnonzero(own.rates == rate)
        if not len(places):
            raise NotRunError(f"{arm} at rate x lambda_max = {rate:g}", own.steps.shape[1])
        return values[places[0]]

    def best_rate(self, regime: str, activation: str, arm: str) -> float:
        """Return the best rate x lambda_max of an arm; NaN if none arrives."""
        own = self.climb(regime, activation, arm)
        return float(own.rates[own.best]) if own.best is not None else float("nan")

    def at_arrival(self, regime: str, activation: str, arm: str) -> np.ndarray:
        """Return [seed] an arm's test error at the step at which centered reaches the target."""
        errors = self.at_best("test_error", regime, activation, arm)
        arrivals = self.at_best("steps", regime, activation, "centered")

        def picked(errors: np.ndarray, arrivals: np.ndarray) -> np.ndarray:
            known = np.isfinite(arrivals)
            steps = np.where(known, arrivals, 0).astype(int)
            return np.where(known, errors[np.arange(len(errors)), steps], np.nan)

        return apply(picked, errors, arrivals)

    def curves(self, name: str, regime: str, activation: str, arm: str) -> np.ndarray | None:
        """Return [seed, step] at the arm's best rate for figures; None where there is none.

        The flipped network is shown at raw's, where it was run; the one that starts large, at its
        only one.
        """
        own = self.climb(regime, activation, arm)
        leader = "raw" if arm == "flipped" else arm
        rate = LARGE_RATE if arm == "large" else self.best_rate(regime, activation, leader)
        places = np.flatnonzero(own.rates == rate)
        return _steps_last(own.rows, name)[places[0]] if len(places) else None

    def largest_difference(self, names: tuple[str, ...] = ("loss", "test_loss")) -> np.ndarray:
        """Return [seed] the largest |raw - flipped| over steps of all descents made with both.

        NaN agrees with NaN only.
        """
        table = self._part("race")
        keys = list(
            zip(table.activation.values, table.regime.values, table.rate.values, strict=True)
        )
        largest = np.zeros(self.num_seeds)
        for place in np.flatnonzero(table.arm == "flipped"):
            (raw,) = (
                other for other in np.flatnonzero(table.arm == "raw") if keys[other] == keys[place]
            )
            for name in names:
                values = _steps_last(table, name)
                largest = np.maximum(largest, flip_gap(values[raw], values[place]).max(axis=1))
        return largest

    def directions(self, name: str, activation: str, arm: str, examples: int) -> np.ndarray:
        """Return a measurement [seed, ...] of the updates' directions."""
        table = self._part("directions")
        chosen = (table.activation == activation) & (table.arm == arm)
        chosen &= table.examples == examples
        (place,) = np.flatnonzero(chosen)
        return table[name].isel(variant=place).transpose("seed", ...).values.astype(np.float64)

    def direction_difference(self) -> np.ndarray:
        """Return [seed] the largest |raw - flipped| over updates' inner products and losses."""
        largest = np.zeros(self.num_seeds)
        for activation in self.plan.directions:
            for examples in (1, self.plan.config.batch_size):
                for name in ("gram", "loss"):
                    raw, flipped = (
                        self.directions(name, activation, arm, examples)
                        for arm in ("raw", "flipped")
                    )
                    gaps = flip_gap(raw, flipped).reshape(len(raw), -1)
                    largest = np.maximum(largest, gaps.max(axis=1))
        return largest

    def input_spectrum(self, arm: str) -> np.ndarray:
        """Return the eigenvalues of the training inputs' second moment, as shares of their sum."""
        x = np.asarray(self.plan.data.in_float32().x_train, np.float64)
        return second_moment_spectrum(x - x.mean(axis=0) if arm == "centered" else x)

    def input_dimension(self, arm: str) -> float:
        """Return the effective dimension of the training inputs."""
        return effective_dimension(self.input_spectrum(arm))

    def _part(self, name: str) -> xr.Dataset:
        if name not in self._parts:
            self._parts[name] = load(self.plan.session.folder, part=name)
        return self._parts[name]


def steady_steps(losses: np.ndarray, target_loss: float) -> np.ndarray:
    """Return [rate, seed] updates before the target; NaN where a seed does not get there steadily.

    It does not if it never arrives, or rises above its first loss by more than `RISE` on the way.
    Where more than `MOST_THROWN` of the seeds do not, the rate is no choice: NaN throughout. The
    rate with the fewest steps would else be one that some seeds survive by luck.

    Args:
        losses: [rate, seed, step] training loss.
        target_loss: In nats.

    Example:
        >>> steady_steps(np.array([[[2.0, 1.0, 0.5]], [[2.0, 3.0, 0.1]]]), 0.6)
        array([[ 2.],
               [nan]])
    """
    steps = steps_to_target(losses, target_loss, 1)
    on_the_way = np.arange(losses.shape[-1]) <= np.nan_to_num(steps, nan=0.0)[..., None]
    highest = np.where(on_the_way, losses, -np.inf).max(axis=-1)
    steps = np.where(highest <= RISE * losses[..., 0], steps, np.nan)
    thrown = np.isnan(steps).mean(axis=-1, keepdims=True)
    return np.where(thrown <= MOST_THROWN, steps, np.nan)


def at_level(losses: np.ndarray, values: np.ndarray, level: float) -> np.ndarray:
    """Return [...] the values where the training loss first comes down to a level.

    Read on the straight line between the step before and the first step at or below the level:
    arms that take larger steps would else be read at lower losses. NaN where the level is never
    reached.

    Args:
        losses: [..., step] training loss.
        values: [..., step] what to read.
        level: In the unit of the losses.

    Example:
        >>> print(at_level(np.array([3.0, 1.0, 0.0]), np.array([10.0, 20.0, 0.0]), 1.5))
        17.5
    """
    losses, values = np.asarray(losses, np.float64), np.asarray(values, np.float64)
    hit = losses <= level
    after = hit.argmax(axis=-1)
    before = np.maximum(after - 1, 0)

    def take(array: np.ndarray, places: np.ndarray) -> np.ndarray:
        return np.take_along_axis(array, places[..., None], axis=-1)[..., 0]

    high, low = take(losses, before), take(losses, after)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(after > 0, (high - level) / (high - low), 1.0)
    between = take(values, before) + share * (take(values, after) - take(values, before))
    return np.where(hit.any(axis=-1), between, np.nan)


def _steps_last(rows: xr.Dataset, name: str) -> np.ndarray:
    return rows[name].transpose("variant", "seed", "step").values
