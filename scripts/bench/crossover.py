"""Measures from where on matrix-free analysis of a Fisher is faster than all eigenvalues.

    python -m scripts.bench.crossover

Networks 64-n-10 on all digits, ever wider. All eigenvalues, of the model as any function and with
its layers known, beside the ten largest eigenpairs and the spectral density from products. All
points take turns. Where two curves cross is read off between the measured points, in logarithms.
Writes crossover.json and crossover.svg into --out; about 2 minutes on two cores.
"""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments._cli import Options, configure_jax, num_cores, option, run
from scripts.bench.contest import spread
from scripts.bench.machine import machine
from scripts.bench.timing import analyzed, seconds

TOP, ITERATIONS = 10, 40
PROBES, STEPS = 10, 40
TURN_SECONDS = 0.2

DENSE = {"any": "all eigenvalues, any model", "layers": "all eigenvalues, layers known"}
FREE = {
    "top": f"{TOP} largest eigenpairs, {ITERATIONS} products",
    "density": f"density, {PROBES} probes x {STEPS} steps",
}


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """What is measured."""

    rounds: int = option(3, "Turns of every point.", minimum=1, maximum=1000)
    widths: tuple = option(
        ("2", "4", "8", "16", "32"), "Hidden units.", entries=int, minimum=1, maximum=4096
    )
    examples: int = option(1797, "Digits.", minimum=1, maximum=1797)
    out: str = option("docs/record/bench", "Folder for the record.", folder="written")


def ways(width: int, examples: int) -> dict[str, tuple[Callable, int, int]]:
    """Return way -> (run, parameters, bytes that its docstring states)."""
    import jax
    from jax.flatten_util import ravel_pytree

    from signdyn.analysis.fisher import fisher_vector_product
    from signdyn.analysis.spectrum import fisher_spectrum, spectral_density, top_eigenpairs

    tapped, params, x, likelihood = analyzed((width,), examples)
    dim, key = ravel_pytree(params)[0].size, jax.random.key(1)
    told: dict[str, int] = {}

    def eigenvalues(way: str, model: Callable) -> Callable:
        def run(params):
            found = fisher_spectrum(model, likelihood, params, x, max_bytes=2**50)
            told[way] = found.peak_bytes
            return found.eigenvalues

        return run

    def products(params):
        return fisher_vector_product(tapped, likelihood, params, x)

    made = {
        "any": eigenvalues("any", lambda p, x: tapped(p, x)),
        "layers": eigenvalues("layers", tapped),
        "top": lambda p: (
            top_eigenpairs(products(p), dim, TOP, key, num_iterations=ITERATIONS).eigenvalues
        ),
        "density": lambda p: (
            spectral_density(products(p), dim, key, num_probes=PROBES, num_steps=STEPS).nodes
        ),
    }
    told["top"] = told["density"] = 4 * 4 * ITERATIONS * dim

    def ready(function: Callable) -> Callable:
        compiled = jax.jit(function)
        return lambda: jax.block_until_ready(compiled(params))

    runs = {way: ready(function) for way, function in made.items()}
    top = {way: float(np.max(run())) for way, run in runs.items()}  # compiles
    for way, found in top.items():
        if abs(found / top["any"] - 1) > 1e-3:
            raise RuntimeError(f"{way}: lambda_max {found}, not {top['any']}")
    return {way: (run, dim, told[way]) for way, run in runs.items()}


def crossing(sizes: Sequence[float], slow: Sequence[float], fast: Sequence[float]) -> float | None:
    """Return the size from which on ``fast`` stays below ``slow``, None if it never does.

    Example:
        >>> round(crossing([1, 10, 100], [1.0, 100.0, 10_000.0], [10.0, 10.0, 10.0]), 2)
        3.16
        >>> crossing([1, 10], [2.0, 3.0], [1.0, 1.0]), crossing([1, 10], [1.0, 1.0], [2.0, 2.0])
        (1, None)
    """
    ratio = np.log(np.asarray(slow) / np.asarray(fast))
    if ratio[-1] <= 0:
        return None
    below = np.flatnonzero(ratio <= 0)
    if not len(below):
        return sizes[0]
    i = int(below[-1])
    share = -ratio[i] / (ratio[i + 1] - ratio[i])
    low, high = np.log(sizes[i]), np.log(sizes[i + 1])
    return float(np.exp(low + share * (high - low)))


def largest(num_bytes: int, of_square: float) -> int:
    """Return the most parameters for which ``of_square`` bytes times their square fit.

    Example:
        >>> largest(400, 4.0)
        10
    """
    return int((num_bytes / of_square) ** 0.5)


def draw(curves: Mapping[str, Any], folder: Path) -> None:
    """Draw time against parameters."""
    from signdyn.report.figures import panels
    from signdyn.report.style import look, restyle, save_figure

    looks = dict(
        zip(curves, map(look, ("raw", "flipped", "centered", "natural_gradient")), strict=True)
    )
    with restyle():
        figure, axes = panels(1, 1, height=2.6, titles=["Fisher of 64-n-10 on the digits"],
                              ylabel="time / least time", sharex=True, sharey=True)  # fmt: skip
        ax = axes.flat[0]
        least = min(min(curve["seconds"]) for curve in curves.values())
        for way, curve in curves.items():
            own = looks[way]
            ax.loglog(curve["params"], np.array(curve["seconds"]) / least, marker=own.marker,
                      ms=3.5, lw=1.2, color=own.color, label=curve["what"])  # fmt: skip
        ax.set_xlabel("parameters")
        ax.legend(fontsize="x-small")
        save_figure(figure, folder, "crossover")


def execute(config: Config) -> None:
    """Measure every point and write the record and the figure."""
    configure_jax(num_cores())
    points = [ways(int(width), config.examples) for width in config.widths]
    repeats = [
        {way: max(1, round(TURN_SECONDS / seconds(once, 1))) for way, (once, *_) in point.items()}
        for point in points
    ]
    times: list[dict[str, list[float]]] = [{way: [] for way in point} for point in points]
    for turn in range(config.rounds):
        for point, often, found in zip(points, repeats, times, strict=True):
            for way, (once, *_) in point.items():
                found[way].append(seconds(once, often[way]))
        print(f"  round {turn + 1} of {config.rounds}", flush=True)
    curves = {
        way: {
            "what": what,
            "params": [point[way][1] for point in points],
            "seconds": [statistics.median(found[way]) for found in times],
            "relative": [
                spread([a / b for a, b in zip(found[way], found["layers"], strict=True)])
                for found in times
            ],
            "stated_bytes": [point[way][2] for point in points],
        }
        for way, what in (DENSE | FREE).items()
    }
    crossings = {
        f"{dense} {free}": crossing(
            curves[dense]["params"], curves[dense]["seconds"], curves[free]["seconds"]
        )
        for dense in DENSE
        for free in FREE
    }
    folder = Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "command": "python -m scripts.bench.crossover",
        "machine": machine(),
        "examples": config.examples,
        "rows": 10 * config.examples,
        "curves": curves,
        "crossings": crossings,
    }
    (folder / "crossover.json").write_text(json.dumps(content, indent=1) + "\n")
    draw(curves, folder)
    for way, curve in curves.items():
        print(f"  {way}: {', '.join(f'{s:.3g}' for s in curve['seconds'])} s")
    print(f"  faster from: {crossings}")
    print(f"wrote {folder / 'crossover.json'}, {folder / 'crossover.svg'}")


if __name__ == "__main__":
    run(Config, {}, lambda config: config, execute)
