"""False support: rates with closed forms, and draws in which labels are really exchanged."""

import math

import numpy as np
import pytest

from signdyn import calibration, claims
from signdyn.calibration import false_support_rate
from signdyn.claims import (
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

NORMAL = np.random.default_rng(1).normal(size=12)


def row(rule, evidence):
    claim = Claim("c", ("b1",), "It holds.", "a number", rule)
    return jsonable(decide([claim], {"c": evidence})[0].row())


@pytest.mark.parametrize(
    ("rule", "evidence"),
    [
        (above(1.0), ratio_evidence(np.exp2(0.2 * NORMAL + 1.0), np.ones(12))),
        (below(0.5), mean_evidence(0.1 * NORMAL)),
        (above(-0.3), mean_evidence(0.1 * NORMAL)),
        (within(0.8, 1.25), ratio_evidence(np.exp2(0.1 * NORMAL), np.ones(12))),
        (within(-1.0, 1.0), mean_evidence(0.2 * NORMAL)),
    ],
)
def test_a_rule_supports_at_most_one_in_twenty_draws_without_an_effect(rule, evidence):
    assert 0.0 <= false_support_rate(row(rule, evidence), num_draws=120, seed=0) <= 0.05


def test_a_rule_on_every_value_supports_with_the_probability_that_all_land_on_its_side(monkeypatch):
    monkeypatch.setattr(claims, "MIN_SEEDS", 3)
    found = row(below(2.0), exact_evidence(np.array([0.0, 0.5, 1.0])))
    rate = false_support_rate(found, num_draws=800, seed=0)
    assert rate == pytest.approx(1 / 8, abs=4.0 * math.sqrt(7 / 64 / 800))


def test_a_rule_that_looks_at_the_estimate_alone_supports_every_second_draw(monkeypatch):
    # what calibration is for: without interval and test, half of the draws are "supported"
    def careless(bounds):
        rule = above(bounds[0])
        return rule._replace(
            decide=lambda interval, p: "supported" if interval.estimate > bounds[0] else "refuted"
        )

    monkeypatch.setattr(calibration, "rule_of", careless)
    found = row(above(0.0), mean_evidence(NORMAL + 3.0))
    assert false_support_rate(found, num_draws=200, seed=0) == pytest.approx(0.5, abs=0.15)


def test_a_draw_exchanges_the_two_arms_of_a_ratio(monkeypatch):
    a, b = np.exp2(NORMAL), np.exp2(NORMAL[::-1] + 1.0)
    seen = []
    monkeypatch.setattr(
        calibration, "_verdict", lambda row, values, *rest: seen.append(values) or "refuted"
    )
    false_support_rate(row(above(1.0), ratio_evidence(a, b)), num_draws=20, seed=0)
    drawn, ratio = np.exp2(np.array(seen)), a / b
    exchanged = np.isclose(drawn, 1.0 / ratio)
    assert np.all(exchanged | np.isclose(drawn, ratio))
    assert 0.3 < exchanged.mean() < 0.7


@pytest.mark.parametrize(
    ("rule", "evidence"),
    [
        (always(0.0), exact_evidence(np.zeros(12))),
        (within(0.8, 1.25), ratio_evidence(np.ones(12), np.ones(12))),
        (above(0.0), mean_evidence(np.array([1.0, 2.0]))),
        (below(1e-6), exact_evidence(np.zeros(65))),
    ],
)
def test_where_no_draw_can_be_made_there_is_no_rate(rule, evidence):
    assert math.isnan(false_support_rate(row(rule, evidence), num_draws=10, seed=0))


def test_seeds_that_are_left_out_stay_left_out():
    values = np.where(np.arange(12) < 6, np.nan, NORMAL + 3.0)
    found = row(above(0.0), mean_evidence(values))
    assert false_support_rate(found, num_draws=200, seed=0) == 0.0  # too few seeds decide nothing


def test_no_draws_are_refused():
    with pytest.raises(ValueError, match="num_draws >= 1"):
        false_support_rate(row(above(0.0), mean_evidence(NORMAL)), num_draws=0, seed=0)
