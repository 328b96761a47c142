"""Products of layers are those of the dense factor, positions shared or not, biased or not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.layer_algebra import (
    fisher_of_layers,
    product_of_layers,
    pullback_of_layers,
    scores_of_layers,
)
from signdyn.analysis.layers import (
    biases,
    columns_of_layers,
    coverage,
    fisher_layers,
    gram_of_layers,
    layer_matrices,
    params_of_matrices,
)
from signdyn.likelihoods import categorical
from signdyn.types import Tapped

NUM_EXAMPLES, WIDTH, CLASSES = 5, 3, 4


@pytest.fixture
def no_type_check(monkeypatch):
    """Let wrong shapes reach the code, as they do for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def network(params, x, tap):
    """Return outputs of four layers: two share weights over 4 positions, one has no bias."""

    def layer(name, h):
        own = params[name]
        z = jnp.tensordot(h, own["kernel"], 1)
        bias = own["bias"].reshape((1,) * (z.ndim - 1) + (-1,)) if "bias" in own else 0.0
        return tap(name, h, z + bias)

    windows = jnp.stack([x[:, i : i + 3] for i in range(4)], axis=1)
    h = jnp.tanh(layer("shared_b", jnp.tanh(layer("shared_a", windows))))
    return layer("last", jnp.tanh(layer("first", h.reshape(len(x), -1))))


def draw_params(seed, dtype=float):
    normal = np.random.default_rng(seed).normal
    shapes = {
        "shared_a": {"kernel": (3, WIDTH), "bias": (WIDTH,)},
        "shared_b": {"kernel": (WIDTH, 2), "bias": (2,)},
        "first": {"kernel": (8, WIDTH)},
        "last": {"kernel": (WIDTH, CLASSES), "bias": (CLASSES,)},
    }
    draw = lambda shape: jnp.asarray(normal(size=shape), dtype)  # noqa: E731
    return jax.tree.map(draw, shapes, is_leaf=lambda node: isinstance(node, tuple))


def draw_inputs(dtype=float):
    return jnp.asarray(np.random.default_rng(7).normal(0.5, size=(NUM_EXAMPLES, 6)), dtype)


MODEL = Tapped(network)


@jax.jit
def dense(params, x):
    """Return the factor by the slow way, columns in the order of the layers."""
    names = list(fisher_layers(MODEL, categorical(), params, x))
    return fisher_factor(MODEL, categorical(), params, x)[:, columns_of_layers(params, names)]


@jax.jit
def by_layers(params, x, direction, scores):
    """Return A v, A^T u, F v, F and A A^T, all from the layers."""
    layers = fisher_layers(MODEL, categorical(), params, x)
    has_bias, v = biases(params, layers), layer_matrices(direction, layers)
    raveled = lambda matrices: jnp.concatenate([m.ravel() for m in matrices.values()])  # noqa: E731
    return (
        raveled(v),
        scores_of_layers(layers, v).ravel(),
        raveled(pullback_of_layers(layers, scores, bias=has_bias)),
        raveled(product_of_layers(layers, v)),
        fisher_of_layers(layers, bias=has_bias),
        gram_of_layers(layers, bias=has_bias),
    )


def check(params, x, found, scores, tolerance):
    A = np.asarray(dense(params, x), np.float64)
    v, push, pull, product, F, gram = map(np.asarray, found)
    scale = np.max(A.T @ A)
    np.testing.assert_allclose(push, A @ v, atol=tolerance * scale)
    np.testing.assert_allclose(pull, A.T @ scores.ravel(), atol=tolerance * scale)
    np.testing.assert_allclose(product, A.T @ (A @ v), atol=10 * tolerance * scale)
    np.testing.assert_allclose(F, A.T @ A, atol=tolerance * scale)
    np.testing.assert_allclose(gram, A @ A.T, atol=tolerance * scale)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-5)])
def test_products_of_layers_are_those_of_the_dense_factor(dtype, tolerance):
    params, x, direction = draw_params(0, dtype), draw_inputs(dtype), draw_params(1, dtype)
    scores = jnp.asarray(np.random.default_rng(3).normal(size=(NUM_EXAMPLES, CLASSES)), dtype)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        found = by_layers(params, x, direction, scores)
    assert {part.dtype for part in found} == {np.dtype(dtype)}
    check(params, x, found, scores, tolerance)


def test_every_seed_of_a_batch_has_its_own_products():
    x, scores = draw_inputs(), jnp.ones((NUM_EXAMPLES, CLASSES))
    seeds = [(draw_params(seed), draw_params(seed + 9)) for seed in range(2)]
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    batched = jax.vmap(lambda p, v: by_layers(p, x, v, scores))(*batch)
    for seed, (params, _) in enumerate(seeds):
        check(params, x, [part[seed] for part in batched], scores, 1e-13)


def test_matrices_of_layers_give_the_parameters_back_and_keep_what_is_of_no_layer():
    params, other = draw_params(0), draw_params(1)
    names = ["last", "shared_a"]
    found = params_of_matrices(layer_matrices(params, names), other)
    for name in params:
        expected = params if name in names else other
        jax.tree.map(np.testing.assert_array_equal, found[name], expected[name])
    assert biases(params, params)["first"] is False
    columns = columns_of_layers(params, params)
    assert sorted(columns) == list(range(ravel_pytree(params)[0].size))
    assert coverage(params, params).missing == ()


def test_a_model_that_is_one_layer_is_called_by_the_empty_name():
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.zeros(3)}
    matrices = layer_matrices(params, [""])
    assert matrices[""].shape == (3, 3)
    jax.tree.map(np.testing.assert_array_equal, params_of_matrices(matrices, params), params)
    np.testing.assert_array_equal(columns_of_layers(params, [""]), [*range(3, 9), 0, 1, 2])


def test_what_does_not_fit_is_refused_in_one_sentence(no_type_check):
    params, x = draw_params(0), draw_inputs()
    layers = fisher_layers(MODEL, categorical(), params, x)
    matrices = layer_matrices(params, layers)
    with pytest.raises(ValueError, match="scores_of_layers: expected a matrix for each"):
        scores_of_layers(layers, {"last": matrices["last"]})
    with pytest.raises(ValueError, match=r"product_of_layers: expected a matrix \(4, 4\) with"):
        product_of_layers(layers, {**matrices, "last": jnp.ones((5, 4))})
    with pytest.raises(ValueError, match=r"expected scores \[N, R\] = \(5, 4\)"):
        pullback_of_layers(layers, jnp.ones((4, 4)))
    with pytest.raises(ValueError, match="fisher_of_layers: expected at least one layer"):
        fisher_of_layers({})
    with pytest.raises(ValueError, match="fisher_of_layers: expected bias for the layers"):
        fisher_of_layers(layers, bias={"last": True})
    with pytest.raises(ValueError, match="layer_matrices: expected a layer's path in params"):
        layer_matrices(params, ["lost"])
