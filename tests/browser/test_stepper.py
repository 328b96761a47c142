"""Training step by step in a real browser: slider, keys, pointer, and what files may say."""

import json
import re

import pytest

from signdyn.report.page import write_page
from tests.browser.conftest import FOCUS, RECORD


def steps_of(name: str) -> dict:
    return json.loads((RECORD / "quick" / name / "steps.json").read_text())


def test_arrow_keys_step_through_training_and_tell_what_is_on_record(kept):
    browser = kept("#sign_flip::steps")
    browser.run(FOCUS, ".stepper [type=range]")
    browser.press(*["right"] * 9)
    table = browser.run(
        """return [...document.querySelector(".stepper .readings").rows]
          .map((row) => [...row.cells].map((cell) => cell.innerText))"""
    )
    view = steps_of("sign_flip")["views"][0]
    assert table[0][1:] == [panel["label"] for panel in view["panels"]]
    for row, line in zip(table[1:], view["panels"][0]["lines"], strict=True):
        assert row[0] == line["label"]
        expected = (line["middle"][9], line["low"][9], line["high"][9])
        shown = [float(number) for number in re.findall(r"[\d.]+", row[1])]
        assert shown == pytest.approx(expected, rel=6e-3)
    coherence = view["panels"][1]
    assert coherence["steps"][2] == 8  # the last record before step 9
    shown = float(table[1][2].split()[0])
    assert shown == pytest.approx(coherence["lines"][0]["middle"][2], rel=6e-3)
    raw, flipped = table[1], table[2]
    assert raw[1] == flipped[1]
    assert raw[2] != flipped[2]
    assert browser.run("return document.activeElement.ariaValueText") == "step 9 of 127"


def test_every_view_is_drawn_and_play_runs_to_a_later_step_until_it_is_paused(kept):
    browser = kept("#sign_flip::steps")
    views = len(steps_of("sign_flip")["views"])
    for place in range(views):
        drawn = browser.run(
            """const select = document.querySelector(".stepper select");
            select.value = arguments[0]; select.dispatchEvent(new Event("change"));
            const charts = [...document.querySelectorAll(".stepper h4 + div > svg")];
            return charts.map((svg) => svg.getBBox().width)""",
            place,
        )
        assert len(drawn) == 3
        assert min(drawn) > 100
    browser.click(".stepper .play")
    browser.wait(500)
    browser.click(".stepper .play")
    step = "return Number(document.querySelector('.stepper [type=range]').value)"
    stopped = browser.run(step)
    assert stopped > 0
    browser.wait(250)
    assert browser.run(step) == stopped


def test_the_paths_of_two_weights_walk_and_follow_the_pointer(kept):
    browser = kept("#two_weights::steps")
    stepper = "[id='two_weights::steps']"
    browser.run(FOCUS, f"{stepper} [type=range]")
    browser.press("right", "right")
    texts = browser.run(
        f'return [...document.querySelectorAll("{stepper} .walks p")].map((p) => p.textContent)'
    )
    walks = steps_of("two_weights")["views"][0]["walks"]
    for text, walk in zip(texts, walks, strict=True):
        last = len(walk["loss"]) - 1
        place = min(2, last)
        assert text.startswith(f"step {place} of {last}: loss ")
        shown = float(re.findall(r"loss ([\d.e−-]+) nat", text)[0].replace("−", "-"))
        assert shown == pytest.approx(walk["loss"][place], rel=1e-3)
    browser.move_to(f"{stepper} .walks svg", 0, 0)
    assert not browser.run(
        f'return document.querySelector("{stepper} .walks p").textContent'
    ).startswith("step 2 ")


def test_who_wants_less_motion_gets_no_playing_but_the_slider(page):
    browser = page("#sign_flip::steps", prefers_reduced_motion="reduce")
    hidden, slider = browser.run(
        """return [document.querySelector(".stepper .play").checkVisibility(),
          document.querySelector(".stepper [type=range]").checkVisibility()]"""
    )
    assert (hidden, slider) == (False, True)


EVIL = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_whatever_a_file_of_steps_says_is_shown_as_text(browser, tmp_path):
    folder = tmp_path / "run" / "mine"
    folder.mkdir(parents=True)
    line = {"arm": EVIL, "label": EVIL, "middle": [1, None], "low": [0, None], "high": [2, None]}
    panel = {"label": EVIL, "steps": [0, 3], "lines": [line], "log": True}
    steps = {
        "title": EVIL,
        "caption": EVIL,
        "views": [{"label": EVIL, "panels": [panel], "walks": [], "maps": {}}],
        "absent": [EVIL],
    }
    (folder / "steps.json").write_text(json.dumps(steps))
    (folder / "run.json").write_text("{}")
    (folder / "claims.json").write_text(json.dumps({"findings": []}))
    written = write_page(tmp_path / "run")
    assert written.problems == ()
    browser.emulate()
    browser.log("browser")
    browser.open(written.path.as_uri())
    text, images, scripts = browser.run(
        """return [document.querySelector(".stepper").innerText, document.images.length,
          document.scripts.length]"""
    )
    assert text.count("</script>") >= 5
    assert (images, scripts) == (0, 1)
    assert browser.log("browser") == []
