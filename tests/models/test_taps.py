"""Taps of Linen modules: the layers they show hold the exact Fisher, whatever the architecture."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.kfac import kfac_factors
from signdyn.analysis.layers import (
    coverage,
    fisher_layers,
    gram_of_layers,
    layer_factor,
    layer_matrix,
)
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.models.taps import linen_tapped


class ConvNet(nn.Module):
    """Both paddings, strides, a dilation, pooling, and pads of another size on each side."""

    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Conv(3, (3, 2), strides=(2, 1), padding="SAME", name="same")(x))
        x = nn.avg_pool(x, (1, 2), strides=(1, 2))
        x = nn.tanh(nn.Conv(2, (2, 2), padding="VALID", name="valid")(x))
        pads = ((1, 0), (2, 1))
        x = nn.Conv(2, (2, 1), padding=pads, kernel_dilation=(1, 2), name="padded")(x)
        return nn.Dense(3, name="head")(nn.tanh(x).reshape(len(x), -1))


class Block(nn.Module):
    """A residual block whose layers are dense ones on every position, and a convolution."""

    @nn.compact
    def __call__(self, x):
        h = nn.tanh(nn.Dense(2)(x))
        return x + nn.Conv(x.shape[-1], (3,))(h)


class ResNet(nn.Module):
    """A residual block over sequences, a module in a module."""

    @nn.compact
    def __call__(self, x):
        x = Block(name="first")(x)
        return nn.Dense(2)(jnp.mean(x, axis=1))


class Normed(nn.Module):
    """A convolution without bias under a batch norm, and an embedding beside it."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(2, (2,), use_bias=False, name="conv")(x)
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = x + nn.Embed(1, 2, name="embed")(jnp.zeros(x.shape[:2], int))
        return nn.Dense(2, name="head")(nn.tanh(x).reshape(len(x), -1))


MODELS = {
    "mlp": (MLP((4, 3), 3, "tanh"), (5,), ["dense_0", "dense_1", "dense_2"]),
    "conv": (ConvNet(), (5, 6, 2), ["same", "valid", "padded", "head"]),
    "residual": (
        ResNet(),
        (4, 3),
        ["first/Dense_0", "first/Conv_0", "Dense_0"],
    ),
}


def draw(model, shape, *args, num_examples=4, **kwargs):
    """Return variables in float64, none of them zero, and inputs with a mean."""
    random = np.random.default_rng(3)
    x = jnp.asarray(random.normal(0.5, size=(num_examples, *shape)))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x, *args, **kwargs))
    positive = lambda leaf: jnp.asarray(0.5 + 0.5 * random.random(leaf.shape))  # noqa: E731
    normal = lambda leaf: jnp.asarray(0.5 * random.normal(size=leaf.shape))  # noqa: E731
    return {
        name: jax.tree.map(positive if name == "batch_stats" else normal, collection)
        for name, collection in shapes.items()
    }, x


def at(tree, name):
    return functools.reduce(lambda node, part: node[part], name.split("/"), tree)


def columns_of(params, name):
    """Return where a layer's matrix, raveled, lies in the order of ravel_pytree."""
    theta, unravel = ravel_pytree(params)
    numbered = unravel(jnp.arange(theta.size, dtype=theta.dtype))
    return np.asarray(layer_matrix(at(numbered, name))).ravel().astype(int)


@functools.cache
def measured(case):
    """Return parameters, inputs, layers, the Gram matrix, and the factor of the whole model."""
    model, shape, _ = MODELS[case]
    variables, x = draw(model, shape)
    params = variables["params"]

    @jax.jit
    def build(params, x):
        layers = fisher_layers(linen_tapped(model), categorical(), params, x)
        A = fisher_factor(lambda p, x: model.apply({"params": p}, x), categorical(), params, x)
        return layers, gram_of_layers(layers), A

    return params, x, *build(params, x)


each_model = pytest.mark.parametrize("case", MODELS)


@each_model
def test_a_layers_factor_is_its_columns_of_the_models_factor(case):
    params, _, layers, _, A = measured(case)
    for name in MODELS[case][2]:
        expected = np.asarray(A)[:, columns_of(params, name)]
        atol = 1e-12 * np.max(np.abs(A))
        np.testing.assert_allclose(layer_factor(layers[name]), expected, atol=atol)


@each_model
def test_all_layers_are_tapped_so_their_gram_matrix_is_that_of_the_model(case):
    params, _, layers, gram, A = measured(case)
    assert set(layers) == set(MODELS[case][2])
    assert coverage(params, layers).missing == ()
    expected = np.asarray(A) @ np.asarray(A).T
    np.testing.assert_allclose(gram, expected, atol=1e-12 * np.max(np.abs(expected)))


@each_model
def test_tapping_changes_no_output_and_shows_what_each_kernel_reads_and_gives(case):
    params, x, *_ = measured(case)
    model, _, names = MODELS[case]
    order = []

    @jax.jit
    def both(params, x):
        seen = {}

        def tap(name, inputs, z):
            order.append(name)
            seen[name] = inputs, z
            return z

        outputs = linen_tapped(model)(params, x, tap)
        return outputs, model.apply({"params": params}, x), seen

    tapped, plain, seen = both(params, x)
    np.testing.assert_array_equal(tapped, plain)
    assert order == names
    for name, (inputs, z) in seen.items():
        matrix = np.asarray(layer_matrix(at(params, name)))
        product = np.asarray(inputs) @ matrix[:-1] + matrix[-1]
        np.testing.assert_allclose(product, z, atol=1e-13)


def patches_by_loops(x, window, strides, padding):
    """Return [N, positions, window * channels] of images [N, H, W, C], zeros around them."""
    padded = np.pad(x, ((0, 0), *padding, (0, 0)))
    rows = range(0, padded.shape[1] - window[0] + 1, strides[0])
    columns = range(0, padded.shape[2] - window[1] + 1, strides[1])
    cut = lambda image, i, j: image[i : i + window[0], j : j + window[1]].ravel()  # noqa: E731
    return np.array([[cut(image, i, j) for i in rows for j in columns] for image in padded])


def test_patches_are_those_of_loops_and_so_are_the_factors_of_kfac():
    _, x, layers, _, _ = measured("conv")
    # 5 rows in steps of 2 under a window of 3: 3 rows out, padded by one on both sides; 6 columns
    # in steps of 1 under a window of 2: 6 out, padded by one at the end.
    expected = patches_by_loops(np.asarray(x), (3, 2), (2, 1), ((1, 1), (0, 1)))
    inputs, deltas = map(np.asarray, layers["same"])
    np.testing.assert_array_equal(inputs, expected)
    A, G = np.zeros((13, 13)), np.zeros((3, 3))
    for n in range(len(x)):
        for t, patch in enumerate(expected[n]):
            A += np.outer(np.append(patch, 1.0), np.append(patch, 1.0)) / len(x)
            for r in range(3):
                G += np.outer(deltas[n, r, t], deltas[n, r, t]) / len(expected[n]) / len(x)
    for found, twin in zip(kfac_factors(*layers["same"]), (A, G), strict=True):
        np.testing.assert_allclose(found, twin, atol=1e-13 * np.max(np.abs(twin)))


def test_a_bare_function_with_the_same_weights_gives_the_same_layers():
    params, x, layers, _, _ = measured("mlp")

    def bare(params, h, tap):
        for name in ("dense_0", "dense_1", "dense_2"):
            h = jnp.tanh(h) if name != "dense_0" else h
            h = tap(name, h, h @ params[name]["kernel"] + params[name]["bias"][None])
        return h

    other = jax.jit(lambda p, x: fisher_layers(bare, categorical(), p, x))(params, x)
    for name, layer in layers.items():
        for part, expected in zip(other[name], layer, strict=True):
            np.testing.assert_allclose(part, expected, atol=1e-14)


def test_a_batch_norm_is_refused_in_training_and_reported_as_missing_when_frozen():
    variables, x = draw(Normed(), (4, 2), train=False)
    params, statistics = variables["params"], {"batch_stats": variables["batch_stats"]}
    training = linen_tapped(Normed(), variables=statistics, train=True)
    with pytest.raises(ValueError, match=r"fisher_layers: .*norm"):
        fisher_layers(training, categorical(), params, x)

    frozen = linen_tapped(Normed(), train=False, variables=statistics)
    layers = jax.jit(lambda p, x: fisher_layers(frozen, categorical(), p, x))(params, x)
    assert coverage(params, layers).missing == ("embed/embedding", "norm/bias", "norm/scale")
    apply_fn = lambda p, x: Normed().apply({"params": p, **statistics}, x, train=False)  # noqa: E731
    A = jax.jit(lambda p, x: fisher_factor(apply_fn, categorical(), p, x))(params, x)
    for name, bias in [("conv", False), ("head", True)]:
        np.testing.assert_allclose(
            layer_factor(layers[name], bias=bias),
            np.asarray(A)[:, columns_of(params, name)],
            atol=1e-13,
        )


def test_float32_inputs_of_a_float32_module_stay_so_and_integers_become_so():
    model, x = nn.Dense(2, dtype=jnp.float32), jnp.ones((3, 2), jnp.float32)
    params = {"kernel": jnp.ones((2, 2), jnp.float32), "bias": jnp.ones(2, jnp.float32)}
    for inputs in (x, x.astype(int)):
        with jax.numpy_rank_promotion("allow"):
            (layer,) = fisher_layers(linen_tapped(model), categorical(), params, inputs).values()
        assert layer.inputs.dtype == layer.deltas.dtype == jnp.float32


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.Conv(2, (2, 2), feature_group_count=2), (4, 4, 2), "2 groups of channels"),
        (nn.Conv(2, (2, 2), padding="CIRCULAR"), (4, 4, 2), "padding 'CIRCULAR'"),
        (nn.Conv(2, (2,), mask=jnp.ones((2, 2, 2))), (4, 2), "a mask"),
        (nn.Conv(2, (2,)), (3, 4, 2), "inputs of shape"),
        (nn.ConvTranspose(2, (2, 2)), (4, 4, 2), "a transposed convolution"),
    ],
)
def test_a_layer_that_cannot_be_tapped_is_refused_by_name(layer, shape, message):
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            return layer.copy(name="odd")(x)

    variables, x = draw(Net(), shape)
    with pytest.raises(ValueError, match=f"linen_tapped: expected.*{message}.*layer 'odd'"):
        linen_tapped(Net())(variables["params"], x, lambda name, inputs, z: z)
