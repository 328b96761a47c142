"""SVG files: made small when they are saved, made safe when they go into a page.

May import: report.html.
"""

import re
from collections.abc import Iterator
from itertools import groupby
from xml.etree.ElementTree import Element, fromstring, tostring

from signdyn.report.html import Html

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# Text stays text: it can be searched and copied, and takes a third less room than outlines.
# matplotlib lays it out in DejaVu Sans, which comes with it; Verdana is as wide, and whatever
# else a reader's machine has is narrower, so that nothing overlaps.
_FONTS = "'DejaVu Sans',Verdana,sans-serif"
_JOINS = "stroke-linejoin:round;stroke-linecap:butt"
# What matplotlib draws with; everything else, scripts and metadata above all, is left out.
# fmt: off
_DRAWN = frozenset({
    "svg", "defs", "style", "g", "path", "use", "text", "tspan", "clipPath", "rect", "circle",
    "line", "polyline", "polygon", "ellipse", "image", "pattern", "linearGradient",
    "radialGradient", "stop", "mask", "marker", "symbol",
})
# fmt: on
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def slim(svg: bytes) -> bytes:
    """Return an SVG that matplotlib wrote without the parts that no reader sees.

    Six decimals of a point become two, ids that nothing refers to and the groups that only
    carry them go, and a style that all marks of a series share is written once. The picture
    stays the same; a figure with many marks shrinks to a half or a third.

    Args:
        svg: The file.

    Returns:
        The smaller file, the same bytes for the same input.
    """
    root = _parse(svg)
    names = {name: f"i{place}" for place, name in enumerate(dict.fromkeys(_references(root)))}
    for element in root.iter():
        _shorten(element, names)
    _flatten(root)
    for element in list(root.iter()):
        _share_style(element)
    root.attrib.update({"style": f"font-family:{_FONTS}", "xmlns": _SVG, "xmlns:xlink": _XLINK})
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + _text(root).encode()


def inline(svg: bytes, prefix: str, label: str) -> Html:
    """Return an SVG as an element of an HTML page.

    It takes less room than the file: a tenth of a point is enough for a screen, and a style that
    all uses of a mark share is written once. Every id gets ``prefix``, since the clip paths and
    glyphs of two figures share names, and the second figure would be drawn with the first one's.
    Whatever could run or load something is left out: scripts, event handlers, references out of
    the page. The width in print becomes the custom property ``--width``, for the page's style.

    Args:
        svg: The file, as :func:`signdyn.report.style.save_figure` writes it.
        prefix: Unique in the page.
        label: What a screen reader says in place of the picture.

    Raises:
        xml.etree.ElementTree.ParseError: If the file is damaged.
        ValueError: If it is no SVG, or has no size.
    """
    root = _parse(svg)
    box = root.get("viewBox", "").split()
    if root.tag != "svg" or len(box) != 4:
        raise ValueError(f"inline: expected an svg element with a viewBox, got <{root.tag}>.")
    for element in root.iter():
        element.attrib = {
            _unprefixed(name): _prefix_references(name, value, prefix)
            for name, value in element.attrib.items()
            if _harmless(name, value)
        }
    # In a page, matplotlib's style sheet would reach every other element on it.
    for parent in list(root.iter()):
        for sheet in parent.findall("style"):
            parent.remove(sheet)
    _style_once(root)
    for element in root.iter():
        for name in ("d", "x", "y"):
            if name in element.attrib:
                element.set(name, _rounded(element.attrib[name], 1))
    root.attrib = {
        "viewBox": " ".join(box),
        "role": "img",
        "aria-label": label,
        "style": f"--width:{float(box[2]) / 72:g}in;font-family:{_FONTS};{_JOINS}",
    }
    return Html(_text(root))


def _parse(svg: bytes) -> Element:
    """Parse without namespaces: HTML needs none, and a file gets its two back by name."""
    root = fromstring(svg)
    for parent in list(root.iter()):
        parent.tag = parent.tag.removeprefix(f"{{{_SVG}}}")
        parent.attrib = {
            name.replace(f"{{{_XLINK}}}", "xlink:"): value for name, value in parent.attrib.items()
        }
        for child in list(parent):
            if child.tag.removeprefix(f"{{{_SVG}}}") not in _DRAWN:
                parent.remove(child)
    return root


def _text(root: Element) -> str:
    return tostring(root, "unicode").replace(" />", "/>")


def _references(root: Element) -> Iterator[str]:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.endswith("href") and value.startswith("#"):
                yield value[1:]
            yield from _REFERENCE.findall(value)


def _shorten(element: Element, names: dict[str, str]) -> None:
    """Shorter text, numbers and ids; an id that nothing refers to has no name and goes."""
    if element.tag not in ("style", "text", "tspan"):
        element.text = (element.text or "").strip() or None
    element.tail = None
    for name, value in list(element.attrib.items()):
        if name == "id" and value not in names:
            del element.attrib["id"]
        elif name == "id":
            element.set(name, names[value])
        elif name.endswith("href"):
            element.set(name, f"#{names[value[1:]]}" if value.startswith("#") else value)
        elif name in ("d", "x", "y"):
            element.set(name, _short_path(value))
        elif name == "transform":
            turned = re.sub(r"rotate\(-?0 [^)]*\)", "", value).strip()
            element.set(name, re.sub(r"(?:translate|rotate)\([^)]*\)", _two_decimals, turned))
        else:
            value = _REFERENCE.sub(lambda match: f"url(#{names[match[1]]})", value)
            value = re.sub(r";?\s*font-family:[^;]*", "", value)
            element.set(name, value.replace("; ", ";").replace(": ", ":").lstrip(";"))
    for name in ("style", "transform"):
        if element.get(name) == "":
            del element.attrib[name]


def _short_path(text: str) -> str:
    """``M 1.004 2 L 3 -4`` as ``M1 2 3-4``: a line is what follows anyway."""
    text = _two_decimals(text)
    text = re.sub(r"\s*([A-Za-z])\s*", r"\1", text)
    text = re.sub(r"(?<=[ML])([^A-Za-z]+)((?:L[^A-Za-z]+)+)", _implicit_lines, text)
    return text.replace(" -", "-").strip()


def _two_decimals(text: str | re.Match[str]) -> str:
    return _rounded(text if isinstance(text, str) else text[0], 2)


def _rounded(text: str, decimals: int) -> str:
    return re.sub(r"-?\d+\.\d+", lambda number: f"{round(float(number[0]), decimals):.7g}", text)


def _style_once(root: Element) -> None:
    """Give a mark the style that all its uses share, where its own goes first as it did."""
    uses: dict[str, list[Element]] = {}
    for use in root.iter("use"):
        uses.setdefault(use.get("href", ""), []).append(use)
    for mark in root.iter():
        own = uses.get(f"#{mark.get('id')}", [])
        styles = {use.get("style", "") for use in own}
        style = styles.pop() if len(styles) == 1 else ""
        if not style or re.search(r"(^|;)(opacity|clip)", style):
            continue
        mark.set("style", f"{style};{mark.get('style', '')}".strip(";"))
        for use in own:
            use.attrib.pop("style", None)


def _implicit_lines(match: re.Match[str]) -> str:
    return match[1] + match[2].replace("L", " ")


def _share_style(parent: Element) -> None:
    """Put marks in a row that have one style into one group that has it."""
    children: list[Element] = []
    for style, run in groupby(parent, _mark_style):
        marks = list(run)
        # Opacity is not inherited: on a group it would make overlapping marks merge.
        if style and len(marks) > 1 and not re.search(r"(^|;)opacity", style):
            for mark in marks:
                del mark.attrib["style"]
            group = Element("g", {"style": style})
            group.extend(marks)
            marks = [group]
        children += marks
    parent[:] = children


def _mark_style(element: Element) -> str:
    return element.get("style", "") if element.tag == "use" else ""


def _flatten(parent: Element) -> None:
    """Put the children of a group that says nothing in its place."""
    children: list[Element] = []
    for child in parent:
        _flatten(child)
        empty = child.tag == "g" and not child.attrib
        children += list(child) if empty else [child]
    parent[:] = children


def _harmless(name: str, value: str) -> bool:
    if name.endswith("href"):
        return value.startswith(("#", "data:image/"))
    inside = len(_REFERENCE.findall(value)) == value.count("url(")
    return inside and not name.lower().startswith("on")


def _unprefixed(name: str) -> str:
    return name.removeprefix("xlink:")


def _prefix_references(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name.endswith("href") and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    return _REFERENCE.sub(rf"url(#{prefix}-\1)", value)
