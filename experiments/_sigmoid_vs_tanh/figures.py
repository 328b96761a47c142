"""The figures on sigmoid and tanh, each drawn from the record on disk."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from experiments._sigmoid_vs_tanh.claims.common import LABELS, PATHWAY, PLAYGROUND, RATES
from experiments._sigmoid_vs_tanh.claims.lead import lead
from experiments._sigmoid_vs_tanh.plan import CHANGES, PATH
from experiments._sigmoid_vs_tanh.results import Results
from signdyn.report.figures import band, chance_line, key, panels, strip
from signdyn.report.style import Look, look
from signdyn.stats import ratio_interval

LOOKS: Mapping[str, Look] = {
    "tanh": look("centered")._replace(label="tanh"),
    "drawn": look("raw")._replace(label="sigmoid as drawn"),
    "sigmoid": Look("sigmoid", "#e0a030", (4.0, 1.5), "P"),
    "shifted": Look("sigmoid - 1/2", "#117a5a", (6.0, 1.5, 1.0, 1.5), "D"),
    "doubled": Look("2 sigmoid - 1", "#2f8cc4", (1.0, 1.2), "^"),
}

LABELS_01 = look("input")._replace(label="labels 0, 1")

DATASET_LOOKS: Sequence[Look] = (
    Look("", "#004f8a", (), "s"),
    Look("", "#d55e00", (), "o"),
    Look("", "#117a5a", (), "D"),
    Look("", "#8a5a00", (), "P"),
)

PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
"""Powers of two as the numbers they are."""


def draw_figures(results: Results) -> Mapping[str, tuple[Figure, str]]:
    """Return name -> (figure, caption), in the order of the page."""
    drawn: dict[str, Callable[[Results], tuple[Figure, str]]] = {
        PLAYGROUND: _playground,
        PATHWAY: _path,
        RATES: _rates,
        LABELS: _labels,
    }
    figures = {}
    for name, draw in drawn.items():
        figure, caption = draw(results)
        figures[name] = (figure, f"{caption} {results.num_seeds} seeds.")
    return figures


def _playground(results: Results) -> tuple[Figure, str]:
    names = results.datasets
    figure, axes = panels(1, len(names), titles=names, height=2.4, sharex=True)
    for ax, name in zip(axes[0], names, strict=True):
        for arm in ("tanh", "sigmoid", "drawn"):
            _curve(ax, results, name, arm, LOOKS[arm])
        if results.plan.other:
            _curve(ax, results, name, results.plan.other, look("neutral"), results.plan.other)
        _losses(ax, results)
    axes[0, 0].set_ylabel("training loss (nat)")
    key(figure)
    rate = results.plan.setting.learning_rate
    return figure, (
        f"The playground's own setting, learning rate {rate:g}: training loss against steps; "
        "median and quartiles over seeds. Descents end at a fifth of the target and are drawn on "
        "from there. Sigmoid as drawn has the same weights and biases as tanh, sigmoid those that "
        "give the same function."
    )


def _path(results: Results) -> tuple[Figure, str]:
    rate = results.plan.setting.learning_rate
    figure, axes = panels(
        1, 2, titles=[f"at the rate {rate:g}", "each at its best rate"], height=2.6, sharey=True
    )
    changes = (*CHANGES, "all")
    places = np.arange(len(changes))
    width = 0.8 / len(results.datasets)
    for ax, best in zip(axes[0], (False, True), strict=True):
        for index, name in enumerate(results.datasets):
            if best and name not in results.raced:
                continue
            sideways = width * (index - (len(results.datasets) - 1) / 2)
            factors = [results.factor(change, name, best=best) for change in changes]
            _strip(ax, places + sideways, factors, DATASET_LOOKS[index], name, 0.3 * width)
        chance_line(ax, 1.0, "")
        if not best:
            _alone(ax, results, width)
        ax.set_xticks(places, ["start", "center", "scale", "slope", "all"])
        _in_octaves(ax)
    axes[0, 0].set_ylabel("times fewer steps")
    key(figure)
    return figure, (
        "From the playground's sigmoid network to its tanh network, one change at a time: steps to "
        "the target without a change over steps with it. Start: weights matched to the tanh "
        "network's function; center: sigmoid(z) - 1/2; scale: 2 sigmoid(z) - 1; slope: tanh(z). "
        "Crosses: tanh(z) + 1 and tanh(z) / 2 over tanh(z), geometric mean. Small points are "
        "seeds, large ones geometric means with 95% intervals."
    )


def _rates(results: Results) -> tuple[Figure, str]:
    names = results.raced
    figure, axes = panels(1, len(names), titles=names, height=2.6, xlabel="learning rate")
    for ax, name in zip(axes[0], names, strict=True):
        for arm in PATH:
            descents = results.climb(name, arm)
            rates = np.concatenate([[results.plan.setting.learning_rate], descents.rates])
            steps = np.concatenate([results.steps(name, arm)[None], descents.steps])
            order = np.argsort(rates)
            band(ax, rates[order], steps[order].T, LOOKS[arm])
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter(PLAIN)
        if _drawn(ax):
            ax.set_yscale("log")
        for arm in ("sigmoid", "shifted"):
            cap = 2.0 / np.median(results.start(name, arm, "lambda_max"))
            ax.axvline(cap, color=LOOKS[arm].color, linewidth=0.9, dashes=(1.5, 1.5))
    axes[0, 0].set_ylabel("steps to target")
    key(figure)
    return figure, (
        "Steps to the target loss against the learning rate, the playground's at the left end; "
        "median and quartiles over seeds, at rates at which nine in ten seeds arrive. Dotted: "
        "2 / lambda_max of the Fisher at the start, for sigmoid and sigmoid - 1/2. All but the "
        "sigmoid as drawn start as one function."
    )


def _labels(results: Results) -> tuple[Figure, str]:
    names, first = results.datasets, results.datasets[0]
    figure, axes = panels(
        1,
        2,
        titles=["tanh's lead over sigmoid", f"tanh, {first}"],
        height=2.6,
        sharex=False,
        sharey=False,
    )
    usual, other = look("raw")._replace(label="labels -1, 1"), LABELS_01
    for sideways, coding, appearance in ((-0.2, "", usual), (0.2, "01", other)):
        leads = [lead(results, name, coding) for name in names]
        places = np.arange(len(names)) + sideways
        _strip(axes[0, 0], places, leads, appearance, "", 0.12)
    chance_line(axes[0, 0], 1.0, "no lead", at=0.0)
    axes[0, 0].set_xticks(range(len(names)), names)
    axes[0, 0].set_ylabel("steps, sigmoid / tanh")
    _in_octaves(axes[0, 0])
    shown = {
        "tanh": usual,
        "labels01": other,
        "labels01_rate": look("flipped")._replace(label="labels 0, 1, four times the rate"),
    }
    for arm, appearance in shown.items():
        _curve(axes[0, 1], results, first, arm, appearance)
    _losses(axes[0, 1], results)
    axes[0, 1].set_ylabel("training loss (nat)")
    key(figure)
    return figure, (
        "Left: steps to the target of sigmoid units over those of tanh units, from the same drawn "
        "weights, with labels -1 and 1 and a tanh output unit, and with 0 and 1 and a sigmoid one "
        "at eight times the rate, where the first steps are alike; small points are seeds, large "
        "ones geometric means with 95% intervals. Right: training loss of the tanh network with "
        "either coding, output unit scaled and shifted along, in units of the loss between -1 and "
        "1; median and quartiles over seeds."
    )


def _curve(
    ax: Axes, results: Results, dataset: str, arm: str, appearance: Look, label: str | None = None
) -> None:
    losses = results.losses(dataset, arm)
    last = np.maximum.accumulate(np.where(np.isnan(losses), 0, np.arange(losses.shape[1])), axis=1)
    band(ax, results.looks + 1, np.take_along_axis(losses, last, axis=1), appearance, label=label)


def _losses(ax: Axes, results: Results) -> None:
    chance_line(ax, results.plan.config.target_loss, "target", at=0.0)
    ax.set_xscale("log")
    ax.set_ylim(0.0, 0.6)
    ax.set_xlabel("step (counted from 1)")


def _strip(
    ax: Axes,
    places: np.ndarray,
    ratios: Sequence[np.ndarray],
    appearance: Look,
    label: str,
    spread: float,
) -> None:
    values = np.stack(ratios)
    intervals = np.array([_interval(row) for row in values])
    strip(ax, places, values, appearance, intervals=intervals, label=label, spread=spread)


def _alone(ax: Axes, results: Results, width: float) -> None:
    """Mark what centering and scale are worth when nothing else is changed of tanh."""
    for index, name in enumerate(results.datasets):
        sideways = width * (index - (len(results.datasets) - 1) / 2)
        for place, arm in ((1, "offset"), (2, "scale")):
            ratios = results.steps(name, arm) / results.steps(name, "tanh")
            label = None if index or place > 1 else "alone, from tanh"
            mean = _interval(ratios)[1]
            ax.plot(place + sideways, mean, "x", color="black", markersize=5, label=label, zorder=4)


def _interval(ratios: np.ndarray) -> tuple[float, float, float]:
    interval = ratio_interval(ratios, np.ones_like(ratios), seed=0)
    return interval.low, interval.estimate, interval.high


def _in_octaves(ax: Axes) -> None:
    if _drawn(ax):
        ax.set_yscale("log", base=2)
        ax.yaxis.set_major_formatter(PLAIN)
        ax.yaxis.set_minor_formatter(NullFormatter())


def _drawn(ax: Axes) -> bool:
    """Return whether anything positive is there: a logarithmic axis of no data cannot be."""
    heights = [np.asarray(line.get_ydata(), float) for line in ax.lines]
    return any((values[np.isfinite(values)] > 0).any() for values in heights)
