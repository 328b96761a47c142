"""Measures that cost is linear in replicas, and memory flat in the number of blocks.

    python -m scripts.bench.replicas

Networks 64-64-64-10 on digits, every replica a seed of its own, through `run_blocks` with one block
size, so that more replicas are more blocks: draws, blocks and collected results, as a sweep has
them, without compiling. The sizes take turns. Then a state of 1,024 such networks is written, and
fresh processes run ever more blocks and tell the most memory they held. Writes replicas.json into
--out; about 2 minutes on two cores.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments._cli import Options, configure_jax, num_cores, option, run
from scripts.bench.contest import spread
from scripts.bench.machine import machine

BLOCK = 8
"""Replicas of a block."""

LEAST_REPLICAS = 256
"""A turn runs its size so often that at least so many replicas are trained."""

WITHIN = 1.1
"""Of the times of a replica, the largest over the least, at most."""

ROOT = Path(__file__).resolve().parents[2]

ONE_PROCESS = (
    "import sys; from experiments._cli import configure_jax, num_cores; "
    "configure_jax(num_cores()); from scripts.bench.replicas import memory; "
    "memory(int(sys.argv[1]), int(sys.argv[2]))"
)


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """What is measured."""

    rounds: int = option(7, "Turns of every size.", minimum=1, maximum=1000)
    replicas: tuple = option(
        ("16", "64", "256", "1024"), "Sizes to time.", entries=int, minimum=1, maximum=10**6
    )
    blocks: tuple = option(
        ("4", "16", "64", "256"), "Numbers of blocks whose memory is measured.", entries=int,
        minimum=1, maximum=10**6,
    )  # fmt: skip
    steps: int = option(100, "Updates of a replica.", minimum=1, maximum=10**6)
    out: str = option("docs/record/bench", "Folder for the record.", folder="written")


def sweep(steps: int) -> Callable[[int], int]:
    """Return ``replicas -> blocks`` that runs so many and drops the results; compiled once."""
    import jax

    from signdyn.data import load
    from signdyn.handing import Shelf
    from signdyn.likelihoods import categorical
    from signdyn.models.mlp import MLP
    from signdyn.sweeps import (
        SeedDraws,
        block_program,
        grid,
        replica_keys,
        run_blocks,
        stack_hypers,
    )
    from signdyn.training import Structure, make_train_fn

    model = MLP((64, 64), 10, "sigmoid")
    structure = Structure(model, categorical(), steps=steps, batch_size=64, record_every=steps)
    train = make_train_fn(structure, load("digits"))
    devices = jax.local_devices()
    first = SeedDraws(train, replica_keys(0, range(BLOCK)))(np.arange(BLOCK))
    traced = block_program(train, block=BLOCK, width=1).trace(
        first, stack_hypers(grid(learning_rate=[0.1]) * BLOCK)
    )
    program = Shelf(devices).compiled(traced, None)

    def run(replicas: int) -> int:
        hypers = stack_hypers(grid(learning_rate=[0.1]) * replicas)
        keys = replica_keys(0, range(replicas))
        blocks = run_blocks(train, keys, hypers, block=BLOCK, devices=devices, program=program)
        return sum(1 for _ in blocks)

    return run


def times(sizes: Sequence[int], rounds: int, steps: int) -> list[dict[str, Any]]:
    """Return what a replica takes at every size, of the clock and of the processor's time."""
    run = sweep(steps)
    run(sizes[0])
    found: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
    for turn in range(rounds):
        at = turn % len(sizes)
        for size in (*sizes[at:], *sizes[:at]):
            repeat = max(1, LEAST_REPLICAS // size)
            begun, used = time.perf_counter(), time.process_time()
            for _ in range(repeat):
                run(size)
            spent = time.perf_counter() - begun, time.process_time() - used
            found[size].append((spent[0] / (repeat * size), spent[1] / (repeat * size)))
        print(f"  round {turn + 1} of {rounds}", flush=True)
    return [
        {
            "replicas": size,
            "seconds_a_replica": spread([wall for wall, _ in found[size]]),
            "cpu_seconds_a_replica": spread([used for _, used in found[size]]),
        }
        for size in sizes
    ]


def unevenness(rows: Sequence[dict[str, Any]], what: str) -> float:
    """Return the largest over the least median of a replica's times."""
    medians = [row[what]["median"] for row in rows]
    return max(medians) / min(medians)


def state_cost(networks: int, rounds: int) -> dict[str, float]:
    """Return the bytes of a state of so many of these networks, and the seconds to write it."""
    from signdyn.checkpoints import remove_states, save_state

    arrays = [
        np.ones((networks, *shape), np.float32)
        for fan_in, units in ((64, 64), (64, 64), (64, 10))
        for shape in ((fan_in, units), (units,))
    ]
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        for part in range(rounds + 1):
            begun = time.perf_counter()
            save_state(Path(folder), "state", part, arrays)
            seconds.append(time.perf_counter() - begun)
        remove_states(Path(folder))
    size = sum(array.nbytes for array in arrays)
    return {"networks": networks, "bytes": size, "seconds": statistics.median(seconds[1:])}


def memory(blocks: int, steps: int) -> None:
    """Run so many blocks in this process; print what it held before, and at most meanwhile."""
    run = sweep(steps)
    import jax

    run(BLOCK * len(jax.local_devices()))  # all that is compiled and loaded is there
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    run(BLOCK * blocks)
    told = {"blocks": blocks, "before_bytes": before, "peak_bytes": resident("VmHWM")}
    print(json.dumps(told))


def resident(name: str) -> int:
    """Return what Linux tells of this process's memory: VmRSS, VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(name))
    return int(line.split()[1]) * 1024


def memories(numbers: Sequence[int], steps: int) -> list[dict[str, int]]:
    """Return the peaks of processes of their own."""
    found = []
    for number in numbers:
        done = subprocess.run(
            [sys.executable, "-c", ONE_PROCESS, str(number), str(steps)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"  {found[-1]}", flush=True)
    return found


def execute(config: Config) -> None:
    """Measure and write the record; exits with 1 if cost is not linear."""
    configure_jax(num_cores())
    sizes, numbers = (tuple(map(int, chosen)) for chosen in (config.replicas, config.blocks))
    rows = times(sizes, config.rounds, config.steps)
    for row in rows:
        print(f"  {row['replicas']:,} replicas: {row['seconds_a_replica']['median']:.4g} s each")
    ratio = unevenness(rows, "seconds_a_replica")
    content = {
        "command": "python -m scripts.bench.replicas",
        "machine": machine(),
        "block": BLOCK,
        "steps": config.steps,
        "within": WITHIN,
        "times": rows,
        "ratio": ratio,
        "cpu_ratio": unevenness(rows, "cpu_seconds_a_replica"),
        "state": state_cost(1024, config.rounds),
        "memory": memories(numbers, config.steps),
    }
    path = Path(config.out, "replicas.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {path}")
    if ratio > WITHIN:
        sys.exit(f"not linear: a replica takes up to {ratio:.2f} of the least")


if __name__ == "__main__":
    run(Config, {}, lambda config: config, execute)
