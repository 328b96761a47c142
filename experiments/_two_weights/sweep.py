"""Runs the programs of the two-weight picture in float64: methods are compared, not rounding."""

from collections.abc import Callable

import jax

from experiments._progress import SweepProgress
from experiments._session import Session
from experiments._two_weights.plan import Plan, make_jobs
from signdyn.resume import Group


class DoubleSession(Session):
    """A session whose compiling threads use double precision; a thread does not inherit it."""

    def _compile(self, group: Group) -> Callable:
        with jax.enable_x64(True):
            return super()._compile(group)


def measure_all(plan: Plan, question: str) -> None:
    """Run every cell that is not yet on disk."""
    session = plan.session
    with jax.enable_x64(True):
        jobs = make_jobs(plan)
        session.announce([(job, len(variants)) for job, variants in jobs], question)
        seeds = len(session.layout.seeds)
        total = sum(len(variants) * seeds * job.steps for job, variants in jobs)
        with SweepProgress(total) as progress:
            for job, variants in jobs:
                session.run(job.group, variants, progress, job.steps)
    session.finish()
