"""Intervals and tests: coverage, exact enumeration, and what happens to undefined values."""

import itertools
import math
import warnings

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import stats as scipy_stats

from signdyn import stats


@pytest.fixture
def without_shape_checks(monkeypatch):
    """Call functions as users do: without the checks of annotations that the tests add."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def _coverage(interval_of, truth, simulations):
    hits = 0
    for simulation in range(simulations):
        interval = interval_of(np.random.default_rng(simulation))
        hits += interval.low <= truth <= interval.high
    return hits / simulations


def _three_binomial_deviations(rate, simulations):
    return 3 * math.sqrt(rate * (1 - rate) / simulations)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_intervals_from_sixteen_normal_values_have_their_nominal_coverage(statistic):
    coverage = _coverage(
        lambda rng: stats.paired_bootstrap(
            rng.normal(1.0, 2.0, size=16), seed=0, statistic=statistic, num_resamples=500
        ),
        truth=1.0,
        simulations=600,
    )
    assert abs(coverage - 0.95) <= _three_binomial_deviations(0.95, 600)


def test_ratio_intervals_of_log_normal_pairs_have_their_nominal_coverage():
    coverage = _coverage(
        lambda rng: stats.ratio_interval(
            3 * rng.lognormal(size=16), rng.lognormal(size=16), seed=0, num_resamples=500
        ),
        truth=3.0,
        simulations=600,
    )
    assert abs(coverage - 0.95) <= _three_binomial_deviations(0.95, 600)


def test_intervals_for_the_mean_of_log_normal_values_fall_short_as_documented():
    coverage = _coverage(
        lambda rng: stats.paired_bootstrap(rng.lognormal(size=16), seed=0, num_resamples=500),
        truth=math.exp(0.5),
        simulations=600,
    )
    assert abs(coverage - 0.88) <= _three_binomial_deviations(0.88, 600)


@pytest.mark.parametrize("n", [6, 16, 60])
def test_the_interval_of_a_mean_is_as_wide_as_students_t(n):
    ratios = []
    for simulation in range(40):
        values = np.random.default_rng(simulation).normal(size=n)
        interval = stats.paired_bootstrap(values, seed=simulation, num_resamples=2000)
        student = scipy_stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        ratios.append((interval.high - interval.low) / (student.high - student.low))
    # Six values cannot have tails as long as Student's; from there on the widths agree.
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.15 if n == 6 else 0.03)


@pytest.mark.parametrize(("statistic", "compute"), [("mean", np.mean), ("median", np.median)])
def test_the_estimate_is_the_statistic_and_lies_in_its_interval(statistic, compute):
    values = np.random.default_rng(0).normal(size=11)
    interval = stats.paired_bootstrap(values, seed=3, statistic=statistic)
    assert interval.estimate == pytest.approx(compute(values), rel=1e-14)
    assert interval.low < interval.estimate < interval.high
    assert interval[3:] == (0.95, 11, 0)


def test_more_confidence_makes_a_wider_interval():
    values = np.random.default_rng(0).normal(size=16)
    narrow, wide = (
        stats.paired_bootstrap(values, seed=0, confidence=confidence) for confidence in (0.8, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high
    assert wide.confidence == 0.99


@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("scale", [2.0**-700, 2.0**1000])
def test_an_interval_scales_with_its_values_to_the_ends_of_the_number_range(statistic, scale):
    values = np.random.default_rng(0).normal(size=9)
    plain, scaled = (
        stats.paired_bootstrap(x, seed=0, statistic=statistic) for x in (values, values * scale)
    )
    np.testing.assert_array_equal(scaled[:3], np.multiply(plain[:3], scale))


def test_the_same_seed_gives_the_same_interval_and_zero_is_a_seed_like_any_other():
    values = np.random.default_rng(0).normal(size=16)
    draws = {seed: stats.paired_bootstrap(values, seed=seed) for seed in (0, 1, 2)}
    assert len({interval.low for interval in draws.values()}) == 3
    for seed, interval in draws.items():
        assert stats.paired_bootstrap(values, seed=seed) == interval
    p = [stats.paired_permutation_test(values, seed=seed) for seed in (0, 1, 0)]
    assert p[0] != p[1]
    assert p[0] == p[2]


def test_values_that_are_not_finite_are_left_out_and_counted():
    values = np.random.default_rng(0).normal(size=12)
    with_gaps = np.insert(values, [0, 5, 5, 12], [np.nan, np.inf, -np.inf, np.nan])
    plain, gaps = (stats.paired_bootstrap(x, seed=0) for x in (values, with_gaps))
    assert gaps == plain._replace(left_out=4)
    assert stats.paired_permutation_test(with_gaps, seed=0) == stats.paired_permutation_test(
        values, seed=0
    )


@pytest.mark.parametrize("values", [[], [np.nan], [1.0], [1.0, 2.0, np.nan]])
def test_fewer_than_three_finite_values_have_no_interval_and_no_p(values):
    values = np.array(values)
    finite = values[np.isfinite(values)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = stats.paired_bootstrap(values, seed=0)
        p = stats.paired_permutation_test(values, seed=0)
    assert np.isnan([interval.low, interval.high, p]).all()
    assert (interval.n, interval.left_out) == (len(finite), len(values) - len(finite))
    np.testing.assert_equal(interval.estimate, finite.mean() if len(finite) else np.nan)


@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("value", [0.0, 0.1, -3e-9])
def test_equal_values_have_an_interval_of_zero_width(statistic, value):
    interval = stats.paired_bootstrap(np.full(7, value), seed=0, statistic=statistic)
    assert interval[:3] == (value, value, value)


@pytest.mark.parametrize(
    "values",
    [
        np.array([1.0, np.nextafter(1.0, 2.0), 1.0, 1.0]),  # BCa's acceleration is 0/0
        np.array([0.0] * 15 + [1.0]),
        np.array([0.0, 0.0, 1.0]),
    ],
)
@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_ties_give_a_finite_interval_around_the_estimate_without_warning(values, statistic):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = stats.paired_bootstrap(values, seed=0, statistic=statistic)
    assert values.min() <= interval.low <= interval.estimate <= interval.high <= values.max()


def test_a_median_with_tied_middle_values_has_an_interval_where_bca_has_none():
    values = np.array([-3.0, -1.0, 0.0, 0.0, 0.0, 0.0, 2.0, 5.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bca = scipy_stats.bootstrap((values,), np.median, method="BCa", rng=0).confidence_interval
    assert np.isnan([bca.low, bca.high]).all()
    interval = stats.paired_bootstrap(values, seed=0, statistic="median")
    assert interval.low < interval.estimate == 0.0 < interval.high


def _enumerated_p(values, alternative):
    flips = np.array(list(itertools.product([-1.0, 1.0], repeat=len(values))))
    means, observed = (flips * values).mean(1), values.mean()
    greater, less = np.mean(means >= observed - 1e-12), np.mean(means <= observed + 1e-12)
    both = min(1.0, 2 * min(greater, less))
    return {"greater": greater, "less": less, "two-sided": both}[alternative]


@pytest.mark.parametrize("alternative", ["two-sided", "greater", "less"])
@pytest.mark.parametrize("n", [3, 8])
def test_few_values_are_enumerated_exactly(alternative, n):
    values = np.random.default_rng(n).normal(0.5, 1.0, size=n)
    p = stats.paired_permutation_test(values, seed=0, alternative=alternative)
    assert p == pytest.approx(_enumerated_p(values, alternative), rel=1e-12)


def test_many_values_are_drawn_and_p_is_near_the_enumerated_one():
    values = np.random.default_rng(1).normal(0.5, 1.0, size=14)
    p = stats.paired_permutation_test(values, seed=0, num_resamples=10_000)
    exact = stats.paired_permutation_test(values, seed=0, num_resamples=2**14)
    assert exact == pytest.approx(_enumerated_p(values, "two-sided"), rel=1e-12)
    assert p != exact
    assert p == pytest.approx(exact, abs=4 * math.sqrt(2 * exact / 10_000))


def test_a_drawn_p_is_never_zero():
    assert stats.paired_permutation_test(np.ones(40), seed=0, num_resamples=99) == 2 / 100


def test_no_difference_at_all_has_p_one():
    assert stats.paired_permutation_test(np.zeros(16), seed=0) == 1.0


def test_p_depends_neither_on_scale_nor_on_which_variant_comes_first():
    values = np.random.default_rng(2).normal(0.5, 1.0, size=9)
    p = stats.paired_permutation_test(values, seed=0)
    for factor in (-1.0, 1e-200, 1e300):
        assert stats.paired_permutation_test(values * factor, seed=0) == p


def test_the_exact_test_rejects_a_true_null_at_its_attainable_level():
    simulations, rejections = 600, 0
    for simulation in range(simulations):
        values = np.random.default_rng(simulation).standard_t(3, size=8)
        rejections += stats.paired_permutation_test(values, seed=0) <= 0.05
    level = 2 * math.floor(0.05 * 2**8 / 2) / 2**8  # of 256 equally likely ranks, 6 at each end
    assert abs(rejections / simulations - level) <= _three_binomial_deviations(level, simulations)


def test_holm_gives_the_textbook_values():
    np.testing.assert_allclose(
        stats.holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02], rtol=1e-14
    )


def _closed_testing(p):
    """Adjust by testing every intersection hypothesis with Bonferroni."""
    adjusted = np.zeros(len(p))
    for size in range(1, len(p) + 1):
        for subset in itertools.combinations(range(len(p)), size):
            members = list(subset)
            local = min(1.0, size * p[members].min())
            adjusted[members] = np.maximum(adjusted[members], local)
    return adjusted


@pytest.mark.parametrize("seed", range(5))
def test_holm_equals_closed_testing_of_every_intersection(seed):
    p = np.random.default_rng(seed).uniform(size=7) ** 3
    p[3] = p[5]
    np.testing.assert_allclose(stats.holm(p), _closed_testing(p), rtol=1e-13)


def test_tests_that_could_not_be_made_stay_undefined_and_cost_nothing():
    p = np.random.default_rng(0).uniform(size=5)
    with_gaps = np.insert(p, [0, 3, 5], np.nan)
    adjusted = stats.holm(with_gaps)
    np.testing.assert_array_equal(np.isnan(adjusted), np.isnan(with_gaps))
    np.testing.assert_array_equal(adjusted[~np.isnan(adjusted)], stats.holm(p))
    assert stats.holm(np.array([])).shape == (0,)


def test_log_ratios_are_exact_for_powers_of_two_and_antisymmetric():
    a, b = np.array([8.0, 1.0, 3.0, 1e300]), np.array([2.0, 2.0, 3.0, 1e-300])
    ratios = stats.paired_log_ratio(a, b)
    np.testing.assert_array_equal(ratios[:3], [2.0, -1.0, 0.0])
    assert np.isfinite(ratios[3])
    np.testing.assert_array_equal(stats.paired_log_ratio(b, a), -ratios)


def test_ratios_of_values_that_are_not_positive_and_finite_are_undefined():
    bad = np.array([np.nan, np.inf, 0.0, -1.0])
    good = np.ones(4)
    assert np.isnan(stats.paired_log_ratio(bad, good)).all()
    assert np.isnan(stats.paired_log_ratio(good, bad)).all()


def test_the_ratio_is_the_geometric_mean_and_exchanging_the_sides_inverts_it():
    rng = np.random.default_rng(0)
    a, b = rng.lognormal(1.0, 0.5, size=16), rng.lognormal(size=16)
    a[3] = np.inf
    keep = np.arange(16) != 3
    there, back = (stats.ratio_interval(*sides, seed=0) for sides in ((a, b), (b, a)))
    expected = scipy_stats.gmean(a[keep] / b[keep])
    assert there.estimate == pytest.approx(expected, rel=1e-13)
    assert back.estimate == pytest.approx(1 / expected, rel=1e-13)
    assert there.low < expected < there.high
    assert (there.n, there.left_out) == (15, 1)


def test_jax_arrays_integers_and_float32_are_taken_as_they_are():
    steps = np.array([3, 5, 9, 4])
    expected = stats.paired_bootstrap(steps.astype(float), seed=0)
    assert stats.paired_bootstrap(steps, seed=0) == expected
    assert stats.paired_bootstrap(jnp.asarray(steps), seed=0) == expected
    assert stats.paired_bootstrap(jnp.asarray(steps, jnp.float32), seed=0) == expected


VALUES = np.array([1.0, 2.0, 3.0, 4.0])


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(
    ("name", "args", "kwargs", "message"),
    [
        ("paired_bootstrap", (VALUES,), {"seed": -1}, r"seed=-1"),
        ("paired_bootstrap", (VALUES,), {"seed": None}, "seed to be an integer, got None"),
        ("paired_bootstrap", (VALUES,), {"seed": 0, "statistic": "mode"}, r"'mode'"),
        ("paired_bootstrap", (VALUES,), {"seed": 0, "confidence": 95}, r"confidence=95"),
        ("paired_bootstrap", (VALUES,), {"seed": 0, "num_resamples": 39}, r"= 40, got .*39"),
        (
            "paired_bootstrap",
            (VALUES[None],),
            {"seed": 0},
            r"numbers \[pair\], got float64\[1,4\]",
        ),
        ("paired_permutation_test", (VALUES,), {"seed": 0, "alternative": "more"}, r"'more'"),
        ("paired_permutation_test", (VALUES,), {"seed": 0, "num_resamples": 0}, r"resamples=0"),
        ("paired_permutation_test", (VALUES[None],), {"seed": 0}, r"numbers \[pair\]"),
        ("holm", (VALUES,), {}, r"\[0, 1\]"),
        ("paired_log_ratio", (VALUES, VALUES[1:]), {}, "b to be .* with pair = 4, as in a"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(name, args, kwargs, message):
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        getattr(stats, name)(*args, **kwargs)
