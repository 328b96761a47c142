"""Runs the programs of the two-weight picture, in double precision."""

import jax

from experiments._progress import SweepProgress
from experiments._two_weights.plan import Plan, make_jobs


def measure_all(plan: Plan, question: str) -> None:
    """Run every cell that is not yet on disk.

    In float64: what is compared are methods, not rounding.
    """
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
