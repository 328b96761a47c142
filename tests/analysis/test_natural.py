"""Natural gradients: against dense solves, invariance, and what singular matrices give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.natural import natural_gradient, natural_gradient_pinv
from signdyn.likelihoods import gaussian

solve = jax.jit(lambda A, g, damping: natural_gradient(A, g, damping=damping))
solve_pinv = jax.jit(lambda A, g, rcond: natural_gradient_pinv(A, g, rcond=rcond))
TALL, SQUARE, WIDE = (12, 5), (5, 5), (4, 7)


@pytest.fixture
def no_type_check(monkeypatch):
    """Let wrong shapes reach the code, as they do for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def draw(shape, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=shape)), jnp.asarray(rng.normal(size=shape[1:]))


@pytest.mark.parametrize("shape", [TALL, SQUARE, WIDE])
def test_the_damped_natural_gradient_equals_the_dense_solve(shape):
    A, g = draw(shape)
    for damping in (1e-4, 1e-2, 1.0, 1e3):
        expected = np.linalg.solve(A.T @ A + damping * np.eye(shape[1]), g)
        scale = float(np.linalg.norm(expected))
        np.testing.assert_allclose(solve(A, g, damping), expected, atol=1e-10 * scale)


@pytest.mark.parametrize("shape", [TALL, SQUARE])
def test_without_damping_it_is_the_exact_inverse(shape):
    A, g = draw(shape)
    expected = np.linalg.solve(A.T @ A, g)
    np.testing.assert_allclose(solve(A, g, 0.0), expected, rtol=1e-9)


@pytest.mark.parametrize("shape", [(60, 20), (20, 60)])
def test_float32_keeps_the_accuracy_that_a_product_of_the_factor_would_lose(shape):
    # sqrt(1 / damping) = 1e3 is the condition number that the solve may see, its square 1e6 the
    # one that (A^T A + damping I) in float32 (6e-8) would.
    rng = np.random.default_rng(0)
    U, _ = np.linalg.qr(rng.normal(size=(shape[0], 20)))
    V, _ = np.linalg.qr(rng.normal(size=(shape[1], 20)))
    A = ((U * np.logspace(0, -4, 20)) @ V.T).astype(np.float32)
    g = (A.T @ rng.normal(size=shape[0])).astype(np.float32)
    exact = A.astype(np.float64).T @ A + 1e-6 * np.eye(shape[1])
    expected = np.linalg.solve(exact, g.astype(np.float64))
    found = solve(jnp.asarray(A), jnp.asarray(g), jnp.float32(1e-6))
    assert found.dtype == jnp.float32
    assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)
    squared = A.T @ A + np.float32(1e-6) * np.eye(shape[1], dtype=np.float32)
    lost = np.linalg.norm(np.linalg.solve(squared, g) - expected)
    assert lost > 10 * np.linalg.norm(found - expected)


def test_large_damping_turns_it_into_the_gradient():
    A, g = draw(TALL)
    np.testing.assert_allclose(1e12 * solve(A, g, 1e12), g, rtol=1e-9)


@jax.jit
def outputs_after_a_step(x, y, w, b, damping, rate):
    """Return the outputs of f(x) = x.w + b after one natural gradient step from (w, b)."""
    apply_fn = lambda p, x: x @ p[:-1, None] + p[-1]  # noqa: E731
    p = jnp.append(w, b)
    gradient = jax.grad(lambda p: jnp.mean(gaussian().nll(apply_fn(p, x), y)))(p)
    A = fisher_factor(apply_fn, gaussian(), p, x)
    return apply_fn(p - rate * natural_gradient(A, gradient, damping=damping), x)


def regression():
    x, w = draw(TALL)
    return x + 3.0, w, jnp.asarray(np.random.default_rng(3).normal(size=(12, 1)))


def test_one_undamped_step_of_a_linear_gaussian_model_lands_on_the_least_squares_fit():
    x, w, y = regression()
    with_bias = np.column_stack([x, np.ones(12)])
    expected = with_bias @ np.linalg.lstsq(with_bias, y)[0]
    landed = outputs_after_a_step(x, y, w, 0.5, 0.0, 1.0)
    np.testing.assert_allclose(landed, expected, atol=1e-11)


def test_centering_the_inputs_leaves_the_undamped_step_in_function_space_alone():
    x, w, y = regression()
    mean = jnp.mean(x, axis=0)
    raw = outputs_after_a_step(x, y, w, 0.5, 0.0, 0.3)
    centered = outputs_after_a_step(x - mean, y, w, 0.5 + w @ mean, 0.0, 0.3)
    moved = np.max(np.abs(raw - (x @ w[:, None] + 0.5)))
    np.testing.assert_allclose(raw, centered, atol=1e-11 * moved)


def test_damping_breaks_that_invariance():
    x, w, y = regression()
    mean = jnp.mean(x, axis=0)
    raw = outputs_after_a_step(x, y, w, 0.5, 1.0, 0.3)
    centered = outputs_after_a_step(x - mean, y, w, 0.5 + w @ mean, 1.0, 0.3)
    assert np.max(np.abs(raw - centered)) > 1e-2


@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_without_damping_a_singular_fisher_is_undefined_not_huge(shape):
    A, g = draw(shape)
    A = A.at[:, 0].set(A[:, 1])
    for dtype in (jnp.float64, jnp.float32):
        found = solve(A.astype(dtype), g.astype(dtype), 0.0)
        assert np.all(np.isnan(found))
    assert np.all(np.isnan(solve(A, g, -1.0)))
    assert np.all(np.isfinite(solve(A, g, 1e-6)))


@pytest.mark.parametrize("shape", [TALL, SQUARE, WIDE])
def test_the_pseudo_inverse_equals_the_dense_one_at_any_rank(shape):
    A, g = draw(shape)
    A = A.at[:, 0].set(A[:, 1])
    expected = np.linalg.pinv(np.asarray(A.T @ A), rcond=1e-12, hermitian=True) @ g
    scale = float(np.linalg.norm(expected))
    np.testing.assert_allclose(solve_pinv(A, g, 1e-12), expected, atol=1e-11 * scale)
    single = solve_pinv(A.astype(jnp.float32), g.astype(jnp.float32), jnp.float32(1e-9))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, expected, atol=1e-4 * scale)


def test_small_damping_approaches_the_pseudo_inverse_for_gradients_in_the_row_space():
    A, _ = draw(WIDE)
    g = A.T @ jnp.arange(4.0)
    limit = solve_pinv(A, g, 1e-12)
    errors = [np.linalg.norm(solve(A, g, damping) - limit) for damping in (1e-3, 1e-4, 1e-5)]
    np.testing.assert_allclose(np.divide(errors[:-1], errors[1:]), 10.0, rtol=0.05)


def test_the_pseudo_inverse_drops_what_the_cutoff_says():
    A, g = jnp.diag(jnp.array([1.0, 1e-3])), jnp.array([1.0, 1.0])  # F = diag(1, 1e-6)
    np.testing.assert_allclose(solve_pinv(A, g, 1e-7), [1.0, 1e6])
    np.testing.assert_allclose(solve_pinv(A, g, 1e-5), [1.0, 0.0])
    np.testing.assert_array_equal(solve_pinv(0 * A, g, 1e-5), [0.0, 0.0])
    assert np.all(np.isnan(solve_pinv(A.at[0, 1].set(jnp.nan), g, 1e-5)))


@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_vmap_over_seeds_and_dampings_equals_a_loop(shape):
    pairs = [draw(shape, seed) for seed in range(3)]
    A, g = (jnp.stack(arrays) for arrays in zip(*pairs, strict=True))
    dampings = jnp.array([1e-3, 1e-2, 1.0])
    batched = jax.jit(jax.vmap(lambda A, g, d: natural_gradient(A, g, damping=d)))(A, g, dampings)
    for seed in range(3):
        one = solve(*pairs[seed], dampings[seed])
        np.testing.assert_allclose(batched[seed], one, rtol=1e-10)


def test_strict_promotion_goes_through():
    for shape in (TALL, WIDE):
        A, g = (array.astype(jnp.float32) for array in draw(shape))
        with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
            damped = jax.jit(lambda A, g: natural_gradient(A, g, damping=0.1))(A, g)
            pinv = jax.jit(lambda A, g: natural_gradient_pinv(A, g, rcond=1e-6))(A, g)
        assert damped.dtype == pinv.dtype == jnp.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda A, g: natural_gradient(A, g[:-1], damping=1.0), r"\(12, 5\).*\(4,\)"),
        (lambda A, g: natural_gradient(A[:0], g, damping=1.0), r"factor A \[rows, P\].*\(0, 5\)"),
        (lambda A, g: natural_gradient(A, g, damping=-1.0), "damping >= 0, got damping=-1.0"),
        (lambda A, g: natural_gradient(A, g, damping=float("nan")), "damping >= 0"),
        (lambda A, g: natural_gradient(A[:3], g, damping=0), "natural_gradient_pinv"),
        (lambda A, g: natural_gradient_pinv(A, g[None], rcond=0.1), r"_pinv: .*\(1, 5\)"),
        (lambda A, g: natural_gradient_pinv(A, g, rcond=-0.1), "0 <= rcond < 1"),
    ],
)
def test_errors_come_before_any_computation(no_type_check, call, message):
    with pytest.raises(ValueError, match=message):
        call(*draw(TALL))
