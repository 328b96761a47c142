"""SVGs: smaller on disk with the same picture, alone and harmless in a page."""

import re
import xml.etree.ElementTree as ET

import pytest

from signdyn.report.svg import inline, slim

XLINK = "http://www.w3.org/1999/xlink"

SVG = b"""<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 width="72pt" height="36pt" viewBox="0 0 72 36">
 <metadata>made today</metadata>
 <defs><style type="text/css">*{stroke-linejoin: round}</style></defs>
 <g id="figure_1"><g id="line_1">
  <defs><path id="mark" d="M 0 0 L 1.123456 -2.5 L 3 4 z"/></defs>
  <clipPath id="box"><rect x="0" y="0" width="7.123456" height="3"/></clipPath>
  <g clip-path="url(#box)">
   <use xlink:href="#mark" x="1.004999" y="2" style="fill: #ff0000"/>
   <use xlink:href="#mark" x="3" y="4" style="fill: #ff0000"/>
  </g>
  <text style="font-size: 9px; font-family: 'DejaVu Sans'" x="1" y="2"
   transform="rotate(-0 1 2)">a &lt; b</text>
 </g></g>
 <image xlink:href="data:image/png;base64,AAAA1.2345" width="1" height="1"/>
</svg>"""

EVIL = b"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"
 viewBox="0 0 1 1" onload="alert(1)"><script>alert(1)</script>
 <foreignObject><b xmlns="http://www.w3.org/1999/xhtml">x</b></foreignObject>
 <image xlink:href="https://example.org/x.png"/><use href="//example.org/x.svg#a"/>
 <path style="fill:url(https://example.org/x)" fill="url(#a) url(//example.org)" onclick="x()"/>
 <style>@import url(https://example.org/x.css);</style></svg>"""


def numbers(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d*\.?\d+", path)]


def test_slim_keeps_every_point_to_two_decimals():
    path = ET.fromstring(slim(SVG)).find(".//{*}path")
    assert path is not None
    assert numbers(path.attrib["d"]) == [0, 0, 1.12, -2.5, 3, 4]
    assert re.sub(r"[\d.\s-]", "", path.attrib["d"]) == "Mz"


def test_slim_keeps_references_pointing_at_their_elements():
    root = ET.fromstring(slim(SVG))
    ids = {element.get("id"): element.tag.split("}")[1] for element in root.iter()}
    targets = {mark.attrib[f"{{{XLINK}}}href"] for mark in root.iterfind(".//{*}use")}
    assert [ids[target.removeprefix("#")] for target in targets] == ["path"]
    clips = [group.attrib["clip-path"] for group in root.iterfind(".//{*}g[@clip-path]")]
    assert [ids[clip[5:-1]] for clip in clips] == ["clipPath"]


def test_slim_writes_the_style_that_all_marks_share_once():
    assert slim(SVG).count(b"fill:#ff0000") == 1


def test_marks_that_let_light_through_keep_their_own_style():
    svg = SVG.replace(b"fill: #ff0000", b"fill: #ff0000; opacity: 0.5")
    assert slim(svg).count(b"opacity:0.5") == 2


def test_in_a_page_a_mark_has_the_style_that_all_its_uses_share():
    apart = SVG.replace(
        b'<use xlink:href="#mark" x="3"', b'<text>1</text><use xlink:href="#mark" x="3"'
    )
    page = ET.fromstring(inline(slim(apart), "f1:", "x"))
    uses = list(page.iter("use"))
    assert len(uses) == 2
    assert not any("style" in use.attrib for use in uses)
    mark = next(path for path in page.iter("path") if path.get("id"))
    assert uses[0].attrib["href"] == f"#{mark.attrib['id']}"
    assert mark.attrib["style"] == "fill:#ff0000"
    differing = apart.replace(b"#ff0000", b"#00ff00", 1)
    assert inline(slim(differing), "f1:", "x").count("fill:#") == 2


def test_slim_leaves_images_and_text_alone():
    small = slim(SVG)
    assert b"data:image/png;base64,AAAA1.2345" in small
    assert b">a &lt; b</text>" in small
    assert b"rotate" not in small


def test_slim_is_smaller_and_changes_nothing_the_second_time():
    assert len(slim(SVG)) < len(SVG)
    assert slim(slim(SVG)) == slim(SVG)


def test_two_copies_in_one_page_share_no_id():
    both = [inline(slim(SVG), prefix, "label") for prefix in ("f1:", "f2:")]
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in both]
    assert ids[0]
    assert not ids[0] & ids[1]
    for text, own in zip(both, ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) == own


def test_nothing_that_runs_or_loads_gets_into_a_page():
    text = inline(EVIL, "f1:", "label")
    assert not re.search(r"script|foreignObject|example|alert|import|onclick|onload", text)


def test_the_label_is_escaped():
    text = inline(SVG, "f1:", 'a "quoted" <b>')
    assert ET.fromstring(text).get("aria-label") == 'a "quoted" <b>'


def test_a_damaged_file_and_a_file_without_size_are_refused():
    with pytest.raises(ET.ParseError):
        inline(SVG[:-20], "f1:", "label")
    with pytest.raises(ValueError, match="viewBox"):
        inline(SVG.replace(b"viewBox", b"box"), "f1:", "label")
