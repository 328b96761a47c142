"""The simulated schedule against closed forms, and against failures at moments of our choice."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from experiments._machine import MachineOptions
from experiments._programs import PART_SECONDS
from scripts.bench.failures import (
    BETWEEN_STATES,
    PART,
    WAYS,
    Costs,
    Work,
    array,
    daly,
    one_run,
    state_interval,
    whole,
    without_failures,
    without_states,
    young,
)
from scripts.bench.schedule import DETECTION, scenarios
from signdyn.peers import SILENCE

RECORD = Path(__file__).parents[2] / "docs" / "record" / "bench"
NEVER = math.inf


class At:
    """Stands for a generator: the next failures come after these seconds, and then none."""

    def __init__(self, *seconds):
        self.seconds = list(seconds)

    def exponential(self, mean):
        return self.seconds.pop(0) if self.seconds else NEVER


@pytest.mark.parametrize("way", WAYS.values())
@pytest.mark.parametrize(("blocks", "rounds"), [(1, 1), (4, 1), (5, 2), (12, 3)])
def test_without_failures_it_takes_as_many_rounds_as_the_fullest_device_has_blocks(
    way, blocks, rounds
):
    work, costs = Work(blocks, 100.0, 4), Costs(start=7.0, restart=NEVER)
    ended = way(work, costs, NEVER, np.random.default_rng(0))
    assert ended.wall == without_failures(work, costs) == 7.0 + rounds * 100.0
    assert ended.failures == 0
    used = 7.0 * min(blocks, 4) + 100.0 * blocks
    assert ended.lost == pytest.approx(1 - 100.0 * blocks / used)


def test_states_cost_their_writing_and_none_is_written_at_the_end_of_a_block():
    costs = Costs(0.0, 0.0, state=2.0, interval=30.0)
    assert [whole(seconds, costs) for seconds in (30.0, 31.0, 90.0)] == [30.0, 33.0, 94.0]
    assert one_run(Work(2, 90.0, 1), costs, NEVER, At()).wall == 188.0


@pytest.mark.parametrize(("way", "devices"), [(one_run, 1), (one_run, 8), (array, 1)])
def test_the_expected_time_is_dalys(way, devices):
    costs = Costs(start=0.0, restart=12.0, state=1.0, interval=20.0)
    mean, seconds = 150.0, 100.0
    rng = np.random.default_rng(1)
    # devices in lockstep are one device that fails so much more often
    work = Work(devices, seconds, devices)
    walls = [way(work, costs, mean * devices, rng).wall for _ in range(4000)]
    error = np.std(walls) / np.sqrt(len(walls))
    assert abs(np.mean(walls) - daly(seconds, costs, mean)) < 4 * error
    assert error < 0.02 * np.mean(walls)


def test_youngs_interval_is_dalys_best_where_failures_are_rare():
    state, mean, seconds = 0.5, 10_000.0, 10_000.0
    best = young(state, mean)
    expected = [
        daly(seconds, Costs(0.0, 10.0, state, interval), mean)
        for interval in (best / 2, best, best * 2)
    ]
    assert expected[1] == min(expected)


def test_a_failure_ends_one_run_for_all_and_finished_blocks_are_kept():
    work, costs = Work(6, 10.0, 2), Costs(start=1.0, restart=5.0)
    # at 1 + 14: each device has finished one block and lost 4 seconds; 4 blocks are left
    assert one_run(work, costs, 1.0, At(15.0)) == (15.0 + 5.0 + 20.0, 1, 1 - 60.0 / 80.0)
    # in the restart, too
    assert one_run(work, costs, 1.0, At(15.0, 3.0)).wall == 15.0 + 3.0 + 5.0 + 20.0


def test_with_states_a_failure_loses_what_came_after_the_last_one():
    work = Work(2, 100.0, 2)
    costs = Costs(start=0.0, restart=5.0, state=1.0, interval=30.0)
    # at 65 two states are written, of 60 seconds of work; 40 are left, with one state more
    assert one_run(work, costs, 1.0, At(65.0)).wall == 65.0 + 5.0 + 40.0 + 1.0
    assert without_states(work, costs, 1.0, At(65.0)).wall == 65.0 + 5.0 + 100.0


def test_after_a_failure_the_missing_blocks_are_dealt_anew():
    # 3 blocks on 2 devices: device 0 has two; both finish one, then a failure, and one is left
    work, costs = Work(3, 10.0, 2), Costs(start=0.0, restart=5.0)
    assert one_run(work, costs, 1.0, At(12.0)).wall == 12.0 + 5.0 + 10.0


def test_a_task_of_an_array_fails_alone():
    work, costs = Work(4, 10.0, 2), Costs(start=1.0, restart=5.0)
    # the first task fails at 16, with one block done, and takes the other again
    ended = array(work, costs, 1.0, At(16.0))
    assert (ended.wall, ended.failures) == (16.0 + 5.0 + 10.0, 1)
    assert ended.lost == pytest.approx(1 - 40.0 / (31.0 + 21.0))


def test_a_state_is_written_after_a_minute_at_least_and_never_at_the_end():
    for seconds in (1.0, 20.0, 59.0, 61.0, 119.0, 1000.0):
        interval = state_interval(seconds)
        assert math.isinf(interval) or 60.0 <= interval < seconds
    assert state_interval(1000.0) == 60.0


def test_the_simulated_run_has_the_constants_of_a_real_one():
    defaults = {field.name: field.default for field in dataclasses.fields(MachineOptions)}
    assert PART == PART_SECONDS
    assert defaults["checkpoint_seconds"] == BETWEEN_STATES
    assert DETECTION == SILENCE


def test_the_record_is_of_what_was_measured_and_says_that_it_is_simulated():
    record = json.loads((RECORD / "schedule.json").read_text())
    assert record["is_simulated"] is True
    assert record["replicas"] == 100_000
    assert record["devices"] == 64
    for told, measured in zip(record["scenarios"], scenarios(RECORD), strict=True):
        assert told["block_seconds"] == pytest.approx(measured.step_seconds * told["steps"])
        assert told["blocks"] == -(-100_000 // measured.width)
        for row in told["rows"]:
            bare = told["rounds"] * told["block_seconds"]
            assert row["wall_seconds"] >= (bare + told["start_seconds"]) * (1 - 1e-12)
