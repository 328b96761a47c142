"""The figures on natural gradients, each drawn from the record on disk."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments._intervals import interval_of_mean
from experiments._natural_gradient.claims.common import COORDINATES, LADDER, RACE, SAME, UNITS
from experiments._natural_gradient.claims.damping import damping_gaps
from experiments._natural_gradient.plan import DAMPINGS, FRAME_DAMPINGS, PAIRS
from experiments._natural_gradient.results import Results
from signdyn.report.figures import band, chance_line, key, panels, strip
from signdyn.report.style import Look, look

SIGMOID = Look("sigmoid for tanh", "#8a5a00", (4.0, 1.5), "P")

LOOKS = {"centered": look("centered"), "sigmoid": SIGMOID, "input": look("input")}

FLOOR = 1e-17
"""Where a difference of exactly zero is drawn on a logarithmic axis."""


def draw_figures(results: Results) -> Mapping[str, tuple[Figure, str]]:
    """Return name -> (figure, caption), in the order of the page."""
    drawn = {COORDINATES: _coordinates, LADDER: _ladder, RACE: _race, UNITS: _units}
    figures = {}
    for name, draw in drawn.items():
        figure, caption = draw(results)
        figures[name] = (figure, f"{caption} {results.num_seeds} seeds.")
    return figures


def _coordinates(results: Results) -> tuple[Figure, str]:
    shown = {
        "gradient\ndescent": ("sgd", PAIRS),
        "diagonal\nFisher": ("natural_diagonal", PAIRS),
        "K-FAC": ("natural_kfac", PAIRS),
        "unit\nblocks": ("natural_unit", PAIRS),
        "full\nFisher": ("natural", PAIRS),
    }
    figure, axes = panels(1, 1, height=2.8)
    ax = axes[0, 0]
    for place, (optimizer, arms) in enumerate(shown.values()):
        for arm in arms:
            sideways = {"centered": -0.15, "sigmoid": 0.15}[arm]
            gaps = np.maximum(results.gap(optimizer, arm), FLOOR)[None]
            strip(ax, np.array([place + sideways]), gaps, LOOKS[arm], spread=0.1)
    _logarithmic(ax)
    ax.set_xticks(range(len(shown)), list(shown))
    ax.set_ylabel("output difference\n(share of the way moved)")
    chance_line(ax, SAME, "counted as the same below", at=0.0)
    key(figure)
    return figure, (
        "How far the outputs of two networks that start as one function come apart: largest "
        "difference to the raw network with tanh units over eight steps, over the largest "
        "movement of that network. Centered: inputs and hidden units, by constants. No damping, "
        "float64; points are seeds."
    )


def _ladder(results: Results) -> tuple[Figure, str]:
    figure, axes = panels(1, 2, titles=["inputs and units centered", "sigmoid for tanh"])
    positions, none = np.array(DAMPINGS[1:]), DAMPINGS[1] / 30.0
    for ax, arm in zip(axes[0], PAIRS, strict=True):
        gaps = np.maximum(damping_gaps(results, arm), FLOOR)
        told = "in own coordinates" if arm == PAIRS[0] else ""
        band(ax, positions, gaps[1:].T, LOOKS[arm], label=told)
        strip(ax, np.array([none]), gaps[:1], LOOKS[arm], label="", spread=0.4 * none)
        restored = np.stack(
            [results.gap("natural", arm, damping, frame="raw") for damping in FRAME_DAMPINGS]
        )
        strip(
            ax,
            np.array(FRAME_DAMPINGS),
            np.maximum(restored, FLOOR),
            "natural_gradient",
            label="in raw's coordinates",
            spread=0.0,
        )
        plain = float(np.median(results.gap("sgd", arm)))
        chance_line(ax, plain, "gradient descent", at=0.0)
        ax.set_xscale("log")
        _logarithmic(ax)
        ax.set_xticks([none, 1e-6, 1e-4, 1e-2, 1.0], ["0", "1e-6", "1e-4", "1e-2", "1"])
        ax.minorticks_off()
        ax.set_xlabel("damping (units of the Fisher)")
    axes[0, 0].set_ylabel("output difference\n(share of the way moved)")
    key(figure)
    return figure, (
        "The same difference against the damping of natural gradient. Line: the damping is a "
        "multiple of the identity in each network's own coordinates, median and quartiles over "
        "seeds; leftmost, without damping, every seed. Diamonds: it is one in the raw network's "
        "coordinates for both networks. Dotted: gradient descent, median."
    )


def _race(results: Results) -> tuple[Figure, str]:
    figure, axes = panels(1, 2, sharex=False, sharey=False, height=2.6)
    shown = (
        ("sgd", "raw", look("raw"), "gradient, raw"),
        ("sgd", "centered", look("centered"), "gradient, centered"),
        ("natural", "raw", look("natural_gradient"), "natural, raw"),
        ("natural_kfac", "raw", look("neutral"), "K-FAC, raw"),
    )
    for place, (optimizer, arm, appearance, label) in enumerate(shown):
        losses = results.losses_at_best(optimizer, arm)
        if losses.size:
            steps = np.arange(1, losses.shape[1] + 1)
            band(axes[0, 0], steps, losses.astype(float), appearance, label=label)
        turns = results.at_best(optimizer, arm, "reversal_fraction")
        strip(
            axes[0, 1],
            np.array([place]),
            turns[None],
            appearance,
            intervals=interval_of_mean(turns)[None],
            label="",
        )
    chance_line(axes[0, 0], results.target_loss, "target", at=0.0)
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_yscale("log")
    axes[0, 0].set_xlabel("step (counted from 1)")
    axes[0, 0].set_ylabel("training loss (nat)")
    axes[0, 1].set_ylabel("turns that go back")
    axes[0, 1].set_ylim(-0.03, 1.03)
    axes[0, 1].set_xticks(range(len(shown)), [label.replace(", ", "\n") for *_, label in shown])
    key(figure)
    return figure, (
        "Even against odd digits, every method at its own best rate. Left: training loss, median "
        "and quartiles over seeds. Right: share of turns with negative cosine until the target; "
        "points are seeds, bars 95% intervals of the mean."
    )


def _units(results: Results) -> tuple[Figure, str]:
    figure, axes = panels(1, 1, height=2.5)
    ax = axes[0, 0]
    shown = {
        "raw inputs": ("bias_factor", look("raw")),
        "centered by\nplain mean": ("plain_bias_factor", look("input")),
        "centered by\nweighted mean": ("weighted_bias_factor", look("centered")),
    }
    for place, (name, appearance) in enumerate(shown.values()):
        values = np.maximum(results.start(name).max(axis=1), FLOOR)[None]
        strip(ax, np.array([place]), values, appearance, label="")
    _logarithmic(ax)
    ax.set_xticks(range(len(shown)), list(shown))
    ax.set_ylabel("largest |k - 1| over units")
    return figure, (
        "The factor k by which a unit's natural gradient corrects its bias's step (theorem 2 of "
        "the paper on exponential linear units), away from 1; weighted: by the squared delta, as "
        "the Fisher weights examples. Digits, before the first step; points are seeds."
    )


def _logarithmic(ax: Axes) -> None:
    ax.set_yscale("log")
    ax.set_ylim(FLOOR / 3, 10.0 * max(1.0, float(ax.dataLim.ymax)))
