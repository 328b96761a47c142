"""Runs the programs of the Fisher's spectrum."""

from experiments._fisher_spectrum.plan import Plan, make_jobs
from experiments._progress import SweepProgress


def measure_all(plan: Plan, question: str) -> None:
    """Run every cell that is not yet on disk."""
    session = plan.session
    with session.precision():
        jobs = make_jobs(plan)
        session.announce([(job, len(variants)) for job, variants in jobs], question)
        seeds = len(session.layout.seeds)
        with SweepProgress(sum(len(variants) * seeds for _, variants in jobs)) as progress:
            for job, variants in jobs:
                session.run(job.group, variants, progress, job.steps)
    session.finish()
