"""Training step by step, as a page can play it: what an experiment writes into steps.json.

Numbers are rounded to four digits, since they are drawn and read, not computed with; the cells
have them in full. What is undefined is null. May import: records.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from signdyn.records import write_bytes

Numbers = Sequence[float | None]
"""None is undefined."""
FILE = "steps.json"
"""Its name in a run's folder."""
_MOST_POINTS = 200_000
"""Numbers in one file above which a page is not made slow with them."""


class Line(NamedTuple):
    """One arm in a panel, a number for each of the panel's steps.

    Attributes:
        arm: Name in the palette.
        label: What the legend says.
        middle: Median over seeds.
        low: Lower quartile over seeds.
        high: Upper quartile over seeds.
    """

    arm: str
    label: str
    middle: Numbers
    low: Numbers
    high: Numbers


class Panel(NamedTuple):
    """One quantity of all arms over the steps that it was recorded at.

    Attributes:
        label: What it is, with its unit.
        steps: Those it was recorded at.
        lines: One an arm.
        log: Whether its axis is logarithmic.
    """

    label: str
    steps: Sequence[int]
    lines: Sequence[Line]
    log: bool = False


class Map(NamedTuple):
    """A plane of two weights.

    Attributes:
        box: Least and largest horizontal, least and largest vertical coordinate.
        contours: Lines of equal loss, each as x, y, x, y, ...
        minimum: The point of least loss.
    """

    box: Numbers
    contours: Sequence[Numbers]
    minimum: Numbers


class Walk(NamedTuple):
    """One path through a map, a point before each step.

    Attributes:
        label: Arm and method.
        arm: Name in the palette.
        map: Which of the view's maps it walks on.
        points: x, y, x, y, ...
        loss: Nats, at each point.
        turns: Cosine of the updates into and out of each point; null at both ends.
        note: Step size and outcome.
    """

    label: str
    arm: str
    map: str
    points: Numbers
    loss: Numbers
    turns: Numbers
    note: str = ""


class View(NamedTuple):
    """What is seen at once: panels, or walks and their maps.

    Attributes:
        label: What the view is called.
        panels: Quantities over steps.
        walks: Paths of weights.
        maps: Name -> plane that walks go over.
    """

    label: str
    panels: Sequence[Panel] = ()
    walks: Sequence[Walk] = ()
    maps: Mapping[str, Map] = {}


class Steps(NamedTuple):
    """All that steps.json holds.

    Attributes:
        title: A few words.
        caption: What is seen, and of how many seeds.
        views: To choose from.
        absent: A sentence for each thing that the cells do not hold.
    """

    title: str
    caption: str
    views: Sequence[View]
    absent: Sequence[str] = ()


def rounded(values: Iterable[Any]) -> list[float | int | None]:
    """Return numbers with four significant digits; what is not finite is None.

    Example:
        >>> rounded([1.0, 0.123456, -1234567.0, float("nan")])
        [1, 0.1235, -1235000, None]
    """
    return [_short(float(value)) for value in values]


def _short(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.4g}")
    return int(short) if short.is_integer() else short


def write_steps(steps: Steps, folder: Path) -> Path:
    """Write ``steps.json`` into an experiment's folder."""
    path = folder / FILE
    text = json.dumps(_plain(steps), allow_nan=False, separators=(",", ":"))
    write_bytes(path, (text + "\n").encode())
    return path


def _plain(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(entry) for name, entry in value._asdict().items()}
    if isinstance(value, Mapping):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(entry) for entry in value]
    return value


def what_is_wrong(content: Any) -> str:
    """Return the first thing in a file's content that a page cannot show; empty if it is sound.

    Example:
        >>> what_is_wrong({"title": "t", "caption": "c", "views": 3, "absent": []})
        'steps.views'
    """
    return next(_faults(content), "")


def _faults(content: Any) -> Iterator[str]:
    yield from _shape(content, {"title": str, "caption": str, "views": list, "absent": list})
    yield from (f"steps.absent {text!r}" for text in content["absent"] if not _is_text(text))
    count = 0
    for view in content["views"]:
        yield from _shape(view, {"label": str, "panels": list, "walks": list, "maps": dict}, "view")
        if not (view["panels"] or view["walks"]):
            yield "view, which is empty"
        for panel in view["panels"]:
            yield from _shape(
                panel, {"label": str, "steps": list, "lines": list, "log": bool}, "panel"
            )
            if not _ascend(panel["steps"]):
                yield "panel.steps"
            for line in panel["lines"]:
                yield from _shape(line, {"arm": str, "label": str, **_NUMBERS_OF_LINE}, "line")
                for name in _NUMBERS_OF_LINE:
                    yield from _numbers(line[name], len(panel["steps"]), f"line.{name}")
                    count += len(line[name])
        for place in view["maps"].values():
            yield from _shape(place, {"box": list, "contours": list, "minimum": list}, "map")
            for name, length in (("box", 4), ("minimum", 2)):
                yield from _numbers(place[name], length, f"map.{name}")
                if None in place[name]:
                    yield f"map.{name}, which is not all defined"
            for contour in place["contours"]:
                yield from _numbers(contour, None, "map.contours")
                count += len(contour)
        for walk in view["walks"]:
            texts = dict.fromkeys(("label", "arm", "map", "note"), str)
            yield from _shape(walk, {**texts, "points": list, "loss": list, "turns": list}, "walk")
            if not walk["loss"]:
                yield "walk.loss, which is empty"
            if walk["map"] not in view["maps"]:
                yield "walk.map"
            yield from _numbers(walk["points"], 2 * len(walk["loss"]), "walk.points")
            for name in ("loss", "turns"):
                yield from _numbers(walk[name], len(walk["loss"]), f"walk.{name}")
            count += 4 * len(walk["loss"])
    if count > _MOST_POINTS:
        yield f"size: {count} numbers, more than {_MOST_POINTS}"


_NUMBERS_OF_LINE = dict.fromkeys(("middle", "low", "high"), list)


def _shape(value: Any, fields: Mapping[str, type], name: str = "steps") -> Iterable[str]:
    if not isinstance(value, dict):
        yield name
        return
    for field, kind in fields.items():
        if not isinstance(value.get(field), kind):
            yield f"{name}.{field}"


def _numbers(values: Any, length: int | None, name: str) -> Iterable[str]:
    if not isinstance(values, list) or not all(_is_number(value) for value in values):
        yield name
    elif length is not None and len(values) != length:
        yield f"{name}, {len(values)} numbers where {length} are expected"


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return value is None or (isinstance(value, int | float) and abs(value) < 1e300)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _ascend(steps: Sequence[Any]) -> bool:
    whole = all(isinstance(step, int) and not isinstance(step, bool) for step in steps)
    return whole and bool(steps) and list(steps) == sorted(set(steps)) and steps[0] >= 0
