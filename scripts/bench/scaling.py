"""Measures how cost grows with seeds, width, depth, examples and parameters, and fits exponents.

    python -m scripts.bench.scaling

One axis is varied at a time, the rest stays. All points of an axis take turns, so that whatever
else the machine does meets them all; the exponent is the slope of log time against log size over
the upper half of the points, where what does not grow is small, with the least and the most of
single rounds. Writes scaling.json and scaling.svg into --out. About 4 minutes on two cores.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from experiments._cli import configure_jax, flag, num_cores, option, start
from scripts.bench import tasks
from scripts.bench.contest import spread
from scripts.bench.machine import machine
from scripts.bench.timing import analyzed, seconds

ROUNDS = flag("rounds", option(5, "Turns of every point.", minimum=1, maximum=1000))
OUT = flag("out", option("docs/record/bench", "Folder for the record.", folder="written"))

TURN_SECONDS = 0.2


@dataclass(frozen=True)
class Axis:
    """One size that is varied.

    Attributes:
        id: In the record.
        cost: What takes the time.
        size: What is varied.
        sizes: Ascending.
        make: size -> a run to be timed, which returns once it is done.
        expected: The exponent for large sizes, by the count of operations.
        params: size -> number of parameters, where that is the size to fit against.
    """

    id: str
    cost: str
    size: str
    sizes: Sequence[int]
    make: Callable[[int], Callable[[], Any]]
    expected: float
    params: Callable[[int], int] | None = None


STEPS = 64


def sweep(*, seeds: int = 16, width: int = 64, depth: int = 2, batch: int = 64) -> Callable:
    """Return a run of `STEPS` steps of minibatch SGD on digits, as the experiments train."""
    import jax

    from scripts.bench.side_by_side import side_by_side
    from signdyn.data import load
    from signdyn.likelihoods import categorical
    from signdyn.models.mlp import MLP
    from signdyn.sweeps import SeedDraws, grid, replica_keys, stack_hypers
    from signdyn.training import Structure, make_train_fn

    model = MLP((width,) * depth, 10, "sigmoid")
    structure = Structure(model, categorical(), steps=STEPS, batch_size=batch, record_every=STEPS)
    train = make_train_fn(structure, load("digits"))
    devices = jax.local_device_count()
    rows = np.arange(-(-seeds // devices) * devices) % seeds
    draws = SeedDraws(train, replica_keys(0, range(seeds)))(rows)
    hypers = stack_hypers(grid(learning_rate=[0.1]) * len(rows))
    return side_by_side(train, draws, hypers, width=1)


def spectrum(*, width: int = 32, examples: int = 1797) -> Callable:
    """Return a run that finds all eigenvalues of the Fisher of a network 64-width-10."""
    import jax

    from signdyn.analysis.spectrum import fisher_spectrum

    model, params, x, likelihood = analyzed((width,), examples)
    found = jax.jit(lambda p: fisher_spectrum(model, likelihood, p, x).eigenvalues)
    return lambda: jax.block_until_ready(found(params))


def product(*, width: int = 128, examples: int = 512) -> Callable:
    """Return a run of ten products of the Fisher of 64-width-width-10 with a vector."""
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from signdyn.analysis.fisher import fisher_vector_product

    model, params, x, likelihood = analyzed((width, width), examples)
    v = jnp.ones_like(ravel_pytree(params)[0])

    def run(params, v):
        multiply = fisher_vector_product(model, likelihood, params, x)
        return jax.lax.fori_loop(0, 10, lambda _, v: multiply(v) / 10.0, v)

    compiled = jax.jit(run)
    return lambda: jax.block_until_ready(compiled(params, v))


AXES = (
    Axis("seeds", "a sweep", "seeds", (2, 4, 8, 16, 32, 64, 128), lambda n: sweep(seeds=n), 1.0),
    Axis("width", "a sweep", "units a layer", (16, 32, 64, 128, 256, 512),
         lambda n: sweep(seeds=2, width=n), 2.0),
    Axis("depth", "a sweep", "hidden layers", (1, 2, 4, 8, 16), lambda n: sweep(depth=n), 1.0),
    Axis("batch", "a sweep", "examples a step", (16, 32, 64, 128, 256, 512, 1024),
         lambda n: sweep(seeds=4, batch=n), 1.0),
    Axis("spectrum_params", "all eigenvalues of a Fisher", "parameters", (4, 8, 16, 32, 48),
         lambda n: spectrum(width=n), 3.0, lambda n: tasks.num_params((64, n, 10))),
    Axis("spectrum_examples", "all eigenvalues of a Fisher", "examples",
         (256, 512, 1024, 1797), lambda n: spectrum(width=16, examples=n), 1.0),
    Axis("product_params", "a product with a Fisher", "parameters", (32, 64, 128, 256, 512),
         lambda n: product(width=n), 1.0, lambda n: tasks.num_params((64, n, n, 10))),
    Axis("product_examples", "a product with a Fisher", "examples", (64, 128, 256, 512, 1024, 1797),
         lambda n: product(examples=n), 1.0),
)  # fmt: skip


def measure(axis: Axis, rounds: int) -> dict[str, Any]:
    """Return the curve of an axis: sizes, times relative to the smallest, and the exponent."""
    runs = [axis.make(size) for size in axis.sizes]
    repeats = []
    for run in runs:
        run()
        run()
        repeats.append(max(1, round(TURN_SECONDS / seconds(run, 1))))
    times = np.array(
        [[seconds(*point) for point in zip(runs, repeats, strict=True)] for _ in range(rounds)]
    )
    sizes = [axis.params(size) if axis.params else size for size in axis.sizes]
    upper = len(sizes) // 2
    exponents = [float(slope(sizes[upper:], row[upper:])) for row in times]
    return {
        "id": axis.id,
        "cost": axis.cost,
        "size": axis.size,
        "sizes": sizes,
        "relative": [float(value) for value in np.median(times / times[:, :1], axis=0)],
        "exponent": spread(exponents),
        "expected": axis.expected,
    }


def slope(sizes: Sequence[float], times: Sequence[float]) -> float:
    """Return the least-squares slope of log times against log sizes."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def draw(curves: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Draw the curves with the lines of the expected exponents."""
    from signdyn.report.figures import panels
    from signdyn.report.style import look, restyle, save_figure

    columns, measured = 2, look("centered")
    rows = -(-len(curves) // columns)
    with restyle():
        titles = [f"{curve['cost']}" for curve in curves]
        figure, axes = panels(
            rows, columns, height=1.8, titles=titles, ylabel="time / time of the smallest",
            sharex=False, sharey=False,
        )  # fmt: skip
        for ax, curve in zip(axes.flat, curves, strict=True):
            sizes, times = np.array(curve["sizes"]), np.array(curve["relative"])
            line = times[-1] * (sizes / sizes[-1]) ** curve["expected"]
            ax.loglog(sizes, line, ls="--", lw=1.0, color="#8a8a8a")
            ax.loglog(sizes, times, marker=measured.marker, ms=3.5, lw=1.2, color=measured.color)
            ax.set_xlabel(curve["size"])
            shown = sizes[:: max(1, len(sizes) // 4)]
            ax.set_xticks(shown, [f"{size:,}" for size in shown], minor=False)
            ax.minorticks_off()
            ax.set_ylim(0.7 * times.min(), 1.5 * times.max())
        save_figure(figure, folder, "scaling")
    return folder / "scaling.svg"


def main() -> None:
    """Measure every axis, write the record and the figure."""
    logging.set_verbosity(logging.WARNING)
    configure_jax(num_cores())
    print(f"{len(AXES)} axes, {ROUNDS.value} rounds each: about 4 minutes on two cores", flush=True)
    folder = Path(OUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    curves = []
    for axis in AXES:
        curve = measure(axis, ROUNDS.value)
        curves.append(curve)
        print(
            f"  {axis.cost} against {axis.size}: exponent {curve['exponent']['median']:.2f} "
            f"[{curve['exponent']['least']:.2f}, {curve['exponent']['most']:.2f}], by count "
            f"{axis.expected:g}",
            flush=True,
        )
    content = {"command": "python -m scripts.bench.scaling", "machine": machine(), "axes": curves}
    (folder / "scaling.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {folder / 'scaling.json'}, {draw(curves, folder)}")


if __name__ == "__main__":
    start(main)
