"""The recorded runs: they agree, their rules are calibrated, and the pages say what they hold."""

import csv
import json
from pathlib import Path

import pytest

from experiments import claims_table, compare
from experiments._answers import answered_threads
from experiments._publish import ORDER
from experiments._questions import QUESTIONS
from signdyn.report.results import read_results
from signdyn.report.tables import MAX_RATE
from signdyn.report.threads import findings_by_name, is_borne_out

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "record"
RUNS = ("quick", "default", "default_root1", "default_root2")


@pytest.fixture(scope="module")
def runs():
    return {name: findings_by_name(read_results(RECORD / name).experiments) for name in RUNS}


@pytest.mark.parametrize("name", RUNS)
def test_every_run_holds_every_experiment_undamaged(name):
    held = {path.parent.name for path in (RECORD / name).glob("*/claims.json")}
    assert held == set(ORDER)
    if name in ("quick", "default"):  # of the other seeds there are no figures
        assert read_results(RECORD / name).problems == ()


@pytest.mark.parametrize("name", RUNS[1:])
def test_three_root_seeds_of_the_default_preset_are_recorded(name):
    seeds = {
        json.loads(path.read_text())["config"]["root_seed"]
        for path in (RECORD / name).glob("*/run.json")
    }
    assert seeds == {int(name[-1]) if name[-1].isdigit() else 0}


def test_no_two_runs_contradict_each_other_on_any_claim(runs):
    found = [change for change in compare.changes(runs) if change.is_contradiction]
    assert not found, found


def test_every_rule_that_infers_has_a_rate_of_false_verdicts(runs):
    # the others look at every single value, or at values that do not vary
    found = runs["default"]
    infers = {
        name
        for name, f in found.items()
        if f["kind"] != "range" and f["bounds"][0] != f["bounds"][1] and len(known(f)) >= 3
    }
    varies = {name for name in infers if len(set(known(found[name]))) > 1}
    rates = {name for name, f in found.items() if f["false_verdict"] is not None}
    assert varies <= rates <= infers
    assert len(rates) > 0.6 * len(found)
    for path in (RECORD / "default").glob("*/calibration.json"):
        assert json.loads(path.read_text())["num_draws"] >= 200


def known(finding):
    return [value for value in finding["values"] if value is not None]


def test_every_rate_of_false_verdicts_above_the_limit_is_told_at_its_claim(runs):
    rates = {name: f["false_verdict"] for name, f in runs["default"].items()}
    high = {n: rate for n, rate in rates.items() if rate is not None and rate > MAX_RATE}
    lines = (ROOT / "docs" / "claims.md").read_text().splitlines()
    warned = [line for line in lines if "skewed seeds: the rule errs in" in line]
    for name, rate in high.items():
        (line,) = [line for line in warned if f"({name})" in line]
        assert f"errs in {rate:.0%} of draws" in line
    assert len(warned) == len(high)


@pytest.mark.parametrize("name", ["quick", "default"])
def test_the_answers_of_the_page_are_borne_out(runs, name):
    statements = [s for thread in answered_threads() for s in thread.statements]
    open_ones = [s.text for s in statements if not is_borne_out(s, runs[name])]
    assert not open_ones, open_ones


def test_every_question_has_a_claim_and_every_experiment_a_control(runs):
    found = runs["default"].values()
    assert len(found) >= 30
    assert {question for f in found for question in f["questions"]} == set(QUESTIONS)
    assert {f["experiment"] for f in found if f["control"]} == set(ORDER)


def test_the_table_of_claims_is_that_of_the_default_run(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    out = tmp_path / "docs"
    config = claims_table.Config(run="docs/record/default", out=str(out), draws=0)
    claims_table.execute(claims_table.prepare(config))
    for name in ("claims.csv", "claims.tex"):
        assert (out / name).read_bytes() == (ROOT / "docs" / name).read_bytes()
    with (ROOT / "docs" / "claims.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {f"{row['experiment']}/{row['id']}" for row in rows} == set(runs["default"])
    # links to figures are relative to where the page lies, the rest is the same
    lines = (ROOT / "docs" / "claims.md").read_text().splitlines()
    made = (out / "claims.md").read_text().splitlines()
    assert [line.split("](")[0] for line in lines] == [line.split("](")[0] for line in made]


def test_figures_that_the_table_links_to_exist():
    text = (ROOT / "docs" / "claims.md").read_text()
    links = {part.split(")")[0] for part in text.split("](")[1:]}
    assert len(links) > 20
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
