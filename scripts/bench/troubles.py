"""What can happen to a run while it works: no room, no rights, no folder, no reader, company."""

import os
import random
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from scripts.bench.subject import Ended, Run, Subject


class Untried(Exception):
    """This machine does not allow it to be tried."""


class Found(NamedTuple):
    """What came of a trouble.

    Attributes:
        is_named: Whether the run told of it in one line.
        outcome: In a word or two.
        kept: What the folder holds after the command was given again without the trouble.
        runs: How each of its processes ended, and the status it should end with.
    """

    is_named: bool
    outcome: str
    kept: Mapping[str, bytes]
    runs: list[tuple[Ended, int]]


def told(ended: Ended, words: str) -> bool:
    """Return whether the errors are one line that holds some words."""
    lines = ended.lines()
    return len(lines) == 1 and lines[0].startswith("error: ") and words in lines[0]


def finish(run: Run, ended: Ended, status: int, words: str, outcome: str = "stopped") -> Found:
    """Give the command again without the trouble."""
    again = run.go()
    kept = run.kept()
    run.remove()
    return Found(
        told(ended, words), f"{outcome}, then finished", kept, [(ended, status), (again, 0)]
    )


def small_files(subject: Subject, rng: random.Random) -> Found:
    """Let no file grow beyond a few kilobytes, as a full disk does."""
    run, limit = subject.fresh("full"), rng.randrange(1000, 12_000)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    pipe = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with run.start(preexec_fn=limited, **pipe) as process:
        errors = process.stderr.read().decode() if process.stderr else ""
    return finish(run, Ended(process.returncode, "", errors), 1, "File too large")


def full_disk(subject: Subject, rng: random.Random) -> Found:
    """Run in a small file system in memory, until it is full."""
    del rng
    run = subject.fresh("tmpfs")
    with mounted(run.out, "size=64k"):
        ended = run.go()
        copy = run.out.with_name("tmpfs-copy")
        shutil.copytree(run.out, copy)
    run.out.rmdir()
    shutil.move(copy, run.out)
    return finish(run, ended, 1, "No space left on device")


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Make a folder a file system of its own, in memory; raises `Untried` if that is forbidden."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Untried("no file system can be mounted") from error
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True, capture_output=True)


def full_output(subject: Subject, rng: random.Random) -> Found:
    """Let what is printed go to a full disk."""
    del rng
    run = subject.fresh("output")
    with open("/dev/full", "wb") as full:
        ended = run.go(stdout=full)
    return finish(run, ended, 1, "No space left on device")


def reader_leaves(subject: Subject, rng: random.Random) -> Found:
    """Pipe the output into a program that reads one line of it."""
    del rng
    run = subject.fresh("piped")
    process = run.start(stdout=subprocess.PIPE)
    if process.stdout:
        process.stdout.readline()
        process.stdout.close()
    return finish(run, run.end(process), 1, "nobody reads the output")


def folder_vanishes(subject: Subject, rng: random.Random) -> Found:
    """Remove the run's folder while the run works in it."""
    run = subject.fresh("vanished")
    process = run.start()
    number = rng.randrange(1, 5)
    while len(list(run.folder.glob("cells/*.nc"))) < number and process.poll() is None:
        time.sleep(0.001)
    moved = run.out.with_name("moved")
    run.folder.rename(moved)
    shutil.rmtree(moved)
    return finish(run, run.end(process), 1, f"{run.folder}")


def read_only(subject: Subject, rng: random.Random) -> Found:
    """Run in a folder that nobody may write to."""
    del rng
    run = subject.fresh("forbidden")
    if os.geteuid() == 0:  # may write everywhere but there
        with mounted(run.out, "ro"):
            ended = run.go()
        return finish(run, ended, 2, "can be written to", "refused")
    run.out.mkdir(mode=0o555)
    ended = run.go()
    run.out.chmod(0o755)
    return finish(run, ended, 2, "can be written to", "refused")


def two_at_once(subject: Subject, rng: random.Random) -> Found:
    """Give the command a second time while the first one works."""
    run = subject.fresh("crowded")
    first = run.start()
    while not (run.folder / "run.json").exists():
        time.sleep(0.001)
    time.sleep(rng.uniform(0.0, 2.0))
    company = run.start(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with company:
        errors = company.stderr.read().decode() if company.stderr else ""
    second, ended = Ended(company.returncode, "", errors), run.end(first)
    kept = run.kept()
    run.remove()
    is_named = told(second, f"another run works in {run.folder} (process {first.pid} on ")
    return Found(is_named, "the second refused", kept, [(second, 2), (ended, 0)])


def torn_cache(subject: Subject, rng: random.Random) -> Found:
    """Cut every compiled program in half, as a kill does that comes while it is written."""
    run = subject.fresh("torn", has_cache=False)
    shutil.copytree(subject.fresh("").cache, run.cache)
    entries = list(run.cache.rglob("*-cache"))
    for entry in entries:
        content = entry.read_bytes()
        entry.write_bytes(content[: rng.randrange(len(content))])
        os.utime(entry)
    mark = entries[0].parent / ".running-1"
    mark.touch()
    os.utime(mark, (0, 0))
    ended = run.go()
    kept = run.kept()
    run.remove()
    return Found(not ended.lines(), "compiled anew", kept, [(ended, 0)])


TROUBLES: Mapping[str, Callable[[Subject, random.Random], Found]] = {
    "a full disk (ulimit -f) while it runs": small_files,
    "a full disk (tmpfs) while it runs": full_disk,
    "a full disk under its output": full_output,
    "a reader of its output that leaves": reader_leaves,
    "a folder that vanishes while it runs": folder_vanishes,
    "a read-only folder": read_only,
    "a second run in its folder": two_at_once,
    "compiled programs cut in half": torn_cache,
}
"""Name -> what makes it happen."""
