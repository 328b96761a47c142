"""False verdicts: few for normal seeds, many for skewed ones, and a rate with a closed form."""

import math

import numpy as np
import pytest

from signdyn import calibration
from signdyn.calibration import false_verdict_rate
from signdyn.claims import (
    REFUTED,
    SUPPORTED,
    Claim,
    above,
    always,
    below,
    decide,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
    within,
)
from signdyn.records import jsonable
from signdyn.report.tables import MAX_RATE

NORMAL = np.random.default_rng(1).normal(size=16)
SKEWED = np.random.default_rng(3).lognormal(sigma=1.5, size=16)


def row(rule, evidence):
    claim = Claim("c", ("b1",), "It holds.", "a number", rule)
    return jsonable(decide([claim], {"c": evidence})[0].row())


@pytest.mark.parametrize(
    ("rule", "evidence"),
    [
        (above(1.0), ratio_evidence(np.exp2(0.2 * NORMAL + 1.0), np.ones(16))),
        (below(0.5), mean_evidence(0.1 * NORMAL)),
        (within(0.8, 1.25), ratio_evidence(np.exp2(0.1 * NORMAL), np.ones(16))),
        (within(-1.0, 1.0), mean_evidence(0.2 * NORMAL + 3.0)),
    ],
)
def test_of_normal_seeds_a_rule_rarely_decides_where_there_is_nothing_to_decide(rule, evidence):
    assert 0.0 < false_verdict_rate(row(rule, evidence), num_draws=200, seed=0) <= MAX_RATE


@pytest.mark.parametrize(
    "found",
    [
        row(above(5.0), mean_evidence(SKEWED)),
        row(below(-5.0), mean_evidence(-SKEWED)),
        row(within(-9.0, 9.0), mean_evidence(SKEWED)),
        row(above(1.0), ratio_evidence(np.exp2(-SKEWED), np.ones(16))),
    ],
)
def test_of_skewed_seeds_it_is_seen_that_a_rule_decides_too_often(found):
    assert false_verdict_rate(found, num_draws=100, seed=0) > 1.5 * MAX_RATE


def verdicts_at(monkeypatch, found, num_draws):
    """Return the values of every draw and the verdict on them, beside the rate."""
    seen, verdict_of = [], calibration._verdict

    def spy(row, values, as_logs, draw):
        seen.append((values, verdict_of(row, values, as_logs, draw)))
        return seen[-1][1]

    monkeypatch.setattr(calibration, "_verdict", spy)
    rate = false_verdict_rate(found, num_draws=num_draws, seed=0)
    return [values for values, _ in seen], [verdict for _, verdict in seen], rate


@pytest.mark.parametrize(
    ("rule", "values", "verdict"),
    [(above(0.0), 1.0, REFUTED), (below(0.0), 1.0, SUPPORTED), (above(0.0), -1.0, SUPPORTED)],
)
def test_draws_that_miss_the_only_seed_that_differs_are_false_verdicts(
    rule, values, verdict, monkeypatch
):
    # One of 16 seeds makes the mean. Draws without it have an interval of zero width beside it.
    found = row(rule, mean_evidence(np.where(np.arange(16) == 3, values, 0.0)))
    _, verdicts, rate = verdicts_at(monkeypatch, found, 200)
    assert rate == verdicts.count(verdict) / 200
    expected = (15 / 16) ** 16
    assert rate == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 200))


def test_a_draw_takes_seeds_whose_mean_lies_on_a_bound(monkeypatch):
    a, b = np.exp2(NORMAL), np.exp2(NORMAL[::-1] + 1.0)
    for rule, ends in ((above(1.5), [1.5]), (within(0.8, 1.25), [0.8, 1.25])):
        with monkeypatch.context() as patched:
            draws, _, _ = verdicts_at(patched, row(rule, ratio_evidence(a, b)), 60)
        assert len(draws) == 60 * len(ends)
        for end, part in zip(ends, np.split(np.array(draws), len(ends)), strict=True):
            taken = np.unique(part.round(9))  # of 16 values all are drawn sooner or later
            logs = np.log2(a / b)
            np.testing.assert_allclose(
                taken, np.unique(logs - logs.mean() + np.log2(end)), atol=1e-8
            )
            assert max(len(np.unique(draw)) for draw in part) < 16  # with replacement
            assert len(np.unique(part, axis=0)) == 60


def test_the_largest_share_of_either_verdict_at_either_bound_is_returned(monkeypatch):
    told = [*["refuted"] * 3, *["supported"] * 2, *["inconclusive"] * 5]  # at .8
    told += [*["supported"] * 4, "refuted", *["inconclusive"] * 5]  # at 1.25
    monkeypatch.setattr(calibration, "_verdict", lambda *_: told.pop(0))
    found = row(within(0.8, 1.25), mean_evidence(NORMAL))
    assert false_verdict_rate(found, num_draws=10, seed=0) == 0.4
    assert told == []


@pytest.mark.parametrize(
    ("rule", "evidence"),
    [
        (always(0.0), exact_evidence(np.zeros(12))),
        (below(2.0), exact_evidence(NORMAL)),
        (within(0.8, 1.25), ratio_evidence(np.ones(12), np.ones(12))),
        (above(0.0), mean_evidence(np.array([1.0, 2.0]))),
        (below(1e-6), exact_evidence(np.zeros(65))),
    ],
)
def test_where_no_draw_can_be_made_there_is_no_rate(rule, evidence):
    assert math.isnan(false_verdict_rate(row(rule, evidence), num_draws=10, seed=0))


def test_seeds_that_are_left_out_stay_left_out(monkeypatch):
    values = np.where(np.arange(16) < 6, np.nan, NORMAL + 3.0)
    draws, _, rate = verdicts_at(monkeypatch, row(above(0.0), mean_evidence(values)), 50)
    assert {int(np.isnan(draw).sum()) for draw in draws} == {6}
    assert rate == 0.0  # too few seeds decide nothing


def test_no_draws_are_refused():
    with pytest.raises(ValueError, match="num_draws >= 1"):
        false_verdict_rate(row(above(0.0), mean_evidence(NORMAL)), num_draws=0, seed=0)
