"""The table of claims by question: every claim once, every number whole."""

import csv
import math
import re

import pytest

from signdyn.report.evidence import FIELDS, write_evidence
from signdyn.report.results import Experiment

QUESTIONS = {"a1": "Is it?", "b1": "Why?", "b2": "How?"}


def finding(id, questions, **changes):
    fields = {
        "experiment": "signs", "id": id, "sentence": f"{id} holds | so.", "statistic": "a_ratio",
        "effect": 1 / 3, "low": 0.25, "high": 0.5, "confidence": 0.95, "n": 16, "left_out": 0,
        "p": 1e-4, "p_holm": 3e-4, "verdict": "supported", "control": False, "figure": "rates",
        "questions": questions, "rule": "the rule", "bounds": [None, 1.0], "values": [],
        "false_verdict": 0.0125,
    }  # fmt: skip
    return {**fields, **changes}


FINDINGS = (
    finding("one", ["b1", "a1"]),
    finding("two", ["b1"], bounds=[0.0, 0.0], p=None, p_holm=None, false_verdict=None),
)
RUN = Experiment("signs", "Signs", "", "", "python -m signs", FINDINGS, (), (), {})


def write(folder, run=RUN):
    return write_evidence([run], QUESTIONS, folder, "claims", preamble="# Head", figures="run")


def test_the_csv_holds_each_claim_once_with_every_field(tmp_path):
    _, path, _ = write(tmp_path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["one", "two"]
    assert list(rows[0]) == list(FIELDS)
    assert rows[0]["question"] == "b1"
    assert rows[0]["questions"] == "b1 a1"
    assert float(rows[0]["effect"]) == 1 / 3
    assert float(rows[0]["false_verdict"]) == 0.0125
    assert rows[0]["command"] == "python -m signs"


def test_the_page_shows_a_claim_under_its_first_question_and_refers_to_it_from_the_others(tmp_path):
    text = write(tmp_path)[0].read_text()
    a1, b1, b2 = (part for part in text.split("\n## ")[2:])
    assert "See also: signs/one (supported)." in a1
    assert b1.count("| supported |") == 2
    assert "[rates](run/signs/figures/rates.svg)" in b1
    assert re.search(r"(<|&lt;) 1 \| 1\.[23]% \|", b1)
    assert "| = 0 | - |" in b1
    assert "No claim." in b2
    assert text.startswith("# Head\n")


@pytest.mark.parametrize(("rate", "told"), [(0.0801, True), (0.31, True), (0.08, False)])
def test_the_table_warns_of_a_rule_that_errs_too_often(rate, told, tmp_path):
    warning = (
        f"(signs/one) The verdict rests on skewed seeds: the rule errs in {rate:.0%} of draws."
    )
    run = RUN._replace(findings=(finding("one", ["b1"], false_verdict=rate),))
    markdown, _, latex = (path.read_text() for path in write(tmp_path, run))
    assert (warning in markdown) == told
    assert ("skewed seeds" in latex) == told


def test_latex_has_a_row_a_claim_and_escapes(tmp_path):
    text = write(tmp_path)[2].read_text()
    assert text.count(r"\\") >= 3
    assert r"a\_ratio" in text


def test_a_claim_that_answers_no_question_is_refused(tmp_path):
    stray = RUN._replace(findings=(finding("three", ["c9"]),))
    with pytest.raises(ValueError, match="signs/three"):
        write(tmp_path, stray)
    assert not list(tmp_path.iterdir())


def test_numbers_that_are_not_defined_are_not_invented(tmp_path):
    lost = RUN._replace(findings=(finding("lost", ["b1"], effect=None, low=None, high=None),))
    markdown, table, _ = (path.read_text() for path in write(tmp_path, lost))
    assert "undefined" in markdown
    (row,) = csv.DictReader(table.splitlines())
    assert row["effect"] in ("", "nan")
    assert math.isnan(float(row["effect"] or "nan"))
