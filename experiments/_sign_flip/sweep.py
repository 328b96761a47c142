"""Runs the flagship's sweeps: rate ladders are widened until no best rate lies on an edge."""

from experiments._ladder import Climb, run_ladder
from experiments._progress import SweepProgress
from experiments._session import Job
from experiments._sign_flip.plan import Groups, Plan, rate_ladder
from experiments._sign_flip.results import Results
from signdyn.records import load

QUESTION = "is the common sign of gradients the cause of the zig-zag, or the activations' mean?"


def run_sweeps(plan: Plan) -> None:
    """Run every sweep that is not yet on disk."""
    groups = Groups(plan)
    session, seeds = plan.session, plan.config.seeds
    session.announce(groups.jobs(), QUESTION)
    total = sum(variants * seeds * job.steps for job, variants in groups.jobs())
    with SweepProgress(total) as progress:
        for job in groups.start.values():
            session.run(job.group, groups.start_variants(job), progress, job.steps)
        with session.reading():
            start = load(session.folder, part="start")
        for activation in plan.activations:
            for job in groups.descents(activation):
                rungs = rate_ladder(plan, start, activation)
                ladder = groups.ladder(job, activation, rungs)
                run_ladder(session, ladder, _reader(plan, job, activation), progress)
            job = groups.full[activation]
            session.run(job.group, groups.small_variants(activation, start), progress, job.steps)
            for (name, optimizer), job in groups.exact.items():
                if name == activation:
                    variants = groups.exact_variants(activation, optimizer)
                    session.run(job.group, variants, progress, job.steps)
    session.finish()


def _reader(plan: Plan, job: Job, activation: str):
    part, optimizer = job.group.part, job.group.identity["optimizer"]

    def read(arm: str) -> Climb:
        return Results(plan).climb(part, activation, arm, optimizer)

    return read
