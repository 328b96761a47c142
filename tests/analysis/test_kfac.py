"""K-FAC: twins by loops and by the Kronecker product itself, and where it is exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis.kfac import (
    kfac_factored_inverses,
    kfac_factored_natural_gradient,
    kfac_factors,
    kfac_natural_gradient,
    kfac_spectrum,
)
from signdyn.analysis.layers import Layer, fisher_layers, layer_factor
from signdyn.likelihoods import categorical, gaussian

FAN_IN, UNITS = 3, 2

factors = jax.jit(kfac_factors, static_argnames="bias")
spectrum = jax.jit(kfac_spectrum, static_argnames="bias")
layer_factor_of = jax.jit(lambda inputs, deltas: layer_factor(Layer(inputs, deltas)))


@jax.jit
def step(inputs, deltas, grad, damping):
    return kfac_natural_gradient(inputs, deltas, grad, damping=damping)


@pytest.fixture
def no_type_check(monkeypatch):
    """Let wrong shapes reach the code, as they do for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def draw(seed, num_examples, positions=1, rank=1):
    random = np.random.default_rng(seed)
    inputs = random.normal(0.5, 1.0, size=(num_examples, positions, FAN_IN))
    deltas = random.normal(size=(num_examples, rank, positions, UNITS))
    return inputs, deltas, random.normal(size=(FAN_IN + 1, UNITS))


def kronecker(inputs, deltas, bias=True):
    """Return A (x) G by loops over examples, positions and ranks, entry by entry of KFC."""
    num_examples, positions, fan_in = inputs.shape
    A, G = np.zeros((fan_in + bias,) * 2), np.zeros((UNITS,) * 2)
    for n in range(num_examples):
        for t in range(positions):
            a = np.append(inputs[n, t], [1.0] * bias)
            A += np.outer(a, a) / num_examples
            for delta in deltas[n, :, t]:
                G += np.outer(delta, delta) / positions / num_examples
    return np.kron(A, G)


# examples, positions, rank: rows of both factors above, on two sides of, and below their columns
SIZES = [(9, 4, 2), (3, 1, 1), (1, 1, 1)]
each_size = pytest.mark.parametrize(("num_examples", "positions", "rank"), SIZES)


@each_size
@pytest.mark.parametrize("bias", [True, False])
def test_factors_and_spectrum_are_those_of_the_kronecker_product(
    num_examples, positions, rank, bias
):
    inputs, deltas, _ = draw(0, num_examples, positions, rank)
    expected = kronecker(inputs, deltas, bias)
    A, G = factors(inputs, deltas, bias=bias)
    np.testing.assert_allclose(np.kron(A, G), expected, atol=1e-13 * np.max(np.abs(expected)))
    eigenvalues = np.linalg.eigvalsh(expected)[::-1]
    result = spectrum(inputs, deltas, bias=bias)
    np.testing.assert_allclose(result, eigenvalues, atol=1e-13 * eigenvalues[0])
    assert np.all(result >= 0.0)
    assert np.all(np.diff(result) <= 0.0)


@each_size
@pytest.mark.parametrize("bias", [True, False])
def test_the_step_solves_the_damped_kronecker_product(num_examples, positions, rank, bias):
    inputs, deltas, grad = draw(1, num_examples, positions, rank)
    grad = grad if bias else grad[:-1]
    for damping in (1e-3, 0.7):
        matrix = kronecker(inputs, deltas, bias) + damping * np.eye(grad.size)
        expected = np.linalg.solve(matrix, grad.ravel()).reshape(grad.shape)
        result = step(inputs, deltas, grad, damping)
        np.testing.assert_allclose(result, expected, atol=1e-10 * np.max(np.abs(expected)))


def test_the_undamped_step_is_the_inverse_where_there_is_one_and_undefined_where_not():
    inputs, deltas, grad = draw(2, 12, 2, 2)
    expected = np.linalg.solve(kronecker(inputs, deltas), grad.ravel()).reshape(grad.shape)
    result = step(inputs, deltas, grad, 0.0)
    np.testing.assert_allclose(result, expected, atol=1e-11 * np.max(np.abs(expected)))
    constant = inputs.copy()
    constant[..., 1] = 3.0  # as good as a second bias
    silent = deltas * np.array([1.0, 0.0])
    few = inputs[:3, :1], deltas[:3, :, :1]  # three rows, four columns
    for singular in [(constant, deltas), (inputs, silent), few]:
        assert np.all(np.isnan(step(*singular, grad, 0.0)))
        assert np.all(np.isfinite(step(*singular, grad, 1e-6)))


def test_two_dimensional_arrays_are_one_position_of_rank_one():
    inputs, deltas, grad = draw(3, 12)
    flat = inputs[:, 0], deltas[:, 0, 0]
    jax.tree.map(np.testing.assert_array_equal, factors(*flat), factors(inputs, deltas))
    np.testing.assert_array_equal(step(*flat, grad, 0.1), step(inputs, deltas, grad, 0.1))


def test_on_a_single_example_it_is_the_exact_fisher():
    inputs, deltas, _ = draw(4, 1)
    A = np.asarray(layer_factor_of(inputs, deltas))
    np.testing.assert_allclose(np.kron(*factors(inputs, deltas)), A.T @ A, atol=1e-14)


def test_it_is_exact_where_inputs_and_deltas_are_independent_and_not_elsewhere():
    inputs, deltas, _ = draw(5, 5)
    every_pair = np.repeat(inputs, 5, axis=0), np.tile(deltas, (5, 1, 1, 1))
    A = np.asarray(layer_factor_of(*every_pair))
    np.testing.assert_allclose(np.kron(*factors(*every_pair)), A.T @ A, atol=1e-13)
    A = np.asarray(layer_factor_of(inputs, deltas))
    error = np.linalg.norm(np.kron(*factors(inputs, deltas)) - A.T @ A)
    assert error > 0.1 * np.linalg.norm(A.T @ A)


def test_it_is_the_exact_fisher_of_a_linear_gaussian_model_and_gives_its_natural_gradient():
    inputs, _, grad = draw(6, 12)
    x = jnp.asarray(inputs[:, 0])
    params = {"kernel": jnp.ones((FAN_IN, UNITS)), "bias": jnp.ones(UNITS)}
    layer = fisher_layers(dense, gaussian(0.3), params, x)["dense"]
    A = np.asarray(layer_factor_of(*layer))
    np.testing.assert_allclose(np.kron(*factors(*layer)), A.T @ A, atol=1e-13)
    np.testing.assert_allclose(
        spectrum(*layer), np.linalg.svd(A, compute_uv=False)[: grad.size] ** 2, atol=1e-12
    )
    expected = np.linalg.solve(A.T @ A, grad.ravel()).reshape(grad.shape)
    np.testing.assert_allclose(step(*layer, grad, 0.0), expected, atol=1e-12)


def dense(params, x, tap):
    z = tap("dense", x, x @ params["kernel"] + params["bias"][None])
    return jnp.tanh(z) if z.shape[1] == 3 else z


def test_vmap_over_seeds_of_layers_and_step_equals_a_loop():
    x = jnp.asarray(draw(7, 6)[0][:, 0])
    grad = jnp.ones((FAN_IN + 1, 3))

    def whole(params):
        layer = fisher_layers(dense, categorical(), params, x)["dense"]
        return kfac_natural_gradient(*layer, grad, damping=0.1)

    normal = np.random.default_rng(8).normal
    seeds = {
        "kernel": jnp.asarray(normal(size=(3, 3, 3))),
        "bias": jnp.asarray(normal(size=(3, 3))),
    }
    together, one = jax.jit(jax.vmap(whole))(seeds), jax.jit(whole)
    for seed in range(3):
        alone = one(jax.tree.map(lambda leaf, s=seed: leaf[s], seeds))
        np.testing.assert_allclose(together[seed], alone, atol=1e-12)


def test_float32_answers_in_float32_under_strict_promotion():
    inputs, deltas, grad = draw(9, 12, 2, 2)
    exact = [step(inputs, deltas, grad, 0.01), spectrum(inputs, deltas), *factors(inputs, deltas)]
    single = [jnp.float32(part) for part in (inputs, deltas, grad)]
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        results = [step(*single, 0.01), spectrum(*single[:2]), *factors(*single[:2])]
    for result, expected in zip(results, exact, strict=True):
        assert result.dtype == jnp.float32
        np.testing.assert_allclose(result, expected, atol=1e-5 * np.max(np.abs(expected)))


def test_a_condition_of_1e10_is_right_to_two_percent_in_float32():
    random = np.random.default_rng(10)
    U, V = (np.linalg.qr(random.normal(size=(n, FAN_IN)))[0] for n in (12, FAN_IN))
    inputs = jnp.float32(U @ np.diag([1.0, 1e-2, 1e-5]) @ V.T)
    eigenvalues = spectrum(inputs, jnp.ones((12, 1), jnp.float32), bias=False)
    np.testing.assert_allclose(eigenvalues[0] / eigenvalues[-1], 1e10, rtol=0.02)


@pytest.mark.parametrize("function", [kfac_factors, kfac_spectrum, kfac_natural_gradient])
def test_shapes_that_do_not_fit_are_refused(no_type_check, function):
    arguments = [jnp.ones((3, 2)), jnp.ones((4, 1))]
    keywords = {}
    if function is kfac_natural_gradient:
        arguments, keywords = [*arguments, jnp.ones((3, 1))], {"damping": 1.0}
    with pytest.raises(
        ValueError, match=rf"{function.__name__}: expected deltas.*batch = 3, as in inputs"
    ):
        function(*arguments, **keywords)


def test_a_gradient_of_another_shape_and_a_negative_damping_are_refused(no_type_check):
    inputs, deltas = jnp.ones((3, 2)), jnp.ones((3, 1))
    with pytest.raises(ValueError, match=r"expected grad \[3, 1\].*\[2, 1\].*got.*\(4, 1\)"):
        kfac_natural_gradient(inputs, deltas, jnp.ones((4, 1)), damping=1.0)
    with pytest.raises(ValueError, match=r"expected damping >= 0, got damping=-1\.0"):
        kfac_natural_gradient(inputs, deltas, jnp.ones((3, 1)), damping=-1.0)


# --- factored damping -------------------------------------------------------------------------

step_factored = jax.jit(
    lambda inputs, deltas, grad, damping: kfac_factored_natural_gradient(
        inputs, deltas, grad, damping=damping
    )
)


@each_size
@pytest.mark.parametrize("bias", [True, False])
def test_the_factored_step_solves_the_product_of_the_damped_factors(
    num_examples, positions, rank, bias
):
    inputs, deltas, grad = draw(11, num_examples, positions, rank)
    grad = grad if bias else grad[:-1]
    A, G = (np.asarray(factor) for factor in factors(inputs, deltas, bias=bias))
    for damping in (1e-3, 0.7):
        pi = np.sqrt(np.mean(np.diag(A)) / np.mean(np.diag(G)))
        damped = np.kron(
            A + pi * damping**0.5 * np.eye(len(A)), G + damping**0.5 / pi * np.eye(len(G))
        )
        expected = np.linalg.solve(damped, grad.ravel()).reshape(grad.shape)
        result = step_factored(inputs, deltas, grad, damping)
        np.testing.assert_allclose(result, expected, atol=1e-10 * np.max(np.abs(expected)))


def test_the_two_dampings_are_one_where_there_is_none_and_where_there_is_nothing_else():
    inputs, deltas, grad = draw(12, 12, 2, 2)
    for damping, rtol in [(0.0, 1e-9), (1e16, 1e-6)]:
        slow, fast = (f(inputs, deltas, grad, damping) for f in (step, step_factored))
        np.testing.assert_allclose(fast, slow, rtol=rtol)
    slow, fast = (f(inputs, deltas, grad, 0.1) for f in (step, step_factored))
    assert np.max(np.abs(fast - slow)) > 0.01 * np.max(np.abs(slow))


def test_the_factored_step_of_a_silent_or_undamped_singular_layer_is_undefined():
    inputs, deltas, grad = draw(13, 12, 2, 2)
    assert np.all(np.isnan(step_factored(inputs, 0.0 * deltas, grad, 0.1)))
    constant = inputs.copy()
    constant[..., 1] = 0.0
    assert np.all(np.isnan(step_factored(constant, deltas, grad, 0.0)))
    assert np.all(np.isnan(step_factored(inputs, deltas, grad, np.nan)))


def test_the_factored_step_in_float32_is_right_to_1e5_at_a_damping_of_a_hundredth():
    inputs, deltas, grad = draw(14, 12, 2, 2)
    expected = step_factored(inputs, deltas, grad, 0.01)
    single = [jnp.float32(part) for part in (inputs, deltas, grad)]
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        result = step_factored(*single, jnp.float32(0.01))
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.max(np.abs(expected)))


@pytest.mark.parametrize("num_inputs", [3, 30])
def test_a_float32_input_that_is_a_sum_of_others_leaves_the_undamped_factored_step_undefined(
    num_inputs,
):
    function = jax.jit(kfac_factored_inverses)
    for seed in range(8):
        random = np.random.default_rng(seed)
        inputs = random.normal(size=(50, num_inputs)) * 10 ** random.uniform(-2, 2, num_inputs)
        inputs = np.c_[inputs, inputs[:, :1] + inputs[:, 1:2]].astype(np.float32)
        deltas = jnp.float32(random.normal(size=(50, 1)))
        grad = jnp.ones((num_inputs + 2, 1), jnp.float32)
        assert np.all(np.isnan(step_factored(inputs, deltas, grad, jnp.float32(0.0))))
        inverses = function(factors(inputs, deltas), damping=jnp.float32(0.0))
        assert np.all(np.isnan(inverses.inputs))
        assert np.all(np.isfinite(inverses.deltas))


def test_inputs_of_different_units_of_measurement_are_not_singular_nor_is_a_damped_factor():
    inputs, deltas, grad = (jnp.float32(part) for part in draw(15, 40))
    units = jnp.array([1e-5, 1.0, 1e5], jnp.float32)
    assert np.all(np.isfinite(step_factored(inputs * units, deltas, grad, jnp.float32(0.0))))
    # Fewer examples than inputs: all but two directions have the damping alone.
    wide = jnp.float32(np.random.default_rng(16).normal(size=(2, 1, 300)))
    damped = step_factored(wide, deltas[:2], jnp.ones((301, UNITS), jnp.float32), jnp.float32(1e-8))
    assert np.all(np.isfinite(damped))
