"""Maps that whiten, and models that read through them: the same function, another descent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.centering import CENTERINGS, resolve_sites
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.models.traces import init_params, site_means, trace_batch
from signdyn.models.whitening import Mapped, standardizing_map, whitening_map

MODEL = MLP((4, 3), 3, "tanh")
N = 12


def problem():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(0.0, 2.0, (N, 5)))
    params = init_params(MODEL, jax.random.key(0), x)
    maps = {
        f"dense_{layer}": jnp.asarray(np.eye(n) + 0.3 * rng.normal(size=(n, n)))
        for layer, n in ((0, 5), (2, 3))
    }
    return Mapped(MODEL, maps), params, x, jnp.arange(N) % 3


def covariance(seed: int, units: int = 5) -> jax.Array:
    rows = np.random.default_rng(seed).normal(size=(3 * units, units)) @ np.diag(
        range(1, units + 1)
    )
    return jnp.asarray(np.cov(rows.T))


@pytest.mark.parametrize("floor", [0.0, 0.5])
def test_whitening_turns_an_eigenvalue_c_into_c_over_c_plus_floor(floor):
    C = covariance(0)
    T = whitening_map(C, floor)
    np.testing.assert_allclose(T, T.T, rtol=1e-12)
    c = np.linalg.eigvalsh(C)
    found = np.linalg.eigvalsh(T @ C @ T)
    np.testing.assert_allclose(np.sort(found), np.sort(c / (c + floor)), rtol=1e-10)


def test_standardizing_touches_each_unit_alone():
    C = covariance(1)
    T = np.asarray(standardizing_map(C, 0.25))
    np.testing.assert_array_equal(T, np.diag(np.diag(T)))
    np.testing.assert_allclose(np.diag(T @ C @ T), np.diag(C) / (np.diag(C) + 0.25), rtol=1e-12)


def test_units_that_never_vary_are_left_finite():
    C = jnp.zeros((3, 3)).at[0, 0].set(2.0)
    for T in (whitening_map(C, 0.01), standardizing_map(C, 0.01)):
        np.testing.assert_allclose(np.diag(T), [2.01**-0.5, 10.0, 10.0], rtol=1e-12)


def test_float32_covariances_with_a_tiny_negative_eigenvalue_are_whitened_too():
    direction = jnp.ones((4, 1), jnp.float32)
    T = whitening_map(direction @ direction.T, jnp.float32(1e-3))
    assert T.dtype == jnp.float32
    assert bool(jnp.isfinite(T).all())


def test_mapped_parameters_are_the_same_function():
    model, params, x, _ = problem()
    mapped = model.mapped(params)
    assert not np.allclose(mapped["dense_0"]["kernel"], params["dense_0"]["kernel"])
    np.testing.assert_array_equal(mapped["dense_1"]["kernel"], params["dense_1"]["kernel"])
    np.testing.assert_allclose(
        model.apply({"params": mapped}, x), MODEL.apply({"params": params}, x), rtol=1e-10
    )
    for leaf, expected in zip(
        jax.tree.leaves(model.unmapped(mapped)), jax.tree.leaves(params), strict=True
    ):
        np.testing.assert_allclose(leaf, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["both", "batch", "flip"])
def test_matching_a_centering_keeps_the_function_under_a_map(name):
    model, params, x, _ = problem()
    mapped = model.mapped(params)
    means = site_means(model, mapped, x)
    signs = [jnp.asarray([(-1.0) ** i for i in range(len(mean))]) for mean in means]
    sites = resolve_sites(CENTERINGS[name], means, signs)
    outputs = model.apply({"params": model.matched(mapped, sites, means)}, x, sites)
    np.testing.assert_allclose(outputs, MODEL.apply({"params": params}, x), rtol=1e-9)


def test_a_step_of_the_mapped_kernels_is_a_step_of_the_kernels_preconditioned_by_the_map_squared():
    model, params, x, y = problem()
    mapped = model.mapped(params)
    own = trace_batch(model, categorical(), mapped, x, y).grads
    plain = trace_batch(MODEL, categorical(), params, x, y).grads
    rate = 0.1
    stepped = model.unmapped(jax.tree.map(lambda p, g: p - rate * g, mapped, own))
    for name, layer in params.items():
        T = model.maps.get(name, jnp.eye(len(layer["kernel"])))
        expected = layer["kernel"] - rate * T @ T.T @ plain[name]["kernel"]
        np.testing.assert_allclose(stepped[name]["kernel"], expected, rtol=1e-9, atol=1e-12)
        bias = layer["bias"] - rate * plain[name]["bias"]
        np.testing.assert_allclose(stepped[name]["bias"], bias, rtol=1e-9, atol=1e-12)


def test_a_model_of_maps_can_be_a_static_argument_though_arrays_cannot():
    model, *_ = problem()
    assert hash(model) == hash(model)
    assert model == model
    assert model != Mapped(model.model, model.maps)
    assert model.layer_names == MODEL.layer_names
