"""Lanczos quadrature against exact spectra: moments, distribution, and the theorems it rests on."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis._lanczos import quadrature
from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.analysis.spectrum import (
    SpectralDensity,
    cumulative,
    density_on_grid,
    moment,
    spectral_density,
    spectrum_of_gram,
)
from signdyn.likelihoods import bernoulli

DIM = 120
NUM_PROBES = 40
NUM_STEPS = 30

# The bulk is Marchenko-Pastur's; clusters have a width of nothing.
RNG = np.random.default_rng(3)
BULK = np.linalg.svd(RNG.normal(size=(3 * DIM, DIM)), compute_uv=False) ** 2 / (3 * DIM)
SPECTRA = {
    "spikes and bulk": np.sort(np.concatenate([[30.0, 9.0], BULK[2:]])),
    "clusters": np.sort(np.repeat([1e-3, 1.0, 5.0], DIM // 3)),
    "half zeros": np.sort(np.concatenate([np.zeros(DIM // 2), np.linspace(1, 2, DIM // 2)])),
    "rank one": np.sort(np.concatenate([np.zeros(DIM - 1), [4.0]])),
    "identity": np.ones(DIM),
}
each_spectrum = pytest.mark.parametrize("eigenvalues", SPECTRA.values(), ids=SPECTRA.keys())


@pytest.fixture
def no_type_check(monkeypatch):
    """Let wrong shapes reach the code, as they do for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def matrix_with(eigenvalues, seed=0):
    """Return a symmetric matrix with the given eigenvalues and random eigenvectors."""
    size = len(eigenvalues)
    V, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    return jnp.asarray((V * eigenvalues) @ V.T)


@jax.jit
def estimate(F, key):
    return spectral_density(
        lambda v: F @ v.astype(F.dtype), len(F), key, num_probes=NUM_PROBES, num_steps=NUM_STEPS
    )


@functools.partial(jax.jit, static_argnums=2)
def rules(F, starts, depth):
    """Return nodes and weights [starts, depth] of a rule from each given start."""
    return jax.vmap(lambda u: quadrature(lambda v: F @ v, u, depth))(starts)


def orthonormal_starts():
    starts, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(12, 12)))
    return jnp.asarray(starts) * 7.0  # of any length


def test_over_an_orthonormal_set_of_probes_moments_below_twice_the_depth_are_exact_traces():
    eigenvalues = np.linspace(-1, 2, 12) ** 3
    density = SpectralDensity(*rules(matrix_with(eigenvalues), orthonormal_starts(), 3))
    for k in range(6):
        np.testing.assert_allclose(moment(density, k).mean(), np.mean(eigenvalues**k), rtol=1e-12)
    # Gauss's error term is positive for the first even power beyond
    assert moment(density, 6).mean() < np.mean(eigenvalues**6) * 0.999


def test_at_full_depth_nodes_are_the_eigenvalues_and_weights_the_squared_overlaps():
    eigenvalues = np.linspace(1, 3, 12)
    F = matrix_with(eigenvalues)
    start = np.random.default_rng(2).normal(size=12)
    (nodes,), (weights,) = rules(F, jnp.asarray(start)[None], 12)
    np.testing.assert_allclose(nodes, eigenvalues[::-1], rtol=1e-12)
    _, vectors = np.linalg.eigh(np.asarray(F))
    overlaps = (vectors.T @ start)[::-1] ** 2 / np.sum(start**2)
    np.testing.assert_allclose(weights, overlaps, atol=1e-12)


def standard_error(values):
    """Return that of the mean of u^T B u over probes uniform on the sphere, B's eigenvalues given.

    Var u^T B u = 2 / (d + 2) (mean b^2 - (mean b)^2): the fourth moments of the sphere.
    """
    return np.sqrt(2 / (len(values) + 2) * np.var(values) / NUM_PROBES)


@each_spectrum
def test_four_moments_are_exact_within_their_monte_carlo_error(eigenvalues):
    density = estimate(matrix_with(eigenvalues), jax.random.key(1))
    np.testing.assert_allclose(moment(density, 0), 1.0, rtol=1e-12)
    for k in range(1, 5):
        estimates = np.asarray(moment(density, k))
        expected, error = np.mean(eigenvalues**k), standard_error(eigenvalues**k)
        assert abs(estimates.mean() - expected) < 4 * error + 1e-12 * expected
        # the probes' own spread says the same; sample deviations of 40 normals: 4 sigma = 45 %
        spread = estimates.std(ddof=1) / NUM_PROBES**0.5
        assert 0.5 * error - 1e-12 < spread < 1.7 * error + 1e-12


@each_spectrum
def test_the_distribution_is_within_a_kolmogorov_smirnov_distance_of_the_exact_one(eigenvalues):
    density = estimate(matrix_with(eigenvalues), jax.random.key(2))
    distinct = np.unique(eigenvalues.round(9))
    grid = np.concatenate([[-1.0], 0.5 * (distinct[1:] + distinct[:-1]), [distinct[-1] + 1.0]])
    exact = np.mean(eigenvalues <= grid[:, None], axis=1)
    shares = np.asarray(cumulative(density, jnp.asarray(grid)))
    assert shares.shape == (NUM_PROBES, len(grid))
    assert np.all(np.diff(shares, axis=1) >= -1e-12)
    np.testing.assert_allclose(shares[:, [0, -1]], [[0.0, 1.0]] * NUM_PROBES, atol=1e-12)
    # A share has standard error sqrt(2 p (1 - p) / (d + 2) / probes) <= .01. Inside a bulk add what
    # a rule of m nodes cannot resolve: steps of up to pi / (2 m), averaged over the probes.
    resolution = 0.02 if len(distinct) > 5 else 0.0
    assert np.max(np.abs(shares.mean(axis=0) - exact)) < 0.04 + resolution


def test_the_identity_is_a_single_node_and_rank_one_the_squared_overlap_with_it():
    v = np.random.default_rng(4).normal(size=12)
    v /= np.linalg.norm(v)
    starts = orthonormal_starts()
    ones, alone = rules(jnp.eye(12), starts, 3)
    np.testing.assert_allclose(ones[:, 0], 1.0, rtol=1e-14)
    np.testing.assert_allclose(alone.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_array_equal(alone[np.isnan(ones)], 0.0)
    fours, spike = rules(jnp.asarray(4.0 * np.outer(v, v)), starts, 3)
    np.testing.assert_allclose(fours[:, 0], 4.0, rtol=1e-13)
    np.testing.assert_allclose(spike[:, 0], (starts / 7.0 @ v) ** 2, rtol=1e-11)


def test_a_matrix_with_a_nan_has_no_density():
    density = estimate(jnp.eye(DIM).at[2, 2].set(jnp.nan), jax.random.key(0))
    grid = jnp.linspace(0, 1, 3)
    assert np.all(np.isnan(density.weights))
    for derived in (
        moment(density, 0),
        cumulative(density, grid),
        density_on_grid(density, grid, bandwidth=0.1),
    ):
        assert np.all(np.isnan(derived))


def test_smoothing_keeps_the_mass_and_mean_and_adds_its_own_variance():
    density = estimate(matrix_with(SPECTRA["clusters"]), jax.random.key(3))
    grid = np.linspace(-5, 10, 1501)
    smooth = np.asarray(density_on_grid(density, jnp.asarray(grid), bandwidth=0.4))
    integral = lambda f: np.sum(f * smooth, axis=1) * (grid[1] - grid[0])  # noqa: E731
    np.testing.assert_allclose(integral(1.0), 1.0, rtol=1e-10)
    np.testing.assert_allclose(integral(grid), moment(density, 1), rtol=1e-10)
    np.testing.assert_allclose(integral(grid**2), moment(density, 2) + 0.4**2, rtol=1e-10)


def test_probes_and_keys_are_independent_and_one_key_gives_one_answer():
    F = matrix_with(SPECTRA["spikes and bulk"])
    first, again, other = (estimate(F, jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.weights, again.weights)
    traces = np.concatenate([moment(first, 1), moment(other, 1)])
    assert len(np.unique(traces)) == 2 * NUM_PROBES


def test_the_float32_density_of_each_seeds_fisher_is_that_of_its_dense_spectrum():
    def network(params, x):
        return jnp.tanh(x @ params["in"]) @ params["out"]

    rng = np.random.default_rng(6)
    seeds = {"in": rng.normal(size=(3, 6, 8)), "out": rng.normal(size=(3, 8, 1))}
    seeds = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), seeds)
    x = jnp.asarray(rng.normal(0.5, size=(50, 6)), jnp.float32)
    dim = 6 * 8 + 8

    def density_of(params, key):
        product = fisher_vector_product(network, bernoulli(), params, x)
        return spectral_density(product, dim, key, num_probes=20, num_steps=10)

    keys = jax.random.split(jax.random.key(0), 3)
    block = jax.jit(jax.vmap(density_of))(seeds, keys)
    spectra = jax.jit(
        jax.vmap(lambda p: spectrum_of_gram(fisher_factor(network, bernoulli(), p, x)))
    )(seeds)
    assert block.nodes.dtype == block.weights.dtype == jnp.float32
    for seed in range(3):
        own = SpectralDensity(*(leaf[seed] for leaf in block))
        exact = np.asarray(spectra[seed], float)
        for k in (1, 2, 3):
            estimates = np.asarray(moment(own, k))
            error = standard_error(exact**k) * (NUM_PROBES / 20) ** 0.5
            assert abs(estimates.mean() - np.mean(exact**k)) < 4 * error
        np.testing.assert_allclose(own.nodes[:, 0], exact[0], rtol=1e-4)


@pytest.mark.parametrize("batch_size", [3, 7, 50])
def test_probes_that_run_together_have_the_rules_of_those_that_do_not(batch_size):
    F, options = matrix_with(SPECTRA["spikes and bulk"]), {"num_probes": 7, "num_steps": 12}
    find = functools.partial(spectral_density, lambda v: F @ v, DIM, jax.random.key(0), **options)
    together, alone = (jax.jit(functools.partial(find, batch_size=n))() for n in (batch_size, 1))
    np.testing.assert_allclose(together.nodes, alone.nodes, rtol=1e-10)
    np.testing.assert_allclose(together.weights, alone.weights, atol=1e-10)


def density_with(**changed):
    options = {"num_probes": 1, "num_steps": 2, **changed}
    matvec = options.pop("matvec", lambda v: v)
    return spectral_density(matvec, 4, jax.random.key(0), **options)


ONE = SpectralDensity(jnp.ones((1, 1)), jnp.ones((1, 1)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: density_with(num_probes=0), "spectral_density: .*num_probes=0"),
        (lambda: density_with(batch_size=0), "spectral_density: .*batch_size=0"),
        (lambda: density_with(num_steps=0), "num_steps=0, dim=4"),
        (lambda: density_with(num_steps=5), "num_steps=5, dim=4"),
        (lambda: density_with(matvec=lambda v: v[:2]), r"spectral_density: .*shape \(4,\)"),
        (lambda: moment(ONE, -1), "moment: .*k=-1"),
        (lambda: density_on_grid(ONE, jnp.ones(1), bandwidth=0.0), "bandwidth=0.0"),
        (lambda: density_on_grid(ONE, jnp.ones(1), bandwidth=float("nan")), "bandwidth=nan"),
    ],
)
def test_errors_come_before_any_computation(no_type_check, call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e20, 1e30])
def test_the_density_of_a_float32_matrix_of_any_scale_is_the_scaled_one(scale):
    @jax.jit
    def density(scale):
        def product(v):
            return scale * (jnp.array([3.0, 2.0, 1.0], jnp.float32) * v.astype(jnp.float32))

        return spectral_density(product, 3, jax.random.key(0), num_probes=2, num_steps=3)

    plain, scaled = (density(jnp.float32(factor)) for factor in (1.0, scale))
    assert scaled.nodes.dtype == jnp.float32
    np.testing.assert_allclose(scaled.nodes / scale, plain.nodes, rtol=1e-5)
    np.testing.assert_allclose(scaled.weights, plain.weights, atol=1e-5)
