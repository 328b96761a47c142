"""The few plots that the experiments share: panels, bands over seeds, strips of seeds, lines.

They look the same under anyone's matplotlib settings. Calls of matplotlib's own methods on the
axes, in between, belong inside ``with restyle():`` for that. May import: report.style.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float, Num
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from signdyn.report.style import Look, current_style, drawing, look

Sharing = bool | Literal["none", "all", "row", "col"]
"""Which panels share an axis, as matplotlib takes it."""


@drawing()
def panels(
    rows: int = 1,
    cols: int = 1,
    *,
    height: float | int = 2.2,
    titles: Sequence[str] = (),
    xlabel: str = "",
    ylabel: str = "",
    sharex: Sharing = True,
    sharey: Sharing = True,
) -> tuple[Figure, np.ndarray]:
    """Make a figure of ``rows`` by ``cols`` axes, as wide as the style's column.

    Args:
        rows: Rows of panels.
        cols: Columns of panels.
        height: Height of one row in inches.
        titles: One title a panel, row by row; none for no titles.
        xlabel: One label under the whole grid, with its unit.
        ylabel: One label beside the whole grid, with its unit.
        sharex: Which panels share their horizontal axis.
        sharey: Which panels share their vertical axis.

    Returns:
        The figure and its axes, an object array [rows, cols].

    Raises:
        ValueError: If there are titles, but not one a panel.

    Example:
        >>> figure, axes = panels(1, 2, titles=["raw", "centered"], xlabel="step")
        >>> (axes.shape, axes[0, 1].get_title(loc="left"))
        ((1, 2), 'centered')
    """
    if titles and len(titles) != rows * cols:
        raise ValueError(f"panels: expected {rows * cols} titles, got {len(titles)}: {titles!r}.")
    style = current_style()
    figure = Figure(figsize=(style.column_width, height * rows), layout="constrained")
    axes = figure.subplots(rows, cols, sharex=sharex, sharey=sharey, squeeze=False)
    for ax, title in zip(axes.flat, titles, strict=False):
        ax.set_title(title)
    for ax in axes.flat:
        # Ticks are made on first use, when these settings are gone: pin their look now.
        ax.tick_params(which="both", labelsize=0.9 * style.font_size, colors="#333333")
    if xlabel:
        figure.supxlabel(xlabel)
    if ylabel:
        figure.supylabel(ylabel)
    return figure, axes


@drawing()
def band(
    ax: Axes,
    x: Num[np.ndarray, " x"],
    values: Float[np.ndarray, "seed x"],
    arm: str | Look = "neutral",
    *,
    label: str | None = None,
) -> None:
    """Draw the median over seeds as a line, and the middle half of the seeds as a band.

    A seed that is NaN somewhere is left out there; where fewer than half of the seeds are
    defined there is neither line nor band, so that survivors do not speak for all.

    Args:
        ax: Where to draw.
        x: Horizontal positions.
        values: One row a seed.
        arm: Name in the palette, or a look.
        label: What the legend says instead of the arm's own label; ``""`` for no entry.
    """
    appearance = look(arm)
    low, median, high = quartiles(values)
    shown = appearance.label if label is None else label
    ax.fill_between(x, low, high, color=appearance.color, alpha=0.18, linewidth=0)
    ax.plot(x, median, label=shown or None, **_line(appearance))


@drawing()
def strip(
    ax: Axes,
    positions: Num[np.ndarray, " position"],
    values: Float[np.ndarray, "position seed"],
    arm: str | Look = "neutral",
    *,
    intervals: Float[np.ndarray, "position 3"] | None = None,
    label: str | None = None,
    spread: float | int = 0.12,
) -> None:
    """Draw every seed as a small mark, with the estimate and its interval on top.

    A seed keeps its sideways place in every strip, so pairs can be followed by eye.

    Args:
        ax: Where to draw.
        positions: Horizontal place of each strip.
        values: One row a strip, one column a seed; NaN is not drawn.
        arm: Name in the palette, or a look.
        intervals: Columns low, estimate, high; without it only the seeds are drawn.
        label: What the legend says instead of the arm's own label; ``""`` for no entry.
        spread: Half the width of a strip, in the units of ``positions``.
    """
    appearance = look(arm)
    seeds = values.shape[1]
    sideways = spread * (np.linspace(-1.0, 1.0, seeds) if seeds > 1 else np.zeros(seeds))
    shown = (appearance.label if label is None else label) or None
    style = {"color": appearance.color, "linestyle": "none", "marker": appearance.marker}
    places = np.asarray(positions)[:, None] + sideways
    alone = intervals is None
    ax.plot(
        places.ravel(),
        values.ravel(),
        markersize=3,
        alpha=0.5,
        label=shown if alone else None,
        markeredgewidth=0.0,
        **style,
    )
    if intervals is not None:
        low, estimate, high = np.asarray(intervals).T
        ax.vlines(positions, low, high, color=appearance.color, linewidth=1.6, zorder=2.5)
        edge = {"markeredgecolor": "white", "markeredgewidth": 0.6}
        ax.plot(positions, estimate, markersize=5.5, label=shown, zorder=3, **edge, **style)


@drawing()
def theory_line(
    ax: Axes, x: Num[np.ndarray, " x"], y: Float[np.ndarray, " x"], label: str = "theory"
) -> None:
    """Draw a prediction: thin, black, dashed, above the measurements.

    Args:
        ax: Where to draw.
        x: Horizontal positions.
        y: What theory says there.
        label: What the legend calls it.
    """
    ax.plot(x, y, color="black", linewidth=1.0, dashes=(5.0, 2.0), label=label, zorder=3)


@drawing()
def chance_line(
    ax: Axes, level: float | int, label: str = "chance", *, at: float | int = 1.0
) -> None:
    """Draw a level that luck alone would reach, with its name written on the line.

    Line and name lie behind what is measured.

    Args:
        ax: Where to draw.
        level: Height of the line.
        label: Short name; ``""`` for none.
        at: Where the name stands, 0 at the left and 1 at the right end of the panel.
    """
    grey = "#5c5c5c"
    ax.axhline(level, color=grey, linewidth=0.9, dashes=(1.5, 1.5), zorder=1.5)
    if label:
        ax.annotate(
            label,
            (at, level),
            xycoords=ax.get_yaxis_transform(),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right" if at > 0.2 else "left",
            va="bottom",
            color=grey,
            fontsize=0.85 * current_style().font_size,
            zorder=1.6,
        )


@drawing()
def key(figure: Figure) -> None:
    """Put one legend above all panels, each label once, in the order of its first use.

    Args:
        figure: A figure whose panels are drawn.
    """
    entries = {}
    for ax in figure.axes:
        handles, labels = ax.get_legend_handles_labels()
        for handle, text in zip(handles, labels, strict=True):
            entries.setdefault(text, handle)
    if entries:
        figure.legend(
            entries.values(),
            entries.keys(),
            loc="outside upper left",
            ncols=min(len(entries), 6),
            handlelength=2.6,
            columnspacing=1.4,
            borderaxespad=0.2,
        )


def quartiles(values: Num[np.ndarray, "seed x"]) -> Float[np.ndarray, "3 x"]:
    """Return lower quartile, median and upper quartile over seeds.

    They are NaN where fewer than half of the seeds are defined.

    Example:
        >>> quartiles(np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 5.0]]))
        array([[1.5, nan],
               [2. , nan],
               [2.5, nan]])
    """
    defined = ~np.isnan(values)
    enough = 2 * defined.sum(axis=0) >= max(len(values), 1)
    found = np.full((3, values.shape[1]), np.nan)
    with np.errstate(invalid="ignore"):  # two infinite neighbors have no middle: NaN is right
        found[:, enough] = np.nanquantile(values[:, enough], [0.25, 0.5, 0.75], axis=0)
    return found


def _line(appearance: Look) -> dict:
    dashes = {"dashes": appearance.dash} if appearance.dash else {}
    return {"color": appearance.color, "linewidth": appearance.width, **dashes}
