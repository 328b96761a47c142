"""The flagship's record, read back from disk and asked for numbers by activation and arm."""

from functools import cached_property

import numpy as np
import xarray as xr

from experiments._best_rate import best_for_others, best_of_each, best_rate
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

    def steps(self, part: str, activation: str, arm: str, optimizer: str = "sgd") -> np.ndarray:
        """Return [rate, seed] updates before the target loss; NaN where it is not reached."""
        return descent_steps(self.plan, part, self.rows(part, activation, arm, optimizer))

    def rates(self, part: str, activation: str, arm: str, optimizer: str = "sgd") -> np.ndarray:
        """Return the ascending rates of an arm."""
        return self.rows(part, activation, arm, optimizer).learning_rate.values

    def at_best(
        self, name: str, part: str, activation: str, arm: str, optimizer: str = "sgd"
    ) -> np.ndarray:
        """Return a quantity [seed, ...] at the rate that is best for the *other* seeds.

        NaN for every seed if the best rate still lies on an edge of the ladder.

        Args:
            name: Variable of the record, or ``steps`` or ``learning_rate``.
            part: Part of the record.
            activation: Activation.
            arm: Arm.
            optimizer: Optimizer.
        """
        rows = self.rows(part, activation, arm, optimizer)
        steps = descent_steps(self.plan, part, rows)
        place = best_for_others(steps)
        if name == "steps":
            values = steps
        elif name == "learning_rate":
            values = np.broadcast_to(rows.learning_rate.values[:, None], steps.shape)
            place = best_of_each(steps)
        else:
            values = rows[name].transpose("variant", "seed", ...).values
        picked = values[place, np.arange(steps.shape[1])].astype(np.float64)
        if best_rate(steps) in (None, 0, len(steps) - 1):
            return np.full_like(picked, np.nan)
        reached = np.isfinite(steps[place, np.arange(steps.shape[1])])
        return np.where(reached.reshape(-1, *[1] * (picked.ndim - 1)), picked, np.nan)


def descent_steps(plan: Plan, part: str, rows: xr.Dataset) -> np.ndarray:
    """Return [variant, seed] updates before the target loss; NaN where it is not reached."""
    # with full batches every step's loss is the training loss; else only the records have it
    name, every = ("train_loss", RECORD_EVERY) if part == "minibatch" else ("loss", 1)
    losses = rows[name].transpose("variant", "seed", ...).values
    return steps_to_target(losses, plan.target_loss, every)
