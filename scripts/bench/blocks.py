"""Blocks of replicas on one device: rates against width and precision, and agreement with a CPU."""

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bench import tasks
from scripts.bench.contest import ROOF, Worker, relative_difference, spread
from scripts.bench.race import HOST_DEVICES, Contender, Race
from scripts.bench.races.sweeps import SIGNDYN

WITHIN: Mapping[str, float] = {"highest": 1e-4, "high": 1e-3, "default": 2e-2}
"""Precision of products -> how far losses may be from a CPU's, relatively, in the 2-norm.

By name as JAX has them: float32's, TF32 or three products of bfloat16, and whatever is fastest.
"""


def kind_of(race: Race) -> str:
    """Return "mlp" or "cnn"."""
    return race.contenders[0].make.partition(":")[2]


def measure_blocks(
    race: Race,
    precisions: Sequence[str],
    *,
    rounds: int,
    tell: Callable[[str], None],
    env: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Return a row a precision: steps of seeds a second, share of the peak, agreement with a CPU.

    Every way and a large product at its precision, the peak, have processes of their own, which
    take turns. The CPU runs the first seeds only, which are the same in a block of any width.

    Args:
        race: Its case is one block; the rest is not looked at.
        precisions: Of `WITHIN`.
        rounds: Turns.
        tell: Called with what happens.
        env: Variables of the processes on the device.
    """
    make = f"{SIGNDYN}:{kind_of(race)}"

    def on_device(name: str, make: str, precision: str) -> Contender:
        own = {**(env or {}), "JAX_DEFAULT_MATMUL_PRECISION": precision}
        return Contender(f"{name} {precision}", make, env=own, agrees=False)

    blocks = [on_device("block", make, precision) for precision in precisions]
    roofs = [on_device("roof", ROOF.make, precision) for precision in precisions]
    on_cpu = Contender(
        "cpu", make, env={**HOST_DEVICES, "JAX_PLATFORMS": "cpu"},
        more={"seeds": min(race.case["seeds"], tasks.COMPARED_SEEDS)},
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        chosen = [(one, race.case) for one in (*blocks, on_cpu)] + [(one, {}) for one in roofs]
        workers = {one.name: Worker(one, case, Path(folder)) for one, case in chosen}
        try:
            for name, worker in workers.items():
                tell(f"preparing {name}")
                worker.prepare()
            for turn in range(rounds):
                for one in (*blocks, *roofs):
                    workers[one.name].turn()
                tell(f"round {turn + 1} of {rounds}")
            reference = workers["cpu"].answer()
            return [
                row_of(race, precision, workers[block.name], workers[roof.name], reference)
                for precision, block, roof in zip(precisions, blocks, roofs, strict=True)
            ]
        finally:
            for worker in workers.values():
                worker.stop()


def row_of(
    race: Race, precision: str, block: Worker, roof: Worker, reference: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Return what was measured of one width and precision."""
    peak = float(roof.answer()["flop"])
    turns = zip(block.turns, roof.turns, strict=True)
    answer = block.answer()
    first = len(reference["loss"])
    differs = relative_difference(answer["loss"][:first], reference["loss"])
    return {
        "kind": kind_of(race),
        "work": race.work,
        "width": race.case["seeds"],
        "precision": precision,
        "steps_a_second": race.units / statistics.median(block.turns),
        "share_of_peak": spread([(race.flop or 0.0) / own / (peak / full) for own, full in turns]),
        "first_seconds": block.facts["first_seconds"],
        "device_bytes": block.device_bytes,
        "differs_from_cpu": differs,
        "within": WITHIN[precision],
        "agrees": bool(differs <= WITHIN[precision]),
    }
