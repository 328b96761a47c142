"""The dense Fisher: by pairs of layers it is the factor's, in the order of ravel_pytree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis import _layer_pairs
from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.matrix import fisher_matrix
from signdyn.likelihoods import categorical, gaussian
from signdyn.types import Tapped
from tests.analysis.test_layer_spectrum import draw_inputs, draw_params, network

MODEL = Tapped(network)


@pytest.mark.parametrize("likelihood", [categorical(), gaussian(0.3)], ids=lambda one: one.name)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_the_matrix_by_layers_is_the_factors(likelihood, dtype, tolerance):
    params, x = draw_params(0, dtype), draw_inputs(30, dtype)
    found = jax.jit(lambda p, x: fisher_matrix(MODEL, likelihood, p, x).matrix)(params, x)
    A = np.asarray(fisher_factor(network_of, likelihood, params, x))
    np.testing.assert_allclose(found, A.T @ A, atol=tolerance * np.max(A.T @ A))
    assert found.dtype == np.dtype(dtype)


def network_of(params, x):
    return network(params, x, lambda name, inputs, z: z)


@pytest.mark.parametrize("chunk", [7, 10, 30, 31])
def test_chunks_of_examples_change_nothing_but_rounding(monkeypatch, chunk):
    monkeypatch.setattr(_layer_pairs, "CHUNK", chunk)
    params, x = draw_params(0, "float64"), draw_inputs(30, "float64")
    found = fisher_matrix(MODEL, categorical(), params, x).matrix
    A = np.asarray(fisher_factor(network_of, categorical(), params, x))
    np.testing.assert_allclose(found, A.T @ A, atol=1e-14 * np.max(A.T @ A))


def test_every_seed_of_a_block_has_its_own_matrix():
    seeds, x = [draw_params(seed, "float64") for seed in range(3)], draw_inputs(30, "float64")
    of = lambda params: fisher_matrix(MODEL, categorical(), params, x).matrix  # noqa: E731
    block = jax.jit(jax.vmap(of))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds))
    for found, params in zip(block, seeds, strict=True):
        np.testing.assert_allclose(found, of(params), atol=1e-14 * jnp.max(found))


def test_it_says_which_way_it_took():
    params, x = draw_params(0), draw_inputs(9)
    assert str(fisher_matrix(MODEL, categorical(), params, x)).endswith("by pairs of layers")
    assert fisher_matrix(network_of, categorical(), params, x).method == "factor"
    more = {**params, "scale": jnp.ones((), jnp.float32)}
    assert fisher_matrix(MODEL, categorical(), more, x).method == "factor"
