"""Runs what is missing: start, arms at the playground's rate, race of best rates."""

from collections.abc import Callable

from experiments._ladder import Climb, run_ladder
from experiments._progress import SweepProgress
from experiments._sigmoid_vs_tanh.plan import Jobs, Plan
from experiments._sigmoid_vs_tanh.playground_url import Request
from experiments._sigmoid_vs_tanh.results import Results

QUESTION = (
    "Why does tanh train faster than sigmoid in the playground: slope, scale, mean or labels?"
)


def run_sweeps(plan: Plan) -> None:
    """Run every descent that is not yet on disk."""
    session = plan.session
    if plan.request is not None and session.team.is_first:
        _tell(plan.request, plan.config.seeds)
    with session.precision():
        jobs = Jobs(plan)
        session.announce(jobs.announced(), QUESTION)
        seeds = len(session.layout.seeds)
        total = sum(count * seeds * job.steps for job, count in jobs.announced())
        with SweepProgress(total) as progress:
            session.run(jobs.start.group, jobs.start_variants(), progress, 1)
            steps = jobs.fixed.steps
            session.run(jobs.fixed.group, jobs.fixed_variants(), progress, steps)
            if jobs.other:
                session.run(jobs.other.group, jobs.other_variants(), progress, steps)
            for dataset in plan.raced:
                run_ladder(session, jobs.ladder(dataset), _reader(plan, dataset), progress)
    session.finish()


def _tell(request: Request, seeds: int) -> None:
    """Say what of the address is not rerun."""
    ignored = f"; without effect: {', '.join(request.ignored)}" if request.ignored else ""
    print(
        "note: the playground's random numbers are its own: points, weights and their order are "
        f"drawn anew, from {seeds} seeds{ignored}"
    )


def _reader(plan: Plan, dataset: str) -> Callable[[str], Climb]:
    """Return arm -> its descents on disk, which are read anew when there are more."""
    ledger = plan.session.folder / "ledger.jsonl"
    seen: dict[int, Results] = {}

    def read(arm: str) -> Climb:
        return seen.setdefault(ledger.stat().st_size, Results(plan)).climb(dataset, arm)

    return read
