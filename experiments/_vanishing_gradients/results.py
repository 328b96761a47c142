"""What the record on disk says; claims and figures are made from this alone."""

import itertools
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr

from experiments._fisher_spectrum.activation import NAMES
from experiments._ladder import Climb, climb
from experiments._vanishing_gradients.plan import FALLS, Race
from experiments._vanishing_gradients.start import ARMS, PAIR
from signdyn.claims import MAX_LEFT_OUT
from signdyn.records import load
from signdyn.report.formats import Table


class Results:
    """The record of a run; numbers are [seed] in the order of every part's seeds.

    A part is read when it is first asked for; `RecordsError` if it is unfinished or damaged.
    """

    def __init__(self, folder: Path):
        """Remember the folder."""
        self._folder = folder
        self._climbs: dict[Race, Climb] = {}

    @cached_property
    def _start(self) -> xr.Dataset:
        return load(self._folder, part="start")

    @cached_property
    def _descent(self) -> xr.Dataset:
        return load(self._folder, part="descent")

    @property
    def num_seeds(self) -> int:
        """Number of seeds."""
        return self._start.sizes["seed"]

    @property
    def depths(self) -> list[int]:
        """Numbers of hidden layers before the first step, ascending."""
        return [int(depth) for depth in np.unique(self._start.depth.values)]

    @property
    def trained_depths(self) -> list[int]:
        """Numbers of hidden layers of networks that are trained, ascending."""
        return [int(depth) for depth in np.unique(self._descent.depth.values)]

    def start(self, name: str, activation: str, depth: int, arm: str | None = None) -> np.ndarray:
        """Return a measurement of the start, [seed, ...]; layers beyond the depth are left out.

        Without an arm, those are an axis, in the order of `ARMS`.
        """
        rows = self._start
        chosen = (rows.activation == activation) & (rows.depth == depth)
        values = rows[name].isel(variant=np.flatnonzero(chosen)).squeeze("variant")
        if arm is not None:
            axis = "arm" if "arm" in values.dims else "pair"
            values = values.isel({axis: list(ARMS).index(arm)})
        values = values.transpose("seed", ...)
        if "layer" in values.dims:
            values = values.isel(layer=slice(depth))
        if "site" in values.dims:
            values = values.isel(site=[*range(depth), values.sizes["site"] - 1])
        return values.values.astype(np.float64)

    def climb(self, race: Race) -> Climb:
        """Return the descents of a race at every rate tried, in units of 1 / lambda_max."""
        if race not in self._climbs:
            labels = [self._descent[name].values == value for name, value in race._asdict().items()]
            rows = self._descent.isel(variant=np.flatnonzero(np.all(labels, axis=0)))
            self._climbs[race] = climb(rows, _steps, "rate")
        return self._climbs[race]

    def at_best(self, race: Race, name: str = "steps") -> np.ndarray:
        """Return a quantity [seed] at the best rate, see `experiments._ladder.Climb`."""
        return self.climb(race).at_best(name)

    def lambda_max(self, race: Race) -> np.ndarray:
        """Return [seed] the largest eigenvalue of a race's Fisher at the start."""
        return self.climb(race).rows.lambda_max.transpose("variant", "seed").values[0]

    def losses(self, race: Race) -> np.ndarray:
        """Return [rate, seed, step] losses of all descents of a race; NaN from the end on."""
        return self.climb(race).rows.loss.transpose("variant", "seed", "step").values


def _steps(rows: xr.Dataset) -> np.ndarray:
    """Return [variant, seed] steps to the target.

    A rate at which too many seeds never arrive to decide anything counts as one at which none
    does: it would be best for the ones that are lucky.
    """
    steps = rows.steps.transpose("variant", "seed").values
    reliable = np.isnan(steps).mean(axis=1, keepdims=True) <= MAX_LEFT_OUT
    return np.where(reliable, steps, np.nan)


def facts_table(results: Results) -> Table:
    """Return one row a network of the largest trained depth: geometric means over seeds.

    Columns: the first hidden layer's delta over the last one's and the mean's share of what hidden
    units hand on, both at the start; lambda_max there; the best learning rate, and steps to the
    target at it; the deltas' ratio again at the target.
    """
    depth, rows = results.trained_depths[-1], []
    for activation in NAMES:
        for slopes, arm in itertools.product(FALLS, PAIR):
            name = arm if slopes == "own" else f"{arm}, {slopes}"
            rms = results.start("delta_rms", activation, depth, name)
            energy = results.start("mean_energy", activation, depth, name)[:, 1:]
            race = Race(activation, depth, slopes, arm)
            numbers = (
                rms[:, 0] / rms[:, -1],
                results.lambda_max(race),
                results.at_best(race, "step_size"),
                results.at_best(race),
                results.at_best(race, "end_fall"),
            )
            fall, *rest = (_geometric_mean(values) for values in numbers)
            rows.append((activation, slopes, arm, fall, float(energy.mean()), *rest))
    columns = ("first_over_last", "mean_energy", "lambda_max", "learning_rate", "steps")
    columns += ("first_over_last_at_target",)
    return Table(("activation", "slopes", "arm", *columns), rows)


def _geometric_mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.exp(np.log(known).mean())) if len(known) else float("nan")
