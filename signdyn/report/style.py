"""How figures look, and how they are saved: the one place that configures matplotlib.

Nothing here touches pyplot or leaves a changed ``rcParams`` behind. May import: records,
report.names, report.palettes, report.svg.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

from signdyn.records import write_bytes
from signdyn.report.names import check_name
from signdyn.report.palettes import COLUMN_WIDTHS, PALETTE, PALETTES, Look
from signdyn.report.svg import slim


@dataclass(frozen=True)
class Style:
    """What a paper changes about the figures.

    Attributes:
        column_width: Width of every figure in inches.
        font_size: Size of all text in points.
        palette: The look of each arm, by name.
    """

    column_width: float | int = 6.5
    font_size: float | int = 9.0
    palette: Mapping[str, Look] = field(default_factory=lambda: PALETTE)


_DEFAULT = Style()
_STYLE: ContextVar[Style] = ContextVar("style")


def current_style() -> Style:
    """Return the style in force.

    Example:
        >>> current_style().column_width
        6.5
    """
    return _STYLE.get(_DEFAULT)


@contextmanager
def restyle(
    *,
    column_width: float | int | str | None = None,
    font_size: float | int | None = None,
    palette: Mapping[str, Look] | str | None = None,
) -> Iterator[Style]:
    """Draw and save everything inside the ``with`` block in another style, such as a paper's.

    Args:
        column_width: Width of every figure in inches, or a name of `COLUMN_WIDTHS`.
        font_size: Size of all text in points.
        palette: Looks to add to, or to replace in, the style in force, or a name of `PALETTES`.

    Yields:
        The style in force inside the block; the one outside comes back after it.

    Raises:
        ValueError: If a size is not positive, or a name is not known.

    Example:
        >>> with restyle(column_width="icml", font_size=8.0, palette="okabe_ito") as style:
        ...     (style.column_width, look("flipped").color)
        (3.25, '#0072b2')
    """
    if isinstance(column_width, str):
        column_width = _named(column_width, COLUMN_WIDTHS, "column_width")
    if isinstance(palette, str):
        palette = _named(palette, PALETTES, "palette")
    for name, size in (("column_width", column_width), ("font_size", font_size)):
        if size is not None and not size > 0:
            raise ValueError(f"restyle: expected a positive {name}, got {size!r}.")
    old = current_style()
    new = replace(
        old,
        column_width=old.column_width if column_width is None else column_width,
        font_size=old.font_size if font_size is None else font_size,
        palette=MappingProxyType({**old.palette, **(palette or {})}),
    )
    token = _STYLE.set(new)
    try:
        with drawing():
            yield new
    finally:
        _STYLE.reset(token)


def _named(name: str, known: Mapping[str, Any], option: str) -> Any:
    if name not in known:
        close = get_close_matches(name, known, 1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(
            f"restyle: expected {option} to be one of {', '.join(known)}, got {name!r}{hint}"
        )
    return known[name]


@contextmanager
def drawing() -> Iterator[None]:
    """Give matplotlib the settings of the style in force, and take them back afterwards."""
    # "default" first: a user's own matplotlibrc must not change the bytes of a figure.
    with matplotlib.style.context(["default", _settings(current_style())]):
        yield


def look(arm: str | Look) -> Look:
    """Return how an arm is drawn in the style in force.

    Args:
        arm: Name in the palette, or a look of the caller's own, which is returned as it is.

    Raises:
        ValueError: If the palette has no such name.

    Example:
        >>> look("centered").marker
        's'
    """
    if isinstance(arm, Look):
        return arm
    palette = current_style().palette
    if arm not in palette:
        raise ValueError(
            f"look: expected one of {', '.join(palette)}, got {arm!r}; "
            "pass a Look, or add the name with restyle(palette=...)."
        )
    return palette[arm]


def save_figure(figure: Figure, folder: Path | str, name: str) -> tuple[Path, Path]:
    """Write a figure as SVG and PDF, the same bytes for the same figure.

    Dates, program versions and random ids are left out. Text in the SVG stays text, which a
    reader can search and copy; the PDF embeds its font.

    Args:
        figure: What to draw, as :func:`signdyn.report.figures.panels` makes it.
        folder: Where; made if missing.
        name: File name without suffix: lower-case letters, digits, ``_`` and ``-``.

    Returns:
        Path of the SVG and path of the PDF.

    Raises:
        ValueError: If ``name`` cannot be a file name.
    """
    check_name(name, "save_figure")
    svg, pdf = Path(folder, f"{name}.svg"), Path(folder, f"{name}.pdf")
    with drawing():
        write_bytes(svg, _svg_bytes(figure))
        engine = figure.get_layout_engine()
        figure.set_layout_engine("none")  # it lies well: laying it out again takes a second
        write_bytes(pdf, _pdf_bytes(figure))
        figure.set_layout_engine(engine)
    return svg, pdf


def _svg_bytes(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", metadata=nothing)
    return slim(buffer.getvalue())


def _pdf_bytes(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Producer", "CreationDate"))
    figure.savefig(buffer, format="pdf", metadata=nothing)
    return buffer.getvalue()


def _settings(style: Style) -> dict[str, Any]:
    ink, faint = "#333333", "#e4e4e4"
    return {
        "figure.figsize": (style.column_width, 0.4 * style.column_width),
        "figure.facecolor": "white",
        "font.family": ["DejaVu Sans"],  # ships with matplotlib, so every machine has it
        "font.size": style.font_size,
        "text.usetex": False,  # a machine without TeX draws the same figure
        "mathtext.fontset": "dejavusans",
        "axes.titlesize": style.font_size,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": style.font_size,
        "figure.labelsize": style.font_size,
        "xtick.labelsize": 0.9 * style.font_size,
        "ytick.labelsize": 0.9 * style.font_size,
        "legend.fontsize": style.font_size,
        "legend.frameon": False,
        "text.color": ink,
        "axes.labelcolor": ink,
        "xtick.color": ink,
        "ytick.color": ink,
        "axes.edgecolor": "#8a8a8a",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "axes.axisbelow": True,
        "axes.grid": True,
        "grid.color": faint,
        "grid.linewidth": 0.6,
        "axes.formatter.useoffset": False,
        "svg.fonttype": "none",
        "svg.hashsalt": "signdyn",
        "pdf.fonttype": 42,
    }
