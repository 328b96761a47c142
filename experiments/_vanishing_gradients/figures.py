"""The figures on vanishing gradients, each drawn from the record on disk."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from experiments._fisher_spectrum.activation import NAMES
from experiments._intervals import interval_of_mean
from experiments._vanishing_gradients.claims.common import DEPTH, FACTORIAL, PROFILE, UNITS
from experiments._vanishing_gradients.claims.quantities import (
    best_steps,
    deepest,
    first_and_last,
    lambda_ratio,
    predicted_fall,
    steps_ratio,
    trained,
)
from experiments._vanishing_gradients.results import Results
from experiments._vanishing_gradients.start import FALLING
from signdyn.report.figures import band, chance_line, key, panels, strip
from signdyn.report.style import Look, look

ACTIVATION_LOOKS = {
    "relu": Look("ReLU", "#9c2f2f", (), "o"),
    "tanh": Look("tanh", "#5b8fb9", (1.0, 1.2), "D"),
    "sigmoid": Look("sigmoid", "#1f4d3a", (5.0, 1.5), "^"),
}

RAW = look("raw")
OVER_RAW = look("centered")._replace(dash=(3.5, 2.5), width=1.2)
"""A thin dark dash, since it may cover raw's line exactly."""


def draw_figures(results: Results) -> Mapping[str, tuple[Figure, str]]:
    """Return name -> (figure, caption), in the order of the page."""
    drawn = {PROFILE: _profile, FACTORIAL: _factorial, DEPTH: _depth}
    figures = {}
    for name, draw in drawn.items():
        figure, caption = draw(results)
        figures[name] = (figure, f"{caption} {results.num_seeds} seeds.")
    return figures


def _profile(results: Results) -> tuple[Figure, str]:
    depth = deepest(results)
    titles = [f"{UNITS[name]} units" for name in NAMES] + [""] * len(NAMES)
    figure, axes = panels(
        2, len(NAMES), titles=titles, sharey="row", sharex="row", height=2.0, xlabel="layer"
    )
    layers = np.arange(1, depth + 1)
    for column, name in enumerate(NAMES):
        ax = axes[0, column]
        raw, centered = (results.start("delta_rms", name, depth, a) for a in ("raw", "centered"))
        band(ax, layers, raw, RAW)
        band(ax, layers, centered, OVER_RAW)
        last = np.exp(np.log(raw[:, -1]).mean())
        predicted = last * predicted_fall(name) ** (depth - layers)
        # rings: a third line would hide the two that agree
        rings = {"marker": "o", "markersize": 6.0, "markerfacecolor": "none"}
        ax.plot(
            layers, predicted, color="black", linestyle="none", label="mean-field theory", **rings
        )
        ax.set_yscale("log")
        ax.yaxis.set_minor_formatter(NullFormatter())
        ax = axes[1, column]
        reads = np.arange(1, depth + 2)
        band(ax, reads, results.start("mean_energy", name, depth, "raw"), RAW)
        band(ax, reads, results.start("mean_energy", name, depth, "centered"), OVER_RAW)
        ax.set_ylim(-0.04, 1.04)
        for ax in axes[:, column]:
            ax.set_xticks(range(1, depth + 2, max(1, depth // 4)))
    axes[0, 0].set_ylabel("rms delta (nat)")
    axes[1, 0].set_ylabel("mean's share of inputs")
    key(figure)
    return figure, (
        f"Networks of {depth} hidden layers before the first step, raw and with hidden units "
        "centered, the same functions. Above: root mean square delta, d nll / d pre-activation, by "
        "hidden layer; rings: mean-field theory through the last layer. Below: |E h|^2 / E|h|^2 "
        "of what a layer reads; the readout is last. Where raw and centered agree they are one "
        "line. Median and quartiles over seeds."
    )


def _factorial(results: Results) -> tuple[Figure, str]:
    depth = trained(results)
    slopes = ("level", "falling")
    titles = [f"{UNITS[name]} units" for name in NAMES]
    figure, axes = panels(
        1, len(NAMES), titles=titles, sharey=True, height=2.5, xlabel="deltas over layers"
    )
    for ax, name in zip(axes[0], NAMES, strict=True):
        for offset, arm in ((-0.18, "raw"), (0.18, "centered")):
            steps = np.stack([best_steps(results, name, arm, kind) for kind in slopes])
            intervals = np.exp2(np.stack([interval_of_mean(row) for row in np.log2(steps)]))
            strip(ax, np.arange(2) + offset, steps, arm, intervals=intervals, spread=0.1)
        _octaves(ax)
        ax.set_xticks(range(2), slopes)
        ax.set_xlim(-0.5, 1.5)
    axes[0, 0].set_ylabel("steps to target")
    key(figure)
    return figure, (
        f"Steps to the target loss of networks with {depth} hidden layers, each arm at its own "
        "best rate. Every network of a panel starts as the same function: slopes are chosen such "
        f"that deltas are of one size in all layers (level) or fall by {FALLING:g} a layer "
        "(falling), and the means of hidden units are there (raw) or subtracted (centered). Points "
        "are seeds, bars 95% intervals of the geometric mean."
    )


def _depth(results: Results) -> tuple[Figure, str]:
    titles = ["deltas", "largest eigenvalue", "steps"]
    figure, axes = panels(
        1, 3, titles=titles, sharex=True, sharey=False, height=2.5, xlabel="hidden layers"
    )
    for place, (name, appearance) in enumerate(ACTIVATION_LOOKS.items()):
        shift = 2.0 ** (0.12 * (place - 1))
        measured = [np.divide(*first_and_last(results, name, d)) for d in results.depths]
        _line(axes[0, 0], results.depths, measured, appearance, shift)
        ratios = [lambda_ratio(results, name, d) for d in results.depths]
        _line(axes[0, 1], results.depths, ratios, appearance, shift)
        pairs = [steps_ratio(results, name, "own", d) for d in results.trained_depths]
        steps = [raw / centered for raw, centered in pairs]
        _line(axes[0, 2], results.trained_depths, steps, appearance, shift)
    axes[0, 0].set_ylabel("first / last layer, raw")
    axes[0, 0].set_yscale("log")
    for ax in axes[0, 1:]:
        ax.set_ylabel("raw / centered")
        _octaves(ax)
        ax.set_yticks([1, 1.5, 2, 3, 4, 6])
    for ax in axes[0]:
        chance_line(ax, 1.0, "")
        ax.set_xscale("log", base=2)
        ax.set_xticks(results.depths, [str(depth) for depth in results.depths])
        ax.minorticks_off()
    key(figure)
    return figure, (
        "By depth: root mean square delta of the first hidden layer over the last one's, raw; "
        "lambda_max of the Fisher, raw / centered, both before the first step; steps to the target "
        "loss, raw / centered, each at its own best rate. Dotted: 1. Geometric means over seeds "
        "and their 95% intervals; marks are moved sideways to be told apart."
    )


def _line(ax: Axes, depths: list[int], ratios: list, appearance: Look, shift: float) -> None:
    intervals = np.exp2(np.stack([interval_of_mean(np.log2(values)) for values in ratios]))
    places = shift * np.array(depths, np.float64)
    (line,) = ax.plot(places, intervals[:, 1], color=appearance.color, linewidth=1.0)
    if appearance.dash:
        line.set_dashes(appearance.dash)
    strip(
        ax,
        places,
        np.full((len(places), 1), np.nan),
        appearance,
        intervals=intervals,
    )


def _octaves(ax: Axes) -> None:
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
