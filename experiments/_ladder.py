"""Descents at every rate of a ladder, and what they are like at the best one.

A ladder is widened until no arm's best rate lies on its edge, for a best rate on the edge is not
known to be the best. What is reported of a seed is read at the rate that is best for the others,
which must not lie there either.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from experiments._best_rate import (
    at_best_for_others,
    best_for_others,
    best_of_each,
    best_rate,
    edge_rungs,
)
from experiments._progress import SweepProgress
from experiments._session import Job, Session
from signdyn.resume import Variant

MAX_WIDENINGS = 6


class Ladder(NamedTuple):
    """A program, and the arms that are trained with it at every rate.

    Attributes:
        job: The program.
        arms: Names of the arms.
        variant: (arm, learning rate) -> the point to run.
        rungs: Places k of the first rates, which are 2^(k / per_octave).
        per_octave: Rates per factor of two.
    """

    job: Job
    arms: Sequence[str]
    variant: Callable[[str, float], Variant]
    rungs: Sequence[int]
    per_octave: int = 1

    def variants(self, rungs: Sequence[int]) -> list[Variant]:
        """Return the points of the given rungs, arm by arm."""
        return [point for arm in self.arms for point in self.of_arm(arm, rungs)]

    def of_arm(self, arm: str, rungs: Sequence[int]) -> list[Variant]:
        """Return one arm's points of the given rungs, by ascending rate."""
        return [self.variant(arm, 2.0 ** (rung / self.per_octave)) for rung in sorted(rungs)]

    @property
    def replica_steps(self) -> float:
        """Updates of one seed, before any widening."""
        return len(self.arms) * len(self.rungs) * self.job.steps


class Climb(NamedTuple):
    """One arm's descents, by ascending rate.

    Attributes:
        rows: [variant, seed, ...] of the record, in the order of ``rates``.
        rates: [rate] learning rates.
        steps: [rate, seed] updates before the target; NaN where it is not reached.
    """

    rows: xr.Dataset
    rates: np.ndarray
    steps: np.ndarray

    @property
    def best(self) -> int | None:
        """Place of the rate that is best at the median seed; None if no rate arrives."""
        return best_rate(self.steps)

    @property
    def places(self) -> set[int | None]:
        """Places of the best rates of all seeds, and of all but each one, which `at_best` reads."""
        return {None} if self.best is None else {self.best, *best_for_others(self.steps).tolist()}

    def among(self, variants: Sequence[Variant]) -> "Climb":
        """Return the descents of these points alone, found by their labels."""
        known = np.zeros(len(self.rates), bool)
        for variant in variants:
            labels = variant.labels.items()
            known |= np.all([self.rows[name].values == value for name, value in labels], axis=0)
        rows = self.rows.isel(variant=np.flatnonzero(known))
        return Climb(rows, self.rates[known], self.steps[known])

    @property
    def settled(self) -> bool:
        """Whether the best rate lies inside the ladder."""
        return self.best not in (None, 0, len(self.rates) - 1)

    def at_best(self, name: str = "steps") -> np.ndarray:
        """Return a quantity [seed, ...] at the rate that is best for the *other* seeds.

        ``learning_rate`` is that of the seed's own best descent; all else knows what it would be
        if the rate were chosen anew, see `signdyn.choice`. NaN where the target is not
        reached or the rate lies on the ladder's edge, and throughout unless `settled`.

        Args:
            name: Variable of the record, or ``steps`` or ``learning_rate``.
        """
        if name == "learning_rate":
            place, seeds = best_of_each(self.steps), np.arange(self.steps.shape[1])
            inside = (place > 0) & (place < len(self.rates) - 1)
            known = inside & np.isfinite(self.steps[place, seeds]) & self.settled
            return np.where(known, self.rates[place], np.nan)
        if name == "steps":
            return at_best_for_others(self.steps, self.steps)
        values = self.rows[name].transpose("variant", "seed", ...).values
        return at_best_for_others(values, self.steps)


def climb(rows: xr.Dataset, steps_of: Callable[[xr.Dataset], np.ndarray], rate: str) -> Climb:
    """Return the descents of one arm.

    Args:
        rows: The arm's variants.
        steps_of: Rows -> [variant, seed] updates before the target.
        rate: Name of the label that holds the learning rate.
    """
    rows = rows.sortby(rate)
    return Climb(rows, rows[rate].values, steps_of(rows))


def run_ladder(
    session: Session,
    ladder: Ladder,
    read: Callable[[str], Climb],
    progress: SweepProgress,
) -> None:
    """Run a ladder's descents, and wider ones while an arm's best rate lies on the edge.

    Args:
        session: The run.
        ladder: What to run.
        read: Arm -> its descents, from the record on disk as it is by then.
        progress: Where to count.
    """
    run_ladders(session, [ladder], lambda: read, progress)


def run_ladders(
    session: Session,
    ladders: Sequence[Ladder],
    reader: Callable[[], Callable[[str], Climb]],
    progress: SweepProgress,
) -> None:
    """Run several ladders of one program together, each widened on its own.

    Args:
        session: The run.
        ladders: What to run, with the same job.
        reader: Reads the record once a round; returns arm -> its descents.
        progress: Where to count.
    """
    job, seeds = ladders[0].job, len(session.layout.seeds)
    rungs = [list(ladder.rungs) for ladder in ladders]
    todo = [list(ladder.rungs) for ladder in ladders]
    for _ in range(MAX_WIDENINGS):
        variants = [
            v for ladder, more in zip(ladders, todo, strict=True) for v in ladder.variants(more)
        ]
        session.run(job.group, variants, progress, job.steps)
        with session.reading():
            read = reader()
            todo = [_edges(ladder, own, read) for ladder, own in zip(ladders, rungs, strict=True)]
        if not any(todo):
            return
        rungs = [own + more for own, more in zip(rungs, todo, strict=True)]
        added = sum(
            len(ladder.arms) * len(more) for ladder, more in zip(ladders, todo, strict=True)
        )
        progress.expect(added * seeds * job.steps)


def _edges(ladder: Ladder, rungs: Sequence[int], read: Callable[[str], Climb]) -> list[int]:
    # a run that is repeated finds the widened ladder on disk: it must decide as it did before
    climbs = [read(arm).among(ladder.of_arm(arm, rungs)) for arm in ladder.arms]
    return edge_rungs([place for climb in climbs for place in climb.places], rungs)
