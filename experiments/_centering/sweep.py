"""Runs the races: every arm's ladder of rates begins around the rate that its start suggests."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from experiments._centering.plan import (
    NORM_ACTIVATION,
    NORMED,
    NORMS,
    Plan,
    arms,
    make_jobs,
    norm_variant,
    variant,
)
from experiments._centering.results import Results
from experiments._fisher_spectrum.activation import NAMES
from experiments._ladder import Climb, Ladder, run_ladders
from experiments._progress import SweepProgress
from signdyn.analysis.theory import critical_learning_rate
from signdyn.resume import Variant

QUESTION = "which centering buys what?"

FIRST_RUNGS = range(-1, 2)
"""Places around 2 / lambda_max at the start, in factors of two, of an arm's first rates."""


def run_sweeps(plan: Plan) -> None:
    """Run every sweep that is not yet on disk."""
    session, jobs = plan.session, make_jobs(plan)
    pairs = [(activation, arm) for activation in NAMES for arm in arms(activation)]
    starts = [variant(activation, arm) for activation, arm in pairs]
    ladder_sizes = {
        jobs.race.group.name: len(pairs) * len(FIRST_RUNGS),
        **{job.group.name: len(NORMED) * len(NORMS[norm]) for norm, job in jobs.norms.items()},
    }
    announced = [(jobs.start, len(starts))]
    announced += [(job, ladder_sizes[job.group.name]) for job in (jobs.race, *jobs.norms.values())]
    session.announce(announced, QUESTION)
    seeds = len(session.layout.seeds)
    total = sum(variants * seeds * job.steps for job, variants in announced)
    with SweepProgress(total) as progress:
        session.run(jobs.start.group, starts, progress, jobs.start.steps)
        with session.reading():
            first = Results(session.folder)
            ladders = [
                Ladder(
                    jobs.race,
                    (_name_of(activation, arm),),
                    _variant_of,
                    first_rungs(
                        first.start("lambda_max", activation, arm), arms(activation)[arm].below
                    ),
                )
                for activation, arm in pairs
            ]
        run_ladders(session, ladders, _reader(plan), progress)
        for norm, job in jobs.norms.items():
            ladder = Ladder(job, NORMED, partial(norm_variant, norm), NORMS[norm])
            run_ladders(session, [ladder], _reader(plan, norm), progress)
    session.finish()


def first_rungs(lambda_max: np.ndarray, below: int = 0) -> list[int]:
    """Return the places k of an arm's first rates 2^k.

    Args:
        lambda_max: [seed] at the start.
        below: See `Arm`.

    Example:
        >>> first_rungs(np.full(3, 0.5))  # 2 / lambda_max is 2^2
        [1, 2, 3]
    """
    center = round(math.log2(critical_learning_rate(float(np.median(lambda_max)))))
    return [center - below + step for step in FIRST_RUNGS]


def _name_of(activation: str, arm: str) -> str:
    return f"{activation}: {arm}"


def _pair_of(name: str) -> tuple[str, str]:
    activation, _, arm = name.partition(": ")
    return activation, arm


def _variant_of(name: str, rate: float) -> Variant:
    return variant(*_pair_of(name), rate)


def _reader(plan: Plan, norm: str = "none") -> Callable[[], Callable[[str], Climb]]:
    def reader() -> Callable[[str], Climb]:
        results = Results(plan.session.folder)  # reads every cell once
        if norm == "none":
            return lambda name: results.climb(*_pair_of(name))
        return lambda arm: results.climb(NORM_ACTIVATION, arm, norm)

    return reader
