"""Locks of folders: kept from other processes, gone with their process, however it ends."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from signdyn.files import RecordsError
from signdyn.locks import LOCK_NAME, hold_folder, wait_for_folder

ROOT = Path(__file__).resolve().parents[1]

HOLD = """
import sys
from pathlib import Path
from signdyn.locks import hold_folder
hold = hold_folder(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Return another process that holds the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_told_who_works_there_and_since_when(holder, tmp_path):
    before = (tmp_path / LOCK_NAME).read_bytes()
    since = json.loads(before)["since"]
    who = f"process {holder.pid} on {os.uname().nodename}, since {since}"
    with pytest.raises(RecordsError, match=rf"another run works in .* \({who}\)"):
        hold_folder(tmp_path)
    assert (tmp_path / LOCK_NAME).read_bytes() == before


def test_a_lock_dies_with_its_process_even_by_sigkill(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert f'"pid": {holder.pid}' in (tmp_path / LOCK_NAME).read_text()  # it could not tidy up
    assert hold_folder(tmp_path).is_exclusive
    assert f'"pid": {os.getpid()}' in (tmp_path / LOCK_NAME).read_text()


def test_a_lock_file_that_tells_nothing_is_no_obstacle_to_the_error(holder, tmp_path):
    (tmp_path / LOCK_NAME).write_text("{")
    with pytest.raises(RecordsError, match="has just begun"):
        hold_folder(tmp_path)


def test_one_process_shares_its_hold_until_nobody_has_it(tmp_path):
    first = hold_folder(tmp_path)
    assert hold_folder(tmp_path) is first
    assert hold_folder(tmp_path / ".." / tmp_path.name) is first
    del first
    with hold_folder(tmp_path) as held:
        held.check()
    with hold_folder(tmp_path) as again:  # the one released is not handed out
        assert again is not held
        again.check()


def test_a_hold_that_is_dropped_lets_other_processes_in(tmp_path):
    hold = hold_folder(tmp_path)
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    options = {"env": {**os.environ, "PYTHONPATH": str(ROOT)}, "input": b"", "capture_output": True}
    assert b"another run works" in subprocess.run(command, check=False, **options).stderr
    del hold
    assert subprocess.run(command, check=True, **options).stdout == b"held\n"


JOIN = HOLD.replace("hold_folder(Path(sys.argv[1]))", "hold_folder(Path(sys.argv[1]), shared=True)")


def asked(folder, script):
    """Return how another process that asks for the folder ends: what it says, its error."""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=b"",
        capture_output=True,
        check=False,
    )
    return ended.stdout, ended.stderr


def test_a_shared_hold_lets_the_runs_other_processes_in_and_no_other_run(tmp_path):
    hold = hold_folder(tmp_path)
    assert b"another run works" in asked(tmp_path, JOIN)[1]  # not shared yet
    hold.share()
    assert asked(tmp_path, JOIN)[0] == b"held\n"
    assert b"another run works" in asked(tmp_path, HOLD)[1]
    hold.release()
    assert asked(tmp_path, HOLD)[0] == b"held\n"


def test_while_one_of_a_runs_processes_is_there_the_folder_is_not_free(tmp_path):
    first = hold_folder(tmp_path)
    first.share()
    signed = (tmp_path / LOCK_NAME).read_text()
    process = subprocess.Popen(
        [sys.executable, "-c", JOIN, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    first.release()
    assert (tmp_path / LOCK_NAME).read_text() == signed  # the first process's name stays
    with pytest.raises(RecordsError, match=f"process {os.getpid()} on"):
        hold_folder(tmp_path)
    process.communicate(b"")
    assert hold_folder(tmp_path).is_exclusive


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_folder_that_was_removed_or_replaced_is_noticed(tmp_path, is_replaced):
    folder = tmp_path / "run"
    folder.mkdir()
    hold = hold_folder(folder)
    hold.check()
    shutil.rmtree(folder)
    if is_replaced:
        folder.mkdir()
        new = hold_folder(folder)
        assert new is not hold
        new.check()
    with pytest.raises(RecordsError, match=r"run was removed or replaced"):
        hold.check()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_to_have_none(tmp_path, monkeypatch, number):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", fail)
    assert not hold_folder(tmp_path).is_exclusive
    with wait_for_folder(tmp_path) as hold:
        assert not hold.is_exclusive


def test_a_lock_that_fails_otherwise_is_one_sentence(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    for take in (hold_folder, wait_for_folder):
        with pytest.raises(RecordsError, match=r"cannot write to .*\.lock: Input/output error\.$"):
            take(tmp_path)


def test_waiting_ends_when_the_other_is_done(tmp_path):
    order = []
    first = wait_for_folder(tmp_path)

    def wait():
        with wait_for_folder(tmp_path):
            order.append("second")

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.2)
    order.append("first")
    first.release()
    thread.join(10)
    assert order == ["first", "second"]


def test_a_full_disk_does_not_keep_a_folder_from_being_held(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert hold_folder(tmp_path).is_exclusive
