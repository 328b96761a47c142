"""The convolutional network: a slow twin, how it starts, what it is made of, what it refuses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.activations import get_activation
from signdyn.centering import CENTERINGS, resolve_sites
from signdyn.models.cnn import CNN
from signdyn.models.mlp import MLP
from signdyn.models.traces import init_params, site_means

FAST = {"xla_backend_optimization_level": 0}  # compiling is all that takes time here
random = np.random.default_rng(0)


def conv(a, layer, stride, padding):
    """Return a convolution as JAX has it."""
    numbers = ("NHWC", "HWIO", "NHWC")
    z = jax.lax.conv_general_dilated(
        a, layer["kernel"], (stride, stride), padding, dimension_numbers=numbers
    )
    return z + layer["bias"]


def pooled(a, take):
    """Return the largest or the mean of every 2 x 2, by a loop."""
    height, width = a.shape[1] // 2, a.shape[2] // 2
    rows = [
        [take(a[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2], axis=(1, 2)) for j in range(width)]
        for i in range(height)
    ]
    return jnp.stack([jnp.stack(row, axis=1) for row in rows], axis=1)


def drawn(model, num_examples, size):
    """Return parameters, none of them zero, and inputs."""
    x = random.normal(size=(num_examples, size))
    shapes = jax.eval_shape(partial(init_params, model), jax.random.key(0), jnp.asarray(x))
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape) / 2, shapes), x


def outputs_and(twin, model, params, x):
    """Return the model's outputs and those of its twin, compiled together."""

    @partial(jax.jit, compiler_options=FAST)
    def both(params, x):
        return model.apply({"params": params}, x), twin(params, x)

    return both(params, x)


def test_its_function_is_convolutions_pools_and_dense_layers_in_this_order():
    model = CNN((7, 6, 2), (3, 4), 3, (5,), strides=(1, 2), pool_after=(0,), activation="tanh")

    def twin(params, x):
        a = jnp.tanh(conv(x.reshape(4, 7, 6, 2), params["conv_0"], 1, "SAME"))
        a = jnp.tanh(conv(pooled(a, jnp.max), params["conv_1"], 2, "SAME")).reshape(4, -1)
        a = jnp.tanh(a @ params["dense_0"]["kernel"] + params["dense_0"]["bias"])
        return a @ params["dense_1"]["kernel"] + params["dense_1"]["bias"]

    found, expected = outputs_and(twin, model, *drawn(model, 4, 84))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_padding_kernel_size_and_mean_pools_are_what_their_names_say():
    model = CNN((6, 9), (2,), 3, kernel_size=4, padding="VALID", pool="mean", pool_after=(0,))

    def twin(params, x):
        a = jax.nn.relu(conv(x.reshape(3, 6, 9, 1), params["conv_0"], 1, "VALID"))
        a = pooled(a, jnp.mean).reshape(3, 1 * 3 * 2)
        return a @ params["dense_0"]["kernel"] + params["dense_0"]["bias"]

    found, expected = outputs_and(twin, model, *drawn(model, 3, 54))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_the_sites_mean_is_that_of_the_activations_and_not_of_their_padding():
    model = CNN((3, 3), (2,), 2)
    params, _ = drawn(model, 2, 9)

    @partial(jax.jit, compiler_options=FAST)
    def centered(params, x):
        means = site_means(model, params, x)
        sites = resolve_sites(CENTERINGS["input"], means, [jnp.ones_like(mean) for mean in means])
        return means, model.apply({"params": params}, x, sites, mutable=["traces"])[1]

    means, sown = centered(params, np.ones((2, 9)))
    assert [len(mean) for mean in means] == [1, 18]  # channels, then units
    np.testing.assert_allclose(means[0], [1.0], rtol=1e-15)
    patches = np.asarray(sown["traces"]["conv_0_inputs"]).reshape(2, 3, 3, 3, 3)
    # Centered pixels are 0, and padding, which is 0 too, becomes minus their mean.
    np.testing.assert_allclose(patches[0, 1, 1], np.zeros((3, 3)), atol=1e-15)
    corner = [[-1, -1, -1], [-1, 0, 0], [-1, 0, 0]]
    np.testing.assert_allclose(patches[0, 0, 0], corner, atol=1e-15)


def test_kernels_start_normal_with_the_variance_that_keeps_second_moments():
    model = CNN((8, 8, 16), (64, 64), 20, activation="sigmoid", pool_after=(0, 1))
    init = jax.jit(partial(init_params, model), compiler_options=FAST)
    params = init(jax.random.key(1), jnp.zeros((1, 1024)))
    moment = get_activation("sigmoid").gaussian_second_moment
    fan_in = {"conv_0": 9 * 16, "conv_1": 9 * 64, "dense_0": 2 * 2 * 64}
    for name, number in fan_in.items():
        kernel = np.asarray(params[name]["kernel"])
        assert kernel[..., 0].size == number
        standard = kernel * np.sqrt(number * (1.0 if name == "conv_0" else moment))
        # Five standard errors of the first and second moment of a standard normal.
        error = 5 / np.sqrt(kernel.size)
        assert abs(standard.mean()) < error
        assert abs((standard**2).mean() - 1) < error * np.sqrt(2)
        np.testing.assert_array_equal(params[name]["bias"], 0.0)


def test_a_network_without_convolutions_is_an_mlp():
    model, mlp = CNN((2, 4), (), 2, (3,)), MLP((3,), 2)
    assert model.layer_names == mlp.layer_names
    params, x = drawn(model, 3, 8)
    found, expected = outputs_and(lambda p, x: mlp.apply({"params": p}, x), model, params, x)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"padding": "same"}, "padding must be one of SAME, VALID, got 'same'"),
        ({"pool": "sum"}, "pool must be one of max, mean"),
        ({"pool_after": (2,)}, "numbers of its 2 convolutions"),
        ({"strides": (1,)}, "one for each of 2 convolutions"),
        ({"norm": "group", "num_groups": 4}, "must divide"),
        ({"padding": "VALID", "kernel_size": 5}, "leave nothing"),
        ({"input_shape": (64,)}, "input_shape"),
    ],
)
def test_what_cannot_be_built_is_refused_at_once(fields, message):
    with pytest.raises(ValueError, match=f"CNN: .*{message}"):
        CNN(**{"input_shape": (8, 8), "channels": (4, 6), "num_outputs": 2, **fields})


def test_examples_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"64 features, got x.shape=\(1, 65\)"):
        init_params(CNN((8, 8), (4,), 2), jax.random.key(0), jnp.zeros((1, 65)))
