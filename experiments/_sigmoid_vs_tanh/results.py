"""What the record on disk says, by data set and arm; claims and figures are made from it alone."""

import numpy as np
import xarray as xr

from experiments._best_rate import at_best_for_others
from experiments._ladder import Climb, climb
from experiments._sigmoid_vs_tanh.descent import looks
from experiments._sigmoid_vs_tanh.plan import CHANGES, Plan
from signdyn.records import load

RELIABLE = 0.9
"""Share of seeds that must arrive at a rate that is to be called best."""


class Results:
    """The record of one run; arrays are [seed], or [seed, ...].

    Args:
        plan: The run's plan; its folder must hold what is asked for.
    """

    def __init__(self, plan: Plan):
        """Remember the plan; parts are read when they are asked for."""
        self.plan = plan
        self._parts: dict[str, xr.Dataset] = {}

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return self.plan.setting.datasets

    @property
    def raced(self) -> tuple[str, ...]:
        """Names of the data sets on which best rates were raced."""
        return self.plan.raced

    @property
    def num_seeds(self) -> int:
        """Number of seeds."""
        return self.plan.config.seeds

    @property
    def looks(self) -> np.ndarray:
        """Numbers of steps [look] at which losses were looked at."""
        config = self.plan.config
        return looks(max(config.max_steps, config.race_steps))

    def start(self, dataset: str, arm: str, name: str) -> np.ndarray:
        """Return a measurement before the first step."""
        return self._rows("start", dataset, arm)[name].values[0].astype(np.float64)

    def losses(self, dataset: str, arm: str) -> np.ndarray:
        """Return the losses [seed, look] at the playground's rate, NaN after the end."""
        return self._rows("fixed", dataset, arm).losses.values[0]

    def steps(self, dataset: str, arm: str, *, at_least: bool = False) -> np.ndarray:
        """Return the steps to the target at the playground's rate.

        Args:
            dataset: The data set.
            arm: The arm.
            at_least: Whether a seed that has not arrived counts with the last step, instead of
                NaN: its true number is larger.
        """
        losses = self.losses(dataset, arm)
        steps = self._steps_of(losses)
        late = np.isnan(steps) & ~self._easy(losses)
        return np.where(late, self.plan.config.max_steps, steps) if at_least else steps

    def climb(self, dataset: str, arm: str) -> Climb:
        """Return an arm's descents at every rate of the race.

        A rate at which fewer than `RELIABLE` of the seeds arrive has no steps: it cannot be best.
        """

        def reliable(rows: xr.Dataset) -> np.ndarray:
            steps = self._steps_of(rows.losses.values)
            arrived = np.mean(~np.isnan(steps) | self._easy(rows.losses.values), axis=1)
            return np.where(arrived[:, None] >= RELIABLE, steps, np.nan)

        return climb(self._rows("race", dataset, arm), reliable, "rate")

    def best(self, dataset: str, arm: str, *, at_least: bool = False) -> np.ndarray:
        """Return the steps to the target at the rate that is best for the other seeds.

        ``at_least`` is as for `steps`; NaN if the best rate lies on the ladder's edge.
        """
        descents = self.climb(dataset, arm)
        if not at_least:
            return descents.at_best()
        late = np.isnan(descents.steps) & ~self._easy(descents.rows.losses.values[0])
        steps = np.where(late, self.plan.config.race_steps, descents.steps)
        return at_best_for_others(steps, descents.steps, np.isfinite(steps))

    def best_rate(self, dataset: str, arm: str) -> np.ndarray:
        """Return the learning rate of each seed's own best descent."""
        return self.climb(dataset, arm).at_best("learning_rate")

    def factor(self, change: str, dataset: str, *, best: bool = False) -> np.ndarray:
        """Return how many times fewer steps a change on the path from sigmoid to tanh needs.

        Args:
            change: A key of `CHANGES`, or "all" for the whole path.
            dataset: The data set.
            best: At best rates, instead of the playground's.
        """
        old, new = CHANGES.get(change, ("drawn", "tanh"))
        steps = self.best if best else self.steps
        return steps(dataset, old, at_least=old == "drawn") / steps(dataset, new)

    def _steps_of(self, losses: np.ndarray) -> np.ndarray:
        """Return [..., seed] steps to the target; NaN if it is never reached, or from the start."""
        hit = losses <= self.plan.config.target_loss
        steps = self.looks[hit.argmax(-1)].astype(np.float64)
        return np.where(hit.any(-1) & ~self._easy(losses), steps, np.nan)

    def _easy(self, losses: np.ndarray) -> np.ndarray:
        """Return whether a start is at the target as it is drawn: it has no steps to compare."""
        return losses[..., 0] <= self.plan.config.target_loss

    def _rows(self, part: str, dataset: str, arm: str) -> xr.Dataset:
        if part not in self._parts:
            self._parts[part] = load(self.plan.session.folder, part=part)
        rows = self._parts[part]
        chosen = (rows.dataset == dataset) & (rows.arm == arm)
        return rows.isel(variant=np.flatnonzero(chosen.values)).transpose("variant", "seed", ...)
