"""Runs the measurement and the descents, every race on a ladder of its own."""

from collections.abc import Callable

from experiments._ladder import Climb, Ladder, run_ladders
from experiments._progress import SweepProgress
from experiments._session import Job
from experiments._vanishing_gradients.plan import (
    FIRST_RATES,
    Plan,
    Race,
    descent_job,
    flip_variants,
    race_variant,
    races,
    start_job,
)
from experiments._vanishing_gradients.results import Results


def run_sweeps(plan: Plan, question: str) -> None:
    """Run what is not yet on disk."""
    session, config = plan.session, plan.config
    with session.precision():
        (measurement, starts), descents = start_job(plan), descent_job(plan)
        entered = {race.name: race for race in races(config)}
        ladders = [_ladder(descents, race, config.rates_per_octave) for race in entered.values()]
        flips = flip_variants(config)
        count = sum(len(ladder.rungs) for ladder in ladders) + len(flips)
        session.announce([(measurement, len(starts)), (descents, count)], question)
        total = config.seeds * (len(starts) + count * descents.steps)
        with SweepProgress(total) as progress:
            session.run(measurement.group, starts, progress, measurement.steps)
            session.run(descents.group, flips, progress, descents.steps)
            run_ladders(session, ladders, lambda: _reader(plan, entered), progress)
    session.finish()


def _ladder(job: Job, race: Race, per_octave: int) -> Ladder:
    def variant(name: str, rate: float):
        del name  # one race a ladder
        return race_variant(race, rate * FIRST_RATES[race.activation])

    return Ladder(job, (race.name,), variant, range(per_octave + 1), per_octave)


def _reader(plan: Plan, entered: dict[str, Race]) -> Callable[[str], Climb]:
    results = Results(plan.session.folder)
    return lambda name: results.climb(entered[name])
