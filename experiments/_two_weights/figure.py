"""The picture: one seed's paths on the contours of its loss, and where updates can point."""

from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Wedge

from experiments._two_weights.plan import SINGLE_RATE, SMALL_RATE
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
        data: The arm's inputs, labels, minimum and lambda_max.
        quadrants: Where single examples' updates point: ``same`` signs, ``opposite``, ``all``.
        corner: Where the compass stands, in fractions of the panel.
        note: Step size and outcome.
    """

    title: str
    arm: str
    path: np.ndarray
    data: xr.Dataset
    quadrants: str
    corner: tuple[float, float]
    note: str


def draw_figure(results: Results) -> tuple[Figure, str]:
    """Return the picture of the first seed, and its caption."""
    views = _views(results)
    wide = current_style().column_width >= NARROW
    cols = 3 if wide else 2
    rows = len(views) // cols
    height = 1.08 * current_style().column_width / cols
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
    span = max(_extent(view) for view in views)
    with drawing():
        for ax, view in zip(axes.flat, views, strict=True):
            _draw(ax, view, span)
    return figure, _CAPTION


_CAPTION = (
    "A neuron that tells 8 from 3 by the ink in twelve pixels: paths of one seed on the contours "
    f"of its loss ({LEVELS[0]:g} nats above the minimum and fourfold from line to line), from the "
    f"circle to the star, until {TARGET:g} nats above the minimum. Compass: shaded are the "
    "quadrants in which single examples' updates point, spokes are the updates made. Shown in "
    "each arm's own coordinates; raw and flipped are the same path mirrored, raw and centered "
    "start as the same function. lambda_max is the Fisher's at the minimum."
)


def _views(results: Results) -> list[View]:
    left, right = (0.03, 0.03), (0.71, 0.03)
    high = (0.71, 0.71)
    best = {arm: results.best_rate(arm) for arm in ("raw", "centered")}

    def view(title, arm, part, rate, quadrants, corner, color=None):
        data = results.rows("natural", arm).isel(seed=0)
        rows = results.rows(part, arm, rate).isel(seed=0)
        steps = float(rows.steps_to_target)
        count = len(rows.weights) if part == "single" or np.isnan(steps) else int(steps) + 1
        path = rows.weights.values[:count]
        return View(title, color or arm, path, data, quadrants, corner, _note(part, rows))

    return [
        view("raw, one by one", "raw", "single", SINGLE_RATE, "same", left),
        view("raw, small step", "raw", "gradient", SMALL_RATE, "same", left),
        view("raw, best step", "raw", "gradient", best["raw"], "same", left),
        view("flipped, one by one", "flipped", "single", SINGLE_RATE, "opposite", right),
        view("centered, best step", "centered", "gradient", best["centered"], "all", high),
        view("raw, natural", "raw", "natural", 1.0, "same", left, "natural_gradient"),
    ]


def _note(part: str, rows: xr.Dataset) -> str:
    steps = rows.steps_to_target.item()
    count = f"{rows.sizes['step']} examples" if part == "single" else f"{steps:.0f} steps"
    if part == "natural":
        return f"step 1, no limit\n{count}"
    limit = 2.0 / rows.lambda_max.item()
    return f"step {rows.learning_rate.item():.2g}, $2/\\lambda_{{\\max}}$ = {limit:.2g}\n{count}"


def _extent(view: View) -> float:
    points = np.vstack([view.path, view.data.minimum.values])
    return 1.25 * float(np.ptp(points, axis=0).max())


def _draw(ax: Axes, view: View, span: float) -> None:
    minimum, start = view.data.minimum.values, view.path[0]
    points = np.vstack([view.path, minimum])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2.0
    _contours(ax, view.data, middle, span)
    appearance = look(view.arm)
    many = len(view.path) > 200
    ax.plot(
        *view.path.T,
        color=appearance.color,
        linewidth=0.6 if many else 0.9,
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


def _contours(ax: Axes, data: xr.Dataset, middle: np.ndarray, span: float) -> None:
    """Draw the loss itself, as the record's inputs and labels make it."""
    ticks = np.linspace(-0.5, 0.5, 121) * span
    w, b = np.meshgrid(middle[0] + ticks, middle[1] + ticks)
    logits = w[..., None] * data.inputs.values[:, 0] + b[..., None] * data.inputs.values[:, 1]
    loss = np.mean(np.logaddexp(0.0, logits) - data.labels.values * logits, axis=-1)
    excess = loss - (data.target_loss.item() - TARGET)
    ax.contour(w, b, excess, levels=LEVELS, colors="#9a9a9a", linewidths=0.6)


def _compass(ax: Axes, view: View) -> None:
    inset = ax.inset_axes((*view.corner, 0.26, 0.26), zorder=5)
    inset.set(aspect="equal", xlim=(-1.15, 1.15), ylim=(-1.15, 1.15))
    inset.axis("off")
    inset.add_patch(Circle((0, 0), 1.0, facecolor="white", edgecolor="none"))
    first = {"same": (0, 180), "opposite": (90, 270), "all": (0, 90, 180, 270)}
    for angle in first[view.quadrants]:
        inset.add_patch(Wedge((0, 0), 1.0, angle, angle + 90, facecolor=SHADE, edgecolor="none"))
    updates = np.diff(view.path, axis=0)
    spokes = updates / np.linalg.norm(updates, axis=1, keepdims=True)
    ends = np.stack([np.zeros_like(spokes), spokes], axis=1)
    for end in ends:
        inset.plot(*end.T, color=look(view.arm).color, linewidth=0.7, alpha=0.7)
    inset.add_patch(Circle((0, 0), 1.0, fill=False, edgecolor="#555555", linewidth=0.7))
    for x, y in (((-1, 1), (0, 0)), ((0, 0), (-1, 1))):
        inset.plot(x, y, color="#555555", linewidth=0.5)
