"""Claims: what each rule makes of intervals written by hand, and how often it errs on nothing."""

import json
import math

import numpy as np
import pytest

from signdyn import claims
from signdyn.claims import (
    ALPHA,
    INCONCLUSIVE,
    MAX_LEFT_OUT,
    MIN_SEEDS,
    REFUTED,
    SUPPORTED,
    Claim,
    Evidence,
    above,
    always,
    below,
    decide,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
    rule_of,
    rule_p_value,
    within,
)
from signdyn.records import jsonable
from signdyn.stats import Interval, holm

NAN = math.nan
INF = math.inf


def interval(low, high, *, n=16, left_out=0):
    return Interval((low + high) / 2, low, high, 0.95, n, left_out)


def claim(name, rule=None, **fields):
    return Claim(name, ("b1",), f"{name} holds.", "a ratio", rule or above(1.0), **fields)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1.2, 1.6, SUPPORTED),
        (0.4, 0.8, REFUTED),
        (0.9, 1.6, INCONCLUSIVE),
        (1.0, 1.6, INCONCLUSIVE),  # touching is not exceeding
        (0.4, 1.0, INCONCLUSIVE),
        (NAN, NAN, INCONCLUSIVE),
        (-math.inf, math.inf, INCONCLUSIVE),
    ],
)
@pytest.mark.parametrize("p", [0.001, ALPHA, NAN])
def test_above_wants_the_whole_interval_on_one_side(low, high, verdict, p):
    assert above(1.0).decide(interval(low, high), p) == verdict


@pytest.mark.parametrize(("low", "high"), [(1.2, 1.6), (0.4, 0.8)])
def test_above_and_below_decide_nothing_where_the_corrected_test_does_not_reject(low, high):
    for rule in (above(1.0), below(1.0)):
        assert rule.decide(interval(low, high), ALPHA * 1.001) == INCONCLUSIVE
        assert rule.decide(interval(low, high), ALPHA) != INCONCLUSIVE


@pytest.mark.parametrize("threshold", [-1.5, 0.0, 1.0])
def test_below_is_the_mirror_of_above(threshold):
    bounds = [-2.0, -1.5, -1.0, 0.0, 0.5, 1.0, 2.0]
    opposite = {SUPPORTED: REFUTED, REFUTED: SUPPORTED, INCONCLUSIVE: INCONCLUSIVE}
    seen = set()
    for low in bounds:
        for high in bounds:
            if low <= high:
                for p in (0.01, 0.5):
                    one = below(threshold).decide(interval(low, high), p)
                    assert one == opposite[above(threshold).decide(interval(low, high), p)]
                    assert one == above(-threshold).decide(interval(-high, -low), p)
                    seen.add(one)
    assert seen == set(opposite)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.95, 1.1, SUPPORTED),
        (0.8, 1.25, SUPPORTED),
        (0.79, 1.1, INCONCLUSIVE),
        (0.9, 1.3, INCONCLUSIVE),
        (0.5, 2.0, INCONCLUSIVE),
        (1.3, 1.4, REFUTED),
        (0.1, 0.7, REFUTED),
        (NAN, NAN, INCONCLUSIVE),
    ],
)
def test_within_wants_the_whole_interval_on_one_side_and_a_test_that_rejects(low, high, verdict):
    for p in (NAN, 0.0, ALPHA):
        assert within(0.8, 1.25).decide(interval(low, high), p) == verdict
    assert within(0.8, 1.25).decide(interval(low, high), ALPHA * 1.001) == INCONCLUSIVE


@pytest.mark.parametrize("rule", [above(1.0), below(3.0), within(1.0, 3.0)])
def test_interval_rules_decide_only_with_enough_seeds_and_few_left_out(rule):
    def verdict(n, left_out):
        return rule.decide(interval(1.5, 2.5, n=n, left_out=left_out), 0.001)

    assert verdict(MIN_SEEDS, 0) == SUPPORTED
    assert verdict(MIN_SEEDS - 1, 0) == INCONCLUSIVE
    assert verdict(0, 0) == INCONCLUSIVE
    assert (MIN_SEEDS, MAX_LEFT_OUT) == (8, 0.25)  # what the numbers below are about
    assert verdict(12, 4) == SUPPORTED  # a quarter of 16
    assert verdict(12, 5) == INCONCLUSIVE


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.0, 0.0, 0.0], SUPPORTED),
        ([0.0], SUPPORTED),
        ([0.0, -0.0], SUPPORTED),
        ([0.0, 5e-324], REFUTED),
        ([0.0, -1.0, 1.0], REFUTED),  # a mean of zero is not enough
        ([0.0, NAN], REFUTED),
        ([0.0, math.inf], REFUTED),
        ([1.0, 1.0], REFUTED),
        ([], INCONCLUSIVE),
    ],
)
def test_always_wants_every_single_value_exactly(values, verdict):
    assert always(0.0).decide(exact_evidence(values).interval, NAN) == verdict


def test_exact_evidence_is_the_range_of_all_values():
    evidence = exact_evidence(np.array([[3.0, 1.0], [NAN, 2.0]]))
    assert evidence.interval == Interval(2.0, 1.0, 3.0, 1.0, 3, 1)
    assert len(evidence.values) == 4
    assert math.isnan(evidence.p)
    assert exact_evidence([1.0, -INF, NAN]).interval == Interval(1.0, -INF, 1.0, 1.0, 1, 2)
    many = exact_evidence(np.arange(1000.0))
    assert (many.interval.n, many.values) == (1000, ())


@pytest.mark.parametrize(
    ("rule", "finite", "gone", "verdict"),
    [
        (below(1e-6), 1e-12, [], SUPPORTED),
        (below(1e-6), 1e-12, [NAN], INCONCLUSIVE),
        (below(1e-6), 1e-12, [INF], INCONCLUSIVE),
        (below(1e-6), 1e-12, [-INF], INCONCLUSIVE),
        (below(1e-6), 1.0, [NAN], REFUTED),
        (below(1e-6), 1.0, [INF] * 4, REFUTED),
        (below(1e-6), 1.0, [-INF], INCONCLUSIVE),  # a finite one on that side would do the same
        (above(-1e-9), 0.0, [], SUPPORTED),
        (above(-1e-9), 0.0, [-INF], INCONCLUSIVE),
        (above(-1e-9), 0.0, [INF, NAN], INCONCLUSIVE),
        (above(-1e-9), -1.0, [-INF] * 4, REFUTED),
        (above(-1e-9), -1.0, [INF], INCONCLUSIVE),
        (within(-1.0, 1.0), 0.5, [], SUPPORTED),
        (within(-1.0, 1.0), 0.5, [NAN], INCONCLUSIVE),
        (within(-1.0, 1.0), 0.5, [INF], INCONCLUSIVE),
        (within(-1.0, 1.0), 2.0, [INF], REFUTED),
        (within(-1.0, 1.0), 2.0, [-INF], INCONCLUSIVE),
    ],
)
def test_what_is_claimed_of_every_value_is_not_supported_where_one_is_left_out(
    rule, finite, gone, verdict
):
    evidence = exact_evidence([finite] * 12 + gone)
    (finding,) = decide([claim("a", rule)], {"a": evidence})
    assert finding.verdict == verdict


def test_a_rules_text_names_its_numbers():
    assert "1.5" in above(1.5).text
    assert "1.5" in below(1.5).text
    assert above(1.5).text != below(1.5).text
    assert "[0.8, 1.25]" in within(0.8, 1.25).text
    assert "exactly 0" in always(0.0).text


def test_ratio_evidence_is_the_geometric_mean_of_paired_ratios():
    denominator = np.array([1.0, 5.0, 0.5, 2.0, 3.0, 1.5, 0.7, 4.0])
    factors = np.array([2.0, 4.0, 2.0, 4.0, 2.0, 4.0, 2.0, 4.0])
    evidence = ratio_evidence(factors * denominator, denominator)
    np.testing.assert_allclose(evidence.interval.estimate, 2**1.5, rtol=1e-14)
    np.testing.assert_allclose(evidence.values, factors, rtol=1e-14)
    assert rule_p_value(above(1.0), evidence) == 2**-7  # of 2^8 sign patterns, two are as extreme
    assert (evidence.interval.n, evidence.interval.left_out) == (8, 0)


def test_mean_evidence_is_tested_against_the_rules_threshold():
    values = np.array([3.1, 2.9, 3.2, 2.8, 3.3, 2.7, 3.0, 3.0])
    evidence = mean_evidence(values)
    np.testing.assert_allclose(evidence.interval.estimate, 3.0, rtol=1e-14)
    assert rule_p_value(above(0.0), evidence) == 2**-7
    assert rule_p_value(above(3.0), evidence) > 0.5
    assert math.isnan(evidence.p)  # before a rule is known there is nothing to test
    assert evidence.values == tuple(values)


def test_undefined_values_are_left_out_and_counted():
    ratios = ratio_evidence(
        np.array([2.0, 2.0, 2.0, NAN, 2.0]), np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    )
    assert (ratios.interval.estimate, ratios.interval.n, ratios.interval.left_out) == (2.0, 3, 2)
    means = mean_evidence(np.array([2.0, 2.0, 2.0, math.inf]))
    assert (means.interval.estimate, means.interval.n, means.interval.left_out) == (2.0, 3, 1)


def test_p_values_are_corrected_over_all_claims_and_decide_corrected():
    p_values = [0.02, 0.03, NAN, 0.001]
    names = ["a", "b", "c", "d"]
    evidence = {
        name: Evidence(interval(1.2, 1.6), (), p)
        for name, p in zip(reversed(names), reversed(p_values), strict=True)
    }
    findings = decide([claim(name) for name in names], evidence)
    assert [finding.claim.id for finding in findings] == names
    np.testing.assert_array_equal([f.p_holm for f in findings], holm(np.array(p_values)))
    # .02 alone would do; as the second smallest of three it is worth .04, and the last no less.
    np.testing.assert_allclose([f.p_holm for f in findings], [0.04, 0.04, NAN, 0.003], rtol=1e-12)
    more = {**evidence, "e": Evidence(interval(1.2, 1.6), (), 0.9)}
    corrected = decide([claim(name) for name in [*names, "e"]], more)
    assert [f.verdict for f in findings] == [SUPPORTED] * 4
    assert [f.verdict for f in corrected] == [
        INCONCLUSIVE, INCONCLUSIVE, SUPPORTED, SUPPORTED, INCONCLUSIVE
    ]  # fmt: skip


VALUES = np.exp2(np.random.default_rng(0).normal(0.1, 0.15, 13))  # all 2^13 patterns are tried


@pytest.mark.parametrize(
    ("rule", "alternatives"),
    [
        (above(0.9), [(0.9, "two-sided")]),
        (below(1.3), [(1.3, "two-sided")]),
        (within(0.8, 1.4), [(0.8, "greater"), (1.4, "less")]),
        (within(1.2, 1.6), [(1.2, "two-sided")]),  # the mean lies below
        (within(0.5, 0.9), [(0.9, "two-sided")]),  # and above
    ],
)
def test_p_values_are_those_of_the_rules_own_thresholds(rule, alternatives):
    def slow(values, end, alternative):
        d = values - end
        patterns = (np.arange(2**13)[:, None] >> np.arange(13) & 1) * 2 - 1
        means = (patterns * d).mean(axis=1)
        hits = means >= d.mean() - 1e-12 if alternative != "less" else means <= d.mean() + 1e-12
        if alternative == "two-sided":
            return min(1.0, 2 * min(hits.mean(), (means <= d.mean() + 1e-12).mean()))
        return hits.mean()

    for evidence, transform in (
        (mean_evidence(VALUES), lambda v: v),
        (ratio_evidence(VALUES, np.ones(13)), np.log2),
    ):
        ps = [slow(transform(VALUES), transform(end), how) for end, how in alternatives]
        expected = ps[0] if len(ps) == 1 else min(1.0, 2.0 * max(ps))
        assert rule_p_value(rule, evidence) == pytest.approx(expected, rel=1e-9)
        (finding,) = decide([claim("a", rule)], {"a": evidence})
        assert finding.evidence.p == finding.p_holm == rule_p_value(rule, evidence)


@pytest.mark.parametrize(("number", "verdict"), [(6, REFUTED), (7, INCONCLUSIVE)])
def test_what_lies_outside_of_a_margin_is_refuted_by_a_corrected_test(number, verdict):
    # 8 equal values outside of it have p = 2^-7; Holm makes that .047 of six claims, .055 of seven
    claims = [claim(f"c{n}", within(0.8, 1.25)) for n in range(number)]
    for value in (0.5, 2.0):
        found = decide(claims, {one.id: mean_evidence(np.full(8, value)) for one in claims})
        assert {(one.evidence.p, one.verdict) for one in found} == {(2**-7, verdict)}


def test_a_rule_on_every_value_is_not_tested():
    assert math.isnan(rule_p_value(above(0.5), exact_evidence(VALUES)))
    assert math.isnan(rule_p_value(always(1.0), mean_evidence(np.ones(13))))


def test_a_rule_is_made_again_from_its_bounds():
    for rule in (above(1.5), below(-2.0), within(0.8, 1.25), always(0.0)):
        assert rule_of(rule.bounds)._replace(decide=None) == rule._replace(decide=None)
    for bounds in ((2.0, 1.0), (-math.inf, math.inf), (NAN, 1.0)):
        with pytest.raises(ValueError, match="rule_of"):
            rule_of(bounds)


@pytest.mark.parametrize(
    ("ids", "measured", "odd"),
    [
        (["a", "b"], ["a"], "b"),
        (["a"], ["a", "b"], "b"),
        (["a", "a"], ["a"], "a"),
        (["a"], ["b"], "a"),
    ],
)
def test_claims_and_evidence_must_match_one_to_one(ids, measured, odd):
    evidence = {name: Evidence(interval(1.2, 1.6)) for name in measured}
    with pytest.raises(ValueError, match=rf"decide: .*'{odd}'"):
        decide([claim(name) for name in ids], evidence)


def test_no_claims_give_no_findings():
    assert decide([], {}) == []


def test_a_findings_row_is_plain_and_holds_all_that_was_decided():
    evidence = {
        "a": ratio_evidence(np.full(9, 3.0), np.full(9, 2.0)),
        "b": exact_evidence([NAN, 0.0]),
    }
    claims_made = [claim("a", figure="losses"), claim("b", always(0.0), control=True)]
    first, second = (finding.row() for finding in decide(claims_made, evidence))
    for row in (first, second):
        assert json.loads(json.dumps(jsonable(row), allow_nan=False)) == jsonable(row)
    assert list(first) == list(second)
    np.testing.assert_allclose([first["effect"], first["low"], first["high"]], [1.5] * 3)
    assert (first["id"], first["questions"], first["verdict"]) == ("a", ["b1"], SUPPORTED)
    assert (first["n"], first["left_out"], first["confidence"]) == (9, 0, 0.95)
    assert (first["p"], first["figure"], first["control"]) == (2**-8, "losses", False)
    assert first["rule"] == above(1.0).text
    assert (first["sentence"], first["statistic"]) == ("a holds.", "a ratio")
    assert (second["verdict"], second["left_out"], second["control"]) == (REFUTED, 1, True)
    assert math.isnan(second["p_holm"])
    assert first["p_holm"] == first["p"]  # the only test


@pytest.fixture(scope="module")
def verdicts_on_nothing():
    """Return the verdicts of two rules on 300 comparisons of a thing with itself, 16 seeds each."""
    tally = []
    for simulation in range(300):
        rng = np.random.default_rng(simulation)
        evidence = ratio_evidence(rng.lognormal(size=16), rng.lognormal(size=16))
        finding = decide([claim("a")], {"a": evidence})[0]
        tally.append((finding.verdict, finding.evidence.p))
    return tally


def test_where_there_is_no_effect_a_claim_of_one_is_rarely_supported(verdicts_on_nothing):
    # A two-sided test at 5% is wrong on this side in 2.5% of cases; three binomial deviations.
    supported = np.mean([verdict == SUPPORTED for verdict, _ in verdicts_on_nothing])
    refuted = np.mean([verdict == REFUTED for verdict, _ in verdicts_on_nothing])
    error = 3 * math.sqrt(0.025 * 0.975 / len(verdicts_on_nothing))
    assert supported <= 0.025 + error
    assert supported + refuted <= 0.05 + error
    assert refuted <= 0.025 + error
    assert claims.INCONCLUSIVE in {verdict for verdict, _ in verdicts_on_nothing}


def test_where_there_is_no_effect_p_values_are_uniform(verdicts_on_nothing):
    p_values = np.array([p for _, p in verdicts_on_nothing])
    for level in (0.05, 0.25, 0.5, 0.75):
        error = 3 * math.sqrt(level * (1 - level) / len(p_values))
        assert abs(np.mean(p_values <= level) - level) <= error


def test_an_effect_of_a_factor_two_is_found():
    rng = np.random.default_rng(0)
    evidence = ratio_evidence(
        2.0 * rng.lognormal(sigma=0.3, size=16), rng.lognormal(sigma=0.3, size=16)
    )
    assert decide([claim("a")], {"a": evidence})[0].verdict == SUPPORTED
    assert decide([claim("a", below(1.0))], {"a": evidence})[0].verdict == REFUTED


def test_why_seeds_were_left_out_is_counted_by_reason():
    values = np.array([1.0, NAN, np.inf, -1.0, 0.0, 2.0])
    ones = np.ones(6)
    both = "1 NaN (diverged, short of its target, or undefined), 1 infinite (never arrived)"
    assert mean_evidence(values).left_out_why == both
    assert exact_evidence(values).left_out_why == both
    assert ratio_evidence(values, ones).left_out_why == f"{both}, 2 not positive"
    assert ratio_evidence(ones, values).left_out_why == f"{both}, 2 not positive"
    assert mean_evidence(ones).left_out_why == ratio_evidence(ones, ones).left_out_why == ""
    evidence = ratio_evidence(np.where(values > 0, values, NAN), np.full(6, NAN))
    assert (
        evidence.left_out_why == "6 NaN (diverged, short of its target, or undefined)"
    )  # a seed has one reason


@pytest.mark.parametrize("gone", [NAN, np.inf])
@pytest.mark.parametrize("finite", [0, 1, 2, MIN_SEEDS - 1])
def test_a_claim_on_too_few_finite_seeds_is_inconclusive_whatever_they_say(finite, gone):
    values = np.array([5.0] * finite + [gone] * (16 - finite))
    rules = [above(1.0), below(1.0), above(9.0), below(9.0), within(1.0, 9.0), within(6.0, 9.0)]
    claims = [Claim(f"c{i}", ("q",), "s", "x", rule) for i, rule in enumerate(rules)]
    for evidence in (mean_evidence(values), ratio_evidence(values, np.ones(16))):
        found = decide(claims, {claim.id: evidence for claim in claims})
        assert {finding.verdict for finding in found} == {INCONCLUSIVE}
        row = found[0].row()
        assert (row["n"], row["left_out"]) == (finite, 16 - finite)
        assert row["left_out_why"].startswith(f"{16 - finite} ")
