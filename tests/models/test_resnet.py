"""The residual network: a slow twin, its identity path, how it starts, what it refuses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.models.resnet import ResNet
from signdyn.models.traces import init_params

FAST = {"xla_backend_optimization_level": 0}  # compiling is all that takes time here
random = np.random.default_rng(0)
MODEL = ResNet((5, 4, 2), (3, 3, 6), 3, strides=(1, 1, 2))


def drawn(model):
    """Return parameters, none of them zero, and inputs."""
    x = random.normal(size=(4, 40))
    shapes = jax.eval_shape(partial(init_params, model), jax.random.key(0), jnp.asarray(x))
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape) / 2, shapes), x


def conv(a, layer, stride=1):
    """Return a convolution as JAX has it."""
    numbers = ("NHWC", "HWIO", "NHWC")
    z = jax.lax.conv_general_dilated(
        a, layer["kernel"], (stride, stride), "SAME", dimension_numbers=numbers
    )
    return z + layer["bias"]


def readout(a, layer):
    return a.mean((1, 2)) @ layer["kernel"] + layer["bias"]


def test_its_function_is_that_of_the_formula():
    relu, strides = jax.nn.relu, (1, 1, 2)

    @partial(jax.jit, compiler_options=FAST)
    def both(params, x):
        a = relu(conv(x.reshape(4, 5, 4, 2), params["stem"]))
        for index, stride in enumerate(strides):
            first, second = (params[f"block_{index}_conv_{which}"] for which in (0, 1))
            branch = conv(relu(conv(a, first, stride)), second)
            shortcut = conv(a, params["block_2_shortcut"], 2) if index == 2 else a
            a = relu(branch + shortcut)
        assert a.shape == (4, 3, 2, 6)
        return MODEL.apply({"params": params}, x), readout(a, params["dense_0"])

    found, expected = both(*drawn(MODEL))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_with_zeroed_branches_relu_activations_pass_through_unchanged(norm):
    model, stem = (ResNet((5, 4, 2), (3,) * blocks, 3, norm=norm) for blocks in (3, 1))
    params, x = drawn(model)
    for name in params:
        # The last thing in each branch: its second convolution, or the norm after it.
        if name.endswith("conv_1" if norm == "none" else "conv_1_norm"):
            params[name] = jax.tree.map(np.zeros_like, params[name])

    @partial(jax.jit, compiler_options=FAST)
    def both(params, x):
        alone = {name: params[name] for name in params if name[:7] not in ("block_1", "block_2")}
        return model.apply({"params": params}, x), stem.apply({"params": alone}, x)

    found, expected = both(params, x)
    np.testing.assert_array_equal(found, expected)
    assert np.ptp(found) > 0.01


def test_layers_are_named_in_the_order_of_the_datas_way_and_only_blocks_that_change_project():
    assert MODEL.layer_names == (
        "stem",
        *(f"block_{block}_conv_{which}" for block in range(3) for which in (0, 1)),
        "block_2_shortcut",
        "dense_0",
    )
    params, _ = drawn(MODEL)
    assert set(params) == set(MODEL.layer_names)
    assert params["block_2_shortcut"]["kernel"].shape == (1, 1, 3, 6)
    strided = ResNet((5, 4), (3, 3), 2, strides=2)  # the same channels, but fewer positions
    assert sum(name.endswith("shortcut") for name in strided.layer_names) == 2


def test_branches_start_smaller_the_more_there_are():
    model = ResNet((4, 4, 16), (64,) * 4, 10)
    init = jax.jit(partial(init_params, model), compiler_options=FAST)
    params = init(jax.random.key(0), jnp.zeros((1, 256)))
    variances = {
        name: np.var(layer["kernel"]) * layer["kernel"][..., 0].size
        for name, layer in params.items()
    }
    for name, variance in variances.items():
        moment = 1.0 if name == "stem" else 0.5  # E[relu(z)^2]
        expected = 1 / moment / (4 if name.endswith("conv_1") else 1)
        # Five standard errors of the variance of that many normal numbers.
        error = 5 * np.sqrt(2 / params[name]["kernel"].size)
        assert variance == pytest.approx(expected, rel=error)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"channels": ()}, "at least one block"),
        ({"strides": (1, 2, 1)}, "one for each of 2 blocks"),
        ({"norm": "weight"}, "norm must be one of"),
        ({"norm": "group", "num_groups": 4}, "must divide"),
        ({"input_shape": (64,)}, "input_shape"),
    ],
)
def test_what_cannot_be_built_is_refused_at_once(fields, message):
    with pytest.raises(ValueError, match=f"ResNet: .*{message}"):
        ResNet(**{"input_shape": (8, 8), "channels": (4, 6), "num_outputs": 2, **fields})
