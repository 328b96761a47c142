"""Measures seed sweeps on one GPU: width of a block, precision, agreement with a CPU, and peers.

    python -m scripts.bench.gpu

First blocks of 8 to 1,024 replicas at every precision: steps of seeds a second, the share of what a
large product makes of the card at that precision, and how far the losses are from a CPU's. Then,
unless --nopeers, the contenders of `scripts.bench.races.sweeps`, each in a process of its own on
the same card; those that need torch are left out where there is none. All seeds are one block, one
vmapped program. The peak is a product of 8192 x 8192 float32 matrices. Writes gpu.json into --out;
about a quarter of an hour. With --platform=cpu, and few, small blocks, it can be tried without a
GPU.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments._cli import Options, UsageError, option, run
from scripts.bench.blocks import WITHIN, measure_blocks
from scripts.bench.contest import Disagreement, hold
from scripts.bench.machine import machine
from scripts.bench.race import Contender, Race
from scripts.bench.races.sweeps import cnn_race, mlp_race

KINDS = "import jax; print(jax.default_backend(), jax.devices()[0].device_kind, sep='|')"


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """What is measured."""

    platform: str = option("gpu", "What to measure on.", choices=("gpu", "cpu"))
    widths: tuple = option(
        ("8", "16", "32", "64", "128", "256", "512", "1024"), "Widths of a block of MLPs.",
        entries=int, minimum=1, maximum=65536,
    )  # fmt: skip
    cnn_widths: tuple = option(
        ("64",), "Widths of a block of CNNs.", entries=int, minimum=1, maximum=65536, least=0
    )
    precisions: tuple = option(tuple(WITHIN), "Of products.", choices=tuple(WITHIN))
    peers: bool = option(True, "Race the peers, too.")
    steps: int = option(200, "Updates of an MLP; a CNN has a quarter.", minimum=4, maximum=10**6)
    rounds: int = option(3, "Turns of everyone.", minimum=1, maximum=1000)
    out: str = option("docs/record/bench", "Folder for the record.", folder="written")


def on_gpu(race: Race, steps: int) -> Race:
    """Return a race without those that take seeds one after the other, nor bounds."""

    def fit(contender: Contender) -> Contender:
        name = contender.name.replace(", 1 thread", "")
        more = {key: value for key, value in contender.more.items() if key != "threads"}
        return replace(contender, name=name, more=more, env={})

    seeds = race.case["seeds"]
    has_torch = importlib.util.find_spec("torch") is not None
    chosen = [
        contender
        for contender in race.contenders
        if "one" not in contender.name.replace("signdyn", "")
        and (has_torch or "torch" not in contender.packages)
    ]
    return replace(
        race,
        id=race.id.replace("sweep", "gpu"),
        work=re.sub(r"[\d]+ steps", f"{steps} steps", race.work),
        case={**race.case, "steps": steps},
        contenders=tuple(map(fit, chosen)),
        bounds=(),
        tolerance={"loss": 2e-2},  # products of three digits
        units=seeds * steps,
        flop=None if race.flop is None else race.flop / race.units * seeds * steps,
    )


def prepare(config: Config) -> tuple[Config, str]:
    """Return the options and the device's kind."""
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # all contenders share the card
    found = subprocess.run([sys.executable, "-c", KINDS], capture_output=True, text=True)
    platform, kind = [*found.stdout.strip().rpartition("\n")[2].split("|"), ""][:2]
    if platform != config.platform:
        raise UsageError(f"JAX finds no {config.platform} here, but {platform or 'nothing'}")
    return config, kind


def execute(plan: tuple[Config, str]) -> None:
    """Measure, and write what there is after each race."""
    config, kind = plan
    races = [on_gpu(mlp_race(int(width), (0,) * 5), config.steps) for width in config.widths]
    races += [
        on_gpu(cnn_race(int(width), (0,) * 4), config.steps // 4) for width in config.cnn_widths
    ]
    content: dict[str, Any] = {
        "command": "python -m scripts.bench.gpu",
        "device": kind,
        "machine": machine(),
        "blocks": [],
        "races": [],
    }
    path = Path(config.out, "gpu.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    env = {"JAX_PLATFORMS": "cpu"} if config.platform == "cpu" else {}

    def tell(text: str) -> None:
        print(f"  {text}", flush=True)

    print(f"{len(races)} widths on {kind}", flush=True)
    for race in races:
        print(f"{race.id}: {race.case['seeds']} seeds", flush=True)
        try:
            rows = measure_blocks(race, config.precisions, rounds=config.rounds, tell=tell, env=env)
            content["blocks"] += rows
            for row in rows:
                tell(
                    f"{row['precision']}: {row['steps_a_second'] / 1e3:,.0f} thousand steps/s, "
                    f"{row['share_of_peak']['median']:.1%} of the peak, "
                    f"{row['differs_from_cpu']:.1g} from a CPU"
                )
            if config.peers:
                content["races"].append(hold(race, rounds=config.rounds, tell=tell))
        except (Disagreement, RuntimeError) as error:
            tell(f"not held: {error}")
        path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {path}")
    if wrong := [row for row in content["blocks"] if not row["agrees"]]:
        sys.exit(f"{len(wrong)} of {len(content['blocks'])} blocks do not agree with a CPU's")


if __name__ == "__main__":
    run(Config, {}, prepare, execute)
