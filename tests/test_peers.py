"""Processes that meet, refuse strangers, and learn of each other's end: here as threads."""

import json
import selectors
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from signdyn import meeting, peers
from signdyn.meeting import meet
from signdyn.peers import PeersError
from signdyn.wires import Address


@pytest.fixture
def address():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return Address(*probe.getsockname())


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nobody waits long in these tests."""
    monkeypatch.setattr(peers, "BEAT", 0.05)
    monkeypatch.setattr(meeting, "BEAT", 0.05)
    monkeypatch.setattr(meeting, "PATIENCE", 0.2)
    monkeypatch.setattr("signdyn.wires.PATIENCE", 0.2)


@pytest.fixture
def gathered(address):
    """Return a function that lets so many processes meet; their connections end with the test."""
    made = []

    def gather(count):
        with ThreadPoolExecutor(count) as pool:
            found = [pool.submit(meet, address, count, i, "facts") for i in range(count)]
            made.extend(one.result(20) for one in found)
        return made

    yield gather
    for one in made:
        one.leave()


class Lost:
    """Remembers who was lost."""

    def __init__(self):
        self.who, self.came = [], threading.Event()

    def __call__(self, lost):
        self.who.append(lost)
        self.came.set()


def watched(team):
    losses = [Lost() for _ in team]
    for one, lost in zip(team, losses, strict=True):
        one.watch(lost)
    return losses


def cut(one):
    """Close a process's connections, as the operating system does when it is killed."""
    one._has_left.set()  # its own thread is dead, too
    for line in one._lines.values():
        line.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("count", [2, 4])
def test_processes_meet_whatever_the_order_in_which_they_come(gathered, count):
    team = gathered(count)
    assert [(one.index, one.count) for one in team] == [(i, count) for i in range(count)]
    assert len({one.runtime_port for one in team}) == 1


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_all_others_learn_within_a_second_who_has_died(gathered, dead):
    team = gathered(3)
    losses = watched(team)
    time.sleep(0.2)
    begun = time.monotonic()
    cut(team[dead])
    for index, lost in enumerate(losses):
        if index != dead:
            assert lost.came.wait(5)
            assert lost.who == [dead]
    assert time.monotonic() - begun < 1.0
    assert not losses[dead].who


def test_who_says_goodbye_is_not_lost_and_neither_is_the_first(gathered):
    team = gathered(3)
    losses = watched(team)
    for one in (team[2], team[0], team[1]):
        one.leave()
        time.sleep(0.2)
    assert [lost.who for lost in losses] == [[], [], []]


@pytest.mark.parametrize("silent", [0, 1])
def test_a_process_that_falls_silent_is_lost_though_its_connection_stands(
    gathered, monkeypatch, silent
):
    monkeypatch.setattr(peers, "SILENCE", 0.5)
    team = gathered(2)
    lost = Lost()
    team[1 - silent].watch(lost)  # the other one never says a word
    assert lost.came.wait(5)
    assert lost.who == [silent]


def test_beats_keep_a_process_alive_for_longer_than_the_silence_allowed(gathered, monkeypatch):
    monkeypatch.setattr(peers, "SILENCE", 0.5)
    team = gathered(2)
    losses = watched(team)
    time.sleep(1.2)
    assert [lost.who for lost in losses] == [[], []]


def test_who_came_early_is_not_lost_because_another_came_late(address, monkeypatch):
    monkeypatch.setattr(peers, "SILENCE", 0.4)
    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(meet, address, 3, i, "facts", seconds=10.0) for i in (0, 1)]
        time.sleep(1.0)
        third = pool.submit(meet, address, 3, 2, "facts", seconds=10.0)
        team = [one.result(10) for one in (*first, third)]
    losses = [Lost(), Lost(), Lost()]
    for index in (2, 0, 1):  # the early one is the last to give a sign of life
        team[index].watch(losses[index])
        time.sleep(0.1)
    time.sleep(0.3)
    assert [lost.who for lost in losses] == [[], [], []]
    for one in team:
        one.leave()


def test_processes_that_were_all_stopped_and_go_on_do_not_miss_each_other(gathered, monkeypatch):
    goes_on = threading.Event()
    goes_on.set()

    class Stopped(selectors.DefaultSelector):
        def select(self, timeout=None):
            found = super().select(timeout)
            if goes_on.is_set():
                return found
            goes_on.wait(5)
            return []  # its time is over: so ends the wait of a process that was stopped in it

    monkeypatch.setattr(peers, "SILENCE", 0.5)
    team = gathered(2)
    monkeypatch.setattr(selectors, "DefaultSelector", Stopped)
    losses = watched(team)
    time.sleep(0.2)
    goes_on.clear()
    time.sleep(1.0)
    goes_on.set()
    time.sleep(0.4)
    assert [lost.who for lost in losses] == [[], []]
    cut(team[1])
    assert losses[0].came.wait(5)


def test_what_is_no_process_cannot_be_said_to_be_lost(gathered):
    team = gathered(2)
    lost = Lost()
    team[0].watch(lost)
    for words in ("lost ²", "lost 1.5", "lost", "", "\0"):
        team[1]._lines[0].say(words)
    time.sleep(0.3)
    assert not lost.who
    cut(team[1])
    assert lost.came.wait(5)
    assert lost.who == [1]


@pytest.mark.parametrize(
    ("count", "index", "facts", "said"),
    [
        (3, 1, "facts", "process 0 was started for 2 processes, this one for 3"),
        (2, 7, "facts", "the processes are numbered 0 to 1, this one 7"),
        (2, 1, "others", "process 0 was started with other options, or runs other versions"),
    ],
)
def test_a_process_that_does_not_belong_is_refused_and_the_right_one_still_comes(
    address, count, index, facts, said
):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meet, address, 2, 0, "facts", seconds=10.0)
        with pytest.raises(PeersError, match=said):
            meet(address, count, index, facts, seconds=10.0)
        second = meet(address, 2, 1, "facts", seconds=10.0)
        for one in (first.result(10), second):
            one.leave()


def test_a_number_that_is_taken_is_refused(address):
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(meet, address, 3, 0, "facts", seconds=10.0)
        second = pool.submit(meet, address, 3, 1, "facts", seconds=10.0)
        time.sleep(0.5)
        with pytest.raises(PeersError, match="another process has come as number 1"):
            meet(address, 3, 1, "facts", seconds=10.0)
        third = meet(address, 3, 2, "facts", seconds=10.0)
        for one in (first.result(10), second.result(10), third):
            one.leave()


@pytest.mark.parametrize(
    "words",
    [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe\n", b"[1, 2]\n", b'{"process": 1}\n', b"x" * 9000,
     json.dumps({"signdyn": 1, "process": "1", "count": 2, "facts": "facts"}).encode() + b"\n"],
    ids=["silence", "http", "bytes", "a list", "no greeting", "endless", "a word for a number"],
)  # fmt: skip
def test_strangers_who_connect_do_not_disturb(address, words):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meet, address, 2, 0, "facts", seconds=10.0)
        for _ in range(100):
            try:
                stranger = socket.create_connection(address, timeout=1)
                break
            except OSError:
                time.sleep(0.02)
        stranger.sendall(words)
        second = meet(address, 2, 1, "facts", seconds=10.0)
        for one in (first.result(10), second):
            one.leave()
        stranger.close()


def test_a_process_that_came_and_died_may_come_again_before_all_are_there(address):
    hello = json.dumps({"signdyn": 1, "process": 1, "count": 3, "facts": "facts"}).encode()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meet, address, 3, 0, "facts", seconds=10.0)
        time.sleep(0.2)
        with socket.create_connection(address, timeout=1) as early:
            early.sendall(hello + b"\n")
            time.sleep(0.3)
        time.sleep(0.2)
        again = pool.submit(meet, address, 3, 1, "facts", seconds=10.0)
        third = meet(address, 3, 2, "facts", seconds=10.0)
        for one in (first.result(10), again.result(10), third):
            one.leave()


def test_whoever_waits_in_vain_is_told_for_whom_and_then_gives_up(address):
    told = []
    with pytest.raises(PeersError, match=r"processes 1, 2 of 3 did not come to 127\.0\.0\.1:"):
        meet(address, 3, 0, "facts", seconds=0.6, on_wait=told.append)
    assert told == [[1, 2]]
    told.clear()
    with pytest.raises(PeersError, match=r"process 0 of 3 did not come"):
        meet(address, 3, 2, "facts", seconds=0.6, on_wait=told.append)
    assert told == [[0]]


def test_whoever_waits_is_told_when_process_0_ends_and_when_it_falls_silent(address, monkeypatch):
    monkeypatch.setattr(meeting, "SILENCE", 0.5)
    with ThreadPoolExecutor(1) as pool:
        for last, said in (
            ("ends", r"process 0 of 3 has ended before all had come to 127\.0\.0\.1:"),
            ("waits", r"process 0 of 3 at 127\.0\.0\.1:\d+ has fallen silent"),
        ):
            with socket.create_server(address) as server:
                waiting = pool.submit(meet, address, 3, 1, "facts", seconds=10.0)
                first = server.accept()[0]
                first.sendall(b'{"missing": [2]}\n')
                if last == "ends":
                    first.close()
                with pytest.raises(PeersError, match=said):
                    waiting.result(5)
                first.close()


def test_process_0_tells_the_others_for_whom_it_waits(address):
    told = []
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(meet, address, 30, 0, "facts", seconds=1.0)
        with pytest.raises(PeersError, match="process 0 of 30 has ended before all had come"):
            meet(address, 30, 7, "facts", seconds=5.0, on_wait=told.append)
        with pytest.raises(PeersError, match=r"1, 2, 3, 4, 5, 6, 8, 9 and others of 30 did not"):
            first.result(5)
    assert told == [[1, 2, 3, 4, 5, 6, 8, 9, 10]]


def test_process_0_tells_again_for_whom_it_waits_when_one_has_gone(address):
    told = []
    hello = json.dumps({"signdyn": 1, "process": 2, "count": 3, "facts": "facts"}).encode()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meet, address, 3, 0, "facts", seconds=1.2, on_wait=told.append)
        time.sleep(0.08)
        with socket.create_connection(address, timeout=1) as early:
            early.sendall(hello + b"\n")
            time.sleep(0.4)
        with pytest.raises(PeersError, match="did not come"):
            first.result(5)
    assert told == [[1], [1, 2]]


def test_many_strangers_who_say_nothing_keep_nobody_waiting(address):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meet, address, 2, 0, "facts", seconds=10.0)
        time.sleep(0.2)
        strangers = [socket.create_connection(address, timeout=2) for _ in range(300)]
        begun = time.monotonic()
        second = meet(address, 2, 1, "facts", seconds=10.0)
        assert time.monotonic() - begun < 1.0
        for one in (first.result(10), second, *strangers):
            one.leave() if isinstance(one, peers.Peers) else one.close()


def test_a_stranger_who_says_a_little_at_a_time_is_shown_out(address):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(meet, address, 2, 0, "facts", seconds=1.5)
        time.sleep(0.2)
        with socket.create_connection(address, timeout=1) as stranger:
            begun, is_open = time.monotonic(), True
            while is_open and time.monotonic() - begun < 1.0:
                try:
                    stranger.sendall(b"x")
                    time.sleep(0.02)
                except OSError:
                    is_open = False
            assert not is_open
        with pytest.raises(PeersError, match="process 1 of 2 did not come"):
            first.result(5)


def test_an_address_that_is_taken_or_unknown_is_one_sentence(address):
    with (
        socket.create_server(address),
        pytest.raises(PeersError, match=r"cannot listen at 127\.0\.0\.1:\d+: [\w ]+$"),
    ):
        meet(address, 2, 0, "facts", seconds=5.0)
    with pytest.raises(PeersError, match=r"no-such-host\.invalid is no host's name here"):
        meet(Address("no-such-host.invalid", 1234), 2, 1, "facts", seconds=5.0)


def test_what_listens_there_may_be_no_run_at_all():
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        address = Address(*server.getsockname())
        arriving = pool.submit(meet, address, 2, 1, "facts", seconds=5.0)
        other = server.accept()[0]
        other.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
        with pytest.raises(PeersError, match=r"what listens at .* is no process 0 of a run"):
            arriving.result(10)
        other.close()
