"""Spectra: prescribed ones in both precisions and by every method, Lanczos against eigh."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.analysis.spectrum import (
    conditioning,
    fisher_spectrum,
    spectrum_of_gram,
    top_eigenpairs,
)
from signdyn.likelihoods import categorical, gaussian

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


@pytest.mark.parametrize("shape", [(3, 2), (2, 3)])
def test_a_nan_in_the_factor_leaves_no_eigenvalue_defined(shape):
    assert np.all(np.isnan(spectrum(jnp.ones(shape).at[1, 1].set(jnp.nan))))


SIZES = (3, 2, 3)
NUM_PARAMS = sum((i + 1) * o for i, o in itertools.pairwise(SIZES))


def network(params, x):
    for kernel, bias in params[:-1]:
        x = jnp.tanh(x @ kernel + bias)
    return x @ params[-1][0] + params[-1][1]


def draw_params(seed, dtype=float):
    normal = np.random.default_rng(seed).normal
    sizes = itertools.pairwise(SIZES)
    return [tuple(jnp.asarray(normal(size=n), dtype) for n in ((i, o), o)) for i, o in sizes]


def draw_inputs(num_examples, dtype=float):
    return jnp.asarray(np.random.default_rng(9).normal(0.5, size=(num_examples, SIZES[0])), dtype)


@jax.jit
def network_factor(params, x):
    return fisher_factor(network, categorical(), params, x)


def network_spectrum(params, x, **options):
    return fisher_spectrum(network, categorical(), params, x, **options)


@functools.partial(jax.jit, static_argnames=("method", "chunk"))
def find(params, x, *, method, chunk):
    return network_spectrum(params, x, method=method, chunk=chunk).eigenvalues


# 7 = 2 x 3 + 1 examples and 4 = 3 + 1: the last chunk overlaps. 21 rows for 17 parameters, or 12.
@pytest.mark.parametrize("method", ["tall", "dual"])
@pytest.mark.parametrize(("num_examples", "chunk"), [(7, None), (7, 3), (4, 3)])
def test_every_method_and_chunk_gives_the_eigenvalues_of_the_dense_fisher(
    method, num_examples, chunk
):
    params, x = draw_params(0), draw_inputs(num_examples)
    A = np.asarray(network_factor(params, x))
    expected = np.linalg.eigvalsh(A.T @ A)[::-1]
    eigenvalues = find(params, x, method=method, chunk=chunk)
    assert eigenvalues.shape == (NUM_PARAMS,)
    np.testing.assert_allclose(eigenvalues, expected, atol=1e-14 * expected[0])
    assert np.all(np.diff(eigenvalues) <= 0.0)
    np.testing.assert_array_equal(eigenvalues[3 * num_examples :], 0.0)


@pytest.mark.parametrize("method", ["tall", "dual"])
def test_no_example_is_made_up_to_fill_a_chunk(method):
    def directions(params, x):  # undefined at zero
        return network(params, x / jnp.linalg.norm(x, axis=1, keepdims=True))

    params, x = draw_params(0), draw_inputs(7)
    eigenvalues = jax.jit(
        lambda p, x: (
            fisher_spectrum(directions, categorical(), p, x, method=method, chunk=3).eigenvalues
        )
    )(params, x)
    assert np.all(np.isfinite(eigenvalues))


def test_a_nan_in_any_example_leaves_no_eigenvalue_of_the_fisher_defined():
    for example in (0, 6):
        x = draw_inputs(7).at[example, 0].set(jnp.nan)
        assert np.all(np.isnan(find(draw_params(0), x, method="tall", chunk=3)))


@pytest.mark.parametrize(
    ("rows", "columns", "method", "chunk"),
    [(400, 50, "tall", 50), (400, 50, "tall", 17), (50, 400, "dual", 20), (400, 50, "tall", None)],
)
def test_a_float32_fisher_of_condition_number_1e10_is_resolved_to_two_percent(
    rows, columns, method, chunk
):
    # Of a linear model with one output, A = x / sqrt(N).
    resolve = jax.jit(
        lambda x: (
            fisher_spectrum(
                lambda w, x: x @ w,
                gaussian(),
                jnp.zeros((columns, 1), jnp.float32),
                x,
                method=method,
                chunk=chunk,
            ).eigenvalues
        )
    )
    singular_values = np.logspace(0, -5, 50)
    for seed in range(3):
        A = factor_with(singular_values, rows, columns, seed)
        eigenvalues = resolve((A * rows**0.5).astype(jnp.float32))
        assert eigenvalues.dtype == jnp.float32
        np.testing.assert_allclose(eigenvalues[0] / eigenvalues[49], 1e10, rtol=0.02)
        np.testing.assert_allclose(eigenvalues[:50], singular_values**2, rtol=0.02)


@pytest.mark.parametrize("method", ["tall", "dual"])
def test_the_fisher_spectrum_of_each_seed_of_a_block_equals_its_own(method):
    seeds, x = [draw_params(seed) for seed in range(3)], draw_inputs(7)
    of = lambda params: network_spectrum(params, x, method=method, chunk=3).eigenvalues  # noqa: E731
    block = jax.jit(jax.vmap(of))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds))
    for eigenvalues, params in zip(block, seeds, strict=True):
        alone = find(params, x, method=method, chunk=3)
        np.testing.assert_allclose(eigenvalues, alone, atol=1e-14 * alone[0])


def needs(num_examples, method="auto", **options):
    """Return method and bytes without running anything."""
    found = []

    def note(params, x):
        spectrum = network_spectrum(params, x, method=method, **options)
        found.append(spectrum)
        return spectrum.eigenvalues

    jax.eval_shape(note, draw_params(0), draw_inputs(num_examples))
    return found[0].method, found[0].peak_bytes


def test_the_cheaper_method_is_taken_and_the_other_one_where_only_that_fits():
    assert [needs(n)[0] for n in (5, 6, 100)] == ["dual", "tall", "tall"]  # 15, 18, 300 rows
    (_, dual), (_, tall) = needs(5, "dual"), needs(5, "tall", chunk=1)
    assert tall > dual
    assert needs(5, max_bytes=dual) == ("dual", dual)
    (_, dual), (_, tall) = needs(100, "dual"), needs(100, "tall", chunk=1)
    assert tall < dual
    assert needs(100, chunk=1, max_bytes=tall) == ("tall", tall)
    with pytest.raises(ValueError, match="max_bytes"):
        needs(100, chunk=1, max_bytes=tall - 1)


@pytest.mark.parametrize(
    ("hidden", "num_examples", "method", "chunk"),
    [(30, 400, "tall", 40), (30, 120, "tall", 120), (60, 60, "dual", 60), (60, 60, "dual", 15)],
)
def test_the_estimate_of_bytes_is_what_the_compiler_assigns(hidden, num_examples, method, chunk):
    sizes = (20, hidden, 10)
    params = [(jnp.ones((i, o)), jnp.ones(o)) for i, o in itertools.pairwise(sizes)]
    x = jnp.ones((num_examples, 20))
    estimates = []

    def run(params):
        spectrum = network_spectrum(params, x, method=method, chunk=chunk)
        estimates.append(spectrum.peak_bytes)
        return spectrum.eigenvalues

    assigned = jax.jit(run).lower(params).compile().memory_analysis().temp_size_in_bytes
    assert 1 / 1.5 < assigned / estimates[0] < 1.5


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


@pytest.mark.parametrize("scale", [1e-30, 1e-19, 1e20, 1e30])
def test_the_top_pairs_of_a_float32_matrix_of_any_scale_are_scaled_ones(scale):
    F = jnp.diag(jnp.array([3.0, 2.0, 1.0], jnp.float32))
    product = jax.jit(lambda v: jnp.float32(scale) * (F @ v.astype(jnp.float32)))
    found = top_eigenpairs(product, 3, 2, jax.random.key(0))
    assert found.eigenvalues.dtype == jnp.float32
    np.testing.assert_allclose(found.eigenvalues / scale, [3.0, 2.0], rtol=1e-5)
    np.testing.assert_allclose(jnp.abs(found.eigenvectors), np.eye(3)[:2], atol=1e-5)
    assert np.all((found.residuals > 0) & (found.residuals < 1e-5 * scale))


def test_the_products_count_is_the_depth():
    calls = []

    def matvec(v):
        jax.debug.callback(lambda _: calls.append(1), v[0])
        return jnp.arange(1.0, 31.0) * v

    find = jax.jit(lambda key: top_eigenpairs(matvec, 30, 2, key, num_iterations=10))
    jax.block_until_ready(find(jax.random.key(0)))
    jax.effects_barrier()
    assert len(calls) == 10


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
    seeds = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *(draw_params(seed, jnp.float32) for seed in range(3))
    )
    x = draw_inputs(20, jnp.float32)
    keys = jax.random.split(jax.random.key(0), 3)

    @jax.jit
    @jax.vmap
    def both(params, key):
        product = fisher_vector_product(network, categorical(), params, x)
        top = top_eigenpairs(product, NUM_PARAMS, 1, key, num_iterations=12)
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
        (lambda: network_spectrum(draw_params(0), draw_inputs(0)), "fisher_spectrum: .* example"),
        (
            lambda: network_spectrum(draw_params(0), draw_inputs(4), chunk=5),
            "chunk <= the 4 examples, got chunk=5",
        ),
        (lambda: network_spectrum(draw_params(0), draw_inputs(4), method="qr"), "got 'qr'"),
        (
            lambda: fisher_spectrum(
                lambda p, x: network(p, x - x.mean(0)),
                categorical(),
                draw_params(0),
                draw_inputs(4),
            ),
            "fisher_spectrum: .*independently",
        ),
        (
            lambda: network_spectrum(draw_params(0), draw_inputs(4), max_bytes=1024),
            r"needs .*e-06 GiB dual, .*e-06 GiB tall, has 9.54e-07 GiB: raise max_bytes",
        ),
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


def test_half_precision_is_refused_by_name(no_type_check):
    for dtype in (jnp.float16, jnp.bfloat16):
        with pytest.raises(ValueError, match=f"spectrum_of_gram: .*float64, got {dtype.__name__}"):
            spectrum_of_gram(jnp.ones((2, 2), dtype))
