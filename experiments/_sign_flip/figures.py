"""The flagship's figures, each drawn from the record on disk."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments._best_rate import best_rate
from experiments._intervals import interval_of_mean
from experiments._sign_flip.plan import critical_rate
from experiments._sign_flip.results import Results
from experiments._sign_flip.start import batch_sizes
from signdyn.diagnostics.signs import coherence_chance_level
from signdyn.report.figures import band, chance_line, key, panels, strip
from signdyn.report.style import look

ARMS = ("raw", "flipped", "centered")

PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
"""Powers of two as the numbers they are."""


def draw_figures(results: Results) -> Mapping[str, tuple[Figure, str]]:
    """Return name -> (figure, caption), in the order of the page."""
    seeds = len(results.seeds)
    drawn: dict[str, Callable[[Results], tuple[Figure, str]]] = {
        "sign_and_mean": _sign_and_mean,
        "rates": _rates,
        "small_steps": _small_steps,
        "batch_size": _batch_size,
        "centralization": _centralization,
    }
    figures = {}
    if not results.plan.extras:
        del drawn["centralization"]
    for name, draw in drawn.items():
        figure, caption = draw(results)
        figures[name] = (figure, f"{caption} {seeds} seeds.")
    return figures


def _sign_and_mean(results: Results) -> tuple[Figure, str]:
    activations = results.plan.activations
    figure, axes = panels(
        2, len(activations), titles=_titles(activations, 2), sharex=False, sharey="row"
    )
    for column, activation in enumerate(activations):
        ax = axes[0, column]
        for arm in ARMS:
            rows = results.rows("full", activation, arm)
            place = best_rate(results.steps("full", activation, arm))
            if place is not None:
                losses = rows.loss.transpose("variant", "seed", "step").values[place]
                band(ax, np.arange(losses.shape[1]), losses.astype(float), arm)
        chance_line(ax, results.plan.target_loss, "target")
        ax.set_yscale("log")
        ax.set_xlabel("step")
        ax = axes[1, column]
        for position, arm in enumerate(ARMS):
            coherence = results.at_best("coherence", "full", activation, arm)[:, 0]
            strip(
                ax,
                np.array([position]),
                coherence[None],
                arm,
                intervals=interval_of_mean(coherence)[None],
                label="",
            )
        chance_line(ax, coherence_chance_level(results.plan.data.x_train.shape[1]), at=0.98)
        ax.set_xticks(range(len(ARMS)), ARMS)
        ax.set_ylim(0.0, 1.0)
    axes[0, 0].set_ylabel("training loss (nat)")
    axes[1, 0].set_ylabel("sign coherence, layer 1")
    key(figure)
    return figure, (
        "Above: training loss with full batches, every arm at its own best rate; median and "
        "quartiles over seeds. Where raw and flipped agree they are one line. Below: sign "
        "coherence of the first layer's gradients on the way to the target; points are seeds, "
        "bars 95% intervals of the mean, the dotted line is what random signs give."
    )


def _rates(results: Results) -> tuple[Figure, str]:
    activations = results.plan.activations
    figure, axes = panels(
        2,
        len(activations),
        titles=_titles(activations, 2),
        sharex="col",
        sharey="row",
        xlabel="learning rate",
        ylabel="steps to target",
    )
    for column, activation in enumerate(activations):
        for row, part in enumerate(("full", "minibatch")):
            ax = axes[row, column]
            for arm in ARMS:
                steps = results.steps(part, activation, arm)
                band(ax, results.rates(part, activation, arm), steps.T, arm)
            for arm in ("raw", "centered"):
                ax.axvline(
                    critical_rate(results.part("start"), activation, arm),
                    color=look(arm).color,
                    linewidth=0.9,
                    dashes=(1.5, 1.5),
                )
            _in_octaves(ax, "x")
            _in_octaves(ax, "y")
    for row, words in enumerate(("full batch", f"batches of {results.plan.config.batch_size}")):
        axes[row, 0].set_ylabel(words)
    key(figure)
    return figure, (
        "Steps to the target loss against the learning rate; median and quartiles over seeds, "
        "drawn where at least half of the seeds arrive. Dotted: 2 / lambda_max of the Fisher at "
        "the start, where theory says that gradient descent stops converging."
    )


def _small_steps(results: Results) -> tuple[Figure, str]:
    activations = results.plan.activations
    figure, axes = panels(
        2, len(activations), titles=_titles(activations, 2), sharex=True, sharey="row"
    )
    for column, activation in enumerate(activations):
        for offset, arm in ((-0.18, "raw"), (0.18, "centered")):
            small = results.rows("full", activation, arm, rule="own")
            for ax, name in (
                (axes[0, column], "reversal_fraction"),
                (axes[1, column], "tortuosity"),
            ):
                values = np.stack(
                    [
                        small[name].transpose("variant", "seed").values[0].astype(float),
                        results.at_best(name, "full", activation, arm),
                    ]
                )
                intervals = np.stack([interval_of_mean(row) for row in values])
                strip(ax, np.arange(2) + offset, values, arm, intervals=intervals, spread=0.1)
        axes[1, column].set_xticks(range(2), ["small step", "best step"])
        _in_octaves(axes[1, column], "y")
    axes[0, 0].set_ylabel("turns that go back")
    axes[1, 0].set_ylabel("length / displacement")
    key(figure)
    rate = results.plan.config.small_rate
    return figure, (
        "Zig-zag until the target: share of turns with negative cosine (above) and tortuosity "
        f"(below), at a small step (rate x lambda_max = {rate:g} for each arm) and at each arm's "
        "best rate. Points are seeds, bars 95% intervals of the mean."
    )


def _batch_size(results: Results) -> tuple[Figure, str]:
    activations = results.plan.activations
    figure, axes = panels(
        2,
        len(activations),
        titles=_titles(activations, 2),
        xlabel="examples in the batch",
        sharey="row",
    )
    sizes = np.array(batch_sizes(len(results.plan.data.x_train)))
    for column, activation in enumerate(activations):
        for arm in ("raw", "flipped"):
            rows = results.rows("start", activation, arm).isel(variant=0)
            for row, name in enumerate(("unanimity", "coherence")):
                values = rows[name].transpose("seed", "layer", "batch_size").values
                ax: Axes = axes[row, column]
                band(ax, sizes, values[:, 0].astype(float), arm, label=f"{arm}, layer 1")
                _in_octaves(ax, "x")
                ax.set_ylim(0.0, 1.03)
        chance_line(axes[1, column], coherence_chance_level(results.plan.data.x_train.shape[1]))
    axes[0, 0].set_ylabel("units of one sign")
    axes[1, 0].set_ylabel("sign coherence")
    key(figure)
    return figure, (
        "Signs of the first layer's gradients at the start, against the number of examples summed "
        "over. Above: share of units whose gradients all have one sign. Below: |sum of signs| / "
        "number of signs; the dotted line is what random signs give. Median and quartiles over "
        "seeds."
    )


def _centralization(results: Results) -> tuple[Figure, str]:
    activations = results.plan.extras
    figure, axes = panels(1, len(activations), titles=_titles(activations, 1), height=2.4)
    for column, activation in enumerate(activations):
        ax = axes[0, column]
        for offset, arm in ((-0.18, "raw"), (0.18, "flipped")):
            values = np.stack(
                [
                    results.at_best("steps", "full", activation, arm, optimizer)
                    for optimizer in ("sgd", "centralized_sgd")
                ]
            )
            intervals = np.stack([interval_of_mean(row) for row in values])
            strip(ax, np.arange(2) + offset, values, arm, intervals=intervals, spread=0.1)
        ax.set_xticks(range(2), ["plain", "centralized"])
    axes[0, 0].set_ylabel("steps to target")
    key(figure)
    return figure, (
        "Steps to target without and with gradient centralization, which removes each unit's mean "
        "gradient, for the raw and the flipped network, the same function at the start. Full "
        "batch, best rates; points are seeds, bars 95% intervals of the mean."
    )


def _in_octaves(ax: Axes, axis: str) -> None:
    bounds = np.asarray(ax.dataLim.intervalx if axis == "x" else ax.dataLim.intervaly)
    if not (np.isfinite(bounds).all() and bounds.max() > 0):
        return  # nothing drawn: a logarithmic axis of no data cannot be
    (ax.set_xscale if axis == "x" else ax.set_yscale)("log", base=2)
    (ax.xaxis if axis == "x" else ax.yaxis).set_major_formatter(PLAIN)


def _titles(activations: tuple[str, ...], rows: int) -> list[str]:
    return [*activations, *[""] * (len(activations) * (rows - 1))]
