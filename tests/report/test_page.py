"""The page: complete, alone, deterministic, and calm about damage."""

import functools
import json
import re
import tempfile
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest

from signdyn.report.figures import band, panels
from signdyn.report.page import write_page
from signdyn.report.style import save_figure

NASTY = "<script>alert(\"1\")</script> & <b onclick='x'>bold</b>"


def finding(name="steps", **changes):
    fields = {
        "id": name,
        "questions": ["b4"],
        "sentence": f"Claim {name}.",
        "rule": "the rule",
        "statistic": "the statistic",
        "effect": 3.9,
        "low": 3.5,
        "high": 4.2,
        "confidence": 0.95,
        "n": 3,
        "left_out": 1,
        "p": 1e-5,
        "p_holm": 4.3e-5,
        "verdict": "supported",
        "control": False,
        "figure": "loss",
        "values": [3.5, None, 4.25],
    }
    return {**fields, **changes}


@functools.cache
def drawn():
    """One figure's files, drawn once for all tests."""
    figure, axes = panels(titles=["a < b"])
    band(axes[0, 0], np.arange(4), np.ones((3, 4)), "raw")
    with tempfile.TemporaryDirectory() as folder:
        return {path.name: path.read_bytes() for path in save_figure(figure, folder, "loss")}


def write_experiment(root, name, findings, **changes):
    folder = root / name
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for file, content in drawn().items():
        (folder / "figures" / file).write_bytes(content)
    claims = {
        "experiment": name,
        "title": f"Title of {name}",
        "question": "Why?",
        "answer": f"Because of {name}.",
        "command": f"python -m experiments.{name}",
        "run": {},
        "findings": findings,
        "figures": [{"name": "loss", "caption": "The loss & more."}],
        **changes,
    }
    (folder / "claims.json").write_text(json.dumps(claims))
    (folder / "run.json").write_text(json.dumps({"config": {"seeds": 3}, "device": "cpu"}))
    return folder


@pytest.fixture
def results(tmp_path):
    write_experiment(tmp_path, "sign_flip", [finding(), finding("exact", verdict="refuted")])
    write_experiment(tmp_path, "two_weights", [finding(verdict="inconclusive", control=True)])
    return tmp_path


class Reader(HTMLParser):
    """Collects what a browser would see: elements, ids, links, text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def values(self, attribute):
        return [attrs[attribute] for _, attrs in self.elements if attribute in attrs]


def read(root):
    return Reader((root / "report.html").read_text())


def test_the_page_shows_every_claim_with_its_effect_verdict_and_anchor(results):
    path, problems = write_page(results)
    assert path == results / "report.html"
    assert problems == ()
    page = read(results)
    rows = [attrs for tag, attrs in page.elements if tag == "tr" and "data-verdict" in attrs]
    assert {row["id"]: row["data-verdict"] for row in rows} == {
        "sign_flip/steps": "supported",
        "sign_flip/exact": "refuted",
        "two_weights/steps": "inconclusive",
    }
    text = path.read_text()
    for shown in ("3.90", "[3.50, 4.20]", "4.3 × 10<sup>−5</sup>", "the rule", "the statistic"):
        assert shown in text
    assert "3 used, 1 left out" in text
    assert ">3.5 undefined 4.25</span>" in text
    assert "python -m experiments.sign_flip" in text


def test_every_element_is_closed_and_every_id_is_unique_and_every_anchor_lands(results):
    write_page(results)
    page = read(results)
    assert page.open == []
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    anchors = {link[1:] for link in page.values("href") if link.startswith("#")}
    assert anchors <= set(ids)


def test_links_to_files_are_relative_and_exist(results):
    write_page(results)
    files = [link for link in read(results).values("href") if not link.startswith("#")]
    assert files
    for link in files:
        assert (results / link).exists()


def test_the_page_loads_nothing(results):
    text = write_page(results).path.read_text()
    assert not re.search(r"https?:(?!//www\.w3\.org/2000/svg)|@import|url\((?!#f\d+:)", text)
    page = read(results)
    assert not page.values("src") + page.values("action") + page.values("poster")
    assert not {tag for tag, _ in page.elements} & {"img", "link", "iframe", "object", "base"}
    policy = next(value for value in page.values("content") if "default-src" in value)
    assert policy.startswith("default-src 'none'")


def test_every_file_of_style_and_script_is_in_the_page(results):
    text = write_page(results).path.read_text()
    files = list(resources.files("signdyn.report").joinpath("web").iterdir())
    assert len(files) > 10
    for file in files:
        assert file.read_text(encoding="utf-8") in text, file.name


def test_text_from_the_results_is_escaped_everywhere(tmp_path):
    texts = ("sentence", "rule", "statistic")
    nasty = finding(**dict.fromkeys(texts, NASTY), questions=[NASTY], values=[])
    heads = dict.fromkeys(("title", "question", "answer", "command"), NASTY)
    figures = [{"name": "loss", "caption": NASTY}]
    folder = write_experiment(tmp_path, "sign_flip", [nasty], figures=figures, **heads)
    (folder / "run.json").write_text(json.dumps({NASTY: {NASTY: [NASTY]}, "x": NASTY}))
    write_page(tmp_path)
    page = read(tmp_path)
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert not [attrs for _, attrs in page.elements if "onclick" in attrs]
    assert "".join(page.text).count(NASTY) >= 12


def test_a_claim_whose_rule_errs_too_often_says_so_before_it_is_unfolded(results):
    warning = "The verdict rests on skewed seeds: the rule errs in 31% of draws."
    rates = {"false_verdict": {"steps": 0.31, "exact": 0.05}}
    assert warning not in write_page(results).path.read_text()
    (results / "sign_flip" / "calibration.json").write_text(json.dumps(rates))
    text = write_page(results).path.read_text()
    assert text.count(warning) == 1
    chip = f'<summary>Claim steps. <span class="chip">{warning}</span></summary>'
    assert chip in text
    assert "in 5.0% of draws of these seeds in which there is nothing to decide" in text


def test_the_page_has_the_same_bytes_when_it_is_made_again(results, tmp_path_factory):
    first = write_page(results).path.read_bytes()
    assert write_page(results).path.read_bytes() == first
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_experiment(elsewhere, "two_weights", [finding(verdict="inconclusive", control=True)])
    write_experiment(elsewhere, "sign_flip", [finding(), finding("exact", verdict="refuted")])
    assert write_page(elsewhere).path.read_bytes() == first


def test_experiments_come_in_the_order_asked_for_then_by_name(results):
    def sections(**order):
        text = write_page(results, **order).path.read_text()
        return re.findall(r'<section id="([a-z_]+)"', text)

    assert sections() == ["sign_flip", "two_weights"]
    assert sections(order=("two_weights", "absent")) == ["two_weights", "sign_flip"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"findings": 3}', "{}", "\x00"])
def test_a_damaged_claims_file_is_named_and_the_others_are_shown(results, content):
    (results / "two_weights" / "claims.json").write_text(content)
    _, problems = write_page(results)
    assert len(problems) == 1
    assert "two_weights/claims.json" in problems[0]
    text = "".join(read(results).text)
    assert problems[0] in text
    assert "Because of sign_flip." in text


@pytest.mark.parametrize(("planned", "told"), [(12, "2 of about 12 cells"), (None, "2 cells")])
def test_of_a_run_that_is_not_finished_one_line_tells_how_far_it_is(results, planned, told):
    folder = results / "two_weights"
    (folder / "claims.json").unlink()
    (folder / "cells").mkdir()
    for name in ("one.nc", "two.nc", ".three.nc.7.tmp"):
        (folder / "cells" / name).touch()
    (folder / "run.json").write_text(json.dumps({"config": {}, "planned_cells": planned}))
    (problem,) = write_page(results).problems
    assert problem.startswith(f"two_weights is unfinished: {told}")
    text = "".join(read(results).text)
    assert problem in text
    assert "Because of sign_flip." in text


@pytest.mark.parametrize(
    ("field", "value"),
    [("effect", "3"), ("verdict", "maybe"), ("n", None), ("values", [[]]), ("id", "a b")],
)
def test_a_claim_that_cannot_be_used_is_named_and_left_out(results, field, value):
    findings = [finding(), finding("second", **{field: value})]
    write_experiment(results, "sign_flip", findings)
    (problem,) = write_page(results).problems
    assert field in problem
    assert "Claim second." not in "".join(read(results).text)


def test_a_claim_name_used_twice_is_named_and_shown_once(results):
    write_experiment(results, "sign_flip", [finding(), finding()])
    assert "a second time" in write_page(results).problems[0]


def test_optional_fields_may_be_absent(tmp_path):
    required = ("id", "sentence", "effect", "low", "high", "n", "verdict")
    bare = {key: value for key, value in finding().items() if key in required}
    write_experiment(tmp_path, "sign_flip", [bare])
    assert write_page(tmp_path).problems == ()


@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_missing_or_damaged_figure_is_named_in_its_place(results, damage):
    path = results / "sign_flip" / "figures" / "loss.svg"
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:300] if damage == "cut" else b"<p>hello</p>")
    (problem,) = write_page(results).problems
    assert "sign_flip/figures/loss.svg" in problem
    assert "two_weights" not in problem


def test_undefined_numbers_are_called_undefined(tmp_path):
    lost = finding(effect=None, low=None, high=None, p=None, p_holm=None, values=[None])
    write_experiment(tmp_path, "sign_flip", [lost])
    assert "<b>undefined</b>" in write_page(tmp_path).path.read_text()


def test_a_page_of_many_large_figures_stays_below_three_megabytes(tmp_path):
    names = [f"figure{place}" for place in range(40)]
    figures = [{"name": name, "caption": name} for name in names]
    folder = write_experiment(tmp_path, "sign_flip", [finding()], figures=figures)
    points = " ".join(f"{place} {place % 7}" for place in range(15_000))
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M{points}"/></svg>'
    for name in names:
        (folder / "figures" / f"{name}.svg").write_text(svg)
    path, problems = write_page(tmp_path)
    assert path.stat().st_size < 3_000_000
    assert problems
    assert all("too large" in problem for problem in problems)


def test_a_folder_without_results_is_refused_and_left_empty(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"<experiment>/claims\.json"):
        write_page(tmp_path)
    assert not list(tmp_path.iterdir())
