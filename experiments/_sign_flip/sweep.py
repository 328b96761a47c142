"""Runs the flagship's sweeps: rate ladders are widened until no best rate lies on an edge."""

from collections.abc import Sequence

from experiments._best_rate import best_rate, edge_rungs
from experiments._progress import SweepProgress
from experiments._session import Job
from experiments._sign_flip.plan import Groups, Plan, rate_ladder
from experiments._sign_flip.results import Results
from signdyn.records import load

QUESTION = "is the common sign of gradients the cause of the zig-zag, or the activations' mean?"

MAX_WIDENINGS = 6


def run_sweeps(plan: Plan) -> None:
    """Run every sweep that is not yet on disk."""
    groups = Groups(plan)
    session, seeds = plan.session, plan.config.seeds
    session.announce(groups.jobs(), QUESTION)
    total = sum(variants * seeds * job.steps for job, variants in groups.jobs())
    with SweepProgress(total) as progress:
        for job in groups.start.values():
            session.run(job.group, groups.start_variants(job), progress, job.steps)
        start = load(session.folder, part="start")
        for activation in plan.activations:
            for job in groups.descents(activation):
                _widen(
                    plan, groups, job, activation, rate_ladder(plan, start, activation), progress
                )
            job = groups.full[activation]
            session.run(job.group, groups.small_variants(activation, start), progress, job.steps)
            for (name, optimizer), job in groups.exact.items():
                if name == activation:
                    variants = groups.exact_variants(activation, optimizer)
                    session.run(job.group, variants, progress, job.steps)
    session.finish()


def _widen(
    plan: Plan,
    groups: Groups,
    job: Job,
    activation: str,
    rungs: Sequence[int],
    progress: SweepProgress,
) -> None:
    rungs, todo = list(rungs), list(rungs)
    for _ in range(MAX_WIDENINGS):
        variants = groups.descent_variants(job, activation, todo)
        plan.session.run(job.group, variants, progress, job.steps)
        results = Results(plan)
        best = [
            best_rate(
                results.steps(job.group.part, activation, arm, job.group.identity["optimizer"])
            )
            for arm in groups.descent_arms(job, activation)
        ]
        todo = edge_rungs(best, rungs)
        if not todo:
            return
        rungs += todo
        extra = groups.descent_variants(job, activation, todo)
        progress.expect(len(extra) * plan.config.seeds * job.steps)
