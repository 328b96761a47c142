"""What the record on disk says; claims and figures are made from this alone."""

from pathlib import Path

import numpy as np
import xarray as xr

from experiments._ladder import Climb, climb
from experiments._natural_gradient.start import COMPARED, METHODS
from experiments._path_probe import steps_to_target
from signdyn.records import load, read_json
from signdyn.report.formats import Table


class Results:
    """The record of a run; numbers are [seed] in the order of every part's seeds."""

    def __init__(self, folder: Path):
        """Load every part; raises `RecordsError` if one is unfinished or damaged."""
        names = ("start", "frames", "frames_raw", "race", "race_gradient")
        self._parts = {name: load(folder, part=name) for name in names}
        self.target_loss = float(read_json(folder / "run.json")["config"]["target_loss"])

    @property
    def num_seeds(self) -> int:
        """Number of seeds."""
        return self._parts["start"].sizes["seed"]

    def start(self, name: str, arm: str = "raw") -> np.ndarray:
        """Return a measurement before the first step, [seed] or [seed, layer or method]."""
        rows = self._parts["start"]
        return _only(rows, rows.arm == arm)[name].transpose("seed", ...).values

    def gap(
        self, optimizer: str, arm: str, damping: float = 0.0, *, frame: str = "own"
    ) -> np.ndarray:
        """Return [seed] how far an arm's outputs leave raw's, over how far raw's moved.

        Both are largest absolute differences, over steps, kept examples and outputs.
        """
        raw = self.outputs(optimizer, "raw", damping)
        other = self.outputs(optimizer, arm, damping, frame=frame)
        axes = (1, 2, 3)
        return np.abs(other - raw).max(axis=axes) / np.abs(raw - raw[:, :1]).max(axis=axes)

    def outputs(
        self, optimizer: str, arm: str, damping: float = 0.0, *, frame: str = "own"
    ) -> np.ndarray:
        """Return [seed, step, example, output] on the regression."""
        rows = self._parts["frames" if frame == "own" else "frames_raw"]
        chosen = (rows.arm == arm) & (rows.optimizer == optimizer) & _close(rows.damping, damping)
        outputs = _only(rows, chosen).outputs
        return outputs.transpose("seed", "record", "example", "output").values

    def climb(self, optimizer: str, arm: str) -> Climb:
        """Return the descents on digits at every rate tried."""
        rows = self._parts["race_gradient" if optimizer == "sgd" else "race"]
        rows = rows.isel(variant=(rows.arm == arm) & (rows.optimizer == optimizer))
        return climb(rows, self._steps, "rate")

    def losses_at_best(self, optimizer: str, arm: str) -> np.ndarray:
        """Return [seed, step] training losses on digits at the best rate; empty if none arrives."""
        descents = self.climb(optimizer, arm)
        losses = descents.rows.train_loss.transpose("variant", "seed", "record").values
        return losses[descents.best] if descents.best is not None else losses[0, :, :0]

    def at_best(self, optimizer: str, arm: str, name: str = "steps") -> np.ndarray:
        """Return a quantity [seed] at the best rate, see `experiments._ladder.Climb`."""
        return self.climb(optimizer, arm).at_best(name)

    def _steps(self, rows: xr.Dataset) -> np.ndarray:
        losses = rows.train_loss.transpose("variant", "seed", "record").values
        return steps_to_target(losses, self.target_loss, 1)


def directions_table(results: Results) -> Table:
    """Return one row an arm and method: medians over seeds of its likeness to the exact one."""
    rows = []
    for arm in ("raw", "centered"):
        values = {name: np.median(results.start(name, arm), axis=0) for name in COMPARED}
        for place, method in enumerate(METHODS):
            rows.append((arm, method, *(float(values[name][place]) for name in COMPARED)))
    return Table(("arm", "direction", *COMPARED), rows)


def _only(rows: xr.Dataset, chosen: xr.DataArray) -> xr.Dataset:
    return rows.isel(variant=chosen.values).squeeze("variant")


def _close(values: xr.DataArray, value: float) -> xr.DataArray:
    return abs(values - value) <= 1e-6 * value
