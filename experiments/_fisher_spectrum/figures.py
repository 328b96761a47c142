"""The three pictures: growth with width, the spectrum on digits, dose and product."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

from experiments._fisher_spectrum.claims.common import DOSE, SPECTRUM, WIDTH
from experiments._fisher_spectrum.plan import DOSE_ACTIVATION, DOSES
from experiments._fisher_spectrum.random_networks import SETTINGS
from experiments._fisher_spectrum.results import Results, theory
from signdyn.report.figures import band, key, panels, theory_line
from signdyn.report.style import current_style, drawing, look

Drawn = tuple[Figure, str]


def draw_figures(results: Results) -> dict[str, Drawn]:
    """Return every figure with its caption, by name."""
    return {
        WIDTH: draw_width(results),
        SPECTRUM: draw_spectrum(results),
        DOSE: draw_dose(results),
    }


def draw_width(results: Results) -> Drawn:
    """Return lambda_max against width, one panel a setting."""
    widths = results.widths
    titles = [
        f"{name.split()[0]}, $\\sigma_w^2$ = {w:g}, $\\sigma_b^2$ = {b:g}"
        for name, (_, w, b) in SETTINGS.items()
    ]
    figure, axes = panels(
        1,
        3,
        height=2.5,
        titles=titles,
        xlabel="width = number of examples",
        ylabel="$\\lambda_{\\max}$",
    )
    with drawing():
        for ax, setting in zip(axes[0], SETTINGS, strict=True):
            ax.set(xscale="log", yscale="log")
            for arm in ("raw", "centered"):
                values = results.random(setting, "lambda_max", arm)
                band(ax, widths, values, arm)
                ax.plot(widths, np.median(values, axis=0), **_marks(arm))
            predicted = theory(setting, widths)
            if predicted[0].kappa2 > 1e-12:
                line = np.array([one.lambda_max for one in predicted])
                theory_line(ax, widths, line, "mean-field theory, raw")
            ax.set_xticks(widths, [str(width) for width in widths])
            _plain(ax)
    key(figure)
    return figure, (
        "Largest eigenvalue of the Fisher of random networks M - M - M - 1 on M standard normal "
        "examples, against M: median and middle half of the seeds, as initialized, and with each "
        "hidden unit's mean over the examples subtracted from what the weights read. Dashed: "
        "mean-field theory of the raw networks, nothing fitted; without biases its kappa_2 is 0 "
        "and it says no more than that there is no growth, so no line is drawn. Slope 1 is "
        "proportional to the width."
    )


def draw_spectrum(results: Results) -> Drawn:
    """Return the sorted eigenvalues on digits, one panel an activation."""
    names = results.activations
    figure, axes = panels(
        1,
        len(names),
        height=2.5,
        titles=names,
        xlabel="rank of the eigenvalue",
        ylabel="eigenvalue",
    )
    largest = max(float(results.digits(name, "raw").lambda_max.median()) for name in names)
    with drawing():
        for ax, name in zip(axes[0], names, strict=True):
            ax.set(xscale="log", yscale="log")
            raw, flipped, centered = (
                results.digits(name, arm) for arm in ("raw", "flipped", "centered")
            )
            for arm, rows in (("raw", raw), ("centered", centered)):
                values = rows.eigenvalues.values
                band(ax, np.arange(1, values.shape[1] + 1), values, arm)
            median = np.median(flipped.eigenvalues, axis=0)
            ranks = 2 ** np.arange(int(np.log2(len(median))) + 1)
            ax.plot(ranks, median[ranks - 1], color=look("flipped").color, **_symbol("flipped"))
            ax.plot([], [], label="flipped", color=look("flipped").color, **_symbol("flipped"))
            of_mean = np.median(raw.mean_eigenvalues, axis=0)
            theory_line(ax, np.arange(1, len(of_mean) + 1), of_mean, "raw, mean inputs")
            ax.set_ylim(1e-6 * largest, 3.0 * largest)
            _plain(ax, x=(1, 10, 100))
    key(figure)
    return figure, (
        "All eigenvalues of the Fisher of a network on digits before its first step, largest "
        "first, on logarithmic scales that end six decades below the largest: median and middle "
        "half of the seeds. Raw, and with inputs and hidden units centered; crosses, at powers of "
        "two, with random signs of inputs and hidden units flipped; all three are the same "
        "function. Dashed: the raw network's if every example had the mean input in every layer, "
        "with the deltas that it has; nothing is fitted."
    )


def draw_dose(results: Results) -> Drawn:
    """Return lambda_max against the offset, and blocks against their Kronecker product."""
    figure, axes = panels(
        1,
        2,
        height=2.6,
        titles=[f"{DOSE_ACTIVATION}, centered, then offset", "blocks of single layers"],
        sharex=False,
        sharey=False,
    )
    with drawing():
        _draw_parabola(axes[0, 0], results)
        _draw_product(axes[0, 1], results)
    key(figure)
    return figure, (
        "Left: largest eigenvalue of the Fisher on digits when a number c is added to every "
        "hidden unit after inputs and hidden units were centered, the same function for every c; "
        "median and middle half of the seeds. Dashed: what it would be if every example had the "
        "mean input in every layer, with the deltas that it has; median, interpolated in c^2, "
        "nothing is fitted. "
        "Right: largest eigenvalue of each layer's block against the product of those of "
        "E[(a, 1)(a, 1)^T] and E[delta delta^T], a mark for each seed, layer and activation; on "
        "the dashed line the two are equal."
    )


def _draw_parabola(ax: Axes, results: Results) -> None:
    doses = np.array([0.0, *DOSES])
    values = results.doses(DOSE_ACTIVATION, "lambda_max")
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    color = look("neutral").color
    ax.vlines(doses, low, high, color=color, linewidth=1.6)
    ax.plot(doses, median, label="centered, then offset", color=color, **_symbol("neutral"))
    predicted = np.median(results.doses(DOSE_ACTIVATION, "mean_lambda_max"), axis=0)
    fine = np.linspace(0.0, doses[-1], 81)
    between = np.interp(fine**2, doses**2, predicted)  # exact for a parabola
    theory_line(ax, fine, between, "mean inputs")
    ax.set(yscale="log", xlabel="offset $c$", ylabel="$\\lambda_{\\max}$")


def _draw_product(ax: Axes, results: Results) -> None:
    spans = []
    for arm in ("raw", "centered"):
        pairs = [
            (row.kfac_lambda_max.values.ravel(), row.block_lambda_max.values.ravel())
            for row in (results.digits(name, arm) for name in results.activations)
        ]
        x, y = (np.concatenate(part) for part in zip(*pairs, strict=True))
        spans += [x.min(), x.max()]
        appearance = look(arm)
        ax.plot(
            x,
            y,
            color=appearance.color,
            marker=appearance.marker,
            label=None,
            linestyle="none",
            markersize=3,
            markeredgewidth=0,
            alpha=0.6,
        )
        ax.plot([], [], color=appearance.color, label=appearance.label, **_symbol(arm))
    ends = np.array([min(spans) / 1.3, max(spans) * 1.3])
    theory_line(ax, ends, ends, "equal")
    ax.set(xscale="log", yscale="log", xlabel="$\\lambda_{\\max}$ of the Kronecker product")
    ax.set_ylabel("$\\lambda_{\\max}$ of the block")


def _symbol(arm: str) -> dict:
    return {"marker": look(arm).marker, "linestyle": "none", "markersize": 4.5}


def _marks(arm: str) -> dict:
    return {**_symbol(arm), "color": look(arm).color, "markersize": 3.5, "zorder": 2.6}


def _plain(ax: Axes, x: tuple[int, ...] = ()) -> None:
    """Write the numbers of a logarithmic axis out, without ticks between."""
    if x:
        ax.set_xticks(x, [str(tick) for tick in x])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.tick_params(which="both", labelsize=0.9 * current_style().font_size)
    if not x:
        ax.yaxis.set_major_formatter(ScalarFormatter())
        ax.yaxis.set_minor_formatter(NullFormatter())
