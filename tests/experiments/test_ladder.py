"""Ladders of learning rates: they grow until nobody's best rate lies on an edge."""

from collections.abc import Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr

from experiments._ladder import MAX_WIDENINGS, Climb, Ladder, climb, run_ladder
from signdyn.resume import Variant


class FakeSession:
    """Notes which rungs are asked for, call by call."""

    def __init__(self, seeds: int):
        self.layout = SimpleNamespace(seeds=range(seeds))
        self.calls: list[list[int]] = []
        self.is_reading = False

    @contextmanager
    def reading(self):
        self.is_reading = True
        yield
        self.is_reading = False

    def run(self, group, variants, progress, steps):
        self.calls.append([round(np.log2(v.labels["rate"])) for v in variants])


def widened(
    steps_at: Any, rungs: range, seeds: int, on_disk: Sequence[int] = ()
) -> tuple[list[list[int]], Climb]:
    """Return what a ladder runs, and its descents, with ``steps_at(rung)`` [seed] steps."""
    session = FakeSession(seeds)

    def read(arm: str) -> Climb:
        assert session.is_reading  # of several processes, each has written its cells by then
        done = sorted({*on_disk, *(rung for call in session.calls for rung in call)})
        steps = np.array([steps_at(rung) for rung in done], float)
        rates = {"rate": ("variant", 2.0 ** np.array(done))}
        rows = xr.Dataset({"steps": (("variant", "seed"), steps)}, rates)
        return climb(rows, lambda rows: rows.steps.values, "rate")

    job: Any = SimpleNamespace(group=None, steps=1)
    ladder = Ladder(job, ("raw",), lambda arm, rate: Variant({"rate": rate}, None), rungs)
    run_ladder(session, ladder, read, SimpleNamespace(expect=lambda steps: None))  # type: ignore[arg-type]
    with session.reading():
        return session.calls, read("raw")


def test_a_ladder_climbs_to_a_best_rate_that_lies_outside():
    calls, found = widened(lambda rung: [10.0 + abs(rung - 3)] * 3, range(2), seeds=3)
    assert calls == [[0, 1], [2], [3], [4]]
    assert found.rates[found.best] == 8.0
    assert found.settled


def test_a_ladder_grows_while_a_seeds_best_rate_by_the_others_lies_on_the_edge():
    # at the median of four seeds rung 1 is best (12 against 13); without the first seed, rung 2 is
    table = {0: [20, 20, 20, 20], 1: [10, 12, 12, 14], 2: [16, 10, 11, 16], 3: [30, 30, 30, 30]}
    calls, found = widened(lambda rung: table.get(rung, [40] * 4), range(3), seeds=4)
    assert found.best == 1
    assert found.places == {1, 2}
    assert calls == [[0, 1, 2], [3]]
    assert np.isfinite(found.at_best()).all()


def test_a_run_that_finds_the_widened_ladder_on_disk_asks_for_the_same_again():
    for best in (-2, 0, 1, 3):
        calls, found = widened(lambda rung, best=best: [10.0 + abs(rung - best)] * 3, range(2), 3)
        done = [rung for call in calls for rung in call]
        again, same = widened(
            lambda rung, best=best: [10.0 + abs(rung - best)] * 3, range(2), 3, on_disk=done
        )
        assert again == calls
        assert same.rates.tolist() == found.rates.tolist()


def test_a_ladder_on_which_no_rate_arrives_stays_as_it_is():
    calls, found = widened(lambda rung: [np.nan] * 3, range(3), seeds=3)
    assert calls == [[0, 1, 2]]
    assert found.places == {None}
    assert np.isnan(found.at_best()).all()


def test_a_ladder_that_never_settles_stops_growing_and_tells_nothing():
    calls, found = widened(lambda rung: [100.0 - rung] * 3, range(2), seeds=3)
    assert len(calls) == MAX_WIDENINGS
    assert not found.settled
    assert np.isnan(found.at_best()).all()
