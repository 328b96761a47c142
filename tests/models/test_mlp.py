"""The multilayer perceptron: how it starts, what its layers are called, where its sites stand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.activations import get_activation
from signdyn.centering import CENTERINGS, resolve_sites
from signdyn.models.mlp import MLP
from signdyn.models.traces import init_params, site_means


def kernels(params):
    return [np.asarray(layer["kernel"]) for layer in params.values()]


def test_layers_are_named_in_the_order_of_the_datas_way_through_them():
    model = MLP((4, 3), 2)
    params = init_params(model, jax.random.key(0), jnp.zeros((1, 5)))
    assert model.layer_names == ("dense_0", "dense_1", "dense_2") == tuple(params)
    assert [kernel.shape for kernel in kernels(params)] == [(5, 4), (4, 3), (3, 2)]


def test_without_hidden_layers_it_is_a_linear_model():
    model = MLP((), 2, "relu")
    x = jnp.array([[1.0, -2.0], [0.5, 3.0]])
    params = {"dense_0": {"kernel": jnp.array([[1.0, 2.0], [-1.0, 0.5]]), "bias": jnp.ones(2)}}
    np.testing.assert_array_equal(model.apply({"params": params}, x), [[4.0, 2.0], [-1.5, 3.5]])


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "softplus"])
def test_kernels_start_normal_with_the_variance_that_keeps_second_moments(activation):
    model = MLP((300, 400), 50, activation)
    params = init_params(model, jax.random.key(1), jnp.zeros((1, 200)))
    moment = get_activation(activation).gaussian_second_moment
    variances = [1 / 200, 1 / (300 * moment), 1 / (400 * moment)]
    for kernel, variance in zip(kernels(params), variances, strict=True):
        standard = kernel / np.sqrt(variance)
        # Five standard errors of the first, second and fourth moment of a standard normal.
        error = 5 / np.sqrt(kernel.size)
        assert abs(standard.mean()) < error
        assert abs((standard**2).mean() - 1) < error * np.sqrt(2)
        assert abs((standard**4).mean() - 3) < error * np.sqrt(96)


def test_for_relu_the_rule_is_that_of_he_except_in_the_layer_that_reads_data():
    params = init_params(MLP((300, 400), 50, "relu"), jax.random.key(2), jnp.zeros((1, 200)))
    first, *later = (kernel.var() * len(kernel) for kernel in kernels(params))
    np.testing.assert_allclose(first, 1.0, rtol=0.03)
    np.testing.assert_allclose(later, [2.0, 2.0], rtol=0.05)


def test_biases_start_at_zero_and_no_weight_is_used_twice():
    params = init_params(MLP((3, 3), 3), jax.random.key(3), jnp.zeros((1, 3)))
    for layer in params.values():
        np.testing.assert_array_equal(layer["bias"], np.zeros(3))
    # All three kernels are 3 x 3; undo their scales, and each weight is another number.
    scale = np.sqrt([3, 3 / 2, 3 / 2])[:, None, None]
    assert len(np.unique(np.round(scale * np.stack(kernels(params)), 9))) == 27


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_parameters_have_the_type_of_the_data_and_depend_on_the_key_alone(dtype):
    model, x = MLP((3,), 2), jnp.ones((4, 2), dtype)
    params, again, other = (
        init_params(model, jax.random.key(key), rows)
        for key, rows in [(0, x), (0, 7 * x[:1]), (1, x)]
    )
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(params))
    jax.tree.map(np.testing.assert_array_equal, params, again)
    assert not np.array_equal(params["dense_0"]["kernel"], other["dense_0"]["kernel"])


def test_any_elementwise_function_can_be_the_activation():
    x = jnp.array([[0.3, -0.2]])
    params = init_params(MLP((3,), 2, "tanh"), jax.random.key(0), x)
    outputs = [
        MLP((3,), 2, activation).apply({"params": params}, x)
        for activation in ("tanh", get_activation("tanh"), get_activation(jnp.tanh))
    ]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])


def test_an_unknown_activation_is_named_with_the_nearest_known_one():
    with pytest.raises(ValueError, match="did you mean 'relu'"):
        init_params(MLP((3,), 2, "rleu"), jax.random.key(0), jnp.zeros((1, 2)))


def test_sites_that_do_nothing_are_as_good_as_none():
    model = MLP((4, 3), 2, "relu")
    x = jax.random.normal(jax.random.key(0), (6, 5))
    params = init_params(model, jax.random.key(1), x)
    means = site_means(model, params, x)
    sites = resolve_sites(CENTERINGS["none"], means, [jnp.ones_like(mean) for mean in means])
    plain = model.apply({"params": params}, x)
    np.testing.assert_array_equal(model.apply({"params": params}, x, sites), plain)
    np.testing.assert_array_equal(model.apply({"params": params}, x, sites, means), plain)
    jax.tree.map(np.testing.assert_array_equal, model.matched(params, sites, means), params)


def test_every_layer_needs_a_site():
    model = MLP((4, 3), 2, "relu")
    params = init_params(model, jax.random.key(1), jnp.zeros((1, 5)))
    means = [jnp.zeros(n) for n in (5, 4, 3)]
    sites = resolve_sites(CENTERINGS["none"], means, means)
    with pytest.raises(ValueError, match="shorter"):
        model.matched(params, sites[:2], means)
