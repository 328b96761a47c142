"""The page of a run, written while it goes on; and where it sends its readers."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from experiments import page
from experiments._cli import UsageError
from experiments._publish import ORDER, PLAYED, SOURCES, Outcome, show, too_few_seeds
from signdyn.claims import ALPHA, MIN_SEEDS, Claim, above, decide, mean_evidence
from signdyn.report.page import write_page
from signdyn.stats import holm, paired_permutation_test

ROOT = Path(__file__).resolve().parents[2]


def write_page_of(folder, capsys) -> tuple[str, str]:
    page.execute(page.prepare(page.Config(run=str(folder))))
    return (folder / "report.html").read_text(), capsys.readouterr().out


def test_the_page_of_a_run_that_goes_on_shows_what_is_finished_and_how_far_the_rest_is(
    tmp_path, capsys
):
    done, running = tmp_path / "sign_flip", tmp_path / "two_weights"
    done.mkdir()
    (running / "cells").mkdir(parents=True)
    (done / "claims.json").write_text(json.dumps({"title": "The flagship", "findings": []}))
    (done / "run.json").write_text("{}")
    (running / "run.json").write_text(json.dumps({"planned_cells": 9}))
    (running / "cells" / "gradient-0.nc").touch()
    text, out = write_page_of(tmp_path, capsys)
    told = "two_weights is unfinished: 1 of about 9 cells are there, and no claims.json yet."
    assert told in text
    assert "The flagship" in text
    assert "cannot be played step by step here: steps.json is missing" in text
    assert out == f"wrote {tmp_path / 'report.html'}\nnote: {told}\n"


def test_a_run_of_which_nothing_is_finished_has_a_page_too(tmp_path, capsys):
    (tmp_path / "two_weights" / "cells").mkdir(parents=True)
    (tmp_path / "two_weights" / "run.json").write_text("{}")
    text, _ = write_page_of(tmp_path, capsys)
    assert "two_weights is unfinished: 0 cells" in text


def test_a_folder_without_a_run_is_refused_and_left_as_it_is(tmp_path):
    with pytest.raises(UsageError, match="holds no experiment"):
        page.prepare(page.Config(run=str(tmp_path)))
    assert not list(tmp_path.iterdir())


def test_the_rules_of_every_experiment_are_where_the_page_says():
    assert set(SOURCES) == set(ORDER) > set(PLAYED)
    for path in SOURCES.values():
        assert (ROOT / path).is_file()


def test_the_file_of_the_rules_is_linked_where_the_results_lie_in_the_repository(tmp_path):
    finding = {
        "id": "a", "sentence": "It holds.", "effect": 0.0, "low": 0.0, "high": 0.0, "n": 9,
        "verdict": "supported",
    }  # fmt: skip
    folder = tmp_path / "deep" / "results" / "sign_flip"
    folder.mkdir(parents=True)
    (folder / "claims.json").write_text(json.dumps({"findings": [finding]}))
    (folder / "run.json").write_text("{}")
    source = SOURCES["sign_flip"]
    text = write_page(folder.parent, sources=SOURCES).path.read_text()
    assert f"<dd><code>{source}</code></dd>" in text
    (tmp_path / source).parent.mkdir(parents=True)
    (tmp_path / source).touch()
    text = write_page(folder.parent, sources=SOURCES).path.read_text()
    assert f'<dd><a href="../../{source}"><code>{source}</code></a></dd>' in text


@pytest.mark.parametrize("claims", [1, 2, 26, 60])
def test_a_run_is_told_when_its_seeds_are_too_few_for_any_verdict_of_a_test(claims):
    untested = {"n": 20, "p": math.nan}

    def decides(seeds):  # the clearest values there can be, tested and corrected
        p = paired_permutation_test(np.ones(seeds), seed=0, num_resamples=2**13)
        return holm(np.full(claims, p)).min() <= ALPHA

    for seeds in range(3, 13):
        told = too_few_seeds([*[{"n": seeds, "p": 0.5}] * claims, untested])
        assert bool(told) != decides(seeds)
        if told:
            enough = int(re.search(r"--seeds=(\d+)", told)[1])
            assert decides(enough)
            assert enough == MIN_SEEDS or not decides(enough - 1)
    assert too_few_seeds([untested]) == too_few_seeds([]) == ""


@pytest.mark.parametrize(("number", "notes"), [(7, 1), (6, 0)])
def test_that_seeds_are_too_few_is_told_below_the_answer(number, notes, capsys):
    claims = [Claim(f"a{n}", (), "It is above.", "a number", above(0.0)) for n in range(number)]
    findings = decide(claims, {one.id: mean_evidence(np.ones(8)) for one in claims})
    show([Outcome("mine", [finding.row() for finding in findings], "An answer.", [], [])])
    told = "note: mine: 8 seeds give no p (Holm) below 0.055 to 7 tested claims"
    assert capsys.readouterr().out.count(told) == notes
    assert {one.verdict for one in findings} == {"inconclusive" if notes else "supported"}
