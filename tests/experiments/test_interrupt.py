"""Signals, full disks, readers that leave: a run ends with one line that says how to go on."""

import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from experiments._compile_cache import MARK, guard_cache
from experiments._failure import failures_told
from experiments._interrupt import distinct
from scripts.bench.subject import Subject, differing
from signdyn.files import RecordsError

ROOT = Path(__file__).resolve().parents[2]

# Keeps the main thread in C for minutes, without the interpreter's lock, as XLA does to compile.
COMPILE = """
from experiments._interrupt import stop_on_signals
import hashlib, os, sys
stop_on_signals()
print("what was printed", flush=False)
os.write(2, b"ready\\n")
hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10**9)
"""

# Is within a write when the signal comes: the sync takes a while.
WRITE = """
from experiments._interrupt import stop_on_signals
import os, sys, time
from pathlib import Path
from signdyn.files import write_bytes
stop_on_signals()
def slow(descriptor):
    os.write(2, b"ready\\n")
    time.sleep(float(sys.argv[2]))
os.fsync = slow
write_bytes(Path(sys.argv[1]), b"new")
time.sleep(60)
"""


def start(program, *words, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    command = [sys.executable, "-c", program, *words]
    # a shell's background jobs are born deaf to Ctrl-C, and what nohup starts to SIGHUP
    own = {number: signal.signal(number, lambda *_: None) for number in NAMES}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    for number, handler in own.items():
        signal.signal(number, handler)
    assert process.stderr.readline() == "ready\n"
    return process


NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@pytest.mark.parametrize("number", NAMES)
def test_a_signal_ends_a_run_at_once_even_while_xla_compiles(number):
    process = start(COMPILE)
    begun = time.monotonic()
    process.send_signal(number)
    output, errors = process.communicate(timeout=20)
    assert time.monotonic() - begun < 10
    assert process.returncode == 128 + number
    assert output == "what was printed\n"
    command = shlex.join([sys.executable, "-c", COMPILE])
    line = f"stopped by {NAMES[number]}; what is finished is kept. Go on with: {command}\n"
    assert errors == line


def test_the_write_in_hand_is_finished(tmp_path):
    path = tmp_path / "cells" / "a.nc"
    path.parent.mkdir()
    path.write_bytes(b"old")
    process = start(WRITE, str(path), "1.0")
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 143
    assert errors.startswith("stopped by SIGTERM")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("told", "signals"),
    [
        ([15], [15]),
        ([15, 15 | 0x80], [15]),
        ([15 | 0x80, 15], [15]),
        ([2, 2, 2 | 0x80, 2 | 0x80], [2, 2]),
        ([2 | 0x80, 15 | 0x80], [2, 15]),  # an event loop had taken the wake-up
        ([17, 15, 17], [15]),  # of no concern
    ],
)
def test_a_signal_that_is_told_of_twice_is_one(told, signals):
    assert list(distinct(told)) == signals


def test_a_second_signal_waits_for_nothing(tmp_path):
    process = start(WRITE, str(tmp_path / "a.nc"), "60")
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert process.wait(timeout=10) == 130
    assert not (tmp_path / "a.nc").exists()
    process.communicate()


def test_a_signal_that_is_ignored_stays_ignored():
    program = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + COMPILE
    process = start(program)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 143


# --- failures ---------------------------------------------------------------------------------

FAILURES = {
    "a full disk": (OSError(28, "No space left on device", "results/a"), "results/a: No space"),
    "a write": (
        RecordsError("cannot write to a: No space left on device."),
        "cannot write to a: N",
    ),
    "a reader that left": (BrokenPipeError(32, "Broken pipe"), "nobody reads the output any more"),
    "several lines": (RecordsError("one\n  two."), r"one two\."),
}


@pytest.mark.parametrize(("error", "words"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_one_line_and_status_1(capsys, error, words):
    with pytest.raises(SystemExit) as caught, failures_told():
        raise error
    assert caught.value.code == 1
    errors = capsys.readouterr().err
    assert re.match(f"error: {words}", errors)
    assert errors.count("\n") == 1
    assert ". When that is mended, go on with: " in errors


def test_a_mistake_of_the_code_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), failures_told():
        raise ZeroDivisionError
    with pytest.raises(ValueError, match="shapes"), failures_told():
        raise ValueError("shapes do not fit")


# --- the cache of compiled programs -----------------------------------------------------------


def entry(folder, name, content):
    path = folder / f"{name}-cache"
    path.write_bytes(content)
    return path


def test_what_a_killed_process_left_half_compiled_is_removed(tmp_path):
    whole = zlib.compress(os.urandom(5000))
    old = entry(tmp_path, "old", whole[:-1])  # from before any process that is known to have died
    os.utime(old, (1, 1))
    (tmp_path / f"{MARK}1").touch()
    kept, torn, empty = (
        entry(tmp_path, name, content)
        for name, content in {"kept": whole, "torn": whole[:-1], "empty": b""}.items()
    )
    assert set(guard_cache(tmp_path)) == {torn.name, empty.name}
    assert {path.name for path in tmp_path.iterdir()} == {
        kept.name,
        old.name,
        f"{MARK}{os.uname().nodename}-{os.getpid()}",
    }


def test_what_a_living_process_may_be_writing_is_left_alone(tmp_path):
    program = """
import os, sys, time
from pathlib import Path
from experiments._compile_cache import guard_cache
guard_cache(Path(sys.argv[1]))
os.write(2, b"ready\\n")
time.sleep(60)
"""
    process = start(program, str(tmp_path))
    half = entry(tmp_path, "half", b"x")
    assert guard_cache(tmp_path) == []
    assert half.exists()
    process.kill()
    process.communicate()
    assert guard_cache(tmp_path / ".." / tmp_path.name) == [half.name]


# --- a real run -------------------------------------------------------------------------------


def test_a_killed_experiment_ends_with_the_bytes_of_one_left_alone(tmp_path):
    subject = Subject(tmp_path, ("--seeds=1", "--steps=8", "--block=8"))
    run = subject.fresh("killed")
    ended = run.kill("cell", signal.SIGKILL, random.Random(0))
    assert (ended.killed_in, ended.status) == ("cell", -9)
    assert list(run.out.rglob("*.tmp"))
    assert run.go().status == 0
    assert differing(subject.reference, run.kept()) == []
