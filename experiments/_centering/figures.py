"""The figures on centering, each drawn from the record on disk."""

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from experiments._centering.claims.common import ARMS, DOSE, NORM, SCALE
from experiments._centering.plan import CENTERED, DOSE_ACTIVATION, NORM_ACTIVATION, NORMED, dosed
from experiments._centering.results import (
    INPUT_ARMS,
    Results,
    doses,
    input_eigenvalues,
    of_doses,
)
from experiments._fisher_spectrum.activation import NAMES
from experiments._intervals import interval_of_mean
from signdyn.report.figures import band, key, panels, strip, theory_line
from signdyn.report.style import Look, look

LOOKS: Mapping[str, Look] = {
    "none": look("raw"),
    "input": look("input"),
    "hidden": Look("hidden centered", "#8a5a00", (4.0, 1.5), "v"),
    "both": look("centered"),
    "batch": Look("batch means", "#117a5a", (1.0, 1.2), "D"),
    "scaled": Look("scaled", "#8a5a00", (4.0, 1.5), "v"),
    "standardized": Look("standardized", "#117a5a", (6.0, 1.5, 1.0, 1.5), "D"),
    "whitened": Look("whitened", "#2b1a4f", (1.0, 1.2), "P", 1.2),
    "whitened all": Look("all whitened", "#666666", (2.0, 1.2), "X", 1.2),
}

PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
"""Powers as the numbers they are."""


def draw_figures(results: Results) -> Mapping[str, tuple[Figure, str]]:
    """Return name -> (figure, caption), in the order of the page."""
    drawn: dict[str, Callable[[Results], tuple[Figure, str]]] = {
        ARMS: _arms,
        DOSE: _doses,
        SCALE: _scale,
        NORM: _norms,
    }
    figures = {}
    for name, draw in drawn.items():
        figure, caption = draw(results)
        figures[name] = (figure, f"{caption} {results.num_seeds} seeds.")
    return figures


def _arms(results: Results) -> tuple[Figure, str]:
    rows = {
        "steps to target": "steps",
        "best rate": "learning_rate",
        "lambda_max\n(nat / parameter$^2$)": "lambda_max",
    }
    titles = [*NAMES, *[""] * (2 * len(NAMES))]
    figure, axes = panels(3, len(NAMES), titles=titles, height=1.65, sharey="row")
    for (label, quantity), line in zip(rows.items(), axes, strict=True):
        for ax, activation in zip(line, NAMES, strict=True):
            for place, arm in enumerate(CENTERED):
                if quantity == "lambda_max":
                    values = results.start(quantity, activation, arm)
                else:
                    values = results.at_best(quantity, activation, arm)
                _strip(ax, place, values, LOOKS[arm])
            _in_powers(ax, 2)
            ax.set_xticks(range(len(CENTERED)), list(CENTERED))
        line[0].set_ylabel(label)
    return figure, (
        "What is centered, by activation: nothing, inputs, hidden units, both by constants of the "
        "start, both by the batch's means. Above, updates to the target loss and learning rate, "
        "each arm at its own best rate; below, largest eigenvalue of the Gauss-Newton matrix at "
        "the start. Points are the seeds that arrive, bars 95% intervals of the geometric "
        "mean."
    )


def _doses(results: Results) -> tuple[Figure, str]:
    titles = ["added to hidden units", "put back into inputs", *[""] * 4]
    figure, axes = panels(3, 2, titles=titles, height=1.6, sharex="col", sharey="row")
    rows = {
        "lambda_max\n(nat / parameter$^2$)": "lambda_max",
        "steps to target": "steps",
        "length /\ndisplacement": "tortuosity",
    }
    for column, family in enumerate(("offset", "fraction")):
        positions, _ = doses(family)
        for (label, quantity), ax in zip(rows.items(), axes[:, column], strict=True):
            values = of_doses(results, family, quantity)
            band(ax, positions, values, look("centered"), label="shifted upward")
            if family == "offset":
                arm = dosed(family)(-1.0)
                if quantity == "lambda_max":
                    other = results.start(quantity, DOSE_ACTIVATION, arm)
                else:
                    other = results.at_best(quantity, DOSE_ACTIVATION, arm)
                _strip(ax, -1.0, other, look("raw"), label="shifted downward", spread=0.05)
            if quantity == "lambda_max":
                grid = np.linspace(min(0.0, -1.0 if family == "offset" else 0.0), positions[-1])
                a, b = fitted_parabola(positions, np.median(values, axis=0))
                theory_line(ax, grid, a + b * grid**2, "a + b dose$^2$, fitted")
            if column == 0:
                ax.set_ylabel(label)
            _in_powers(ax, 2)
    axes[2, 0].set_xlabel("number c added")
    axes[2, 1].set_xlabel("share of the mean")
    key(figure)
    return figure, (
        f"A mean put back into networks whose inputs and hidden units were centered "
        f"({DOSE_ACTIVATION}): lambda_max at the start, updates to the target loss, and path "
        "length / displacement, at every dose's own best rate. Median and quartiles "
        "over seeds; the dashed line is fitted to the medians of lambda_max. Circles: every unit "
        "shifted down instead of up, points are seeds, bars 95% intervals of the geometric mean."
    )


def fitted_parabola(positions: np.ndarray, values: np.ndarray) -> tuple[float, float]:
    """Return a, b of a + b position^2 with the least squares of relative residuals.

    Example:
        >>> a, b = fitted_parabola(np.array([0.0, 1.0, 2.0]), np.array([3.0, 5.0, 11.0]))
        >>> round(a, 9), round(b, 9)
        (3.0, 2.0)
    """
    design = np.stack([np.ones_like(positions), positions**2], axis=1) / values[:, None]
    (a, b), *_ = np.linalg.lstsq(design, np.ones(len(positions)), rcond=None)
    return float(a), float(b)


def _scale(results: Results) -> tuple[Figure, str]:
    figure, axes = panels(1, 2, sharex=False, sharey=False, height=2.9)
    left, right = axes[0]
    names = {"none": "raw", "both": "centered"}
    for arm in INPUT_ARMS:
        values = input_eigenvalues(results, arm)
        places = np.arange(1, values.shape[1] + 1)
        left.plot(
            places,
            np.median(values, axis=0),
            color=LOOKS[arm].color,
            marker=LOOKS[arm].marker,
            markersize=3.5,
            linewidth=1.0,
            label=names.get(arm, arm),
        )
    left.set_yscale("log")
    left.set_xlabel("number of the eigenvalue")
    left.set_ylabel("eigenvalue of E[(x, 1)(x, 1)$^T$]")
    shown = {
        "none": "raw",
        "scaled": "scaled",
        "input": "inputs\ncentered",
        "both": "both\ncentered",
        "standardized": "+ inputs\nscaled",
        "whitened": "+ inputs\nwhitened",
        "whitened all": "+ all\nwhitened",
    }
    for place, arm in enumerate(shown):
        _strip(right, place, results.at_best("steps", NORM_ACTIVATION, arm), LOOKS[arm])
    _in_powers(right, 2)
    right.set_ylabel("steps to target")
    right.set_xticks(range(len(shown)), list(shown.values()), rotation=55, ha="right")
    key(figure)
    return figure, (
        "Mean and scale of the inputs. Left: eigenvalues of their second moments with the bias's "
        "one; the same data for all seeds. Scaled: each input over its standard deviation, not "
        "centered; standardized: centered and scaled; whitened: centered, and their covariance "
        f"near the identity. Right: updates to the target loss at best rates ({NORM_ACTIVATION}); "
        "from the fourth on hidden units are centered too, in the last one also whitened. Points "
        "are seeds, bars 95% intervals of the geometric mean."
    )


def _norms(results: Results) -> tuple[Figure, str]:
    figure, axes = panels(1, 2, sharex=False, sharey=False, height=2.7)
    left, right = axes[0]
    norms = ("none", *results.norms)
    ticks: list[str] = []
    for norm in norms:
        for arm in NORMED:
            _strip(
                left,
                len(ticks),
                results.at_best("steps", NORM_ACTIVATION, arm, norm),
                LOOKS[arm],
                label=LOOKS[arm].label if norm == "none" else "",
            )
            ticks.append(_norm_label(norm, arm))
    _in_powers(left, 2)
    left.set_ylabel("steps to target")
    left.set_xticks(range(len(ticks)), ticks)
    shown = [("none", "none"), ("none", "both"), ("none", "batch")]
    shown += [(norm, "none") for norm in results.norms]
    for place, (norm, arm) in enumerate(shown):
        for sideways, when, appearance in (
            (-0.18, "first", look("neutral")),
            (0.18, "last", look("centered")),
        ):
            values = results.at_best(f"mean_energy_{when}", NORM_ACTIVATION, arm, norm)
            values = values[:, 1:].mean(axis=1)
            told = {"first": "at the start", "last": "at the target"}[when]
            strip(
                right,
                np.array([place + sideways]),
                values[None],
                appearance,
                intervals=interval_of_mean(values)[None],
                label=told if place == 0 else "",
                spread=0.1,
            )
    right.set_ylim(-0.03, 1.03)
    right.set_ylabel("share of the mean in E|h|$^2$")
    right.set_xticks(range(len(shown)), [_norm_label(*pair) for pair in shown])
    key(figure)
    return figure, (
        f"Norms of pre-activations ({NORM_ACTIVATION}) and what is centered. Networks with norms "
        "are other functions at the start than those without, of the same weights. Left: updates "
        "to the target loss at best rates, bars 95% intervals of the geometric mean. Right: "
        "|E h|^2 / E|h|^2 of hidden units as the next layer reads them, mean over layers, at the "
        "first step and where the target is reached; bars 95% intervals of the mean. Points are "
        "seeds."
    )


def _norm_label(norm: str, arm: str) -> str:
    return f"{'no' if norm == 'none' else norm}\nnorm,\n{arm}"


def _strip(
    ax: Axes,
    place: float,
    values: np.ndarray,
    appearance: Look,
    *,
    label: str = "",
    spread: float = 0.2,
) -> None:
    """Draw seeds with the geometric mean and its interval."""
    intervals = np.exp(interval_of_mean(np.log(values)))[None]
    strip(
        ax,
        np.array([place]),
        values[None],
        appearance,
        intervals=intervals,
        label=label,
        spread=spread,
    )


def _in_powers(ax: Axes, base: int) -> None:
    bounds = np.asarray(ax.dataLim.intervaly)
    if not (np.isfinite(bounds).all() and bounds.max() > 0):
        return  # nothing drawn: a logarithmic axis of no data cannot be
    ax.set_yscale("log", base=base)
    ax.yaxis.set_major_formatter(PLAIN)
    ax.yaxis.set_minor_formatter(NullFormatter())
