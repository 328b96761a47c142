"""The flagship's record, read back from disk and asked for numbers by activation and arm."""

from functools import cached_property

import numpy as np
import xarray as xr

from experiments._ladder import Climb, climb
from experiments._path_probe import steps_to_target
from experiments._sign_flip.plan import RECORD_EVERY, Plan
from signdyn.records import load


class Results:
    """The record of one run; arrays are [rate, seed] or [seed].

    Args:
        plan: The run's plan; its folder must hold all cells.
    """

    def __init__(self, plan: Plan):
        """Remember the plan; parts are read when they are asked for."""
        self.plan = plan
        self._parts: dict[str, xr.Dataset] = {}
        self._rows: dict[tuple[str, ...], xr.Dataset] = {}

    def part(self, name: str) -> xr.Dataset:
        """Return one part of the record; read once."""
        if name not in self._parts:
            self._parts[name] = load(self.plan.session.folder, part=name)
        return self._parts[name]

    @cached_property
    def seeds(self) -> np.ndarray:
        """Return the seeds, in the order of every seed axis."""
        return self.part("start").seed.values

    def rows(
        self, part: str, activation: str, arm: str, optimizer: str = "sgd", rule: str = "ladder"
    ) -> xr.Dataset:
        """Return the variants of one arm whose rate was set by ``rule``, by ascending rate."""
        key = (part, activation, arm, optimizer, rule)
        if key not in self._rows:
            self._rows[key] = self._select(*key)
        return self._rows[key]

    def _select(
        self, part: str, activation: str, arm: str, optimizer: str, rule: str
    ) -> xr.Dataset:
        table = self.part(part)
        chosen = (table.activation == activation) & (table.arm == arm)
        if part != "start":
            chosen &= (table.optimizer == optimizer) & (table.rule == rule)
        rows = table.isel(variant=np.flatnonzero(chosen))
        return rows.sortby("learning_rate") if part != "start" else rows

    def climb(self, part: str, activation: str, arm: str, optimizer: str = "sgd") -> Climb:
        """Return the descents of one arm at every rate of its ladder."""
        rows = self.rows(part, activation, arm, optimizer)
        return climb(rows, lambda rows: descent_steps(self.plan, part, rows), "learning_rate")

    def steps(self, part: str, activation: str, arm: str) -> np.ndarray:
        """Return [rate, seed] updates before the target loss; NaN where it is not reached."""
        return self.climb(part, activation, arm).steps

    def rates(self, part: str, activation: str, arm: str) -> np.ndarray:
        """Return the ascending rates of an arm."""
        return self.climb(part, activation, arm).rates

    def at_best(
        self, name: str, part: str, activation: str, arm: str, optimizer: str = "sgd"
    ) -> np.ndarray:
        """Return a quantity [seed, ...] at the best rate, see `experiments._ladder.Climb`."""
        return self.climb(part, activation, arm, optimizer).at_best(name)


def descent_steps(plan: Plan, part: str, rows: xr.Dataset) -> np.ndarray:
    """Return [variant, seed] updates before the target loss; NaN where it is not reached."""
    # with full batches every step's loss is the training loss; else only the records have it
    name, every = ("train_loss", RECORD_EVERY) if part == "minibatch" else ("loss", 1)
    losses = rows[name].transpose("variant", "seed", ...).values
    return steps_to_target(losses, plan.target_loss, every)
