"""Signs of gradients: closed forms, invariances and slow twins."""

import itertools
import math

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from signdyn.diagnostics import signs

# Compiled, which is how they are used.
sign_coherence, weighted_sign_coherence, sign_unanimity, pair_sign_agreement = PER_UNIT = [
    jax.jit(signs.sign_coherence),
    jax.jit(signs.weighted_sign_coherence),
    jax.jit(signs.sign_unanimity),
    jax.jit(signs.pair_sign_agreement),
]
sign_agreement, sign_flips = jax.jit(signs.sign_agreement), jax.jit(signs.sign_flips)
negative_fraction = jax.jit(signs.negative_fraction, static_argnames="axis")
positive_fraction = jax.jit(signs.positive_fraction, static_argnames="axis")


@pytest.fixture
def without_shape_checks(monkeypatch):
    """Call functions as users do: without the checks of annotations that the tests add."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def _kernel_grad(seed=0, fan_in=9, units=40, share_of_zeros=0.4):
    rng = np.random.default_rng(seed)
    grad = rng.normal(size=(fan_in, units)) * (rng.uniform(size=(fan_in, units)) > share_of_zeros)
    grad[:, 0] = 0.0  # a unit without gradient
    grad[1:, 1], grad[0, 1] = 0.0, -1.0  # a unit with a single nonzero entry
    return grad


def test_sign_coherence_equals_a_loop_over_units():
    grad = _kernel_grad()
    expected = []
    for unit in grad.T:
        nonzero = unit[unit != 0]
        expected.append(abs(np.sign(nonzero).sum()) / len(nonzero) if len(nonzero) else np.nan)
    np.testing.assert_array_equal(sign_coherence(grad), expected)


def test_pair_sign_agreement_equals_the_loop_over_pairs():
    grad = _kernel_grad()
    expected = []
    for unit in grad.T:
        pairs = [(a, b) for a, b in itertools.combinations(unit, 2) if a != 0 and b != 0]
        expected.append(np.mean([np.sign(a) == np.sign(b) for a, b in pairs]) if pairs else np.nan)
    np.testing.assert_allclose(pair_sign_agreement(grad), expected, rtol=1e-15)


def test_sign_unanimity_equals_a_loop_over_units():
    grad = _kernel_grad(fan_in=3)
    expected = [
        float(len(set(np.sign(unit)) - {0.0}) == 1) if np.any(unit) else np.nan for unit in grad.T
    ]
    assert {0.0, 1.0} < set(expected)
    np.testing.assert_array_equal(sign_unanimity(grad), expected)


def test_weighted_sign_coherence_is_the_plain_ratio_at_moderate_scale():
    grad = _kernel_grad()[:, 1:]
    expected = np.abs(grad.sum(0)) / np.abs(grad).sum(0)
    np.testing.assert_allclose(weighted_sign_coherence(grad), expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("function", PER_UNIT)
def test_a_unit_without_gradient_is_undefined_not_coherent(function):
    assert np.isnan(function(np.zeros((9, 40)))).all()


@pytest.mark.parametrize("function", PER_UNIT)
def test_a_unit_whose_gradient_has_one_sign_scores_exactly_one(function):
    rng = np.random.default_rng(1)
    grad = rng.uniform(0.1, 1.0, size=(9, 40)) * rng.choice([-1.0, 1.0], size=40)
    np.testing.assert_array_equal(function(grad), np.ones(40))


@pytest.mark.parametrize("function", PER_UNIT)
def test_turning_all_signs_of_a_unit_over_changes_nothing_bitwise(function):
    grad = _kernel_grad(3)
    signs_of_units = np.random.default_rng(4).choice([-1.0, 1.0], size=grad.shape[1])
    np.testing.assert_array_equal(function(grad * signs_of_units), function(grad))


@pytest.mark.parametrize("function", PER_UNIT)
def test_flipping_inputs_destroys_the_coherence_of_a_unanimous_gradient(function):
    rng = np.random.default_rng(5)
    grad = rng.uniform(0.5, 1.0, size=(400, 20))
    flipped = grad * rng.choice([-1.0, 1.0], size=(400, 1))
    assert np.max(function(flipped)) < 0.6
    np.testing.assert_array_equal(function(grad), np.ones(20))


@pytest.mark.parametrize("function", PER_UNIT)
def test_a_nan_gradient_makes_its_own_unit_nan_and_no_other(function):
    grad = _kernel_grad()
    expected = np.asarray(function(grad)).copy()
    grad[0, 3] = expected[3] = np.nan
    np.testing.assert_array_equal(function(grad), expected)


@pytest.mark.parametrize("function", PER_UNIT)
@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_per_unit_values_do_not_depend_on_the_scale_of_the_gradient(function, scale):
    grad = _kernel_grad(6)
    np.testing.assert_allclose(function(grad * scale), function(grad), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("function", PER_UNIT)
def test_per_unit_values_hold_in_float32_and_under_jit_and_vmap(function):
    grads = np.stack([_kernel_grad(seed) for seed in range(3)])
    single = jax.vmap(function)(grads.astype(np.float32))
    assert single.dtype == jnp.float32
    expected = np.stack([function(grad) for grad in grads])
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-6)


def test_counts_beyond_half_precision_are_exact():
    grad = np.repeat([[-1.0], [1.0]], [1000, 4000], axis=0).astype(jnp.bfloat16)
    np.testing.assert_allclose(sign_coherence(grad), [0.6], rtol=1e-6)
    expected = (4000 * 3999 + 1000 * 999) / (5000 * 4999)
    np.testing.assert_allclose(pair_sign_agreement(grad), [expected], rtol=1e-6)


@pytest.mark.parametrize("n", [signs.DIGIT - 1, signs.DIGIT, signs.DIGIT + 1])
@pytest.mark.parametrize("negative", [0, 1, 2000, "all"])
def test_both_counts_are_exact_where_one_sum_just_holds_them_and_where_it_does_not(n, negative):
    weights = np.ones((n, 1), np.float32)
    weights[: n if negative == "all" else negative] = -1
    weights[-1] = -1
    expected = np.count_nonzero(weights < 0)
    assert float(signs.negative_fraction(jnp.asarray(weights), axis=0)[0]) == np.float32(
        expected / n
    )
    assert float(signs.positive_fraction(jnp.asarray(weights))) == np.float32((n - expected) / n)


@pytest.mark.parametrize("n", [1, 2, 5, 8, 16, 101])
def test_independent_signs_reach_the_chance_level(n):
    draws = np.random.default_rng(n).choice([-1.0, 1.0], size=(n, 40_000))
    coherence = np.asarray(sign_coherence(draws))
    error = 4 * coherence.std() / math.sqrt(coherence.size)  # four standard errors
    assert abs(coherence.mean() - signs.coherence_chance_level(n)) <= error + 1e-12


@pytest.mark.parametrize("n", [1, 2, 3, 8, 16, 101, 1000])
def test_the_chance_level_is_the_binomial_closed_form(n):
    exact = math.comb(n - 1, (n - 1) // 2) / 2 ** (n - 1) if n % 2 else math.comb(n, n // 2) / 2**n
    assert signs.coherence_chance_level(n) == pytest.approx(exact, rel=1e-12)


def test_the_chance_level_of_a_million_signs_has_its_asymptotic_value():
    k = 500_000
    stirling = (1 - 1 / (8 * k)) / math.sqrt(math.pi * k)
    assert signs.coherence_chance_level(2 * k) == pytest.approx(stirling, rel=1e-8)


def test_no_signs_have_no_chance_level():
    with pytest.raises(ValueError, match=r"coherence_chance_level: .*n=0"):
        signs.coherence_chance_level(0)


def test_gaussian_entries_have_weighted_coherence_near_one_over_root_fan_in():
    grad = np.random.default_rng(0).normal(size=(64, 20_000))
    # Measured .1252 against .125: the ratio's denominator fluctuates by 1/sqrt(64) * .75.
    assert float(weighted_sign_coherence(grad).mean()) == pytest.approx(1 / 8, rel=0.02)


def _examples(seed, share_of_zeros=0.4):
    rng = np.random.default_rng(seed)
    inputs, deltas = rng.normal(size=(30, 5)), rng.normal(size=(30, 7))
    inputs *= rng.uniform(size=inputs.shape) > share_of_zeros
    deltas *= rng.uniform(size=deltas.shape) > share_of_zeros
    inputs[0] = 0.0
    return inputs, deltas


PER_EXAMPLE = [
    (jax.jit(signs.example_sign_coherence), signs.sign_coherence),
    (jax.jit(signs.example_sign_unanimity), signs.sign_unanimity),
]


@pytest.mark.parametrize(("per_example", "per_kernel"), PER_EXAMPLE)
def test_per_example_values_equal_those_of_the_outer_products(per_example, per_kernel):
    inputs, deltas = _examples(0)
    expected = jax.jit(jax.vmap(lambda a, d: per_kernel(jnp.outer(a, d))))(inputs, deltas)
    assert np.isnan(expected).any()
    np.testing.assert_array_equal(per_example(inputs, deltas), expected)


@pytest.mark.parametrize(("per_example", "per_kernel"), PER_EXAMPLE)
def test_non_negative_inputs_make_a_single_examples_gradient_fully_coherent(
    per_example, per_kernel
):
    inputs, deltas = _examples(1)
    value = np.asarray(per_example(np.abs(inputs), deltas))
    moves = np.any(inputs != 0, axis=1)[:, None] & (deltas != 0)
    np.testing.assert_array_equal(value[moves], 1.0)
    assert np.isnan(value[~moves]).all()


@pytest.mark.parametrize(("per_example", "per_kernel"), PER_EXAMPLE)
def test_a_nan_delta_is_undefined_where_it_stands_only(per_example, per_kernel):
    inputs, deltas = _examples(2)
    expected = np.asarray(per_example(inputs, deltas)).copy()
    deltas[3, 2] = expected[3, 2] = np.nan
    np.testing.assert_array_equal(per_example(inputs, deltas), expected)


@pytest.mark.parametrize(("per_example", "per_kernel"), PER_EXAMPLE)
def test_per_example_values_hold_in_float32(per_example, per_kernel):
    inputs, deltas = _examples(3)
    single = per_example(inputs.astype(np.float32), deltas.astype(np.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, per_example(inputs, deltas), rtol=1e-6)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize(("per_example", "per_kernel"), PER_EXAMPLE)
def test_inputs_and_deltas_of_different_batches_are_refused(per_example, per_kernel):
    with pytest.raises(ValueError, match=rf"{per_example.__name__}: .*example = 3, .*\[4,2\]"):
        per_example(np.ones((3, 2)), np.ones((4, 2)))


def test_sign_agreement_and_sign_flips_equal_a_loop_and_add_up_to_one():
    rng = np.random.default_rng(0)
    draw = lambda shape: rng.integers(-1, 2, size=shape) * rng.uniform(0.5, 1, size=shape)  # noqa: E731
    a, b = ({"kernel": draw((6, 5)), "bias": draw(5)} for _ in range(2))
    flat = [
        (x, y)
        for key in ("kernel", "bias")
        for x, y in zip(a[key].ravel(), b[key].ravel(), strict=True)
        if x != 0 and y != 0
    ]
    expected = sum((x > 0) == (y > 0) for x, y in flat) / len(flat)
    assert float(sign_agreement(a, b)) == pytest.approx(expected, rel=1e-15)
    assert float(sign_flips(a, b)) == pytest.approx(1 - expected, rel=1e-15)


def test_a_vector_agrees_fully_with_itself_and_not_at_all_with_its_negative():
    a = np.array([1e-300, -2.0, 0.0, 1e300])
    assert sign_agreement(a, a) == 1.0
    assert sign_agreement(a, -a) == 0.0
    assert sign_flips(a, -a) == 1.0


def test_pure_decay_flips_no_sign():
    weights = np.random.default_rng(0).normal(size=(20, 20))
    assert sign_flips(weights, weights * (1 - 0.1) ** 50) == 0.0


def test_weights_that_start_at_zero_have_no_sign_to_flip():
    assert np.isnan(sign_flips(np.zeros(3), np.ones(3)))
    assert np.isnan(sign_agreement({}, {}))


def test_a_nan_coordinate_makes_agreement_and_flips_nan():
    a = np.array([1.0, 2.0, np.nan])
    assert np.isnan(sign_agreement(a, np.ones(3)))
    assert np.isnan(sign_flips(np.ones(3), a))


def test_precisions_may_differ_between_leaves_and_sides():
    a = {"w": np.ones(2, jnp.bfloat16), "b": np.ones(2, np.float32)}
    b = {"w": -np.ones(2, np.float32), "b": np.ones(2, np.float32)}
    agreement = sign_agreement(a, b)
    assert agreement == 0.5
    assert agreement.dtype == jnp.float32


@pytest.mark.parametrize("function", [signs.sign_agreement, signs.sign_flips])
@pytest.mark.parametrize("other", [np.ones(3), {"w": np.ones(2)}])
def test_vectors_of_another_structure_are_refused(function, other):
    with pytest.raises(ValueError, match=rf"{function.__name__}: .*equal structure"):
        function(np.ones(2), other)


def test_negative_fractions_of_an_array_and_its_negative_add_up_to_one_but_for_zeros():
    weights = np.random.default_rng(0).integers(-2, 3, size=(7, 11)).astype(float)
    zeros = np.mean(weights == 0)
    negative, positive = (float(negative_fraction(s * weights)) for s in (1, -1))
    assert 0 < zeros < 1
    assert negative + positive == pytest.approx(1 - zeros, rel=1e-14)


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1)])
def test_fractions_are_means_along_the_axes_asked_for(axis):
    x = np.random.default_rng(0).integers(-2, 3, size=(7, 11)).astype(float)
    negative, positive = np.mean(x < 0, axis=axis), np.sum(x > 0, axis=axis)
    np.testing.assert_allclose(negative_fraction(x, axis=axis), negative, rtol=1e-15)
    np.testing.assert_allclose(
        positive_fraction(x, axis=axis),
        positive / np.sum(x != 0, axis=axis),
        rtol=1e-15,
    )


def test_fractions_of_nothing_are_undefined():
    assert np.isnan(negative_fraction(np.zeros(0)))
    assert np.isnan(positive_fraction(np.zeros(3)))
    assert np.isnan(negative_fraction(np.array([np.nan, -1.0])))
    assert negative_fraction(np.zeros(3)) == 0.0


def test_fractions_hold_in_float32():
    x = np.array([-1.0, 0.0, 2.0, 3.0], np.float32)
    for value, expected in [
        (negative_fraction(x), 1 / 4),
        (positive_fraction(x), 2 / 3),
    ]:
        assert value.dtype == jnp.float32
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_a_share_of_ones_is_exactly_one_however_many_there_are():
    for n in (3, 7, 41, 8192):
        ones = jnp.ones(n, jnp.float32)
        assert float(signs.share(ones)) == 1.0
        assert float(signs.share(jnp.append(ones, jnp.nan))) == 1.0
        assert float(signs.share(jnp.append(ones, 0.0))) < 1.0
    assert float(signs.share(jnp.array([1.0, 0.0, jnp.nan, 0.0, 0.0]))) == 0.25
    assert jnp.isnan(signs.share(jnp.array([jnp.nan])))


def test_the_mean_over_examples_and_units_is_that_of_the_values_defined(without_shape_checks):
    random = np.random.default_rng(5)
    inputs, deltas = random.normal(size=(9, 7)), random.normal(size=(9, 4))
    deltas[random.uniform(size=deltas.shape) < 0.3] = 0.0
    inputs[2], deltas[3, 1] = 0.0, np.nan
    for dtype, tolerance in ((np.float64, 1e-15), (np.float32, 1e-6)):
        h, d = jnp.asarray(inputs, dtype), jnp.asarray(deltas, dtype)
        found = jax.jit(signs.mean_example_sign_coherence)(h, d)
        assert found.dtype == dtype
        np.testing.assert_allclose(
            found, np.nanmean(signs.example_sign_coherence(h, d)), rtol=0, atol=tolerance
        )
    assert np.isnan(signs.mean_example_sign_coherence(h, jnp.zeros_like(d)))
    with pytest.raises(ValueError, match="mean_example_sign_coherence: expected deltas"):
        signs.mean_example_sign_coherence(h[1:], d)


def test_counts_too_large_for_float32_are_counted_in_integers(monkeypatch):
    weights = np.random.default_rng(6).normal(size=(40, 3)).astype(np.float32)
    weights[1, 1] = 0.0
    weights = jnp.asarray(weights)
    expected = signs.sign_coherence(weights), signs.positive_fraction(weights)
    monkeypatch.setattr(signs, "MOST_IN_FLOAT32", 10)
    assert "i32[" in str(jax.make_jaxpr(signs.sign_coherence)(weights))
    np.testing.assert_array_equal(signs.sign_coherence(weights), expected[0])
    np.testing.assert_array_equal(signs.positive_fraction(weights), expected[1])
    weights = weights.at[0, 0].set(jnp.nan)
    np.testing.assert_array_equal(np.isnan(signs.sign_coherence(weights)), [True, False, False])


@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, -2), 1.5])
@pytest.mark.parametrize("name", ["positive_fraction", "negative_fraction", "share"])
def test_axes_that_are_not_there_or_there_twice_are_refused(name, axis, without_shape_checks):
    with pytest.raises(ValueError, match=rf"{name}: expected axis .*\(7, 11\), got axis="):
        getattr(signs, name)(jnp.ones((7, 11)), axis=axis)


def test_axes_may_be_numpys_integers_and_a_scalar_has_none():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(7, 11)))
    for function in (signs.positive_fraction, signs.negative_fraction):
        np.testing.assert_array_equal(function(x, axis=np.int64(1)), function(x, axis=1))
        with pytest.raises(ValueError, match="0 axes"):
            function(jnp.array(1.0), axis=0)
    assert signs.negative_fraction(jnp.array(-1.0)) == 1.0


def test_one_negative_among_more_than_float32_counts_is_seen():
    @jax.jit  # the entries are never stored
    def measured():
        entries = jnp.where(jnp.arange(2**26) == 5, jnp.float32(-1), jnp.float32(1))
        return signs.sign_unanimity(entries[:, None]), signs.negative_fraction(entries)

    unanimity, fraction = measured()
    assert unanimity == 0.0
    assert fraction == 2.0**-26
