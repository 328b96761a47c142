"""What is chosen by the seeds that it is judged by: arithmetic, and how often intervals hold."""

import numpy as np
import pytest

from experiments._best_rate import at_best_for_others, best_rate
from experiments._stated import evidence_of_ratios, geometric_mean
from signdyn.choice import NUM_DRAWS, Chosen, apply, resamples
from signdyn.claims import mean_evidence, ratio_evidence
from signdyn.stats import percentile_bounds

RNG = np.random.default_rng(0)
SEEDS = 9
X, Y, WIDE = RNG.lognormal(size=SEEDS), RNG.lognormal(size=SEEDS), RNG.lognormal(size=(SEEDS, 3))
PLACES = resamples(SEEDS)


def chosen(values):
    return Chosen(values, lambda: values[PLACES])


FUNCTIONS = {
    "ratio with a plain array": lambda x, wide: x / Y,
    "plain first": lambda x, wide: Y - x,
    "number": lambda x, wide: 2.0 ** (1.0 - x),
    "both chosen, ranks differ": lambda x, wide: wide * x[:, None],
    "part": lambda x, wide: wide[:, -1] - wide[:, 0],
    "part of the rest": lambda x, wide: wide[:, 1:],
    "mean over the rest": lambda x, wide: wide.mean(axis=1),
    "sum, least, largest": lambda x, wide: wide.sum(1) + wide.min(axis=1) - wide.max(axis=1),
    "function of numpy": lambda x, wide: np.median(wide, axis=1),
    "where": lambda x, wide: np.where(x > 1.0, wide[:, 0], Y),
    "geometric mean": lambda x, wide: geometric_mean([x, Y, wide[:, 1]]),
    "as integers": lambda x, wide: (10.0 * x).astype(int),
    "own function": lambda x, wide: apply(np.hypot, x, Y),
    "unary": lambda x, wide: np.isfinite(-np.abs(x)),
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_what_is_computed_knows_what_it_would_be_with_other_seeds(function):
    made, plain = function(chosen(X), chosen(WIDE)), function(X, WIDE)
    assert isinstance(made, Chosen)
    np.testing.assert_array_equal(np.asarray(made), plain)
    np.testing.assert_allclose(made.draws, plain[PLACES], rtol=1e-15)


def test_axes_in_front_of_the_seeds_stay_behind_the_draw():
    stacked = np.stack([chosen(X), Y]) * chosen(X)
    np.testing.assert_allclose(
        stacked.draws, np.moveaxis(np.stack([X * X, Y * X])[:, PLACES], 0, 1), rtol=1e-15
    )


def test_single_seeds_and_totals_are_plain():
    for plain in (
        chosen(X)[3],
        chosen(X)[:4],
        chosen(X)[[0, 1]],
        chosen(X).sum(),
        np.mean(chosen(X)),
    ):
        assert getattr(plain, "draws", None) is None
    assert type(np.asarray(chosen(X))) is np.ndarray
    with pytest.raises(ValueError, match="read-only"):
        chosen(X)[0] = 1.0


def twin(values, steps, seeds):
    """Return one draw of `at_best_for_others`, choosing among these seeds."""
    place = best_rate(steps[:, seeds])
    if place in (None, 0, len(steps) - 1):
        return np.full(len(seeds), np.nan)
    return np.where(np.isfinite(steps[place, seeds]), values[place, seeds], np.nan)


def test_every_draw_chooses_among_its_own_seeds():
    steps = RNG.lognormal(0.0, 0.3, (5, SEEDS)) * np.array([3.0, 1.02, 1.0, 1.05, 3.0])[:, None]
    steps[RNG.uniform(size=steps.shape) < 0.1] = np.nan
    values = RNG.normal(size=steps.shape)
    made = at_best_for_others(values, steps)
    assert len({best_rate(steps[:, seeds]) for seeds in PLACES}) > 1
    for draw in range(0, NUM_DRAWS, 97):
        np.testing.assert_array_equal(made.draws[draw], twin(values, steps, PLACES[draw]))


def test_without_another_choice_the_interval_is_hardly_wider():
    steps = np.array([9.0, 1.0, 9.0])[:, None] * RNG.lognormal(0.0, 0.2, (3, 16))
    at_best = at_best_for_others(steps, steps)
    found = ratio_evidence(at_best, np.ones(16)).interval
    plain = ratio_evidence(np.asarray(at_best), np.ones(16)).interval
    assert found.estimate == plain.estimate
    assert found.low <= plain.low < plain.high <= found.high
    assert np.log(found.high / found.low) < 1.2 * np.log(plain.high / plain.low)


def test_a_mean_and_ratios_that_are_made_already_hold_the_choice_too():
    steps = np.array([9.0, 1.0, 1.0, 9.0])[:, None] * RNG.lognormal(0.0, 0.05, (4, 16))
    values = np.array([1.0, 1.0, 3.0, 3.0])[:, None] + RNG.normal(0.0, 0.05, (4, 16))
    at_best = at_best_for_others(values, steps)
    for evidence in (mean_evidence(at_best), evidence_of_ratios(at_best / np.ones(16))):
        assert evidence.interval.low < 1.3
        assert evidence.interval.high > 2.7
        assert len(evidence.values) == 16


def tie(rng, num_seeds=16):
    """Return winding numbers of an arm, two of whose rates are as fast and wind 1 and 2 times."""
    steps = np.array([9.0, 1.0, 1.0, 9.0])[:, None] * rng.lognormal(0.0, 0.2, (4, num_seeds))
    winding = np.array([1.0, 1.0, 2.0, 2.0])[:, None] * rng.lognormal(0.0, 0.1, (4, num_seeds))
    return at_best_for_others(winding, steps)


def test_an_arm_beside_itself_makes_no_difference_in_most_runs_though_two_rates_tie():
    rng = np.random.default_rng(1)
    held = {"chosen": 0, "plain": 0}
    runs = 60
    for _ in range(runs):
        one, other = tie(rng), tie(rng)
        for name, pair in (("chosen", (one, other)), ("plain", map(np.asarray, (one, other)))):
            interval = ratio_evidence(*pair).interval
            held[name] += interval.low <= 1.0 <= interval.high
    assert held["chosen"] >= 0.9 * runs
    assert held["plain"] < 0.8 * runs  # the fault that this is for


def test_bounds_of_nothing_are_unknown():
    assert np.isnan(percentile_bounds(np.array([np.nan]), 8)).all()
    low, high = percentile_bounds(np.random.default_rng(0).normal(size=100_000), 16)
    assert high == pytest.approx(2.131 * np.sqrt(16 / 15), rel=0.03)  # Student's t, 15
    assert low == pytest.approx(-high, rel=0.03)
