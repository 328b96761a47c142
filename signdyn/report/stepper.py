"""Steps of training as an element that the page's script makes playable.

May import: report.html, report.palettes, report.steps.
"""

import json
from collections.abc import Mapping
from typing import Any

from signdyn.report.html import Html, tag
from signdyn.report.palettes import PALETTE
from signdyn.report.steps import FILE


def stepper(steps: Mapping[str, Any], experiment: str) -> Html:
    """Return a figure that carries its data; the script adds the controls and the drawing.

    Args:
        steps: Sound content of a steps.json.
        experiment: Whose.
    """
    data = json.dumps({"views": steps["views"], "looks": _looks()}, separators=(",", ":"))
    link = tag("a", FILE, href=f"{experiment}/{FILE}")
    return tag(
        "figure",
        tag("h3", steps["title"]),
        tag("p", "To be played with JavaScript; the numbers are in ", link, ".", class_="plain"),
        tag("div", class_="stage"),
        *(tag("p", reason, class_="absent") for reason in steps["absent"]),
        tag("figcaption", steps["caption"]),
        class_="stepper",
        id=steps_anchor(experiment),
        data_steps=data,
    )


def steps_anchor(experiment: str) -> str:
    """Return the id of an experiment's stepper; no figure can have a name with a colon."""
    return f"{experiment}::steps"


def _looks() -> dict[str, list[Any]]:
    """Return each arm's color, dashes and line width, as in all figures."""
    return {arm: [look.color, list(look.dash), look.width] for arm, look in PALETTE.items()}
