"""The figures, each drawn from the record on disk."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from experiments._generalization.directions import NUM_EIGENVALUES, NUM_UNITS, prefixes
from experiments._generalization.plan import LARGE_RATE, LARGE_SCALE, LEVELS, regimes
from experiments._generalization.results import Results, at_level
from signdyn.report.figures import band, chance_line, key, panels, theory_line
from signdyn.report.style import look

ARMS = ("raw", "flipped", "centered")

PLAIN = FuncFormatter(lambda value, _: f"{value:g}")


def draw_figures(results: Results) -> Mapping[str, tuple[Figure, str]]:
    """Return name -> (figure, caption), in the order of the page."""
    drawn: dict[str, Callable[[Results], tuple[Figure, str]]] = {
        "matched_loss": _matched_loss,
        "matched_steps": _matched_steps,
    }
    if results.plan.directions:
        drawn |= {"orthants": _orthants, "spectrum": _spectrum}
    figures = {}
    for name, draw in drawn.items():
        figure, caption = draw(results)
        figures[name] = (figure, f"{caption} {results.num_seeds} seeds.")
    return figures


def _cases(results: Results) -> list[tuple[str, str]]:
    activations = results.plan.activations
    return [(regime, a) for a in activations for regime in regimes(results.plan, a)]


def _titles(results: Results, rows: int) -> list[str]:
    titles = [f"{a}, {regime} labels" for regime, a in _cases(results)]
    return [*titles, *[""] * (len(titles) * (rows - 1))]


def _matched_loss(results: Results) -> tuple[Figure, str]:
    cases = _cases(results)
    figure, axes = panels(
        2,
        len(cases),
        titles=_titles(results, 2),
        sharex="col",
        sharey="row",
        xlabel="training loss (nat)",
    )
    for column, (regime, activation) in enumerate(cases):
        levels = np.geomspace(1.8, 0.5 * LEVELS[regime][-1], 25)
        for arm in (*ARMS, "large"):
            names = ("loss", "test_loss", "test_error")
            losses, *tested = (results.curves(name, regime, activation, arm) for name in names)
            if losses is None:
                continue
            appearance = look("neutral" if arm == "large" else arm)
            label = "raw, large start" if arm == "large" else None
            for row, values in enumerate(tested):
                matched = [at_level(losses, np.asarray(values), level) for level in levels]
                matched = np.stack(matched, axis=1)
                band(axes[row, column], levels, matched, appearance, label=label)
        for row, ticks in enumerate(((0.2, 0.5, 1.0, 2.0), (0.05, 0.1, 0.2, 0.5))):
            ax = axes[row, column]
            _logarithmic(ax, "x", (0.1, 0.2, 0.5, 1.0))
            _logarithmic(ax, "y", ticks)
            ax.set_xlim(levels[0], levels[-1])
    axes[0, 0].set_ylabel("test loss (nat)")
    axes[1, 0].set_ylabel("test error")
    key(figure)
    return figure, (
        "Test loss and test error where the training loss first comes down to a value, each arm "
        "at its own best rate; training goes to the right. Median and quartiles over seeds, drawn "
        "where at least half of the seeds arrive. Where raw and flipped agree they are one line. "
        "Noisy: part of the training labels drawn anew, test labels as they are. Large start: "
        f"initial kernels {LARGE_SCALE:g} times as large, at a rate of {LARGE_RATE:g} / lambda_max."
    )


def _logarithmic(ax: Axes, axis: str, ticks: Sequence[float]) -> None:
    """Make an axis logarithmic with ticks at these values only."""
    (ax.set_xscale if axis == "x" else ax.set_yscale)("log")
    shown = ax.xaxis if axis == "x" else ax.yaxis
    shown.set_major_locator(FixedLocator(ticks))
    shown.set_major_formatter(PLAIN)
    shown.set_minor_locator(NullLocator())


def _matched_steps(results: Results) -> tuple[Figure, str]:
    cases = _cases(results)
    figure, axes = panels(
        2,
        len(cases),
        titles=_titles(results, 2),
        sharex=True,
        sharey="row",
        xlabel="step (counted from 1)",
    )
    for column, (regime, activation) in enumerate(cases):
        for row, name in enumerate(("loss", "test_error")):
            ax = axes[row, column]
            for arm in ARMS:
                values = results.curves(name, regime, activation, arm)
                if values is not None:
                    band(ax, np.arange(1, values.shape[1] + 1), values.astype(float), arm)
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter(PLAIN)
        chance_line(axes[0, column], LEVELS[regime][-1], "target", at=0.0)
        axes[0, column].set_yscale("log")
        axes[0, column].yaxis.set_major_formatter(PLAIN)
    axes[0, 0].set_ylabel("training loss (nat)")
    axes[1, 0].set_ylabel("test error")
    key(figure)
    return figure, (
        "Training loss and test error against the number of steps, gradient descent with all "
        "examples, each arm at its own best rate; median and quartiles over seeds. Where raw and "
        "flipped agree they are one line. Dotted: the training loss that rates are chosen for, "
        "among those at which it does not rise by more than a quarter on the way."
    )


def _orthants(results: Results) -> tuple[Figure, str]:
    activations = results.plan.directions
    ends = np.array(prefixes(results.plan.config.direction_steps))
    columns = [(a, layer) for a in activations for layer in range(2)]
    titles = [f"{a}, layer {layer + 1}" for a, layer in columns]
    figure, axes = panels(
        2,
        len(columns),
        titles=[*titles, *[""] * len(titles)],
        sharex=True,
        sharey="row",
        xlabel="steps",
    )
    for column, (activation, layer) in enumerate(columns):
        for arm in ("raw", "centered"):
            path, steps, ranks = (
                results.directions(name, activation, arm, 1)[:, layer]
                for name in ("path_orthants", "step_orthants", "rank")
            )
            band(axes[0, column], ends, path, arm, label=arm)
            dotted = look(arm)._replace(dash=(1.0, 1.2), width=1.2)
            band(axes[0, column], ends, steps, dotted, label="updates" if arm == "raw" else "")
            thin = look(arm)._replace(width=2.6 if arm == "raw" else 1.2)
            band(axes[1, column], ends, ranks, thin, label="")
        shown = results.directions("rank_shown", activation, "raw", 1)[:, layer]
        theory_line(axes[1, column], ends, np.median(shown, axis=0), "inputs shown")
        for row in range(2):
            axes[row, column].set_xscale("log", base=2)
            axes[row, column].set_yscale("log", base=2)
            axes[row, column].xaxis.set_major_formatter(PLAIN)
            axes[row, column].yaxis.set_major_formatter(PLAIN)
    axes[0, 0].set_ylabel("orthants met by a unit")
    axes[1, 0].set_ylabel("dimensions spanned")
    key(figure)
    return figure, (
        "One example a step. Above: orthants around their start that a unit's weights have been "
        "in, and, dotted, that its updates have lain in. Below: dimensions spanned by a unit's "
        "updates, and by the inputs that the raw network's layer was shown; lines that agree "
        f"cover each other. Means over a layer's first {NUM_UNITS} units; median and quartiles "
        "over seeds."
    )


def _spectrum(results: Results) -> tuple[Figure, str]:
    activations = results.plan.directions
    batch = results.plan.config.batch_size
    columns = [(a, layer) for a in activations for layer in range(2)]
    titles = [f"{a}, layer {layer + 1}" for a, layer in columns]
    figure, axes = panels(
        2,
        len(columns),
        titles=[*titles, *[""] * len(titles)],
        sharex=True,
        sharey="row",
        xlabel="eigenvalue",
    )
    for column, (activation, layer) in enumerate(columns):
        for row, examples in enumerate((1, batch)):
            ax = axes[row, column]
            for arm in ARMS:
                shares = results.directions("spectrum", activation, arm, examples)[:, layer]
                band(ax, np.arange(1, shares.shape[1] + 1), shares, arm)
            if layer == 0:
                for arm in ("raw", "centered"):
                    shares = results.input_spectrum(arm)
                    shown = shares[:NUM_EIGENVALUES]
                    theory_line(ax, np.arange(1, len(shown) + 1), shown, "training inputs")
            ax.set_xscale("log", base=2)
            ax.set_yscale("log")
            ax.set_ylim(1e-4, 1.3)
            ax.xaxis.set_major_formatter(PLAIN)
    axes[0, 0].set_ylabel("share, single examples")
    axes[1, 0].set_ylabel(f"share, batches of {batch}")
    key(figure)
    return figure, (
        "Eigenvalues of sum_t u_t u_t^T, u_t the updates of one unit's weights, as shares of their "
        f"sum, largest first; means over a layer's first {NUM_UNITS} units, median and quartiles "
        "over seeds. Dashed: the same of the training inputs, as they are and centered, which "
        "single examples would give if deltas did not depend on inputs."
    )
