"""Holds a race: a process a contender, answers compared, then turns until there are enough."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench.race import Contender, Race

ROOT = Path(__file__).resolve().parents[2]

INTERPRETERS: Mapping[str, Path] = {
    "main": Path(sys.executable),
    "kfac": ROOT / ".venv-kfac" / "bin" / "python",
}
"""Interpreters of contenders. kfac-jax does not run on the JAX that signdyn is locked to."""

ROOF = Contender("matrix product", "scripts.bench.contenders.roof:matmul", agrees=False)
"""Runs in every race, so that a share of the machine's peak is of the same minutes."""

TURN_SECONDS = 0.3
"""A contender repeats its work for about so long in its turn."""


class Disagreement(Exception):
    """A contender's answer is not the first one's."""


class Worker:
    """A contender's process."""

    def __init__(self, contender: Contender, case: Mapping[str, Any], folder: Path):
        """Start it; nothing is waited for."""
        self.contender = contender
        self.answer_path = folder / f"{contender.name.replace('/', '_')}.npz"
        self.repeat = 1
        self.turns: list[float] = []
        self.peak_bytes = 0
        self.device_bytes: int | None = None
        self.facts: dict[str, Any] = {}
        self._log = (folder / f"{contender.name.replace('/', '_')}.log").open("w+")
        self._process = subprocess.Popen(
            [INTERPRETERS[contender.python], "-m", "scripts.bench.worker"],
            cwd=ROOT,
            env={**os.environ, **contender.env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._task = {
            "make": contender.make,
            "case": {**({} if contender is ROOF else case), **contender.more},
            "answer": str(self.answer_path),
            "packages": contender.packages,
        }

    def prepare(self) -> None:
        """Let it make its work and run it thrice."""
        self.facts = self._ask(self._task)
        self.repeat = max(1, round(TURN_SECONDS / self.facts["once_seconds"]))

    def turn(self) -> float:
        """Return the seconds of one run, mean over the turn's repeats."""
        reply = self._ask({"repeat": self.repeat})
        self.turns.append(reply["seconds"] / self.contender.share)
        self.peak_bytes, self.device_bytes = reply["peak_bytes"], reply["device_bytes"]
        return self.turns[-1]

    def answer(self) -> dict[str, np.ndarray]:
        """Return what it computed."""
        with np.load(self.answer_path) as file:
            return dict(file)

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._log.close()

    def _ask(self, question: Mapping[str, Any]) -> dict[str, Any]:
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("a worker's pipes are closed")
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            reply = json.loads(self._process.stdout.readline() or "{}")
        except BrokenPipeError:
            reply = {}
        if not reply or "error" in reply:
            self._log.flush()
            tail = Path(self._log.name).read_text()[-2000:]
            raise RuntimeError(
                f"{self.contender.name}: {reply.get('error', 'the process ended')}\n{tail}"
            )
        return reply


def hold(race: Race, *, rounds: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Return the race's record: times, ratios, agreement; raises if an answer is another one.

    Args:
        race: What is done.
        rounds: Turns of every contender.
        tell: Called with what happens.

    Raises:
        Disagreement: If an answer differs by more than the race's tolerance.
        RuntimeError: If a contender fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        workers = [Worker(c, race.case, Path(folder)) for c in (*race.contenders, ROOF)]
        try:
            for worker in workers:  # one after the other: compiling takes all cores
                tell(f"preparing {worker.contender.name}")
                worker.prepare()
            differences = compare(race, workers[:-1])
            for number in range(rounds):
                start = number % len(workers)
                for worker in (*workers[start:], *workers[:start]):
                    worker.turn()
                tell(f"round {number + 1} of {rounds}")
            return record(race, workers, differences)
        finally:
            for worker in workers:
                worker.stop()


def compare(race: Race, workers: Sequence[Worker]) -> dict[str, dict[str, float]]:
    """Return every contender's relative difference from the first, or raise."""
    ours = workers[0].answer()
    differences: dict[str, dict[str, float]] = {}
    for worker in workers[1:]:
        if not worker.contender.agrees:
            continue
        theirs = worker.answer()
        name = worker.contender.name
        agreed = worker.contender.agrees
        keys = race.tolerance if agreed is True else agreed
        differences[name] = {key: relative_difference(theirs[key], ours[key]) for key in keys}
        for key, found in differences[name].items():
            if not found <= race.tolerance[key]:  # so that NaN fails
                raise Disagreement(
                    f"{race.id}: {key} of {name} differs from {workers[0].contender.name}'s by "
                    f"{found:.2g}, more than {race.tolerance[key]:g}"
                )
    return differences


def relative_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return ||a - b|| / ||b||, in float64.

    Raises:
        Disagreement: If shapes differ.
    """
    if a.shape != b.shape:
        raise Disagreement(f"shapes {a.shape} and {b.shape} differ")
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def record(
    race: Race, workers: Sequence[Worker], differences: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Return the JSON-able record of a race that was held."""
    ours, roof = workers[0], workers[-1]
    times = {worker.contender.name: worker.turns for worker in workers}
    contenders = []
    for worker in workers[:-1]:
        name = worker.contender.name
        contenders.append(
            {
                "name": name,
                "seconds": statistics.median(worker.turns),
                "of_ours": spread(ratios(worker.turns, ours.turns)),
                "first_seconds": worker.facts["first_seconds"],
                "peak_bytes": worker.peak_bytes,
                "versions": worker.facts["versions"],
                "difference": differences.get(name),
            }
        )
    bounds = []
    for bound in race.bounds:
        found = spread(ratios(times[bound.slow], times[bound.fast]))
        bounds.append(
            {
                "slow": bound.slow,
                "fast": bound.fast,
                "at_least": bound.at_least,
                "at_most": bound.at_most,
                "ratio": found,
                "holds": bound.holds(found["median"]),
            }
        )
    share = None
    if race.flop is not None:
        with np.load(roof.answer_path) as file:
            roof_flop = float(file["flop"])
        rounds = zip(ours.turns, roof.turns, strict=True)
        share = spread([race.flop / own / (roof_flop / full) for own, full in rounds])
    return {
        "id": race.id,
        "topic": race.topic,
        "work": race.work,
        "unit": race.unit,
        "units": race.units,
        "flop": race.flop,
        "flop_of": race.flop_of,
        "share_of_roof": share,
        "rounds": len(ours.turns),
        "contenders": contenders,
        "bounds": bounds,
    }


def ratios(slow: Sequence[float], fast: Sequence[float]) -> list[float]:
    """Return the ratio of times, round by round."""
    return [a / b for a, b in zip(slow, fast, strict=True)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}
