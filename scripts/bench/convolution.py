"""Measures both implementations of a convolution in training: native, and patches times kernel.

    python -m scripts.bench.convolution

Times a forward and backward pass of two small convolutions and a readout, as training runs them:
one network in ``scan``, four of them under ``vmap``, and four one after the other in ``lax.map``.
Both implementations run in turns, so that whatever else the machine does meets both. Prints the
milliseconds that a network needs for a step, median over --repeats turns, their ratio, and the
smallest and largest ratio of a turn. About three minutes on two cores.

`signdyn.models.convolution.convolve` takes patches on CPUs because of these numbers.
"""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments._cli import flag, option, start
from signdyn.models.convolution import convolve_by_product, convolve_natively, pad

REPEATS = flag("repeats", option(7, "Turns for each implementation.", minimum=1, maximum=1000))

NETWORKS = 4
STEPS = 4
TASKS = {
    "8 x 8, 8 and 16 channels, batch 64": (8, (8, 16), 64),
    "8 x 8, 8 and 16 channels, batch 256": (8, (8, 16), 256),
    "8 x 8, 32 and 32 channels, batch 64": (8, (32, 32), 64),
    "28 x 28, 8 and 16 channels, batch 64": (28, (8, 16), 64),
}
"""Height and width of the images, units of both convolutions, and examples a step."""

WAYS = {"native": convolve_natively, "patches": convolve_by_product}
COLUMNS = ("task", "mode", "native ms", "patches ms", "ratio", "least", "most", "compile s")


def train_fn(way: Callable, size: int, batch: int) -> Callable:
    """Return params -> losses of gradient descent on random images, by one implementation."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(batch, size, size, 1)), jnp.float32)

    def loss(params):
        a = x
        for kernel in params[:2]:
            a = jax.nn.relu(way(pad(a, (3, 3), (1, 1), "SAME"), kernel, (1, 1)))
        return jnp.mean((a.reshape(batch, -1) @ params[2]) ** 2)

    def step(params, _):
        value, grads = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.01 * g, params, grads), value

    return lambda params: jax.lax.scan(step, params, length=STEPS)[1]


MODES = {
    "scan": (lambda train: lambda params: train([p[0] for p in params]), 1),
    "vmap": (jax.vmap, NETWORKS),
    "map": (lambda train: lambda params: jax.lax.map(train, params), NETWORKS),
}
"""How networks are laid out, and how many of them."""


def kernels(size: int, channels: tuple[int, int]) -> list[jax.Array]:
    """Return the kernels of all networks."""
    first, second = channels
    shapes = [(3, 3, 1, first), (3, 3, first, second), (size * size * second, 10)]
    random = np.random.default_rng(1)
    return [jnp.asarray(random.normal(0, 0.1, (NETWORKS, *s)), jnp.float32) for s in shapes]


def seconds(run: Callable, params: list[jax.Array]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    jax.block_until_ready(run(params))
    return time.perf_counter() - start


def measure(task: str, mode: str) -> dict[str, str]:
    """Return one row of the table."""
    size, channels, batch = TASKS[task]
    layout, networks = MODES[mode]
    params = kernels(size, channels)
    runs = {name: jax.jit(layout(train_fn(way, size, batch))) for name, way in WAYS.items()}
    compiling = {name: seconds(run, params) for name, run in runs.items()}
    turns = [
        {name: seconds(run, params) for name, run in runs.items()} for _ in range(REPEATS.value)
    ]
    ratios = [turn["native"] / turn["patches"] for turn in turns]
    row = {"task": task, "mode": mode}
    for name in WAYS:
        median = statistics.median(turn[name] for turn in turns)
        row[f"{name} ms"] = f"{1e3 * median / STEPS / networks:.2f}"
    row |= {"ratio": f"{statistics.median(ratios):.1f}"}
    row |= {"least": f"{min(ratios):.1f}", "most": f"{max(ratios):.1f}"}
    row["compile s"] = " / ".join(f"{compiling[name]:.1f}" for name in WAYS)
    return row


def main() -> None:
    """Measure every task in every mode and print the table."""
    print(f"On {jax.default_backend()}, JAX {jax.__version__}.\n", flush=True)
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for task in TASKS:
        for mode in MODES:
            row = measure(task, mode)
            print("| " + " | ".join(row[column] for column in COLUMNS) + " |", flush=True)
    print("\nratio: native / patches, median over turns; least and most of a turn. Compile: both,")
    print("with the first call.")


if __name__ == "__main__":
    start(main)
