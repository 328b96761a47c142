"""Means, lengths and overlaps of activations against pair loops and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from signdyn.diagnostics import activity

mean_energy, c_value, q_value = (  # compiled, which is how they are used
    jax.jit(f) for f in (activity.mean_energy, activity.c_value, activity.q_value)
)
OF_ACTIVATIONS = [mean_energy, c_value, q_value]


@pytest.fixture
def without_shape_checks(monkeypatch):
    """Call functions as users do: without the checks of annotations that the tests add."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def _activations(seed=0, examples=15, units=6, mean=0.5):
    return np.random.default_rng(seed).normal(mean, 1.0, size=(examples, units))


def test_c_value_equals_the_loop_over_pairs():
    a = _activations()
    cosines = [x @ y / np.sqrt((x @ x) * (y @ y)) for x, y in itertools.combinations(a, 2)]
    assert float(c_value(a)) == pytest.approx(np.mean(cosines), rel=1e-12)


def test_c_value_leaves_out_examples_without_activity():
    a = _activations()
    with_zeros = np.insert(a, [0, 7], 0.0, axis=0)
    expected = float(c_value(a))
    assert float(c_value(with_zeros)) == pytest.approx(expected, rel=1e-14)


def test_c_value_is_one_for_parallel_and_least_for_opposed_activations():
    direction = _activations(examples=1)
    lengths = np.linspace(0.1, 3.0, 9)[:, None]
    assert float(c_value(lengths * direction)) == pytest.approx(1, rel=1e-14)
    assert float(c_value(np.eye(4))) == 0.0
    assert float(c_value(jnp.array([[1.0, 2.0], [-2.0, -4.0]]))) == pytest.approx(-1)


@pytest.mark.parametrize("a", [np.zeros((3, 2)), np.array([[1.0, 1.0], [0.0, 0.0]])])
def test_c_value_of_fewer_than_two_active_examples_is_undefined(a):
    assert np.isnan(c_value(a))


def test_mean_energy_is_the_means_share_of_the_trace_of_the_second_moment():
    a = _activations()
    mean, covariance = a.mean(0), np.cov(a.T, bias=True)
    expected = mean @ mean / (mean @ mean + np.trace(covariance))
    assert float(mean_energy(a)) == pytest.approx(expected, rel=1e-12)


def test_mean_energy_is_zero_when_centered_and_one_when_constant():
    a = _activations()
    assert float(mean_energy(a - a.mean(0))) < 1e-30
    assert mean_energy(jnp.asarray(np.tile(a[0], (7, 1)))) == pytest.approx(1, rel=1e-14)
    assert np.isnan(mean_energy(jnp.zeros((3, 2))))


def test_mean_energy_and_c_value_say_the_same_of_activations_of_equal_length():
    a = _activations(mean=0.3)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    n, c = len(a), float(c_value(a))
    expected = 1 / n + (1 - 1 / n) * c
    assert float(mean_energy(a)) == pytest.approx(expected, rel=1e-12)


def test_relu_of_gaussians_has_mean_energy_one_over_pi():
    a = jax.nn.relu(jnp.asarray(_activations(examples=2000, units=200, mean=0.0)))
    # E[phi]^2 / E[phi^2] = (1/(2 pi)) / (1/2); 4e5 entries
    assert float(mean_energy(a)) == pytest.approx(1 / np.pi, rel=0.01)
    assert float(c_value(a)) == pytest.approx(1 / np.pi, rel=0.01)
    assert float(q_value(a)) == pytest.approx(1 / 2, rel=0.01)


@pytest.mark.parametrize("function", OF_ACTIVATIONS)
def test_flipping_the_signs_of_units_changes_no_value_bitwise(function):
    a = _activations()
    flips = np.random.default_rng(1).choice([-1.0, 1.0], size=a.shape[1])
    assert function(a * flips) == function(a)


@pytest.mark.parametrize("function", OF_ACTIVATIONS)
def test_rotating_the_units_changes_no_value(function):
    a = _activations()
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(6, 6)))[0]
    assert float(function(a @ rotation)) == pytest.approx(float(function(a)), rel=1e-12)


@pytest.mark.parametrize("function", [mean_energy, c_value])
@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_ratios_do_not_depend_on_the_scale_of_the_activations(function, scale):
    a = _activations()
    expected = float(function(a))
    assert float(function(a * scale)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("function", OF_ACTIVATIONS)
def test_a_nan_activation_is_not_left_out(function):
    assert np.isnan(function(jnp.asarray(_activations()).at[2, 3].set(jnp.nan)))


@pytest.mark.parametrize("function", OF_ACTIVATIONS)
def test_no_examples_have_no_value(function):
    assert np.isnan(function(jnp.zeros((0, 3))))


@pytest.mark.parametrize("function", OF_ACTIVATIONS)
def test_values_hold_in_float32_and_under_jit_and_vmap(function):
    a = jnp.stack([jnp.asarray(_activations(seed)) for seed in range(3)])
    single = jax.jit(jax.vmap(function))(a.astype(jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, [function(x) for x in a], rtol=1e-5, atol=1e-6)


def test_q_value_is_the_mean_square():
    a = _activations()
    assert float(q_value(a)) == pytest.approx((a**2).mean(), rel=1e-14)


def test_bias_shift_is_the_change_of_the_mean_preactivation():
    rng = np.random.default_rng(0)
    inputs, kernel, kernel_updates = (
        _activations(),
        rng.normal(size=(6, 4)),
        rng.normal(size=(6, 4)),
    )
    expected = (inputs @ (kernel + kernel_updates)).mean(0) - (inputs @ kernel).mean(0)
    np.testing.assert_allclose(
        activity.bias_shift(jnp.asarray(inputs), jnp.asarray(kernel_updates)), expected, rtol=1e-11
    )


def test_a_column_of_ones_counts_the_bias_in_the_bias_shift():
    inputs, updates = _activations(), np.random.default_rng(0).normal(size=(7, 4))
    extended = np.column_stack([inputs, np.ones(len(inputs))])
    without = activity.bias_shift(jnp.asarray(inputs), jnp.asarray(updates[:6]))
    np.testing.assert_allclose(
        activity.bias_shift(jnp.asarray(extended), jnp.asarray(updates)),
        without + updates[6],
        rtol=1e-12,
    )


def test_centered_inputs_shift_no_mean_whatever_the_update():
    inputs = _activations()
    updates = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)))
    shift = activity.bias_shift(jnp.asarray(inputs - inputs.mean(0)), updates)
    np.testing.assert_allclose(shift, np.zeros(4), atol=1e-14)


def test_bias_shift_holds_in_float32():
    inputs, updates = _activations(), np.random.default_rng(0).normal(size=(6, 4))
    single = activity.bias_shift(
        jnp.asarray(inputs, jnp.float32), jnp.asarray(updates, jnp.float32)
    )
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(
        single, activity.bias_shift(jnp.asarray(inputs), jnp.asarray(updates)), rtol=1e-4, atol=1e-6
    )


@pytest.mark.usefixtures("without_shape_checks")
def test_bias_shift_refuses_another_fan_in():
    with pytest.raises(ValueError, match=r"bias_shift: .*kernel_updates.*fan_in = 3.*\[4,2\]"):
        activity.bias_shift(jnp.ones((5, 3)), jnp.ones((4, 2)))


def test_means_do_not_leave_the_range_of_float32_where_sums_would():
    for scale in (1e18, 1e-18):
        a = jnp.full((1000, 1), scale, jnp.float32)
        np.testing.assert_allclose(np.float64(q_value(a)), scale**2, rtol=1e-5)
    a = jnp.full((1000, 1), 1e37, jnp.float32)
    one = jnp.ones((1, 1), jnp.float32)
    np.testing.assert_allclose(activity.bias_shift(a, one), 1e37, rtol=1e-5)


def test_no_rounding_takes_a_c_value_above_one():
    for seed in range(20):
        row = jnp.float32(np.random.default_rng(seed).normal(size=(1, 7)))
        assert 1 - 1e-5 < c_value(jnp.tile(row, (5, 1))) <= 1
