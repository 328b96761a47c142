"""What a run tells while it works, on a terminal and elsewhere."""

import re

import pytest

from experiments import _progress
from experiments._progress import SweepProgress


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that is set by hand."""
    now = [100.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    return now


def lines(capsys):
    return capsys.readouterr().err.splitlines()


def test_elsewhere_than_on_a_terminal_every_line_can_be_parsed(clock, capsys):
    with SweepProgress(1000.0) as progress:
        progress.doing("first")
        clock[0] += 2.0
        progress.advance(500.0)
        progress.diverged(3)
        progress.doing("second")
    assert lines(capsys) == [
        "  [    0 s]   0%  first",
        "  [    2 s]  50%  second, 250 replica-steps/s, 2 s left, 3 diverged",
    ]


def test_work_that_lasts_tells_of_itself_twice_a_minute(clock, capsys):
    with SweepProgress(10_000.0) as progress:
        progress.doing("long")
        for _ in range(100):
            clock[0] += 1.0
            progress.advance(100.0)
    told = lines(capsys)
    assert len(told) == 4
    assert told[1] == "  [   30 s]  30%  long, 100 replica-steps/s, 70 s left"


def test_what_was_found_finished_says_nothing_of_the_rate(clock):
    with SweepProgress(1000.0) as progress:
        clock[0] += 1.0
        progress.advance(900.0, is_new=False)
        assert progress.state() == ""
        progress.advance(50.0)
        assert progress.state() == "50 replica-steps/s, 1 s left"


def test_no_time_is_told_from_the_first_few_steps(clock):
    with SweepProgress(1000.0) as progress:
        clock[0] += 10.0  # of compiling
        progress.advance(49.0)
        assert "left" not in progress.state()
        progress.advance(1.0)
        assert "left" in progress.state()


def test_work_that_was_not_known_at_the_start_counts(clock, capsys):
    with SweepProgress(100.0) as progress:
        clock[0] += 1.0
        progress.advance(100.0)
        progress.expect(300.0)
        progress.doing("more")
    assert re.search(r" 25%  more, .* 3 s left", lines(capsys)[0])


def test_only_the_first_of_several_processes_tells(monkeypatch, capsys):
    monkeypatch.setattr(_progress, "team", lambda: _progress_of_second())
    with SweepProgress(100.0) as progress:
        progress.doing("first")
    assert lines(capsys) == []


def _progress_of_second():
    from signdyn.processes import Team

    return Team(1, 2)


def test_on_a_terminal_there_is_a_bar_and_no_line(monkeypatch, capsys):
    monkeypatch.setattr(_progress.sys.stderr, "isatty", lambda: True, raising=False)
    with SweepProgress(100.0) as progress:
        progress.doing("first")
        progress.advance(50.0)
    assert not [line for line in lines(capsys) if line.startswith("  [")]
