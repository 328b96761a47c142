"""The unit's Fisher and natural gradient: the two theorems as published, a twin, invariances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis._units import (
    unit_bias_factor,
    unit_fisher,
    unit_natural_gradient,
    weighted_input_mean,
)

NUM_EXAMPLES, FAN_IN, UNITS = 24, 4, 5
NUM_SEEDS = 50  # times UNITS: 250 random cases

step = jax.jit(functools.partial(unit_natural_gradient, damping=0.0))
damped_step = jax.jit(
    lambda inputs, deltas, grad, damping: unit_natural_gradient(
        inputs, deltas, grad, damping=damping
    )
)
blocks = jax.jit(unit_fisher)
bias_factor = jax.jit(unit_bias_factor)
mean_q = jax.jit(weighted_input_mean)


@pytest.fixture
def no_type_check(monkeypatch):
    """Let wrong shapes reach the code, as they do for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def draw(seed):
    """Return inputs with a mean, and deltas whose size depends on the inputs."""
    random = np.random.default_rng(seed)
    inputs = random.normal(random.normal(size=FAN_IN), 1.0, size=(NUM_EXAMPLES, FAN_IN))
    deltas = random.normal(0.2, 1.0, size=(NUM_EXAMPLES, UNITS))
    return inputs, deltas * np.exp(0.5 * inputs[:, :1])


def draw_shared(seed, positions=3, rank=2):
    """Return inputs [N, T, fan_in] and deltas [N, R, T, units] of a layer with shared weights."""
    random = np.random.default_rng(seed)
    inputs = random.normal(0.7, 1.0, size=(NUM_EXAMPLES, positions, FAN_IN))
    return inputs, random.normal(size=(NUM_EXAMPLES, rank, positions, UNITS))


def moments(inputs, delta):
    """Return A, b, c, g, g_0 of one unit, as the paper has them, example by example."""
    A, b, c, g, g_0 = 0.0, 0.0, 0.0, 0.0, 0.0
    for a, d in zip(inputs, delta, strict=True):
        A, b, c = A + d * d * np.outer(a, a), b + d * d * a, c + d * d
        g, g_0 = g + d * a, g_0 + d
    return tuple(part / len(inputs) for part in (A, b, c, g, g_0))


def fisher_by_loops(inputs, deltas):
    """Return [units, fan_in + 1, fan_in + 1] from one score an example and column."""
    (num_examples, positions, fan_in), (_, rank, _, units) = inputs.shape, deltas.shape
    total = np.zeros((units, fan_in + 1, fan_in + 1))
    for n in range(num_examples):
        for r in range(rank):
            for j in range(units):
                score = np.zeros(fan_in + 1)
                for t in range(positions):
                    score += deltas[n, r, t, j] * np.append(inputs[n, t], 1.0)
                total[j] += np.outer(score, score)
    return total / num_examples


def as_shared(inputs, deltas):
    return inputs[:, None], deltas[:, None, None]


@pytest.fixture(scope="module")
def cases():
    """Return inputs and deltas of all seeds, with the code's steps and bias factors on them."""
    inputs, deltas = map(np.stack, zip(*map(draw, range(NUM_SEEDS)), strict=True))
    steps = jax.jit(jax.vmap(functools.partial(unit_natural_gradient, damping=0.0)))
    factors = jax.jit(jax.vmap(unit_bias_factor))
    return inputs, deltas, np.asarray(steps(inputs, deltas)), np.asarray(factors(inputs, deltas))


def each_unit(cases):
    for inputs, deltas, steps, factors in zip(*cases, strict=True):
        for j in range(UNITS):
            yield inputs, deltas[:, j], steps[:, j], factors[j]


def test_the_step_is_the_inverse_times_the_gradient_and_theorem_1_as_published(cases):
    worst_code = worst_paper = 0.0
    for inputs, delta, v, _ in each_unit(cases):
        A, b, c, g, g_0 = moments(inputs, delta)
        fisher = np.block([[A, b[:, None]], [b[None], np.array([[c]])]])
        expected = np.linalg.inv(fisher) @ np.append(g, g_0)
        s = (1.0 + b @ np.linalg.inv(A - np.outer(b, b) / c) @ b / c) / c
        dw_0 = s * (g_0 - b @ np.linalg.inv(A) @ g)
        dw = np.linalg.inv(A) @ (g - dw_0 * b)
        scale = np.max(np.abs(expected))
        worst_code = max(worst_code, np.max(np.abs(v - expected)) / scale)
        worst_paper = max(worst_paper, np.max(np.abs(np.append(dw, dw_0) - expected)) / scale)
    assert worst_code < 1e-9
    assert worst_paper < 1e-9


def test_the_bias_step_is_theorem_2_as_published(cases):
    for inputs, delta, v, factor in each_unit(cases):
        q = delta**2 / np.sum(delta**2)
        mean = q @ inputs
        variance = (q[:, None] * (inputs - mean)).T @ (inputs - mean)
        gradient_ratio = np.mean(delta[:, None] * inputs, axis=0) / np.mean(delta)
        k = 1.0 + (mean - gradient_ratio) @ np.linalg.inv(variance) @ mean
        np.testing.assert_allclose(factor, k, rtol=1e-9, atol=1e-9)
        bias_step = np.mean(delta) / np.mean(delta**2) * k
        np.testing.assert_allclose(v[-1], bias_step, atol=1e-9 * np.max(np.abs(v)))


def test_centering_by_the_weighted_mean_frees_the_bias_and_leaves_the_weights_step():
    inputs, deltas = draw(0)
    raw, means = step(inputs, deltas), mean_q(inputs, deltas)
    for j in range(UNITS):  # every unit has a mean of its own
        centered, scale = inputs - np.asarray(means[j]), np.max(np.abs(raw[:, j]))
        np.testing.assert_allclose(
            blocks(centered, deltas)[j, :-1, -1], np.zeros(FAN_IN), atol=1e-13
        )
        np.testing.assert_allclose(bias_factor(centered, deltas)[j], 1.0, atol=1e-10)
        np.testing.assert_allclose(step(centered, deltas)[:-1, j], raw[:-1, j], atol=1e-10 * scale)


def test_the_plain_mean_does_not_do_it_where_squared_deltas_depend_on_the_inputs():
    inputs, deltas = draw(0)
    centered = inputs - np.mean(inputs, axis=0)
    assert np.min(np.max(np.abs(blocks(centered, deltas)[:, :-1, -1]), axis=1)) > 0.1
    assert np.min(np.abs(bias_factor(centered, deltas) - 1.0)) > 1e-2


def test_the_plain_mean_does_it_where_they_do_not():
    inputs, deltas = draw(0)
    inputs, deltas = np.repeat(inputs[:4], 6, axis=0), np.tile(deltas[:6], (4, 1))  # every pair
    means = np.broadcast_to(np.mean(inputs, axis=0), (UNITS, FAN_IN))
    np.testing.assert_allclose(mean_q(inputs, deltas), means, atol=1e-13)


@pytest.mark.parametrize("sharing", [False, True])
def test_a_constant_added_to_the_inputs_does_not_change_what_the_step_does(sharing):
    inputs, deltas = draw_shared(1, rank=1) if sharing else as_shared(*draw(1))
    shift = np.array([5.0, -3.0, 0.5, 10.0])

    def function_change(inputs, damping):
        v = damped_step(inputs, deltas, None, damping)
        return np.asarray(inputs @ v[:-1] + v[-1])

    before, after = function_change(inputs, 0.0), function_change(inputs + shift, 0.0)
    np.testing.assert_allclose(after, before, atol=1e-10 * np.max(np.abs(before)))
    # Damping is a length in parameter space, which the shift shears.
    damped = function_change(inputs + shift, 0.1) - function_change(inputs, 0.1)
    assert np.max(np.abs(damped)) > 1e-2 * np.max(np.abs(before))


def test_a_blocks_entries_are_those_of_the_twin_by_loops_with_and_without_positions():
    for inputs, deltas in (draw_shared(2), draw_shared(3, positions=1), as_shared(*draw(2))):
        twin = fisher_by_loops(inputs, deltas)
        np.testing.assert_allclose(blocks(inputs, deltas), twin, atol=1e-13 * np.max(twin))
    np.testing.assert_array_equal(blocks(*draw(2)), blocks(*as_shared(*draw(2))))


@pytest.mark.parametrize("damping", [1e-3, 1.0])
@pytest.mark.parametrize(
    ("positions", "rank", "num_examples"),
    [(1, 3, NUM_EXAMPLES), (3, 2, NUM_EXAMPLES), (1, 1, 2), (2, 1, 2)],
)
def test_the_damped_step_solves_the_damped_blocks(positions, rank, num_examples, damping):
    inputs, deltas = (part[:num_examples] for part in draw_shared(4, positions, rank))
    grad = np.random.default_rng(5).normal(size=(FAN_IN + 1, UNITS))
    v = damped_step(inputs, deltas, grad, damping)
    for j, block in enumerate(fisher_by_loops(inputs, deltas)):
        expected = np.linalg.solve(block + damping * np.eye(FAN_IN + 1), grad[:, j])
        np.testing.assert_allclose(v[:, j], expected, atol=1e-11 * np.max(np.abs(expected)))
    # A layer without bias: the gradient has no row for it, nor has the Fisher.
    v = damped_step(inputs, deltas, grad[:-1], damping)
    for j, block in enumerate(fisher_by_loops(inputs, deltas)):
        matrix = block[:-1, :-1] + damping * np.eye(FAN_IN)
        expected = np.linalg.solve(matrix, grad[:-1, j])
        np.testing.assert_allclose(v[:, j], expected, atol=1e-11 * np.max(np.abs(expected)))


def test_without_a_gradient_it_is_the_mean_of_the_scores():
    inputs, deltas = draw_shared(6, rank=1)
    ones = np.concatenate([inputs, np.ones_like(inputs[..., :1])], axis=-1)
    grad = np.einsum("ntf,nrtu->fu", ones, deltas) / NUM_EXAMPLES
    expected = damped_step(inputs, deltas, grad, 0.5)
    np.testing.assert_allclose(damped_step(inputs, deltas, None, 0.5), expected, atol=1e-13)
    np.testing.assert_allclose(
        bias_factor(inputs, deltas), bias_factor(inputs, deltas, grad), rtol=1e-11
    )


def test_a_unit_without_deltas_is_undefined_and_its_neighbors_are_not():
    inputs, deltas = draw(7)
    dead = deltas * np.array([1.0, 0.0, 1.0, 1.0, 1.0])
    only_dead = np.array([False, True, False, False, False])
    np.testing.assert_array_equal(np.isnan(step(inputs, dead)), np.tile(only_dead, (5, 1)))
    np.testing.assert_array_equal(np.isnan(bias_factor(inputs, dead)), only_dead)
    np.testing.assert_array_equal(np.isnan(mean_q(inputs, dead))[:, 0], only_dead)
    # With damping its step is grad / damping, and its gradient is zero.
    np.testing.assert_array_equal(damped_step(inputs, dead, None, 0.1)[:, 1], np.zeros(5))


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_a_constant_input_makes_every_unit_undefined_without_damping_and_none_with(value):
    inputs, deltas = draw(8)
    inputs[:, 2] = value
    assert np.all(np.isnan(step(inputs, deltas)))
    assert np.all(np.isnan(bias_factor(inputs, deltas)))
    assert np.all(np.isfinite(damped_step(inputs, deltas, None, 1e-3)))


def test_float32_answers_in_float32_under_strict_promotion():
    inputs, deltas = draw(9)
    exact = [step(inputs, deltas), blocks(inputs, deltas), bias_factor(inputs, deltas)]
    single = jnp.float32(inputs), jnp.float32(deltas)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        results = [step(*single), blocks(*single), bias_factor(*single)]
    for result, expected in zip(results, exact, strict=True):
        assert result.dtype == jnp.float32
        np.testing.assert_allclose(result, expected, atol=1e-4 * np.max(np.abs(expected)))


def test_float32_solves_the_centered_system_to_the_root_of_its_condition():
    # Inputs around 30 with spread 1: the unit's Fisher has a condition of about 1e6.
    inputs, deltas = draw(10)
    inputs = np.float32(inputs + 30.0).astype(float)
    deltas = np.float32(deltas).astype(float)
    expected = step(inputs, deltas)
    result = step(jnp.float32(inputs), jnp.float32(deltas))
    np.testing.assert_allclose(
        result[:-1], expected[:-1], atol=1e-3 * np.max(np.abs(expected[:-1]))
    )


@pytest.mark.parametrize(
    ("inputs", "deltas", "grad", "damping", "message"),
    [
        ((3, 2), (4, 1), None, 1.0, "deltas.*batch = 3, as in inputs"),
        ((3, 2), (3, 1, 1, 1), None, 1.0, "pass the arrays of one Layer"),
        ((3, 2, 2), (3, 1, 4, 1), None, 1.0, "pass the arrays of one Layer"),
        ((0, 2), (0, 1), None, 1.0, "none of them empty"),
        ((3, 2), (3, 1), (4, 1), 1.0, r"grad \[3, 1\], bias last, or \[2, 1\].*\(4, 1\)"),
        ((3, 1, 2), (3, 2, 1, 1), None, 1.0, "2 columns.*pass the data's gradient"),
        ((3, 2), (3, 1), None, -1.0, "damping >= 0, got damping=-1.0"),
        ((3, 2), (3, 1), None, float("nan"), "damping >= 0, got damping=nan"),
    ],
)
def test_errors_come_before_any_computation(no_type_check, inputs, deltas, grad, damping, message):
    grad = None if grad is None else jnp.ones(grad)
    with pytest.raises(ValueError, match=f"unit_natural_gradient: expected.*{message}"):
        unit_natural_gradient(jnp.ones(inputs), jnp.ones(deltas), grad, damping=damping)


def test_a_bias_factor_needs_a_bias():
    with pytest.raises(ValueError, match="unit_bias_factor: expected a gradient with a row"):
        unit_bias_factor(jnp.ones((3, 2)), jnp.ones((3, 1)), jnp.ones((2, 1)))


@pytest.mark.parametrize("scale", [1e-30, 1e-19, 1e-17, 1e20, 1e30])
@pytest.mark.parametrize("sharing", [False, True])
def test_deltas_of_any_scale_give_float32_the_scaled_step(scale, sharing):
    inputs, deltas = draw_shared(11) if sharing else draw(11)
    inputs, deltas = jnp.float32(inputs), jnp.float32(deltas)
    small = deltas * jnp.float32(scale)
    grad = jnp.ones((inputs.shape[-1] + 1, deltas.shape[-1]), jnp.float32)
    plain = step(inputs, deltas, grad)
    # F grows by scale^2, the gradient by scale.
    result = np.float64(step(inputs, small, grad * jnp.float32(scale))) * scale
    np.testing.assert_allclose(result, plain, atol=1e-4 * np.max(np.abs(plain)))
    for function in (mean_q, lambda a, d: bias_factor(a, d, grad)):
        expected = function(inputs, deltas)
        np.testing.assert_allclose(
            function(inputs, small), expected, atol=1e-4 * np.max(np.abs(expected))
        )


def test_a_damping_far_above_the_fisher_divides_the_gradient():
    inputs, deltas = (jnp.float32(part) for part in draw(12))
    grad = jnp.ones((inputs.shape[-1] + 1, deltas.shape[-1]), jnp.float32)
    for scale in (1e-30, 1e-19):
        result = damped_step(inputs, deltas * jnp.float32(scale), grad, jnp.float32(4.0))
        np.testing.assert_array_equal(result, grad / 4)
