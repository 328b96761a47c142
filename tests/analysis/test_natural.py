"""Natural gradients: against dense solves, invariance, and what singular matrices give."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.analysis.natural import (
    compare_directions,
    natural_gradient,
    natural_gradient_cg,
    natural_gradient_diagonal,
    natural_gradient_pinv,
)
from signdyn.likelihoods import categorical, gaussian

# compiling is most of what takes time here
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
solve = jit(lambda A, g, damping: natural_gradient(A, g, damping=damping))
solve_pinv = jit(lambda A, g, rcond: natural_gradient_pinv(A, g, rcond=rcond))
solve_diagonal = jit(lambda d, g, damping: natural_gradient_diagonal(d, g, damping=damping))
compare = jit(lambda a, b, A: compare_directions(a, b, A=A))
TALL, SQUARE, WIDE = (12, 5), (5, 5), (4, 7)


@pytest.fixture
def no_type_check(monkeypatch):
    """Let wrong shapes reach the code, as they do for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


@functools.partial(jit, static_argnames="num_iterations")
def solve_cg(A, g, damping, tolerance=0.0, num_iterations=200):
    """Return the solution by products with the F = A^T A that is never formed."""
    return natural_gradient_cg(
        lambda v: A.T @ (A @ v),
        g,
        damping=damping,
        num_iterations=num_iterations,
        tolerance=tolerance,
    )


def with_spectrum(eigenvalues, seed=0):
    """Return A with A^T A of the given eigenvalues, and a gradient that meets all of them."""
    rng = np.random.default_rng(seed)
    n = len(eigenvalues)
    U, V = (np.linalg.qr(rng.normal(size=(n, n)))[0] for _ in range(2))
    return jnp.asarray((U * np.sqrt(eigenvalues)) @ V.T), jnp.asarray(V @ rng.normal(size=n))


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


@jit
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
    batched = jit(jax.vmap(lambda A, g, d: natural_gradient(A, g, damping=d)))(A, g, dampings)
    for seed in range(3):
        one = solve(*pairs[seed], dampings[seed])
        np.testing.assert_allclose(batched[seed], one, rtol=1e-10)


def test_strict_promotion_goes_through():
    for shape in (TALL, WIDE):
        A, g = (array.astype(jnp.float32) for array in draw(shape))
        with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
            damped = jit(lambda A, g: natural_gradient(A, g, damping=0.1))(A, g)
            pinv = jit(lambda A, g: natural_gradient_pinv(A, g, rcond=1e-6))(A, g)
            by_cg = solve_cg(A, g, 0.1)
            diagonal = solve_diagonal(g**2, g, 0.1)
            compared = compare(g, diagonal, A)
        for found in (damped, pinv, *by_cg, diagonal, *compared):
            assert found.dtype == jnp.float32


def test_conjugate_gradients_solve_what_the_dense_solve_does_and_say_so():
    A, g = with_spectrum(np.logspace(1, -3, 8))
    for damping in (0.0, 1e-3, 1.0):
        found = solve_cg(A, g, damping)
        expected = np.linalg.solve(A.T @ A + damping * np.eye(8), g)
        np.testing.assert_allclose(
            found.direction, expected, rtol=0, atol=1e-10 * np.linalg.norm(expected)
        )
        np.testing.assert_allclose(
            found.direction, solve(A, g, damping), rtol=0, atol=1e-10 * np.linalg.norm(expected)
        )
        assert found.residual < 1e-12


def test_conjugate_gradients_need_as_many_products_as_there_are_distinct_eigenvalues():
    A, g = with_spectrum([1.0, 1.0, 4.0, 4.0, 4.0, 9.0, 9.0, 9.0])
    assert solve_cg(A, g, 0.0, num_iterations=3).residual < 1e-12
    assert solve_cg(A, g, 0.0, num_iterations=2).residual > 1e-2


def test_an_unconverged_answer_says_so_by_its_true_residual():
    A, g = with_spectrum(np.logspace(0, -12, 8))
    F = np.asarray(A.T @ A)
    for iterations in (2, 3):
        found = solve_cg(A, g, 0.0, num_iterations=iterations)
        true = np.linalg.norm(F @ found.direction - g) / np.linalg.norm(g)
        np.testing.assert_allclose(found.residual, true, rtol=1e-6)
    assert solve_cg(A, g, 0.0, num_iterations=2).residual > 0.1


def test_conjugate_gradients_stop_at_the_tolerance():
    A, g = with_spectrum(np.logspace(1, -3, 8))
    residuals = [float(solve_cg(A, g, 0.0, tolerance).residual) for tolerance in (1e-1, 1e-8)]
    assert 1e-8 < residuals[0] < 1e-1
    assert residuals[1] < 1e-8


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e30])
def test_conjugate_gradients_go_on_past_convergence_at_any_scale_without_zero_over_zero(
    dtype, size
):
    # Asked for 200 products and no tolerance where 8 are enough: squared residuals would underflow.
    A, g = (v.astype(dtype) for v in with_spectrum([1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]))
    found = solve_cg(A, dtype(size) * g, 0.0)
    assert found.direction.dtype == found.residual.dtype == dtype
    expected = np.linalg.solve(np.asarray(A.T @ A, np.float64), np.asarray(g, np.float64))
    np.testing.assert_allclose(found.direction / size, expected, atol=20 * jnp.finfo(dtype).eps)
    assert found.residual < 10 * jnp.finfo(dtype).eps


def test_conjugate_gradients_by_matrix_free_products_equal_the_factor_route():
    x, w, y = regression()
    apply_fn = lambda w, x: jnp.tanh(x @ w)  # noqa: E731

    @jit
    def both(w):
        grad = jax.grad(lambda w: jnp.mean(gaussian().nll(apply_fn(w, x), y)))(w)[:, 0]
        product = fisher_vector_product(apply_fn, gaussian(), w, x)
        by_cg = natural_gradient_cg(product, grad, damping=0.1, num_iterations=50, tolerance=0.0)
        A = fisher_factor(apply_fn, gaussian(), w, x)
        return by_cg, natural_gradient(A, grad, damping=0.1)

    found, expected = both(w[:, None])
    np.testing.assert_allclose(found.direction, expected, rtol=1e-10)


def test_conjugate_gradients_are_undefined_where_the_question_is():
    A, g = with_spectrum(np.arange(1.0, 9.0))
    zero = solve_cg(A, 0.0 * g, 0.1)
    np.testing.assert_array_equal(zero.direction, np.zeros(8))
    assert np.isnan(zero.residual)
    for A, g in ((A, g.at[0].set(jnp.nan)), (A.at[0, 0].set(jnp.nan), g), (0.0 * A, g)):  # noqa: B020
        found = solve_cg(A, g, 0.0)
        assert np.all(np.isnan(found.direction))
        assert np.isnan(found.residual)


def test_vmap_over_conjugate_gradients_equals_a_loop_though_some_stop_earlier():
    spectra = (np.ones(8), np.arange(1.0, 9.0), np.logspace(2, -3, 8))
    pairs = [with_spectrum(spectrum, seed) for seed, spectrum in enumerate(spectra)]
    A, g = (jnp.stack(arrays) for arrays in zip(*pairs, strict=True))
    dampings = jnp.array([1e-3, 1e-2, 0.0])
    batched = jax.vmap(solve_cg)(A, g, dampings)
    for i in range(3):
        one = solve_cg(*pairs[i], float(dampings[i]))
        np.testing.assert_allclose(batched.direction[i], one.direction, rtol=1e-10)
        np.testing.assert_allclose(one.residual, 0.0, atol=1e-11)  # kappa = 1e5
        np.testing.assert_allclose(batched.residual[i], 0.0, atol=1e-11)


def test_sample_space_and_parameter_space_agree_where_both_can_solve():
    # Rows of zeros leave F alone and make a wide factor tall.
    A, g = draw(WIDE)
    tall = jnp.concatenate([A, jnp.zeros((6, 7))])
    for damping in (1e-3, 1.0):
        np.testing.assert_allclose(solve(A, g, damping), solve(tall, g, damping), rtol=1e-10)


def test_the_diagonal_rule_is_the_natural_gradient_of_a_diagonal_fisher():
    diagonal, g = np.array([1e-3, 0.5, 2.0, 1e3]), jnp.array([1.0, -2.0, 0.0, 3.0])
    for damping in (0.0, 0.1):
        found = solve_diagonal(diagonal, g, damping)
        np.testing.assert_allclose(found, solve(jnp.diag(np.sqrt(diagonal)), g, damping), rtol=1e-9)
    np.testing.assert_allclose(1e9 * solve_diagonal(diagonal, g, 1e9), g, rtol=1e-5)


def test_the_diagonal_rule_is_undefined_where_there_is_no_curvature():
    diagonal, g = jnp.array([0.0, 0.0, -1.0, 2.0]), jnp.array([1.0, 0.0, 1.0, 1.0])
    for dtype in (jnp.float32, jnp.float64):
        found = solve_diagonal(diagonal.astype(dtype), g.astype(dtype), 0.0)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, [np.nan, np.nan, np.nan, 0.5])
    np.testing.assert_array_equal(solve_diagonal(diagonal, g, 2.0), [0.5, 0.0, 1.0, 0.25])


def test_the_diagonal_rule_is_blind_to_units_of_the_parameters():
    A, g = draw(TALL)
    scale = jnp.array([1e-3, 1.0, 10.0, -2.0, 7.0])  # theta = scale theta'
    raw = solve_diagonal(jnp.sum(A**2, axis=0), g, 0.0)
    scaled = solve_diagonal(jnp.sum((A * scale) ** 2, axis=0), g * scale, 0.0)
    np.testing.assert_allclose(scale * scaled, raw, rtol=1e-12)


@pytest.mark.parametrize("shape", [TALL, WIDE])
def test_function_space_is_the_geometry_of_the_fisher(shape):
    A, a = draw(shape)
    b = jnp.asarray(np.random.default_rng(5).normal(size=a.shape))
    found = compare(a, b, A)
    F = np.asarray(A.T @ A)
    length = lambda v: np.sqrt(v @ F @ v)  # noqa: E731
    np.testing.assert_allclose(found.function_cosine, a @ F @ b / length(a) / length(b), rtol=1e-10)
    np.testing.assert_allclose(found.function_norm_ratio, length(a) / length(b), rtol=1e-10)
    np.testing.assert_allclose(found.cosine, a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    np.testing.assert_allclose(found.norm_ratio, np.linalg.norm(a) / np.linalg.norm(b))
    assert found.sign_agreement == np.mean(np.sign(a) == np.sign(b))


def test_a_direction_has_the_angle_zero_with_itself_at_any_scale_and_turned_over_pi():
    A, a = (v.astype(jnp.float32) for v in draw(TALL))
    for factor in (1e-30, 1.0, 1e30):  # their squares leave the range of float32
        found = compare(jnp.float32(factor) * a, -a, A)
        assert found.cosine.dtype == jnp.float32
        np.testing.assert_allclose(found.cosine, -1.0, rtol=1e-6)
        np.testing.assert_allclose(found.function_cosine, -1.0, rtol=1e-6)
        np.testing.assert_allclose(found.norm_ratio, factor, rtol=1e-6)
        np.testing.assert_allclose(found.function_norm_ratio, factor, rtol=1e-6)
        assert found.sign_agreement == 0.0


def test_the_squared_function_length_is_twice_the_divergence_of_a_small_step():
    rng = np.random.default_rng(1)
    x, W, V = (jnp.asarray(rng.normal(size=shape)) for shape in [(9, 3), (3, 4), (3, 4)])

    @jit
    def both(W, V):
        before, after = (jax.nn.log_softmax(x @ (W + step * V)) for step in (0.0, 1e-4))
        divergence = jnp.mean(jnp.sum(jnp.exp(before) * (before - after), axis=-1))
        A = fisher_factor(lambda W, x: x @ W, categorical(), W, x)
        return compare_directions(V.ravel(), W.ravel(), A=A).function_norm_ratio, A, divergence

    ratio, A, divergence = both(W, V)
    length = ratio * np.linalg.norm(A @ W.ravel())
    # The next order is 1e-4; the divergence, 1e-8, is rounded at 1e-16.
    np.testing.assert_allclose(1e-8 * length**2, 2 * divergence, rtol=1e-3)


def test_a_comparison_with_nothing_is_undefined():
    A, a = draw(TALL)
    without = compare(a, a, None)
    assert np.isnan(without.function_cosine)
    assert np.isnan(without.function_norm_ratio)
    assert np.all(np.isnan(jnp.stack(compare(a, 0 * a, A))))
    from_zero = compare(0 * a, a, A)
    assert np.isnan(from_zero.cosine)
    assert from_zero.norm_ratio == from_zero.function_norm_ratio == 0.0
    assert np.all(np.isnan(jnp.stack(compare(a.at[0].set(jnp.nan), a, A))))
    unseen = compare(a, a.at[1:].set(0.0), A.at[:, 0].set(0.0))  # F does not see coordinate 0
    assert np.isfinite(unseen.cosine)
    assert np.isnan(unseen.function_norm_ratio)


def call_cg(product, grad, **changes):
    options = {"damping": 0.1, "num_iterations": 5, "tolerance": 0.1, **changes}
    return natural_gradient_cg(product, grad, **options)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda A, g: natural_gradient(A, g[:-1], damping=1.0),
            r"grad to be floats \[param\] with param = 5, as in A, got float64\[4\]",
        ),
        (
            lambda A, g: natural_gradient(A[:0], g, damping=1.0),
            r"at least one row and column.*\(0, 5\)",
        ),
        (lambda A, g: natural_gradient(A, g, damping=-1.0), "damping >= 0, got damping=-1.0"),
        (lambda A, g: natural_gradient(A, g, damping=float("nan")), "damping >= 0"),
        (lambda A, g: natural_gradient(A[:3], g, damping=0), "natural_gradient_pinv"),
        (
            lambda A, g: natural_gradient_pinv(A, g[None], rcond=0.1),
            r"_pinv: expected grad to be floats \[param\]",
        ),
        (lambda A, g: natural_gradient_pinv(A, g, rcond=-0.1), "0 <= rcond < 1"),
        (lambda A, g: call_cg(lambda v: v[1:], g), r"own shape and dtype.*\(5,\).*\(4,\)"),
        (lambda A, g: call_cg(lambda v: v, A), r"grad to be floats \[param\], got float64\[12,5\]"),
        (lambda A, g: call_cg(lambda v: v, g, damping=-1.0), "natural_gradient_cg: .*damping=-1.0"),
        (lambda A, g: call_cg(lambda v: v, g, num_iterations=0), "num_iterations=0"),
        (lambda A, g: call_cg(lambda v: v, g, tolerance=1.0), "tolerance=1.0"),
        (
            lambda A, g: natural_gradient_diagonal(A[0, 1:], g, damping=0.1),
            "param = 4, as in diagonal",
        ),
        (lambda A, g: natural_gradient_diagonal(g, g, damping=-0.1), "damping=-0.1"),
        (lambda A, g: compare_directions(g, g[1:]), "b to be .*param = 5, as in a"),
        (
            lambda A, g: compare_directions(g[1:], g[1:], A=A),
            "compare_directions: expected A .*param = 4, as in a",
        ),
    ],
)
def test_errors_come_before_any_computation(no_type_check, call, message):
    with pytest.raises(ValueError, match=message):
        call(*draw(TALL))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e18, 1e30])
def test_the_pseudo_inverse_of_a_float32_factor_of_any_scale_is_the_scaled_one(scale):
    A = jnp.array([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 1e-5]], jnp.float32)
    grad = jnp.array([9.0, 8.0, 1.0], jnp.float32)
    scaled = solve_pinv(A * jnp.float32(scale), grad * jnp.float32(scale), 1e-8)
    np.testing.assert_allclose(np.float64(scaled) * scale, [1.0, 2.0, 0.0], rtol=1e-5)
