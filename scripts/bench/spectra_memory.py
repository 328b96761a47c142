"""Measures what the spectra of Fishers need: wall time and peak memory on a CPU.

    python -m scripts.bench.spectra_memory

Each task runs in a process of its own, in float32, on the digits: all eigenvalues of a small
network (rows > parameters) and of one ten times larger (rows < parameters); of one with 10^6
parameters the ten largest and the spectral density, matrix-free. Prints a Markdown table, and exits
with 1 if a task exceeds --limit_gib. A few minutes on two cores, most of them for the second task.
"""

import multiprocessing
import os
import resource
import sys
import time
from typing import Any

from absl import app, flags

GIB = 2**30
LIMIT = flags.DEFINE_float("limit_gib", 6.0, "Largest peak resident memory allowed, in GiB.")

TASKS = {
    "all eigenvalues, small": ((32,), 1797),
    "all eigenvalues, wide": ((128, 128), 512),
    "top 10 eigenpairs": ((1024, 1024), 512),
    "density, 10 probes x 40 steps": ((1024, 1024), 512),
}
"""What is computed, of tanh networks 64-...-10 of these hidden widths, on so many examples."""

COLUMNS = ("task", "P", "rows", "method", "s", "peak GiB", "arrays", "estimate", "found")


def peak_gib() -> float:
    """Return the largest resident memory that this process has had so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (GIB if sys.platform == "darwin" else GIB / 1024)


def measure(task: str) -> dict[str, str]:
    """Run one task and return its row of the table; to be called in a fresh process."""
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax
    import jax.numpy as jnp
    import numpy as np

    from signdyn.analysis import fisher, spectrum
    from signdyn.data import load
    from signdyn.likelihoods import categorical
    from signdyn.models.mlp import MLP

    widths, num_examples = TASKS[task]
    digits, model = load("digits"), MLP(widths, 10, "tanh")
    x = jnp.asarray(np.concatenate([digits.x_train, digits.x_test])[:num_examples])
    params = jax.jit(model.init)(jax.random.key(0), x[:1])["params"]
    dim = sum(leaf.size for leaf in jax.tree.leaves(params))
    row = {"task": task, "P": f"{dim:,}", "rows": f"{10 * num_examples:,}"}
    row |= {"method": "products", "estimate": ""}

    def run(params):
        system: Any = (lambda p, x: model.apply({"params": p}, x), categorical(), params, x)
        if task.startswith("all"):
            found = spectrum.fisher_spectrum(*system)
            row.update(method=found.method, estimate=f"{found.peak_bytes / GIB:.2f}")
            return {"lambda_max": found.eigenvalues[0], "trace": jnp.sum(found.eigenvalues)}
        product, key = fisher.fisher_vector_product(*system), jax.random.key(1)
        if task.startswith("top"):
            top = spectrum.top_eigenpairs(product, dim, 10, key, num_iterations=40)
            return {"lambda_max": top.eigenvalues[0], "largest residual": jnp.max(top.residuals)}
        density = spectrum.spectral_density(product, dim, key, num_probes=10, num_steps=40)
        traces = dim * spectrum.moment(density, 1)
        return {"lambda_max": jnp.max(density.nodes), "trace": jnp.mean(traces)}

    before, start = peak_gib(), time.perf_counter()
    found = {name: float(value) for name, value in jax.jit(run)(params).items()}
    row["s"] = f"{time.perf_counter() - start:.0f}"
    row["peak GiB"], row["arrays"] = f"{peak_gib():.2f}", f"{peak_gib() - before:.2f}"
    row["found"] = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
    return row


def main(_: list[str]) -> None:
    """Run every task, print the table and exit with 1 if one took more than allowed."""
    print(f"Measuring {len(TASKS)} tasks, a few minutes in all; the table comes last.", flush=True)
    rows = []
    for task in TASKS:
        print(f"... {task}", flush=True)
        with multiprocessing.get_context("spawn").Pool(1) as fresh_process:
            rows.append(fresh_process.apply(measure, (task,)))
    print("\n| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for row in rows:
        print("| " + " | ".join(row[column] for column in COLUMNS) + " |")
    print("\narrays: peak above what the process had before; estimate: fisher_spectrum's, in GiB.")
    if too_large := [r["task"] for r in rows if float(r["peak GiB"]) > LIMIT.value]:
        sys.exit(f"more than {LIMIT.value:g} GiB: {', '.join(too_large)}")


if __name__ == "__main__":
    app.run(main)
