"""The mean/covariance split: exact designs, the spiked prediction, invariances, a slow twin."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis.fisher import MeanCovarianceSplit, mean_covariance_split

DIM = 6


def design(mean, variance):
    """Return 8 examples whose second moment is mean mean^T + variance I, exactly."""
    hadamard = np.array([[1.0]])
    for _ in range(3):
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    return jnp.asarray(mean + math.sqrt(variance) * hadamard[:, 1 : DIM + 1])


def draw(seed, shape, mean=1.0):
    return jnp.asarray(np.random.default_rng(seed).normal(mean, size=shape))


def split(inputs):
    return mean_covariance_split(inputs / math.sqrt(len(inputs)))


def test_the_mean_adds_one_outlier_to_an_isotropic_covariance():
    m, v = 0.7, 0.3
    top = DIM * m**2 + v
    expected = (m**2 / (m**2 + v), DIM * m**2 / top, v / top, 1.0)
    np.testing.assert_allclose(split(design(m, v)), expected, rtol=1e-13)


def test_centered_data_give_zero_and_constant_rows_give_one():
    np.testing.assert_allclose(split(design(0.0, 0.3)), [0.0, 0.0, 1.0, 0.0], atol=1e-15)
    assert split(design(0.0, 0.3)).top_cosine == 0.0  # not the angle to a rounding error
    constant = jnp.broadcast_to(jnp.array([1.0, -2.0, 0.5]), (8, 3))
    np.testing.assert_allclose(split(constant), [1.0, 1.0, 0.0, 1.0], atol=1e-15)


def test_centering_removes_the_outlier_and_leaves_the_edge_of_the_bulk():
    # Spiked covariance with N = 200 dimensions, P = 400 samples, m = v = 1: the outlier is at
    # N m^2 + v (1 + g) + v^2 g / (N m^2), g = N/P, and the bulk ends at v (1 + sqrt g)^2.
    N, g = 200, 0.5
    outlier, edge = N + 1 + g + g / N, (1 + math.sqrt(g)) ** 2
    result = split(draw(0, (400, N)))
    np.testing.assert_allclose(result.covariance_lambda_max_share, edge / outlier, rtol=0.04)
    np.testing.assert_allclose(result.mean_trace_share, 0.5, rtol=0.02)
    # The sample mean's square is N m^2 + v g.
    np.testing.assert_allclose(result.mean_lambda_max_share, (N + g) / outlier, rtol=0.005)
    assert result.top_cosine > 0.995


@pytest.mark.parametrize(("num_examples", "rank"), [(5, 1), (20, 1), (3, 2), (10, 3)])
def test_tall_and_wide_factors_equal_the_twin_by_eigenvectors(num_examples, rank):
    rows = np.asarray(draw(1, (num_examples, rank, DIM), 0.4))
    F = sum(np.outer(r, r) for example in rows for r in example) / num_examples
    means = rows.mean(axis=0)
    M = means.T @ means
    C = F - M
    top = np.linalg.eigh(F)[1][:, -1]
    basis = np.linalg.qr(means.T)[0]
    largest = lambda matrix: np.linalg.eigvalsh(matrix)[-1]  # noqa: E731
    expected = (
        np.trace(M) / np.trace(F),
        largest(M) / largest(F),
        largest(C) / largest(F),
        np.linalg.norm(basis.T @ top),
    )
    A = jnp.asarray(rows.reshape(-1, DIM)) / math.sqrt(num_examples)
    np.testing.assert_allclose(mean_covariance_split(A, rank=rank), expected, rtol=1e-11)


def test_flips_rotations_and_scalings_of_the_columns_change_nothing():
    inputs = draw(2, (9, DIM), 0.3)
    flips = jnp.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0])
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(DIM, DIM)))[0]
    for changed in (inputs * flips, inputs @ rotation, inputs[::-1], 1e-20 * inputs):
        np.testing.assert_allclose(split(changed), split(inputs), rtol=1e-12)


def test_each_rank_has_a_mean_of_its_own():
    # Two rows an example, +mu and -mu: together they cancel, one by one they are all mean.
    mu = jnp.array([1.0, 2.0])
    A = jnp.stack([mu, -mu] * 4) / 2.0
    np.testing.assert_allclose(mean_covariance_split(A, rank=2), [1, 1, 0, 1], atol=1e-15)
    np.testing.assert_allclose(mean_covariance_split(A), [0, 0, 1, 0], atol=1e-15)


def test_a_direction_that_only_rounding_gives_the_means_does_not_count():
    # Means (1, 0, 0) and (2, 0, 0) span a line, and the top eigenvector is orthogonal to it.
    noise = 100.0 * jnp.array([1.0, -1.0, 1.0, -1.0])
    first = jnp.stack([jnp.ones(4), noise, 0 * noise], axis=1)
    rows = jnp.stack([first, 2 * first], axis=1).reshape(8, 3) / 2.0
    np.testing.assert_allclose(mean_covariance_split(rows, rank=2).top_cosine, 0.0, atol=1e-14)


def test_zero_is_undefined_and_nan_stays_nan():
    assert np.all(np.isnan(mean_covariance_split(jnp.zeros((4, 3)))))
    assert np.all(np.isnan(split(draw(4, (4, 3)).at[1, 2].set(jnp.nan))))


def test_float32_under_jit_and_vmap_keeps_a_small_mean():
    # |mu|^2 is 1e-6 of lambda_max: subtracting float32 matrices would lose it.
    m, scales = 1e-3, jnp.array([1.0, 30.0])
    inputs = scales[:, None, None] * design(m, 1.0)[None] / math.sqrt(8)
    result = jax.jit(jax.vmap(mean_covariance_split))(inputs.astype(jnp.float32))
    assert isinstance(result, MeanCovarianceSplit)
    assert result.top_cosine.dtype == jnp.float32
    np.testing.assert_allclose(result.mean_trace_share, [m**2 / (1 + m**2)] * 2, rtol=1e-3)
    np.testing.assert_allclose(
        result.mean_lambda_max_share, [DIM * m**2 / (1 + DIM * m**2)] * 2, rtol=1e-3
    )


@pytest.mark.parametrize(("shape", "rank"), [((0, 3), 1), ((4, 0), 1), ((4, 3), 3), ((4, 3), 0)])
def test_rows_that_are_not_examples_times_rank_are_refused(shape, rank):
    with pytest.raises(ValueError, match=r"mean_covariance_split: expected A \[N \* rank, D\]"):
        mean_covariance_split(jnp.zeros(shape), rank=rank)


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e18, 1e30])
def test_the_scale_changes_nothing_in_float32_and_no_share_exceeds_one(scale):
    inputs = jnp.float32(draw(5, (9, DIM), 0.3))
    np.testing.assert_allclose(split(inputs * jnp.float32(scale)), split(inputs), rtol=1e-5)
    constant = [jnp.full((7, 3), jnp.float32(value * scale)) for value in np.linspace(0.1, 1, 40)]
    shares = jax.lax.map(mean_covariance_split, jnp.stack(constant))
    for share in shares:
        assert np.all((share >= 0) & (share <= 1))
    np.testing.assert_allclose(shares.mean_trace_share, 1.0, rtol=1e-5)
