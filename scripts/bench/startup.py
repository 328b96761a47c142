"""Measures what a user waits for before anything runs: help, the first line, compiling.

    python -m scripts.bench.startup

Runs `python -m experiments.sign_flip --help` and its first line of progress a few times, then the
whole quick preset twice into folders that are deleted: with an empty compilation cache, and again
with what the first run left in it. Writes startup.json into --out. About 7 minutes on two cores.

Compiling here is tracing, lowering and XLA's own compiling or fetching from the cache; its share is
of the process's CPU time. In the second run it is what threads spend inside of JAX's events of the
three; in the first, that plus all the CPU time that the second run did not need, since XLA compiles
on threads of its own, too.
"""

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from experiments._cli import flag, option, start
from scripts.bench.machine import machine

REPEATS = flag("repeats", option(5, "Starts of each kind.", minimum=1, maximum=1000))
OUT = flag("out", option("docs/record/bench", "Folder for the record.", folder="written"))

ROOT = Path(__file__).resolve().parents[2]
PROGRESS = re.compile(r"\[\s*\d+ s\]")

WATCHED = """
import json, runpy, sys, threading, time
import jax.monitoring as monitoring
own, spent = threading.local(), {}
def begin(name, *_, **__):
    own.begun = [*getattr(own, "begun", ()), time.thread_time()]
def end(name, *_, **__):
    if name.startswith("/jax/core/compile/"):
        *own.begun, begun = own.begun
        if not own.begun:  # else it is a part of another
            part = name.rsplit("/", 1)[1]
            spent[part] = spent.get(part, 0.0) + time.thread_time() - begun
monitoring.register_scalar_listener(
    lambda name, *_, **__: begin(name) if name.startswith("/jax/core/compile/") else None
)
monitoring.register_event_duration_secs_listener(end)
path, sys.argv = sys.argv[1], sys.argv[2:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
finally:
    open(path, "w").write(json.dumps(spent))
"""
"""Runs a module and writes the CPU seconds that its threads spend in JAX's events of compiling."""

LIMITS = {"help_seconds": 2.5, "first_line_seconds": 6.0, "first_share": 0.35, "second_share": 0.1}
"""What is asked of each number, at most."""


def help_seconds() -> float:
    """Return how long `--help` takes."""
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "experiments.sign_flip", "--help"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=False,  # absl ends help with 1
    )
    return time.perf_counter() - begun


def first_line_seconds(folder: Path) -> float:
    """Return when the first line of progress is there; with no compilation cache."""
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.sign_flip", f"--out={folder}"],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(folder), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        for line in process.stdout or ():
            if PROGRESS.search(line):
                break
        else:
            raise RuntimeError("experiments.sign_flip printed no line of progress")
        seconds = time.perf_counter() - begun
        process.kill()
    return seconds


def whole_run(cache: Path, folder: Path) -> dict[str, Any]:
    """Run the quick preset; return its seconds, CPU seconds, and what of them was compiling."""
    before, begun = cpu_seconds(), time.perf_counter()
    events = folder / "events.json"
    subprocess.run(
        [sys.executable, "-c", WATCHED, str(events), "experiments.all", f"--out={folder / 'run'}"],
        cwd=ROOT,
        env={**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wall, spent = time.perf_counter() - begun, json.loads(events.read_text())
    return {"seconds": wall, "cpu_seconds": cpu_seconds() - before, "compiling": spent}


def cpu_seconds() -> float:
    """Return the CPU time of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def shares(first: dict[str, Any], second: dict[str, Any]) -> dict[str, float]:
    """Return the share of compiling in both runs, see the module's docstring."""
    again = sum(second["compiling"].values())
    anew = again + first["cpu_seconds"] - second["cpu_seconds"]
    return {
        "first_share": anew / first["cpu_seconds"],
        "second_share": again / second["cpu_seconds"],
    }


def main() -> None:
    """Measure and write the record; exits with 1 if a limit is not kept."""
    print("starts, then the quick preset twice: about 7 minutes on two cores", flush=True)
    helps = [help_seconds() for _ in range(REPEATS.value)]
    firsts: list[float] = []
    while len(firsts) < REPEATS.value:
        with tempfile.TemporaryDirectory() as folder:
            firsts.append(first_line_seconds(Path(folder)))
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as cache:
        for kind in ("first", "second"):
            with tempfile.TemporaryDirectory() as folder:
                runs.append(whole_run(Path(cache), Path(folder)))
            print(f"  {kind} run: {runs[-1]['seconds']:.0f} s", flush=True)
    found: dict[str, Any] = {
        "help_seconds": statistics.median(helps),
        "first_line_seconds": statistics.median(firsts),
        **shares(*runs),
    }
    content = {
        "command": "python -m scripts.bench.startup",
        "machine": machine(),
        "found": found,
        "limits": LIMITS,
        "runs": dict(zip(("first", "second"), runs, strict=True)),
    }
    path = Path(OUT.value, "startup.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    for name, value in found.items():
        print(f"  {name}: {value:.3g}, at most {LIMITS[name]:g}")
    print(f"wrote {path}")
    if missed := [name for name, value in found.items() if value > LIMITS[name]]:
        sys.exit(f"over the limit: {', '.join(missed)}")


if __name__ == "__main__":
    start(main)
