"""Measures what a second host device, and a second process, make of this machine's cores.

    python -m scripts.bench.devices

The sweep of `scripts.bench.replicas`: by one process on one device, by one on two devices, and by
two processes of one device that have half of the replicas each, as the processes of a run have half
of its blocks; here they do not talk to each other. All ways take turns. Writes devices.json into
--out; about a minute on two cores.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from experiments._cli import Options, option, run
from scripts.bench.contest import Worker, spread
from scripts.bench.machine import machine
from scripts.bench.race import Contender

MAKE = "scripts.bench.contenders.blocks:sweep"


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """What is measured."""

    rounds: int = option(9, "Turns of every way.", minimum=1, maximum=1000)
    replicas: int = option(256, "Replicas of a turn.", minimum=32, maximum=10**6)
    steps: int = option(100, "Updates of a replica.", minimum=1, maximum=10**6)
    out: str = option("docs/record/bench", "Folder for the record.", folder="written")


class Way(NamedTuple):
    """So many processes of so many devices."""

    processes: int
    devices: int


WAYS = (Way(1, 1), Way(1, 2), Way(2, 1))


def measure(ways: Sequence[Way], config: Config) -> list[dict[str, Any]]:
    """Return the seconds of every way, and how much faster it is than the first."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
        workers = {way: _workers(way, config, Path(folder)) for way in ways}
        everyone = [worker for own in workers.values() for worker in own]
        try:
            for worker in everyone:
                worker.prepare()
                worker.repeat = 1
            seconds: dict[Way, list[float]] = {way: [] for way in ways}
            for turn in range(config.rounds):
                at = turn % len(ways)
                for way in (*ways[at:], *ways[:at]):
                    begun = time.perf_counter()
                    list(pool.map(lambda worker: worker.turn(), workers[way]))
                    seconds[way].append(time.perf_counter() - begun)
        finally:
            for worker in everyone:
                worker.stop()
    return [
        {
            **way._asdict(),
            "seconds_a_replica": statistics.median(found) / config.replicas,
            "speedup": spread([a / b for a, b in zip(seconds[ways[0]], found, strict=True)]),
        }
        for way, found in seconds.items()
    ]


def _workers(way: Way, config: Config, folder: Path) -> list[Worker]:
    case = {
        "devices": way.devices,
        "replicas": config.replicas // way.processes,
        "steps": config.steps,
    }
    names = [f"{way.processes}x{way.devices} {index}" for index in range(way.processes)]
    return [Worker(Contender(name, MAKE, agrees=False), case, folder) for name in names]


def execute(config: Config) -> None:
    """Measure and write the record."""
    rows = measure(WAYS, config)
    content = {
        "command": "python -m scripts.bench.devices",
        "machine": machine(),
        "replicas": config.replicas,
        "steps": config.steps,
        "ways": rows,
    }
    path = Path(config.out, "devices.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    for row in rows:
        print(f"  {row['processes']} processes of {row['devices']} devices: {row['speedup']}")
    print(f"wrote {path}")


if __name__ == "__main__":
    run(Config, {}, lambda config: config, execute)
