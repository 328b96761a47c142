"""Runs the sweeps: the ladders are widened until no best rate lies on an edge."""

from collections.abc import Callable

from experiments._generalization.plan import Groups, Plan
from experiments._generalization.results import Results
from experiments._ladder import Climb, run_ladder
from experiments._progress import SweepProgress

QUESTION = "Do uncentered activations hinder finding the optimum, generalizing, or reaching places?"


def run_sweeps(plan: Plan) -> None:
    """Run every sweep that is not yet on disk."""
    groups, session = Groups(plan), plan.session
    session.announce(groups.jobs(), QUESTION)
    seeds = plan.config.seeds
    total = sum(variants * seeds * job.steps for job, variants in groups.jobs())
    with SweepProgress(total) as progress:
        for activation, job in groups.race.items():
            variants = groups.race_variants(activation)
            session.run(job.group, variants, progress, job.steps)
            for regime, ladder in groups.ladders(activation).items():
                run_ladder(session, ladder, _reader(plan, regime, activation), progress)
        for activation, job in groups.directions.items():
            variants = groups.direction_variants(activation)
            session.run(job.group, variants, progress, job.steps)
    session.finish()


def _reader(plan: Plan, regime: str, activation: str) -> Callable[[str], Climb]:
    def read(arm: str) -> Climb:
        return Results(plan).climb(regime, activation, arm)

    return read
