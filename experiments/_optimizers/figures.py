"""The figures on optimizers, each drawn from the record on disk."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments._intervals import interval_of_mean
from experiments._optimizers.claims.common import CENTRALIZATION, GAINS, RATES, TURNS
from experiments._optimizers.claims.gains import gain
from experiments._optimizers.plan import CENTRAL, MAIN, OPTIMIZERS, Course
from experiments._optimizers.results import Results
from signdyn.report.figures import band, chance_line, key, panels, strip
from signdyn.stats import ratio_interval

ARMS = ("raw", "flipped", "centered")

PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
"""Powers of two as the numbers they are."""

TICKS = ("plain", "\nmomentum", "Adam", "\nsign descent")
"""Of `OPTIMIZERS`, on two lines: four beside each other would touch."""


def draw_figures(results: Results) -> Mapping[str, tuple[Figure, str]]:
    """Return name -> (figure, caption), in the order of the page."""
    drawn = {
        RATES: _rates,
        GAINS: _gains,
        TURNS: _turns,
        CENTRALIZATION: _centralization,
    }
    figures = {}
    for name, draw in drawn.items():
        figure, caption = draw(results)
        figures[name] = (figure, f"{caption} {results.num_seeds} seeds.")
    return figures


def _rates(results: Results) -> tuple[Figure, str]:
    figure, axes = panels(1, 4, titles=[tick.strip() for tick in TICKS], sharex=False, height=2.4)
    for ax, optimizer in zip(axes[0], OPTIMIZERS, strict=True):
        for arm in ARMS:
            descents = results.climb(Course(MAIN, optimizer), arm)
            # as for the best rate, a seed that does not arrive needs infinitely many
            steps = np.where(np.isnan(descents.steps), np.inf, descents.steps)
            band(ax, descents.rates, steps.T, arm)
            ax.set_xlim(descents.rates[0] / 1.3, 1.3 * descents.rates[-1])
        _in_octaves(ax, rates=True)
        _in_octaves(ax)
        ax.set_xlabel("learning rate")
    axes[0, 0].set_ylabel("steps to target")
    key(figure)
    return figure, (
        f"Steps to the target loss against the learning rate, {MAIN} network, full batch; median "
        "and quartiles over seeds, of which one that does not arrive counts as infinitely slow. "
        "The axes span the rates that were tried; those at which more than a quarter of the seeds "
        "do not arrive are left out. Raw and flipped are one line where they agree."
    )


def _gains(results: Results) -> tuple[Figure, str]:
    figure, axes = panels(1, 2, sharex=False, sharey=False, height=2.5)
    places = np.arange(len(OPTIMIZERS))
    for offset, arm in ((-0.18, "raw"), (0.18, "centered")):
        steps = np.stack([results.at_best("steps", Course(MAIN, name), arm) for name in OPTIMIZERS])
        intervals = np.stack([interval_of_mean(row) for row in steps])
        strip(axes[0, 0], places + offset, steps, arm, intervals=intervals, spread=0.1)
    gains = np.stack([gain(results, Course(MAIN, name)) for name in OPTIMIZERS])
    strip(axes[0, 1], places, gains, intervals=_of_ratios(gains), label="", spread=0.15)
    chance_line(axes[0, 1], 1.0, "no gain", at=0.0)
    for ax in axes[0]:
        ax.set_xticks(places, list(TICKS))
        _in_octaves(ax)
    axes[0, 0].set_ylabel("steps to target")
    axes[0, 1].set_ylabel("steps, raw / centered")
    key(figure)
    return figure, (
        f"Left: steps to the target loss, {MAIN} network, full batch, each optimizer and arm at "
        "its own best rate; bars are 95% intervals of the mean. Right: the gain from centering; "
        "bars are 95% intervals of the geometric mean. Points are seeds."
    )


def _turns(results: Results) -> tuple[Figure, str]:
    shown = (
        ("reversal_fraction", "updates that turn back"),
        ("gradient_reversals", "gradients that turn back"),
        ("along_mean", "update along the mean"),
    )
    figure, axes = panels(1, 3, titles=[text for _, text in shown], sharex=False, height=2.5)
    places = np.arange(len(OPTIMIZERS))
    for ax, (name, _) in zip(axes[0], shown, strict=True):
        arms = ((0.0, "raw"),) if name == "along_mean" else ((-0.18, "raw"), (0.18, "centered"))
        for offset, arm in arms:
            values = np.stack([results.at_best(name, Course(MAIN, one), arm) for one in OPTIMIZERS])
            intervals = np.stack([interval_of_mean(row) for row in values])
            strip(ax, places + offset, values, arm, intervals=intervals, spread=0.1)
        ax.set_xticks(places, list(TICKS))
        ax.set_ylim(-0.03, 1.03)
    chance_line(axes[0, 2], 1.0 / results.fan_in, "any direction", at=0.98)
    axes[0, 0].set_ylabel("share")
    key(figure)
    return figure, (
        f"On the way to the target, {MAIN} network, each optimizer and arm at its own best rate. "
        "Left and middle: share of successive updates, and of the batch gradients along the path, "
        "with negative cosine. Right: share of the energy of the first layer's kernel update that "
        "lies along the mean of its inputs, mean over steps; the dotted line is 1 / fan_in. Points "
        "are seeds, bars 95% intervals of the mean."
    )


def _centralization(results: Results) -> tuple[Figure, str]:
    titles = [text for name in results.central for text in (name, "")]
    figure, axes = panels(
        len(results.central), 2, titles=titles, sharex=False, sharey="col", height=2.2
    )
    for row, activation in enumerate(results.central):
        for ax, name, arms in zip(
            axes[row], ("steps", "along_mean"), (ARMS, ARMS[:2]), strict=True
        ):
            for offset, arm in zip((-0.25, 0.0, 0.25), arms, strict=False):
                courses = (Course(activation, one) for one in ("sgd", CENTRAL))
                values = np.stack([results.at_best(name, course, arm) for course in courses])
                intervals = np.stack([interval_of_mean(line) for line in values])
                strip(ax, np.arange(2) + offset, values, arm, intervals=intervals)
            ax.set_xticks(range(2), ["plain", "centralized"])
        _in_octaves(axes[row, 0])
        axes[row, 0].set_ylabel("steps to target")
        axes[row, 1].set_ylabel("update along the mean")
        axes[row, 1].set_ylim(-0.03, 1.03)
    key(figure)
    return figure, (
        "Gradient centralization, which removes each unit's mean gradient, on three networks that "
        "start as one function; full batch, best rates. Left: steps to the target loss. Right: "
        "share of the energy of the first layer's kernel update along the mean of its inputs, mean "
        "over steps. Points are seeds, bars 95% intervals of the mean."
    )


def _of_ratios(ratios: np.ndarray) -> np.ndarray:
    """Return [row, 3] low, estimate and high of the geometric mean of [row, seed] ratios."""
    rows = [ratio_interval(row, np.ones_like(row), seed=0) for row in ratios]
    return np.array([(row.low, row.estimate, row.high) for row in rows])


def _in_octaves(ax: Axes, *, rates: bool = False) -> None:
    """Make the vertical axis logarithmic, or the horizontal one of learning rates."""
    bounds = np.asarray(ax.dataLim.intervalx if rates else ax.dataLim.intervaly)
    if not (np.isfinite(bounds).all() and bounds.max() > 0):
        return  # nothing drawn: a logarithmic axis of no data cannot be
    if rates:
        ax.set_xscale("log", base=2)
    else:
        ax.set_yscale("log", base=2)
        ax.yaxis.set_major_formatter(PLAIN)
