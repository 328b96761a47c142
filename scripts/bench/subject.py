"""The run that is tortured: a small experiment in processes of its own, and what it must leave."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]

EXPERIMENT = "two_weights"
OPTIONS = ("--seeds=4", "--block=8")
"""Seven seconds, three programs and more than a dozen cells."""

LIMIT_SECONDS = 900
"""No run of it takes so long; one that does hangs."""

TIMES = re.compile(rb"<dt>(wall_seconds|programs|thread_seconds|commit)</dt><dd>[^<]*</dd>")
"""What run.json tells of time, and of work on the code meanwhile, in the page."""


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        status: As `subprocess.Popen.returncode`.
        output: What it printed.
        errors: What it printed to its other stream.
        going_on: The line that a stopped one must end with.
        killed_in: Phase that it was in when it was sent a signal; None if it ended before.
    """

    status: int
    output: str
    errors: str
    going_on: str = ""
    killed_in: str | None = None

    def lines(self) -> list[str]:
        """Return the lines of errors that are no progress."""
        return [line for line in self.errors.splitlines() if not line.startswith("  [")]


class Run:
    """The experiment in one folder, with one cache of compiled programs."""

    def __init__(self, out: Path, cache: Path, options: Sequence[str]):
        """Take two folders, which need not exist, and the experiment's options."""
        self.out, self.cache, self.options = out, cache, options
        self.folder = out / EXPERIMENT

    @property
    def words(self) -> list[str]:
        """The command."""
        command = [sys.executable, "-m", f"experiments.{EXPERIMENT}"]
        return [*command, *self.options, f"--out={self.out}"]

    def start(self, **options: Any) -> subprocess.Popen:
        """Start the command, its output kept in files beside the folder."""
        streams = {
            name: open(self.out.with_suffix(f".{name}"), "wb")  # noqa: SIM115
            for name in ("stdout", "stderr")
        }
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.cache), "PYTHONUNBUFFERED": "1"}
        try:
            options = {"cwd": ROOT, "env": environment, **streams, **options}
            return subprocess.Popen(self.words, **options)
        finally:
            for stream in streams.values():
                stream.close()

    def end(self, process: subprocess.Popen, killed_in: str | None = None, by: str = "") -> Ended:
        """Wait for a process; it hangs if it takes longer than the limit, and is killed."""
        try:
            status = process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        output, errors = (
            self.out.with_suffix(f".{name}").read_text() for name in ("stdout", "stderr")
        )
        line = f"stopped by {by}; what is finished is kept. Go on with: {shlex.join(self.words)}"
        return Ended(status, output, errors, line, killed_in)

    def go(self, **options: Any) -> Ended:
        """Run the command to its end."""
        return self.end(self.start(**options))

    def kill(self, aim: str, number: signal.Signals, rng: random.Random) -> Ended:
        """Start the command, and send it a signal at a random moment of a phase."""
        process = self.start()
        is_there, delay = self._moment(aim, rng)
        while process.poll() is None:
            if is_there():
                if delay:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(rng.uniform(0.0, delay))
                    break
                # what is there for a millisecond may be gone: the run stands still meanwhile
                process.send_signal(signal.SIGSTOP)
                time.sleep(0.001)
                if is_there():
                    break
                process.send_signal(signal.SIGCONT)
            time.sleep(0.0002)
        phase = self.phase()
        ended_before = process.poll() is not None
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        by = "Ctrl-C" if number == signal.SIGINT else number.name
        ended = self.end(process, phase, by)
        # at the very end of a process a signal comes too late
        return ended._replace(killed_in=None) if ended_before or ended.status == 0 else ended

    def _moment(self, aim: str, rng: random.Random) -> tuple[Callable[[], bool], float]:
        """Return what to wait for, and for how long after it a signal may come at most."""
        done = len(list(self.folder.glob("cells/*.nc")))
        nth = done + rng.randrange(3)

        def is_written(pattern: str, folder: Path) -> bool:
            return any(folder.glob(pattern))

        moments: Mapping[str, tuple[Callable[[], bool], float]] = {
            "start": (lambda: True, 2.0),
            "compile": (lambda: self.phase() not in ("start", "page"), 3.0),
            "block": (lambda: len(list(self.folder.glob("cells/*.nc"))) > nth, 0.3),
            "cell": (lambda: is_written("cells/.*.tmp", self.folder), 0.0),
            "figures": (lambda: is_written("figures/.*.tmp", self.folder), rng.choice((0.0, 0.5))),
            "page": (lambda: is_written(".report.html.*.tmp", self.out), 0.0),
        }
        return moments[aim]

    def phase(self) -> str:
        """Return what the run is doing, as far as its folder tells."""
        if any(self.out.glob(".report.html.*.tmp")) or (self.out / "report.html").exists():
            return "page"
        if (self.folder / "figures").exists() or (self.folder / "tables").exists():
            return "figures"
        if any(self.folder.glob("cells/.*.tmp")):
            return "cell"
        if any(self.folder.glob("cells/*.nc")):
            return "block"
        return "compile" if (self.folder / "run.json").exists() else "start"

    def kept(self) -> dict[str, bytes]:
        """Return what must be the same however often a run was interrupted, by name."""
        return dict(_comparable(files_of(self.out)))

    def remove(self) -> None:
        """Remove its folder and what its processes printed."""
        shutil.rmtree(self.out, ignore_errors=True)
        for name in ("stdout", "stderr"):
            self.out.with_suffix(f".{name}").unlink(missing_ok=True)


class Subject:
    """The experiment, run once to its end: what every other run of it is compared with.

    Attributes:
        words: The command, as a user types it.
        seconds: How long it took, with nothing compiled before.
        reference: What it left, by name.
    """

    def __init__(self, folder: Path, options: Sequence[str] = OPTIONS):
        """Run the experiment in a new folder below ``folder``."""
        self.root = folder
        self.words = ("python", "-m", f"experiments.{EXPERIMENT}", *options)
        self._alone = Run(folder / "alone", folder / "cache", options)
        begun = time.monotonic()
        ended = self._alone.go()
        self.seconds = time.monotonic() - begun
        if ended.status != 0:
            raise RuntimeError(f"the experiment does not run: {ended.errors}")
        self.reference = self._alone.kept()

    def fresh(self, name: str, *, has_cache: bool = True) -> Run:
        """Return a run in a new folder, with the programs that are compiled or with none."""
        cache = self._alone.cache if has_cache else self.root / f"{name}-cache"
        return Run(self.root / name, cache, self._alone.options)

    def copy(self, name: str) -> Run:
        """Return a copy of the finished run."""
        run = self.fresh(name)
        shutil.copytree(self._alone.out, run.out)
        return run


def files_of(out: Path) -> dict[str, bytes]:
    """Return every file below a folder, lock files aside, by its path in it."""
    if out.is_file():
        return {"": out.read_bytes()}
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def _comparable(files: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """Leave out times: of cells in the ledger, of the run in run.json and in the page."""
    for name, content in files.items():
        with suppress(ValueError):  # what is damaged is compared as it is
            if name.endswith("ledger.jsonl"):
                entries = [json.loads(line) for line in content.splitlines()]
                content = json.dumps([[e["id"], e["file"], e["sha256"]] for e in entries]).encode()
            elif name.endswith("run.json"):
                facts = json.loads(content)
                facts["environment"].pop("commit", None)
                content = json.dumps([facts["config"], facts["environment"]]).encode()
            elif name == "report.html":
                content = TIMES.sub(b"", content)
        yield name, content


def differing(reference: Mapping[str, bytes], found: Mapping[str, bytes]) -> list[str]:
    """Return the names of files that are not the same, or in one of the two only."""
    names = sorted({*reference, *found})
    return [name for name in names if reference.get(name) != found.get(name)]


def bytes_differing(reference: Mapping[str, bytes], found: Mapping[str, bytes]) -> int:
    """Return in how many bytes two sets of files differ; what one lacks differs.

    Example:
        >>> bytes_differing({"a": b"123", "b": b""}, {"a": b"14", "c": b"xy"})
        4
    """
    count = 0
    for name in differing(reference, found):
        one, other = reference.get(name, b""), found.get(name, b"")
        count += abs(len(one) - len(other)) + sum(a != b for a, b in zip(one, other, strict=False))
    return count
