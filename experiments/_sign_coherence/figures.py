"""The four pictures: batches, training, convolutions, and what "all gradients" range over."""

import itertools
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from experiments._intervals import interval_of_mean
from experiments._sign_coherence.claims.common import (
    ALL,
    BATCH,
    CONVOLUTION,
    MINIBATCH,
    POSITIVE,
    SCOPES,
    TRAINING,
)
from experiments._sign_coherence.plan import TRAINED_ARMS
from experiments._sign_coherence.results import Results, predicted_agreement
from experiments._sign_coherence.training import ACTIVATIONS as TRAINED
from signdyn.report.figures import band, chance_line, key, panels, strip, theory_line
from signdyn.report.style import Look, current_style, drawing, look

Drawn = tuple[Figure, str]

LOOKS: Mapping[str, Look] = {
    "sigmoid": Look("sigmoid", "#004f8a", (), "s", 2.0),
    "uniform": Look("uniform in [0, 1]", "#117a5a", (1.0, 1.2), "D"),
    "relu": Look("relu", "#d55e00", (6.0, 1.5), "o"),
    "softplus": Look("softplus", "#8a5a00", (4.0, 1.5), "P"),
    "normal": Look("mean zero", "#666666", (2.0, 1.2), "v", 1.2),
}
"""Features, and activations, where they are told apart."""

TRAINED_LOOKS: Mapping[str, Look] = {
    "full": Look("small steps", "#004f8a", (), "s", 2.0),
    "mini": Look("minibatches", "#d55e00", (6.0, 1.5), "o"),
    "large": Look("large steps", "#117a5a", (1.0, 1.2), "D"),
}

PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
"""Powers of two as the numbers they are."""

SHOWN_LAYER = 1
"""The first layer that reads hidden units."""


def draw_figures(results: Results) -> Mapping[str, Drawn]:
    """Return name -> (figure, caption), in the order of the page."""
    drawn = {
        BATCH: _batch_size,
        TRAINING: _training,
        CONVOLUTION: _convolution,
        SCOPES: _scopes,
    }
    figures = {}
    for name, draw in drawn.items():
        with drawing():
            figure, caption = draw(results)
        figures[name] = (figure, f"{caption} {results.num_seeds} seeds.")
    return figures


def _batch_size(results: Results) -> Drawn:
    figure, axes = panels(
        1,
        3,
        height=2.6,
        titles=["drawn features and deltas", "relu network, layer 2", "sigmoid network, layer 2"],
        xlabel="examples in the batch",
    )
    sizes, ends = results.sizes, np.array([results.sizes[0], results.sizes[-1]])
    left = axes[0, 0]
    for name in ("sigmoid", "uniform", "relu", "normal"):
        band(left, sizes, results.features("agreement", name), LOOKS[name], label="")
        level = predicted_agreement(name)
        theory_line(left, ends, np.full(2, level), "closed form")
        _name_line(left, ends[-1], level, LOOKS[name].label, below=name == "uniform")
    for ax, name in zip(axes[0, 1:], TRAINED, strict=True):
        shown = {
            "own deltas": ("agreement", "raw", look("raw")),
            "drawn deltas": ("random_agreement", "raw", look("neutral")),
            "own, signs flipped": ("agreement", "flipped", look("flipped")),
        }
        for label, (kind, arm, appearance) in shown.items():
            values = results.start(kind, name, arm)[:, SHOWN_LAYER]
            band(ax, sizes, values, appearance, label=label)
        level = np.median(results.start("plateau", name)[:, SHOWN_LAYER])
        theory_line(ax, ends, np.full(2, level), "closed form")
    for ax in axes.flat:
        _in_octaves(ax)
        ax.set_ylim(0.45, 1.02)
    left.set_ylabel("pairs of weights that agree")
    key(figure)
    return figure, (
        "How often two weights into a unit have gradients of one sign, summed over a batch. Left: "
        "inputs are functions of independent normal numbers, or uniform ones, and deltas N(0, 1). "
        f"Middle and right: {results.data_name} before the first step, the first layer that reads "
        "hidden units, with the network's own deltas, with deltas N(0, 1), and with random signs "
        "of inputs and hidden units flipped. Dashed: 1/2 + asin(c)/pi with the uncentered cosine "
        f"c, of {results.data_name} "
        "its mean over pairs, median of seeds. Median and middle half of the seeds."
    )


def _training(results: Results) -> Drawn:
    layers = results.training("agreement", TRAINED[0]).shape[2]
    titles = [f"{name}, layer {layer + 1}" for name in TRAINED for layer in range(layers)]
    figure, axes = panels(2, layers, height=1.9, titles=titles, xlabel="step (counted from 1)")
    steps = results.steps + 1
    for row, name in enumerate(TRAINED):
        for arm, appearance in TRAINED_LOOKS.items():
            agreement = results.training("agreement", name, arm)
            attributed = results.training("attributed", name, arm)
            for layer in range(layers):
                ax = axes[row, layer]
                band(ax, steps, agreement[:, :, layer, ALL], appearance)
                level = np.median(attributed[:, :, layer, ALL], axis=0)
                theory_line(ax, steps, level, "by the mean's part")
        small = results.training("agreement", name)[..., MINIBATCH]
        for layer in range(layers):
            band(axes[row, layer], steps, small[:, :, layer], look("neutral"), label="")
        axes[row, 0].set_ylabel("pairs that agree")
    for ax in axes.flat:
        _in_octaves(ax, every=3)
        ax.set_ylim(0.45, 1.02)
        chance_line(ax, 0.5, "")
    key(figure)
    return figure, (
        "How often two weights into a unit have gradients of one sign, in training on "
        f"{results.data_name}. "
        "Gradients of all examples together, of networks trained from the same start by small "
        f"full-batch steps, at the same rate by minibatches of {results.batch_size}, and by "
        f"full-batch steps {TRAINED_ARMS['large'][0]:g} times as large. Grey, dashed: gradients of "
        "minibatches, after small full-batch steps. Black, dashed: what the mean's part of the "
        "gradient of all examples alone would make of it, if the rest were noise, median. Dotted: "
        "1/2. Median and middle half of the seeds."
    )


def _convolution(results: Results) -> Drawn:
    figure, axes = panels(
        1,
        2,
        height=2.6,
        titles=["all weights of a unit", "two weights of a unit"],
        xlabel="positions summed over",
        sharey=False,
    )
    positions = results.positions
    looks = (look("raw"), look("centered"))
    unanimity, agreement = (results.convolution(name) for name in ("unanimity", "agreement"))
    drawn, plateau = (results.convolution(name) for name in ("random_agreement", "plateau"))
    for place, appearance in enumerate(looks):
        label = f"convolution {place + 1}"
        band(axes[0, 0], positions, unanimity[:, 0, place], appearance, label=label)
        band(axes[0, 1], positions, agreement[:, 0, place], appearance, label=label)
        told = "drawn deltas"
        band(axes[0, 1], positions, drawn[:, 0, place], look("neutral"), label=told)
        level = np.full(2, np.median(plateau[:, 0, place]))
        theory_line(axes[0, 1], positions[[0, -1]], level, "closed form")
    dense = np.tile(results.convolution("readout_unanimity")[:, :1], (1, len(positions)))
    band(axes[0, 0], positions, dense, look("natural_gradient"), label="dense layer behind them")
    axes[0, 0].set_ylabel("units of one sign")
    axes[0, 0].set_ylim(0.0, 1.03)
    axes[0, 1].set_ylabel("pairs of weights that agree")
    axes[0, 1].set_ylim(0.45, 1.02)
    for ax in axes.flat:
        _in_octaves(ax)
    chance_line(axes[0, 1], 0.5, at=0.0)
    key(figure)
    return figure, (
        "Gradients of a convolutional ReLU network on one example, before the first step, with the "
        "deltas at so many positions, drawn at random, and zero at the others. Left: share of "
        "units all of whose gradients have one sign. Right: how often two weights into a unit "
        "have gradients of one sign; grey, with deltas N(0, 1); dashed, 1/2 + asin(c)/pi with the "
        "uncentered cosine c of two entries of the patches, mean over pairs and examples, median "
        "of seeds. Median and middle half of the seeds."
    )


def _scopes(results: Results) -> Drawn:
    figure, axes = panels(
        1,
        2,
        height=2.7,
        titles=["one example's gradients", "deltas"],
        sharex=False,
        sharey=False,
    )
    _draw_coherence(axes[0, 0], results)
    _draw_deltas(axes[0, 1], results)
    key(figure)
    return figure, (
        "Before the first step. Left: |sum of signs| / number of signs of all gradients on one "
        "example that belong to a unit, to the first hidden layer's matrix, and to the network; "
        "dotted, what a matrix would have if each unit tossed a coin for all its weights, mean. "
        "Right: share of hidden deltas that are positive; in a network with one output, of those "
        "that have the sign of their example's residual, with weights as drawn and at their "
        "absolute values; and of residuals that are positive in the latter. Mean over layers; "
        "points are seeds, bars 95% intervals of the mean."
    )


def _draw_coherence(ax: Axes, results: Results) -> None:
    for place, name in enumerate(POSITIVE):
        rows = np.stack(
            [
                results.start("unit_unanimity", name).mean(axis=1),
                results.start("layer_coherence", name)[:, 0],
                results.start("network_coherence", name),
            ]
        )
        _strips(ax, rows, 0.24 * (place - 1), LOOKS[name])
    chance = [results.start("layer_chance", name)[:, 0].mean() for name in POSITIVE]
    chance_line(ax, float(np.mean(chance)), "coins", at=0.0)
    ax.set_xticks(range(3), ["unit", "layer", "network"])
    ax.set_ylabel("sign coherence")
    ax.set_ylim(0.0, 1.05)


def _draw_deltas(ax: Axes, results: Results) -> None:
    for place, name in enumerate(POSITIVE):
        tied = results.start("tied", name)
        rows = np.stack(
            [
                results.start("positive_deltas", name)[:, :-1].mean(axis=1),
                tied[:, 0].mean(axis=1),
                tied[:, 1].mean(axis=1),
                results.start("positive_residuals", name)[:, 1],
            ]
        )
        _strips(ax, rows, 0.24 * (place - 1), LOOKS[name])
    labels = ["positive", "as residual,\nas drawn", "as residual,\nweights > 0", "residual\n> 0"]
    ax.set_xticks(range(4), labels)
    chance_line(ax, 0.5, "", at=0.0)
    ax.set_ylabel("share")
    ax.set_ylim(0.0, 1.05)


def _strips(ax: Axes, rows: np.ndarray, sideways: float, appearance: Look) -> None:
    positions = np.arange(len(rows)) + sideways
    intervals = np.stack([interval_of_mean(row) for row in rows])
    strip(ax, positions, rows, appearance, intervals=intervals, spread=0.08)


def _name_line(ax: Axes, x: float, y: float, name: str, *, below: bool) -> None:
    ax.annotate(
        name,
        (x, y),
        xytext=(0, -3 if below else 2),
        textcoords="offset points",
        ha="right",
        va="top" if below else "bottom",
        fontsize=0.85 * current_style().font_size,
    )


def _in_octaves(ax: Axes, every: int = 2) -> None:
    ax.set_xscale("log", base=2)
    low, high = ax.dataLim.intervalx
    powers = itertools.takewhile(lambda power: power <= high, (2**k for k in range(64)))
    ax.xaxis.set_major_locator(FixedLocator([power for power in powers if power >= low][::every]))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(PLAIN)
