"""Spectra: prescribed ones in both precisions, conditioning by hand, Lanczos against eigh."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.analysis.spectrum import conditioning, spectrum_of_gram, top_eigenpairs
from signdyn.likelihoods import categorical

spectrum = jax.jit(spectrum_of_gram)


@pytest.fixture
def no_type_check(monkeypatch):
    """Let wrong shapes reach the code, as they do for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def factor_with(singular_values, rows, columns, seed=0):
    """Return A [rows, columns] with the given singular values and random singular vectors."""
    rng = np.random.default_rng(seed)
    rank = len(singular_values)
    U, _ = np.linalg.qr(rng.normal(size=(rows, rank)))
    V, _ = np.linalg.qr(rng.normal(size=(columns, rank)))
    return jnp.asarray((U * singular_values) @ V.T)


@pytest.mark.parametrize(("rows", "columns"), [(40, 12), (12, 12), (12, 40)])
def test_a_prescribed_spectrum_comes_back_descending_and_padded_with_exact_zeros(rows, columns):
    prescribed = np.logspace(1, -4, 12)
    eigenvalues = spectrum(factor_with(prescribed, rows, columns))
    assert eigenvalues.shape == (columns,)
    np.testing.assert_allclose(eigenvalues[:12], prescribed**2, rtol=1e-9)  # eps * 1e5
    np.testing.assert_array_equal(eigenvalues[12:], np.zeros(columns - 12))


@pytest.mark.parametrize(("rows", "columns"), [(200, 50), (50, 50), (50, 120)])
def test_float32_resolves_a_condition_number_of_1e10_to_two_percent(rows, columns):
    for seed in range(3):
        A = factor_with(np.logspace(0, -5, 50), rows, columns, seed).astype(jnp.float32)
        eigenvalues = spectrum(A)
        assert eigenvalues.dtype == jnp.float32
        kappa = conditioning(eigenvalues, rcond=1e-11).condition_number
        np.testing.assert_allclose(kappa, 1e10, rtol=0.02)


def test_the_spectrum_is_that_of_the_gram_matrix_for_every_seed_of_a_batch():
    A = jnp.asarray(np.random.default_rng(0).normal(size=(3, 9, 4)))
    batched = jax.jit(jax.vmap(spectrum_of_gram))(A)
    for seed in range(3):
        expected = np.linalg.eigvalsh(np.asarray(A[seed].T @ A[seed]))[::-1]
        np.testing.assert_allclose(batched[seed], expected, rtol=1e-12)


def test_a_nan_in_the_factor_leaves_no_eigenvalue_defined():
    assert np.all(np.isnan(spectrum(jnp.ones((3, 2)).at[1, 1].set(jnp.nan))))


def test_conditioning_of_a_flat_spectrum_is_perfect_and_of_full_effective_rank():
    flat = conditioning(jnp.full(7, 3.0), rcond=1e-6)
    assert (flat.condition_number, flat.rank, flat.lambda_max) == (1.0, 7.0, 3.0)
    assert (flat.lambda_min_kept, flat.trace) == (3.0, 21.0)
    np.testing.assert_allclose([flat.effective_rank, flat.trace_over_lambda_max], 7.0)


def test_the_cutoff_decides_rank_and_condition_number_and_nothing_else():
    eigenvalues = jnp.array([1e-8, 4.0, 1.0, -1e-9, 0.0])
    strict, loose = (conditioning(eigenvalues, rcond=rcond) for rcond in (1e-6, 1e-10))
    assert (strict.rank, loose.rank) == (2.0, 3.0)
    np.testing.assert_allclose([strict.condition_number, loose.condition_number], [4.0, 4e8])
    assert strict[4:] == loose[4:]
    np.testing.assert_allclose(strict.effective_rank, 25 / 17, rtol=1e-7)  # (4+1)^2 / (16+1)


def test_a_zero_spectrum_has_rank_zero_and_no_condition_number():
    zero = conditioning(jnp.zeros(3), rcond=1e-6)
    assert (zero.rank, zero.lambda_max, zero.trace) == (0.0, 0.0, 0.0)
    ratios = (zero.condition_number, zero.lambda_min_kept, *zero[5:])
    assert np.all(np.isnan(ratios))


def test_one_undefined_eigenvalue_leaves_nothing_defined():
    assert np.all(np.isnan(conditioning(jnp.array([1.0, jnp.nan, 2.0]), rcond=1e-6)))


def test_effective_rank_of_a_large_float32_spectrum_does_not_overflow():
    huge = conditioning(jnp.full(4, 1e30, jnp.float32), rcond=1e-6)
    np.testing.assert_allclose(huge.effective_rank, 4.0, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32])
def test_the_top_pairs_of_a_decaying_spectrum_equal_those_of_eigh(dtype):
    A = factor_with(0.8 ** np.arange(40), 60, 40).astype(dtype)
    F = A.T @ A
    top = jax.jit(lambda key: top_eigenpairs(lambda v: F @ v.astype(dtype), 40, 3, key))(
        jax.random.key(0)
    )
    values, vectors = np.linalg.eigh(np.asarray(F, np.float64))
    tolerance = 1e-10 if dtype == jnp.float64 else 1e-5
    assert top.eigenvalues.dtype == dtype
    np.testing.assert_allclose(top.eigenvalues, values[:-4:-1], rtol=tolerance)
    overlaps = np.abs(np.sum(top.eigenvectors * vectors[:, :-4:-1].T, axis=1))
    np.testing.assert_allclose(overlaps, np.ones(3), atol=tolerance)
    assert np.all(top.residuals < tolerance)


def test_residuals_bound_the_error_and_values_approach_from_below():
    eigenvalues = np.linspace(1, 2, 100) ** 4
    A = factor_with(np.sqrt(eigenvalues), 100, 100)
    F = A.T @ A
    find = jax.jit(
        lambda key, depth: top_eigenpairs(lambda v: F @ v, 100, 2, key, num_iterations=depth),
        static_argnums=1,
    )
    for depth in (4, 12):
        top = jax.tree.map(np.asarray, find(jax.random.key(depth), depth))
        errors = np.abs(top.eigenvalues[:, None] - eigenvalues).min(axis=1)
        assert np.all(errors <= top.residuals + 1e-12)
        assert np.all(top.eigenvalues <= eigenvalues[:-3:-1] + 1e-12)
        true = top.eigenvectors @ np.asarray(F) - top.eigenvalues[:, None] * top.eigenvectors
        np.testing.assert_allclose(top.residuals, np.linalg.norm(true, axis=1), atol=1e-12)


def test_the_products_count_is_the_depth_plus_one_a_pair():
    calls = []

    def matvec(v):
        jax.debug.callback(lambda _: calls.append(1), v[0])
        return jnp.arange(1.0, 31.0) * v

    find = jax.jit(lambda key: top_eigenpairs(matvec, 30, 2, key, num_iterations=10))
    jax.block_until_ready(find(jax.random.key(0)))
    jax.effects_barrier()
    assert len(calls) == 12


@jax.jit
def top_two_of(diagonal):
    return top_eigenpairs(lambda v: diagonal * v, diagonal.size, 2, jax.random.key(0))


@pytest.mark.parametrize(
    ("diagonal", "expected"),
    [([2.0] * 5, [2.0]), ([3.0, 0.0, 0.0, 0.0, 0.0], [3.0, 0.0]), ([0.0] * 5, [0.0])],
)
def test_an_exhausted_krylov_space_gives_true_pairs_or_says_undefined(diagonal, expected):
    top = top_two_of(jnp.array(diagonal))
    found = ~np.isnan(top.eigenvalues)
    np.testing.assert_allclose(top.eigenvalues[: len(expected)], expected, atol=1e-14)
    np.testing.assert_allclose(np.asarray(top.residuals)[found], 0.0, atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(top.eigenvectors, axis=1)[found], 1.0)
    distances = np.abs(np.asarray(top.eigenvalues)[found][:, None] - np.array(diagonal))
    np.testing.assert_allclose(np.min(distances, axis=1), 0.0, atol=1e-13)


def test_a_matrix_with_a_nan_has_no_eigenpairs():
    top = top_two_of(jnp.ones(5).at[2].set(jnp.nan))
    assert np.all(np.isnan(top.eigenvalues))
    assert np.all(np.isnan(top.residuals))


def test_the_top_fisher_pair_of_each_seed_equals_the_dense_one_in_float32():
    def network(params, x):
        for kernel, bias in params[:-1]:
            x = jax.nn.sigmoid(x @ kernel + bias)
        return x @ params[-1][0] + params[-1][1]

    rng, sizes = np.random.default_rng(0), (6, 5, 4, 3)
    seeds = [
        (rng.normal(size=(3, i, o)).astype("f"), np.zeros((3, o), "f"))
        for i, o in itertools.pairwise(sizes)
    ]
    x = jnp.asarray(rng.uniform(size=(20, 6)).astype("f"))
    dim = sum((i + 1) * o for i, o in itertools.pairwise(sizes))
    keys = jax.random.split(jax.random.key(0), 3)

    @jax.jit
    @jax.vmap
    def both(params, key):
        product = fisher_vector_product(network, categorical(), params, x)
        top = top_eigenpairs(product, dim, 1, key, num_iterations=12)
        return top, fisher_factor(network, categorical(), params, x)

    top, factors = both(seeds, keys)
    assert top.eigenvalues.dtype == jnp.float32
    for seed in range(3):
        A = np.asarray(factors[seed], np.float64)
        values, vectors = np.linalg.eigh(A.T @ A)
        np.testing.assert_allclose(top.eigenvalues[seed, 0], values[-1], rtol=1e-5)
        overlap = np.abs(np.asarray(top.eigenvectors)[seed, 0] @ vectors[:, -1])
        np.testing.assert_allclose(overlap, 1.0, rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: spectrum_of_gram(jnp.zeros((0, 3))), r"spectrum_of_gram: .*\(0, 3\)"),
        (lambda: conditioning(jnp.zeros(0), rcond=0.1), "conditioning: .* got none"),
        (lambda: conditioning(jnp.ones(2), rcond=1.0), "0 <= rcond < 1"),
        (lambda: conditioning(jnp.ones(2), rcond=float("nan")), "0 <= rcond < 1"),
        (lambda: top(4, 0), "1 <= k"),
        (lambda: top(4, 5), "k=5.*dim=4; raise num_iterations"),
        (lambda: top(4, 3, num_iterations=2), "num_iterations=2"),
        (
            lambda: top(4, 1, matvec=lambda v: v[:2]),
            r"vectors of shape \(4,\).*\(2,\)|float64\[2\]",
        ),
        (lambda: top(4, 1, matvec=lambda v: v > 0), r"float vectors.*bool"),
    ],
)
def test_errors_come_before_any_computation(no_type_check, call, message):
    with pytest.raises(ValueError, match=message):
        call()


def top(dim, k, *, matvec=lambda v: v, num_iterations=24):
    return top_eigenpairs(matvec, dim, k, jax.random.key(0), num_iterations=num_iterations)
