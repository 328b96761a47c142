"""Measures what the spectra of Fishers need: wall time and peak memory on a CPU.

    python -m scripts.bench.spectra_memory

Each task runs in a process of its own, in float32, on the digits: all eigenvalues of a small
network (rows > parameters) and of one ten times larger (rows < parameters), of the model as any
function and with its layers known; of one with 10^6 parameters the ten largest and the spectral
density, matrix-free. Prints a Markdown table beside the formulas of `signdyn.analysis.spectrum`,
writes spectra_memory.json into --out, and exits with 1 if a task exceeds --limit_gib. A few minutes
on two cores, most of them for the wide network as any function.
"""

import json
import multiprocessing
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from experiments._cli import flag, option, start
from scripts.bench.machine import machine

GIB = 2**30
OUT = flag("out", option("docs/record/bench", "Folder for the record.", folder="written"))
LIMIT = flag(
    "limit_gib",
    option(6.0, "Largest peak resident memory allowed, in GiB.", minimum=0.0, maximum=1e6),
)

TASKS: dict[str, tuple[tuple[int, ...], int, Any]] = {
    "all eigenvalues, small, any model": ((32,), 1797, "tall"),
    "all eigenvalues, small, layers known": ((32,), 1797, "pairs"),
    "all eigenvalues, wide, any model": ((128, 128), 512, "dual"),
    "all eigenvalues, wide, layers known": ((128, 128), 512, "gram"),
    "top 10 eigenpairs": ((1024, 1024), 512, "products"),
    "density, 10 probes x 40 steps": ((1024, 1024), 512, "products"),
}
"""What is computed, of tanh networks 64-...-10 of these hidden widths, on so many examples, how."""

NUM_PROBES, NUM_STEPS = 10, 40

COLUMNS = ("task", "P", "rows", "method", "s", "peak GiB", "arrays", "formula", "found")


def peak_gib() -> float:
    """Return the largest resident memory that this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (GIB if sys.platform == "darwin" else GIB / 1024)


def measure(task: str) -> dict[str, Any]:
    """Run one task and return what it needed; to be called in a fresh process."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp
    import numpy as np

    from signdyn.analysis import fisher, spectrum
    from signdyn.data import load
    from signdyn.likelihoods import categorical
    from signdyn.models.mlp import MLP
    from signdyn.models.taps import linen_tapped

    widths, num_examples, method = TASKS[task]
    digits, model = load("digits"), MLP(widths, 10, "tanh")
    x = jnp.asarray(np.concatenate([digits.x_train, digits.x_test])[:num_examples])
    params = jax.jit(model.init)(jax.random.key(0), x[:1])["params"]
    dim = sum(leaf.size for leaf in jax.tree.leaves(params))
    # What is told nothing of layers takes the model as it would any other.
    tapped: Any = linen_tapped(model)
    apply_fn = tapped if method in ("pairs", "gram") else lambda p, x: tapped(p, x)
    system: Any = (apply_fn, categorical(), params, x)
    formula = 4 * 4 * NUM_STEPS * dim

    def run(params):
        nonlocal formula
        if task.startswith("all"):
            found = spectrum.fisher_spectrum(apply_fn, categorical(), params, x, method=method)
            formula = found.peak_bytes
            return {"lambda_max": found.eigenvalues[0], "trace": jnp.sum(found.eigenvalues)}
        product, key = fisher.fisher_vector_product(*system), jax.random.key(1)
        if task.startswith("top"):
            top = spectrum.top_eigenpairs(product, dim, 10, key, num_iterations=NUM_STEPS)
            return {"lambda_max": top.eigenvalues[0], "largest residual": jnp.max(top.residuals)}
        density = spectrum.spectral_density(
            product, dim, key, num_probes=NUM_PROBES, num_steps=NUM_STEPS
        )
        traces = dim * spectrum.moment(density, 1)
        return {"lambda_max": jnp.max(density.nodes), "trace": jnp.mean(traces)}

    before, start = peak_gib(), time.perf_counter()
    found = {name: float(value) for name, value in jax.jit(run)(params).items()}
    return {
        "task": task,
        "params": dim,
        "rows": 10 * num_examples,
        "method": method,
        "seconds": time.perf_counter() - start,
        "peak_bytes": peak_gib() * GIB,
        "array_bytes": (peak_gib() - before) * GIB,
        "formula_bytes": formula,
        "found": found,
    }


def row(measured: dict[str, Any]) -> dict[str, str]:
    """Return a row of the table."""
    found = measured["found"].items()
    return {
        "task": measured["task"],
        "P": f"{measured['params']:,}",
        "rows": f"{measured['rows']:,}",
        "method": measured["method"],
        "s": f"{measured['seconds']:.0f}",
        "peak GiB": f"{measured['peak_bytes'] / GIB:.2f}",
        "arrays": f"{measured['array_bytes'] / GIB:.2f}",
        "formula": f"{measured['formula_bytes'] / GIB:.2f}",
        "found": ", ".join(f"{name} {value:.4g}" for name, value in found),
    }


def main() -> None:
    """Run every task, print the table and exit with 1 if one took more than allowed."""
    print(f"Measuring {len(TASKS)} tasks, a few minutes in all; the table comes last.", flush=True)
    tasks = []
    for task in TASKS:
        print(f"... {task}", flush=True)
        with multiprocessing.get_context("spawn").Pool(1) as fresh_process:
            tasks.append(fresh_process.apply(measure, (task,)))
    print("\n| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for cells in map(row, tasks):
        print("| " + " | ".join(cells[column] for column in COLUMNS) + " |")
    print("\narrays: peak above what the process had before; formula: signdyn.analysis.spectrum's.")
    content = {
        "command": "python -m scripts.bench.spectra_memory",
        "machine": machine(),
        "tasks": tasks,
    }
    path = Path(OUT.value, "spectra_memory.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {path}")
    if too_large := [t["task"] for t in tasks if t["peak_bytes"] > LIMIT.value * GIB]:
        sys.exit(f"more than {LIMIT.value:g} GiB: {', '.join(too_large)}")


if __name__ == "__main__":
    start(main)
