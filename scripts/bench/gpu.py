"""Races seed sweeps on one GPU: block widths, share of the peak, and torch.func beside.

    python -m scripts.bench.gpu

The contenders of `scripts.bench.races.sweeps`, each in a process of its own on the same card. All
seeds are one block, one vmapped program. The roof is a product of 8192 x 8192 float32 matrices at
JAX's default precision, which is that of the sweeps, too. Writes gpu.json into --out; about five
minutes.
"""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from experiments._cli import flag, option, start
from scripts.bench.contest import Disagreement, hold
from scripts.bench.machine import machine
from scripts.bench.race import Contender, Race
from scripts.bench.races.sweeps import cnn_race, mlp_race

SEEDS = flag(
    "seeds",
    option(
        ("8", "128", "1024", "8192"),
        "Widths of a block of MLPs.",
        entries=int,
        minimum=1,
        maximum=65536,
    ),
)
ROUNDS = flag("rounds", option(3, "Turns of every contender.", minimum=1, maximum=1000))
OUT = flag("out", option("docs/record/bench", "Folder for the record.", folder="written"))

STEPS = 200
KINDS = "import jax; print(jax.default_backend(), jax.devices()[0].device_kind, sep='|')"


def on_gpu(race: Race, steps: int) -> Race:
    """Return a race without those that take seeds one after the other, nor bounds."""

    def fit(contender: Contender) -> Contender:
        name = contender.name.replace(", 1 thread", "")
        more = {key: value for key, value in contender.more.items() if key != "threads"}
        return replace(contender, name=name, more=more, env={})

    seeds = race.case["seeds"]
    chosen = [c for c in race.contenders if "one" not in c.name.replace("signdyn", "")]
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


def main() -> None:
    """Hold the races and write the record; exits with 2 where there is no GPU."""
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # all contenders share the card
    found = subprocess.run([sys.executable, "-c", KINDS], capture_output=True, text=True)
    platform, kind = [*found.stdout.strip().rpartition("\n")[2].split("|"), ""][:2]
    if platform != "gpu":
        print(f"error: JAX finds no GPU here, but {platform or 'nothing'}.", file=sys.stderr)
        sys.exit(2)
    races = [on_gpu(mlp_race(int(seeds), (0,) * 5), STEPS) for seeds in SEEDS.value]
    races.append(on_gpu(cnn_race(64, (0,) * 4), STEPS // 4))
    print(f"{len(races)} races on {kind}, a minute each", flush=True)
    path = Path(OUT.value, "gpu.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    held = []
    for race in races:
        print(f"{race.id}: {race.case['seeds']} seeds", flush=True)
        try:
            record = hold(
                race, rounds=ROUNDS.value, tell=lambda text: print(f"  {text}", flush=True)
            )
        except (Disagreement, RuntimeError) as error:
            print(f"  not held: {error}", flush=True)
            continue
        held.append(record)
        for contender in record["contenders"]:
            rate = record["units"] / contender["seconds"]
            print(f"  {contender['name']}: {rate / 1e3:,.0f} thousand steps/s", flush=True)
        content = {
            "command": "python -m scripts.bench.gpu",
            "device": kind,
            "machine": machine(),
            "races": held,
        }
        path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    start(main)
