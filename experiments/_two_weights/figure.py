"""The picture: one seed's paths on the contours of its loss, and where updates can point."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Wedge

from experiments._two_weights.plan import LARGE_RATE, SINGLE_RATE, SMALL_RATE
from experiments._two_weights.problem import TARGET
from experiments._two_weights.results import Results
from signdyn.report.figures import panels
from signdyn.report.style import current_style, drawing, look

NARROW = 5.0
"""Inches of column width below which the panels stand two and not three abreast."""

LEVELS = 0.004 * 4.0 ** np.arange(6)
"""Contours, nats above the minimum."""

SHADE = "#cfcfcf"


class View(NamedTuple):
    """What one panel shows.

    Attributes:
        title: Arm and method.
        arm: Look of the path.
        path: [step, 2] weights until the target.
        loss: [step] nats.
        data: The arm's inputs, labels, minimum and lambda_max.
        corner: Where the compass stands, in fractions of the panel.
        note: Step size and outcome.
    """

    title: str
    arm: str
    path: np.ndarray
    loss: np.ndarray
    data: xr.Dataset
    corner: tuple[float, float]
    note: str


def draw_figure(results: Results) -> tuple[Figure, str]:
    """Return the picture of the first seed, and its caption."""
    views = views_of(results)
    cols = 3
    if current_style().column_width < NARROW:
        cols, views = 2, [views[place] for place in (0, 3, 1, 2, 4, 5)]
    rows = len(views) // cols
    height = 1.24 * current_style().column_width / cols
    figure, axes = panels(
        rows,
        cols,
        height=height,
        titles=[view.title for view in views],
        xlabel="weight of the ink",
        ylabel="weight of the constant input 1 (bias)",
        sharex=False,
        sharey=False,
    )
    span = common_span(views)
    with drawing():
        for ax, view in zip(axes.flat, views, strict=True):
            _draw(ax, view, span)
    return figure, _CAPTION


_CAPTION = (
    "A neuron that tells 8 from 3 by the ink in twelve pixels: paths of one seed on the contours "
    f"of its loss ({LEVELS[0]:g} nats above the minimum, fourfold from line to line), from the "
    f"circle to the star, until {TARGET:g} nats above the minimum. One example: one pass, an "
    "example a step; the other panels use all examples at every step. Compass: shaded are the "
    "quadrants in which single examples' updates point, spokes are the updates made. Every arm is "
    "shown in its own coordinates: flipped is raw mirrored, centered starts as the same function. "
    "A gradient descent is stable near the minimum up to 2 / lambda_max of the Fisher there, a "
    "natural gradient up to 2 in any coordinates."
)


def views_of(results: Results) -> list[View]:
    """Return the six paths of the first seed that are shown."""
    left, right = (0.01, 0.01), (0.69, 0.01)
    high = (0.69, 0.69)

    def view(arm: str, method: str, part: str, rate: float, corner: tuple, color: str = "") -> View:
        data = results.rows("natural", arm).isel(seed=0)
        rows = results.rows(part, arm, rate).isel(seed=0)
        steps = float(rows.steps_to_target)
        count = len(rows.weights) if part == "single" or np.isnan(steps) else int(steps) + 1
        path, loss = rows.weights.values[:count], rows.loss.values[:count]
        known = np.isfinite(path).all(axis=1)
        title, note = f"{arm}, {method}", _note(part, rows)
        return View(title, color or arm, path[known], loss[known], data, corner, note)

    def at_best(arm: str, corner: tuple) -> View:
        best = results.best_rate(arm)
        found = not np.isnan(best)
        method, rate = ("best step", best) if found else ("large step", LARGE_RATE)
        return view(arm, method, "gradient", rate, corner)

    return [
        view("raw", "one example", "single", SINGLE_RATE, left),
        view("raw", "small step", "gradient", SMALL_RATE, left),
        at_best("raw", left),
        view("flipped", "one example", "single", SINGLE_RATE, right),
        at_best("centered", high),
        view("raw", "natural gradient", "natural", 1.0, left, "natural_gradient"),
    ]


def _note(part: str, rows: xr.Dataset) -> str:
    steps = rows.steps_to_target.item()
    arrived = f"{steps:.0f} steps" if np.isfinite(steps) else "does not arrive"
    count = f"{rows.sizes['step']} examples" if part == "single" else arrived
    if part == "natural":
        return f"step 1, limit 2\n{count}"
    limit = 2.0 / rows.lambda_max.item()
    return f"step {rows.learning_rate.item():.2g}, $2/\\lambda_{{\\max}}$ = {limit:.2g}\n{count}"


def common_span(views: Iterable[View]) -> float:
    """Return the width of a square in which each path has room."""
    points = (np.vstack([view.path, view.data.minimum.values]) for view in views)
    return max(1.25 * float(np.ptp(of_view, axis=0).max()) for of_view in points)


def middle_of(view: View) -> np.ndarray:
    """Return the center of a view: half way from the start to the minimum."""
    return (view.path[0] + view.data.minimum.values) / 2.0


def _draw(ax: Axes, view: View, span: float) -> None:
    minimum, start = view.data.minimum.values, view.path[0]
    middle = middle_of(view)
    draw_contours(ax, view.data, middle, span)
    appearance = look(view.arm)
    many = len(view.path) > 200  # marks would hide the line
    ax.plot(
        *view.path.T,
        color=appearance.color,
        linewidth=0.7 if many else 1.0,
        marker=None if many else "o",
        markersize=2.2,
        markeredgewidth=0.0,
        zorder=3,
    )
    edge = {"markeredgecolor": "black", "linestyle": "none", "zorder": 4}
    ax.plot(*start, marker="o", markersize=4.5, markerfacecolor="white", **edge)
    ax.plot(*minimum, marker="*", markersize=8, markerfacecolor="white", **edge)
    ax.set(aspect="equal", xlim=middle[0] + span / 2 * np.array([-1, 1]))
    ax.set(ylim=middle[1] + span / 2 * np.array([-1, 1]))
    ax.grid(visible=False)
    ax.set_xlabel(view.note, fontsize=0.85 * current_style().font_size)
    _compass(ax, view)


def draw_contours(
    ax: Axes, data: xr.Dataset, middle: np.ndarray, span: float, *, points: int = 91
) -> QuadContourSet:
    """Draw the loss itself, as the record's inputs and labels make it, and return its lines."""
    ticks = np.linspace(-0.5, 0.5, points) * span
    w, b = np.meshgrid(middle[0] + ticks, middle[1] + ticks)
    logits = w[..., None] * data.inputs.values[:, 0] + b[..., None] * data.inputs.values[:, 1]
    loss = np.mean(np.logaddexp(0.0, logits) - data.labels.values * logits, axis=-1)
    excess = loss - (data.target_loss.item() - TARGET)
    return ax.contour(w, b, excess, levels=LEVELS, colors="#bdbdbd", linewidths=0.7)


def _compass(ax: Axes, view: View) -> None:
    inset = ax.inset_axes((*view.corner, 0.3, 0.3), zorder=5)
    inset.set(aspect="equal", xlim=(-1.15, 1.15), ylim=(-1.15, 1.15))
    inset.axis("off")
    inset.add_patch(Circle((0, 0), 1.0, facecolor="white", edgecolor="none"))
    # an example's gradient is a multiple, of either sign, of its inputs
    signs = np.prod(view.data.inputs.values, axis=1)
    for angle in (*(0, 180) * bool(np.any(signs > 0)), *(90, 270) * bool(np.any(signs < 0))):
        inset.add_patch(Wedge((0, 0), 1.0, angle, angle + 90, facecolor=SHADE, edgecolor="none"))
    inset.plot(*_spokes(view.path).T, color=look(view.arm).color, linewidth=0.7)
    inset.add_patch(Circle((0, 0), 1.0, fill=False, edgecolor="#555555", linewidth=0.7))
    inset.plot([-1, 1, np.nan, 0, 0], [0, 0, np.nan, -1, 1], color="#555555", linewidth=0.5)


def _spokes(path: np.ndarray) -> np.ndarray:
    """Return a line [point, 2] from the origin along each update's direction, by the degree.

    Example:
        >>> _spokes(np.array([[0.0, 0.0], [3.0, 0.0]])).tolist()
        [[0.0, 0.0], [1.0, 0.0], [nan, nan]]
    """
    updates = np.diff(path, axis=0)
    degrees = np.unique(np.rint(np.degrees(np.arctan2(updates[:, 1], updates[:, 0]))))
    ends = np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
    lines = np.stack([np.zeros_like(ends), ends, np.full_like(ends, np.nan)], axis=1)
    return lines.reshape(-1, 2)
