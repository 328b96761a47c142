"""Measures how long the analysis takes to import, beside JAX, which it cannot do without.

    python -m scripts.bench.imports

Starts a new Python for each import, in turns, and writes imports.json into --out: seconds, medians,
of a Python that imports nothing, of `import jax`, and of all public modules of signdyn.analysis.
The ratio is of what the two imports add to nothing. Half a minute on two cores.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from experiments._cli import flag, option, start
from scripts.bench.machine import machine

REPEATS = flag("repeats", option(11, "Starts of each kind.", minimum=1, maximum=1000))
OUT = flag("out", option("docs/record/bench", "Folder for the record.", folder="written"))

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1.5
"""What the ratio may be, at most."""


def analysis_modules() -> list[str]:
    """Return the public modules of the analysis."""
    files = sorted((ROOT / "signdyn" / "analysis").glob("[!_]*.py"))
    return [f"signdyn.analysis.{file.stem}" for file in files]


def seconds(code: str) -> float:
    """Return how long a new Python takes that runs ``code``."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Measure and write the record; exits with 1 if the limit is not kept."""
    codes = {
        "nothing": "",
        "jax": "import jax",
        "analysis": f"import {', '.join(analysis_modules())}",
    }
    taken: dict[str, list[float]] = {name: [] for name in codes}
    for place in range(REPEATS.value + 1):
        for name, code in codes.items():
            spent = seconds(code)
            if place:  # the first of each reads files that the others find in memory
                taken[name].append(spent)
    medians = {name: statistics.median(values) for name, values in taken.items()}
    ratio = (medians["analysis"] - medians["nothing"]) / (medians["jax"] - medians["nothing"])
    content = {
        "command": "python -m scripts.bench.imports",
        "machine": machine(),
        "seconds": medians,
        "ratio": ratio,
        "limit": LIMIT,
        "repeats": REPEATS.value,
    }
    path = Path(OUT.value, "imports.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    for name, value in medians.items():
        print(f"  {name}: {value:.2f} s")
    print(f"  analysis / jax: {ratio:.2f}, at most {LIMIT:g}")
    print(f"wrote {path}")
    if ratio > LIMIT:
        sys.exit("over the limit")


if __name__ == "__main__":
    start(main)
