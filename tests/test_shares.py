"""Cells are dealt out: all of them, each to one process, whatever was there before."""

import json
import platform
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from signdyn.files import RecordsError
from signdyn.locks import LOCK_NAME
from signdyn.processes import ALONE, Team
from signdyn.records import Replica, Variable, ledger_name, read_ledger, write_cell
from signdyn.run_folder import open_run
from signdyn.shares import Shares


class Store:
    """Stands in for the runtime's key-value store, between threads."""

    def __init__(self, count):
        self.barrier = threading.Barrier(count, timeout=20)
        self.values, self.there = {}, threading.Condition()

    def wait_at_barrier(self, name, timeout):
        self.barrier.wait()

    def key_value_set(self, name, value):
        with self.there:
            assert name not in self.values
            self.values[name] = value
            self.there.notify_all()

    def blocking_key_value_get(self, name, timeout):
        with self.there:
            assert self.there.wait_for(lambda: name in self.values, 20)
            return self.values[name]


def together(count, work):
    """Return what ``work(team)`` gives for each of ``count`` processes, here threads."""
    store = Store(count)
    teams = [Team(index, count, store) for index in range(count)]
    with ThreadPoolExecutor(count) as pool:
        return [one.result(30) for one in [pool.submit(work, team) for team in teams]]


def write(folder, cell, process=0):
    (folder / "cells").mkdir(exist_ok=True)
    values = {"loss": Variable((), [0.5], "nat", "loss")}
    write_cell(folder, "part", cell, [Replica(0, {"arm": cell})], values, 0.1, process=process)


CELLS = [f"{number:016x}" for number in range(11)]


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("at_once", [1, 2])
def test_every_missing_cell_is_one_processs_own_and_no_finished_one_is(tmp_path, count, at_once):
    for cell in CELLS[2:5]:
        write(tmp_path, cell)

    def work(team):
        shares = Shares(tmp_path, team)
        return [shares.deal(cells, at_once) for cells in (CELLS[:7], CELLS[7:8], CELLS[8:])]

    dealt = together(count, work)
    for call, size in enumerate((7, 1, 3)):
        assert {one[call].done for one in dealt} == {frozenset({2, 3, 4} if call == 0 else set())}
        own = [place for one in dealt for place in one[call].own]
        assert sorted(own) == sorted(set(range(size)) - dealt[0][call].done)
    # a call takes its time however few of its devices have a cell
    calls = [sum(-(-len(call.own) // at_once) for call in one) for one in dealt]
    assert max(calls) - min(calls) <= 1  # who has less of one group has more of the next


def test_processes_with_unlike_numbers_of_devices_deal_alike(tmp_path):
    def work(team):
        return Shares(tmp_path, team).deal(CELLS, (4, 2, 3)[team.index]).own

    own = together(3, work)
    assert sorted(place for one in own for place in one) == list(range(len(CELLS)))


def test_a_cell_that_was_dealt_is_not_dealt_again_before_all_have_met(tmp_path):
    def work(team):
        shares = Shares(tmp_path, team)
        first, again = shares.deal(CELLS[:4], 1), shares.deal(CELLS[:4], 1)
        for place in first.own:
            write(tmp_path, CELLS[place], team.index)
        shares.gather()
        return first, again, shares.deal(CELLS[:4], 1)

    for first, again, after in together(2, work):
        assert len(first.own) == 2
        assert again == (frozenset(), frozenset())
        assert after == (frozenset(range(4)), frozenset())


def test_when_all_meet_their_ledgers_become_one(tmp_path):
    def work(team):
        shares = Shares(tmp_path, team)
        for place in shares.deal(CELLS, 1).own:
            write(tmp_path, CELLS[place], team.index)
        team.wait()
        if team.is_first:
            assert len(list(tmp_path.glob("ledger*.jsonl"))) == 3
            assert set(read_ledger(tmp_path).good) == set(CELLS)  # a reader sees them all
        shares.gather()

    together(3, work)
    assert [path.name for path in tmp_path.glob("ledger*")] == ["ledger.jsonl"]
    assert sorted(read_ledger(tmp_path).good) == CELLS


def test_ledgers_of_processes_that_died_are_found_by_one_process_alone(tmp_path):
    for number, cell in enumerate(CELLS[:4]):
        write(tmp_path, cell, number % 3)
    path = tmp_path / ledger_name(1)
    path.write_text(path.read_text() + '{"id": "cut')
    damaged = []
    dealt = Shares(tmp_path, ALONE, damaged.extend).deal(CELLS[:5], 1)
    assert dealt == (frozenset(range(4)), frozenset({4}))
    assert damaged == ["ledger line 2 of process 1 (cut off or garbled)"]
    assert [path.name for path in tmp_path.glob("ledger*")] == ["ledger.jsonl"]
    lines = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == CELLS[:4]


def test_ledgers_that_became_one_just_before_a_kill_are_no_damage(tmp_path):
    for number, cell in enumerate(CELLS[:4]):
        write(tmp_path, cell, number % 2)
    theirs = (tmp_path / ledger_name(1)).read_bytes()
    Shares(tmp_path).gather()
    merged = (tmp_path / ledger_name(0)).read_bytes()
    (tmp_path / ledger_name(1)).write_bytes(theirs)  # killed before it was removed
    damaged = []
    assert Shares(tmp_path, ALONE, damaged.extend).deal(CELLS[:4], 1).done == {0, 1, 2, 3}
    assert damaged == []
    assert [path.name for path in tmp_path.glob("ledger*")] == ["ledger.jsonl"]
    assert (tmp_path / ledger_name(0)).read_bytes() == merged


def test_damage_is_told_by_the_first_process_and_its_cells_are_dealt_anew(tmp_path):
    for cell in CELLS[:3]:
        write(tmp_path, cell)
    Path(tmp_path / "cells" / f"part-{CELLS[1]}.nc").write_bytes(b"")
    told = {0: [], 1: []}

    def work(team):
        return Shares(tmp_path, team, told[team.index].extend).deal(CELLS[:3], 1)

    dealt = together(2, work)
    assert [len(one.done) for one in dealt] == [2, 2]
    assert sorted([*dealt[0].own, *dealt[1].own]) == [1]
    assert told == {0: [f"part-{CELLS[1]}.nc (checksum differs)"], 1: []}


def test_processes_that_come_to_other_cells_do_not_go_on_together(tmp_path, monkeypatch):
    monkeypatch.setattr("signdyn.shares.SECONDS_TO_APPEAR", 0.0)

    def work(team):
        shares = Shares(tmp_path, team)
        shares.deal(CELLS[: 3 + team.index], 1)
        if team.is_first:
            shares.gather()
            return
        with pytest.raises(RecordsError, match="process 1 came to other cells than process 0"):
            shares.gather()
        return

    together(2, work)


def test_one_process_alone_meets_nobody_and_reads_the_ledger_each_time(tmp_path):
    shares = Shares(tmp_path)
    assert shares.deal(CELLS[:2], 1).own == {0, 1}
    assert shares.deal(CELLS[:2], 1).own == {0, 1}  # nobody has run them
    write(tmp_path, CELLS[0])
    assert shares.deal(CELLS[:2], 1) == (frozenset({0}), frozenset({1}))


def test_what_another_process_wrote_is_waited_for_where_it_is_seen_later(tmp_path):
    late = []

    def work(team):
        shares = Shares(tmp_path, team)
        own = [CELLS[place] for place in shares.deal(CELLS[:4], 1).own]
        if team.is_first:
            for cell in own:
                write(tmp_path, cell)
        else:  # as if NFS showed them to the first one only then
            late.append(threading.Timer(0.5, lambda: [write(tmp_path, cell, 1) for cell in own]))
            late[0].start()
        shares.gather()
        return shares.deal(CELLS[:4], 1)

    for dealt in together(2, work):
        assert dealt == (frozenset(range(4)), frozenset())
    late[0].join()


def opened(team, folders):
    """Open a process's folder; return what it is told if it may not."""
    try:
        open_run(folders[team.index], {"seeds": 4}, {}, team=team).check()
    except RecordsError as error:
        return str(error)
    return ""


def test_processes_that_see_one_folder_open_it_together(tmp_path):
    assert together(3, lambda team: opened(team, [tmp_path / "run"] * 3)) == ["", "", ""]


@pytest.mark.parametrize("is_used", [False, True])
def test_another_folder_of_that_name_is_told_from_the_shared_one(tmp_path, is_used):
    folders = [tmp_path / "a" / "run", tmp_path / "b" / "run"]
    if is_used:  # by the same command, once
        open_run(folders[1], {"seeds": 4}, {}).release()
        (folders[1] / LOCK_NAME).write_text('{"pid": 7, "host": "node2"}')
    kept = {path: path.read_bytes() for path in tmp_path.glob("b/**/*") if path.is_file()}
    begun = time.monotonic()
    first, second = together(2, lambda team: opened(team, folders))
    assert time.monotonic() - begun < 5.0  # on one machine nothing appears later
    assert first == ""
    assert second.endswith(
        "is not to be seen from process 1: --out must name a folder that all processes share."
    )
    assert kept == {path: path.read_bytes() for path in tmp_path.glob("b/**/*") if path.is_file()}


def test_a_folder_that_another_machine_made_is_waited_for(tmp_path, monkeypatch):
    names = {0: "node1", 1: "node2"}
    folder, aside = tmp_path / "run", tmp_path / "not seen yet"
    who = threading.local()
    monkeypatch.setattr(platform, "node", lambda: names[who.index])

    def work(team):
        who.index = team.index
        if not team.is_first:
            threading.Timer(0.5, lambda: aside.symlink_to(folder)).start()
        return opened(team, [folder, aside])

    assert together(2, work) == ["", ""]


def test_a_folder_that_never_appears_is_told_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr("signdyn.run_folder.SECONDS_TO_APPEAR", 0.3)
    monkeypatch.setattr("signdyn.run_folder.is_of_this_machine", lambda signed: False)
    begun = time.monotonic()
    _, second = together(2, lambda team: opened(team, [tmp_path / "a", tmp_path / "b"]))
    assert "is not to be seen from process 1" in second
    assert 0.3 < time.monotonic() - begun < 5.0


def test_processes_of_two_platforms_do_not_share_a_run(tmp_path):
    def work(team):
        environment = {"platform": "gpu" if team.is_first else "cpu"}
        if team.is_first:
            return open_run(tmp_path, {}, environment, team=team).release()
        with pytest.raises(RecordsError, match=r"another platform \(gpu there, cpu here\)"):
            open_run(tmp_path, {}, environment, team=team)
        return None

    together(2, work)
