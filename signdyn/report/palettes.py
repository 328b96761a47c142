"""How each arm is drawn, everywhere: color, dash, marker; and the widths of papers' columns.

May import: nothing of the package.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Look(NamedTuple):
    """How one arm is drawn, everywhere.

    Attributes:
        label: What the legend calls it.
        color: As ``#rrggbb``.
        dash: On and off lengths in units of the line width; empty for a solid line.
        marker: A matplotlib marker.
        width: Line width in points.
    """

    label: str
    color: str
    dash: tuple[float, ...]
    marker: str
    width: float = 1.6


# Okabe and Ito's hues, moved apart in lightness. Two arms that share a dash pattern are 20 or
# more apart in L*, so a grey print keeps them apart. Flipped is a thin dark dash because its
# path covers raw's exactly: the pale line has to show through the gaps.
PALETTE: Mapping[str, Look] = MappingProxyType(
    {
        "raw": Look("raw", "#d55e00", (), "o", 2.2),
        "flipped": Look("flipped", "#2b1a4f", (3.5, 2.5), "X", 1.2),
        "centered": Look("centered", "#004f8a", (), "s"),
        "input": Look("input centered", "#2f8cc4", (6.0, 1.5, 1.0, 1.5), "^"),
        "natural_gradient": Look("natural gradient", "#117a5a", (1.0, 1.2), "D"),
        "neutral": Look("", "#666666", (2.0, 1.2), "v", 1.2),
    }
)


def _recolored(**colors: str) -> Mapping[str, Look]:
    return MappingProxyType({arm: PALETTE[arm]._replace(color=c) for arm, c in colors.items()})


PALETTES: Mapping[str, Mapping[str, Look]] = MappingProxyType(
    {
        "default": PALETTE,
        # Okabe and Ito (2008) as published, made for all kinds of color vision.
        "okabe_ito": _recolored(
            raw="#d55e00",
            flipped="#0072b2",
            centered="#000000",
            input="#56b4e9",
            natural_gradient="#009e73",
            neutral="#666666",
        ),
        "grey": _recolored(
            raw="#8a8a8a",
            flipped="#000000",
            centered="#000000",
            input="#5a5a5a",
            natural_gradient="#2e2e2e",
            neutral="#757575",
        ),
    }
)
"""Palettes by name; all of them tell any two arms apart by dash or by lightness too."""

COLUMN_WIDTHS: Mapping[str, float] = MappingProxyType(
    {
        "icml": 3.25,
        "icml_wide": 6.75,
        "iclr": 5.5,
        "neurips": 5.5,
        "jmlr": 6.0,
        "ieee": 3.5,
        "ieee_wide": 7.16,
        "nature": 3.5,
        "nature_wide": 7.2,
    }
)
"""Inches that a figure has in a column of these venues' templates, or ``_wide`` across both."""
