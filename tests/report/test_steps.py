"""Steps to play: written, read back, checked, and put into the page."""

import copy
import json
import math

import pytest

from signdyn.report import steps
from signdyn.report.page import write_page
from signdyn.report.steps import (
    Line,
    Map,
    Panel,
    Steps,
    View,
    Walk,
    rounded,
    what_is_wrong,
    write_steps,
)

LINE = Line("raw", "raw", rounded([2.0, 1.0]), rounded([1.5, math.nan]), rounded([2.5, math.inf]))
WALK = Walk("raw, best", "raw", "m", [0, 0, 1, 1], [2.0, 1.0], [None, None])
STEPS = Steps(
    "Steps",
    "3 seeds.",
    [
        View("lines", panels=[Panel("loss", [0, 4], [LINE], log=True)]),
        View("paths", walks=[WALK], maps={"m": Map([0, 1, 0, 1], [[0, 0, 1, 1]], [1, 1])}),
    ],
    ["Nothing else."],
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "claims.json").write_text('{"findings": []}')
    (tmp_path / "mine" / "run.json").write_text("{}")
    return tmp_path / "mine"


def content(folder) -> dict:
    return json.loads(write_steps(STEPS, folder).read_text())


def test_what_is_written_is_sound_and_undefined_is_null(folder):
    written = content(folder)
    assert what_is_wrong(written) == ""
    line = written["views"][0]["panels"][0]["lines"][0]
    assert (line["middle"], line["low"], line["high"]) == ([2, 1], [1.5, None], [2.5, None])


def places(value, path=()):
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in pairs:
        yield (*path, key)
        if isinstance(entry, dict | list):
            yield from places(entry, (*path, key))


def test_a_wrong_type_anywhere_is_found(folder):
    written = content(folder)
    for path in places(written):
        for wrong in ({"a": 1}, "x", 1e999, True, [[[]]]):
            damaged = copy.deepcopy(written)
            entry = damaged
            for key in path[:-1]:
                entry = entry[key]
            if type(entry[path[-1]]) is type(wrong) and not isinstance(wrong, list):
                continue  # another text, or another truth value, is as good
            entry[path[-1]] = wrong
            assert what_is_wrong(damaged), (path, wrong)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda views: views[0]["panels"][0].update(steps=[4, 0]), "panel.steps"),
        (lambda views: views[0]["panels"][0]["lines"][0]["low"].pop(), "line.low"),
        (lambda views: views[1]["walks"][0].update(map="other"), "walk.map"),
        (lambda views: views[1]["walks"][0]["points"].pop(), "walk.points"),
        (lambda views: views[1]["maps"]["m"].update(minimum=[0, None]), "map.minimum"),
        (lambda views: views[1].update(walks=[]), "view, which is empty"),
        (lambda views: views[1]["walks"][0].update(points=[], loss=[], turns=[]), "walk.loss"),
        (lambda views: views[1]["maps"]["m"]["contours"].append([0] * 300), "size"),
    ],
)
def test_numbers_that_do_not_belong_together_are_named(folder, change, told, monkeypatch):
    monkeypatch.setattr(steps, "_MOST_POINTS", 99)
    written = content(folder)
    change(written["views"])
    assert told in what_is_wrong(written)
    (folder / "steps.json").write_text(json.dumps(written))
    page = write_page(folder.parent)
    assert "mine/steps.json cannot be shown" in page.problems[0]
    assert 'class="stepper"' not in page.path.read_text()


def test_the_page_carries_the_numbers_and_says_what_is_absent(folder):
    written = content(folder)
    text = write_page(folder.parent).path.read_text()
    assert 'id="mine::steps"' in text
    assert "Nothing else." in text
    data = text.partition('data-steps="')[2].partition('"')[0].replace("&quot;", '"')
    assert json.loads(data)["views"] == written["views"]
