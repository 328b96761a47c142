"""What every model promises, run over all of them: matching, traces, taps, frozen statistics."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.layers import (
    coverage,
    empirical_fisher_layers,
    fisher_layers,
    layer_factor,
    layer_matrix,
)
from signdyn.centering import CENTERINGS, Centering, SiteCentering, combine, resolve_sites
from signdyn.likelihoods import categorical
from signdyn.models.cnn import CNN
from signdyn.models.resnet import ResNet
from signdyn.models.taps import linen_tapped
from signdyn.models.traces import apply_frozen, batch_statistics, frozen, init_params, trace_batch
from signdyn.sweeps import stack_hypers

N = 5
FAST = {"xla_backend_optimization_level": 0}  # compiling is all that takes time here
VARIANTS = {
    **CENTERINGS,
    "both and flip": combine(CENTERINGS["both"], CENTERINGS["flip"]),
    "much": Centering(SiteCentering(0.3, 0.5, scale=2.0), SiteCentering(0.4, 0.3, 1.0, 1.0, 0.5)),
}
FLIPPED = ("flip", "flip_input", "flip_hidden")
UNCOUPLED = ("none", "both", "flip", "both and flip")
MODELS = {
    "cnn, same": CNN(
        (5, 6, 2), (2, 3), 3, (4,), strides=(2, 1), pool="mean", pool_after=(1,), activation="tanh"
    ),
    "cnn, valid, batch norm": CNN(
        (10, 6), (2, 3), 3, strides=(1, 2), padding="VALID", kernel_size=2, pool_after=(0,),
        norm="batch",
    ),
    "resnet": ResNet((5, 4, 3), (4,), 3, strides=2),
}  # fmt: skip
OVER_THE_BATCH = "cnn, valid, batch norm"
each_model = pytest.mark.parametrize("name", MODELS)
by_example = pytest.mark.parametrize("name", [name for name in MODELS if name != OVER_THE_BATCH])


@cache
def problem(name):
    """Return parameters, none of them zero, and data off center."""
    random = np.random.default_rng(1)
    x = jnp.asarray(random.uniform(0, 2, size=(N, 60)))
    shapes = jax.eval_shape(partial(init_params, MODELS[name], jax.random.key(0)), x)
    fan_in = {2: lambda s: s[0], 4: lambda s: 9 * s[2], 1: lambda s: 4}
    params = jax.tree.map(
        lambda leaf: jnp.asarray(
            random.normal(size=leaf.shape) / np.sqrt(fan_in[leaf.ndim](leaf.shape))
            + 1.0 * (leaf.ndim == 1)
        ),
        shapes,
    )
    return params, x, jnp.arange(N) % 3


@cache
def measured(name):
    """Return traces of every variant, as named, and everything the tests compare them with."""
    model, likelihood = MODELS[name], categorical()
    norms = [f"{layer}_norm" for layer in model.layer_names]

    def matched(params, x, centering):
        means = batch_statistics(model, params, x).means
        signs = [jnp.asarray((-1.0) ** np.arange(1, len(mean) + 1)) for mean in means]
        sites = resolve_sites(centering, means, signs)
        return model.matched(params, sites, means), sites

    @partial(jax.jit, compiler_options=FAST)
    def traced(params, x, y):
        def one(centering):
            own, sites = matched(params, x, centering)
            traces = trace_batch(model, likelihood, own, x, y, sites)
            return traces, apply_frozen(model, own, x, sites, traces.statistics)

        return jax.vmap(one)(stack_hypers(list(VARIANTS.values())))

    @partial(jax.jit, compiler_options=FAST)
    def apart(params, x, y):
        own, sites = matched(params, x, CENTERINGS["both"])
        statistics = batch_statistics(model, own, x, sites)
        tapped_fn = linen_tapped(model, sites, **frozen(statistics))

        def apply_fn(p, x):
            return apply_frozen(model, p, x, sites, statistics)

        def nll(p, x, y):
            return likelihood.nll(apply_fn(p, x[None]), y[None])[0]

        layers = fisher_layers(tapped_fn, likelihood, own, x)
        example_grads = jax.vmap(jax.grad(nll), (None, 0, 0))
        return {
            "by layers": {name: layer_factor(layer) for name, layer in layers.items()},
            "factor": fisher_factor(apply_fn, likelihood, own, x),
            "empirical": empirical_fisher_layers(tapped_fn, likelihood, own, x, y),
            "example_grads": None if name == OVER_THE_BATCH else example_grads(own, x, y),
        }

    traces, outputs, rest = jax.device_get((*traced(*problem(name)), apart(*problem(name))))
    by_variant = {
        variant: jax.tree.map(lambda leaf, index=index: leaf[index], traces)
        for index, variant in enumerate(VARIANTS)
    }
    return by_variant, outputs, norms, rest


def positions(array):
    """Return a layer's array with an axis of positions, one in a dense layer."""
    return array if array.ndim == 3 else array[:, None]


@each_model
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_starts_as_the_same_function(name, variant):
    traces, *_ = measured(name)
    np.testing.assert_allclose(traces[variant].outputs, traces["none"].outputs, rtol=0, atol=1e-12)
    assert np.ptp(traces["none"].outputs, axis=0).max() > 0.01  # and not of a constant


@each_model
@pytest.mark.parametrize("variant", FLIPPED)
def test_flips_change_signs_of_inputs_and_of_nothing_else_bitwise(name, variant):
    traces, *_ = measured(name)
    plain, flipped = traces["none"], traces[variant]
    np.testing.assert_array_equal(flipped.outputs, plain.outputs)
    for found, expected in zip(flipped.deltas, plain.deltas, strict=True):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(flipped.inputs, plain.inputs, strict=True):
        np.testing.assert_array_equal(np.abs(found), np.abs(expected))
    signs = [np.any(a != b) for a, b in zip(flipped.inputs, plain.inputs, strict=True)]
    hidden = variant != "flip_input"
    assert signs == [variant != "flip_hidden", *[hidden] * (len(signs) - 1)]


@each_model
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_kernels_gradient_is_the_sum_over_positions_of_inputs_times_deltas(name, variant):
    traces = measured(name)[0][variant]
    for layer, inputs, deltas in zip(
        MODELS[name].layer_names, traces.inputs, traces.deltas, strict=True
    ):
        grads = traces.grads[layer]
        kernel = np.einsum("npf,npu->fu", positions(inputs), positions(deltas)) / N
        expected = grads["kernel"].reshape(kernel.shape)
        np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-14)
        bias = positions(deltas).sum((0, 1)) / N
        np.testing.assert_allclose(bias, grads["bias"], rtol=0, atol=1e-14)


@by_example
def test_an_examples_gradient_is_the_sum_over_its_positions(name):
    traces, _, _, apart = measured(name)
    for layer, inputs, deltas in zip(
        MODELS[name].layer_names, traces["both"].inputs, traces["both"].deltas, strict=True
    ):
        found = np.einsum("npf,npu->nfu", positions(inputs), positions(deltas))
        expected = apart["example_grads"][layer]["kernel"].reshape(found.shape)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


@each_model
def test_constant_sites_leave_every_delta_alone(name):
    traces, *_ = measured(name)
    for variant in UNCOUPLED:
        for found, expected in zip(traces[variant].deltas, traces["none"].deltas, strict=True):
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@each_model
def test_with_the_batchs_own_statistics_frozen_the_outputs_stay(name):
    traces, outputs, *_ = measured(name)
    for found, own in zip(outputs, traces.values(), strict=True):
        np.testing.assert_allclose(found, own.outputs, rtol=0, atol=1e-14)


@each_model
def test_taps_show_the_inputs_and_deltas_that_traces_do(name):
    traces, _, _, apart = measured(name)
    assert set(apart["empirical"]) == set(MODELS[name].layer_names)
    for layer, inputs, deltas in zip(
        MODELS[name].layer_names, traces["both"].inputs, traces["both"].deltas, strict=True
    ):
        tapped = apart["empirical"][layer]
        np.testing.assert_allclose(tapped.inputs, positions(inputs), rtol=0, atol=1e-14)
        if name != OVER_THE_BATCH:  # whose moments move in training, and so its deltas differ
            np.testing.assert_allclose(tapped.deltas[:, 0], positions(deltas), rtol=0, atol=1e-14)


@each_model
def test_the_fisher_by_layers_is_the_models(name):
    params, *_ = problem(name)
    _, _, norms, apart = measured(name)
    theta, unravel = ravel_pytree(params)
    numbered = unravel(jnp.arange(theta.size, dtype=theta.dtype))
    for layer, found in apart["by layers"].items():
        columns = np.asarray(layer_matrix(numbered[layer])).ravel().astype(int)
        expected = apart["factor"][:, columns]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
    missing = coverage(params, apart["by layers"]).missing
    assert {leaf.partition("/")[0] for leaf in missing} == set(norms) & set(params)


def test_a_model_that_normalizes_over_the_batch_has_no_fisher_unless_frozen():
    params, x, _ = problem(OVER_THE_BATCH)
    model = MODELS[OVER_THE_BATCH]
    with pytest.raises(ValueError, match=r"layer 'CNN/conv_0_norm', which reduces over the batch"):
        fisher_layers(linen_tapped(model), categorical(), params, x)
    moments = measured(OVER_THE_BATCH)[0]["none"].norms
    assert set(moments) == {"conv_0", "conv_1"}
    assert [len(each.mean) for each in moments.values()] == [2, 3]


@each_model
def test_in_single_precision_all_traces_are_single(name):
    single = jax.tree.map(lambda leaf: leaf.astype(np.float32), problem(name)[:2])
    trace = partial(trace_batch, MODELS[name], categorical())
    traces = jax.eval_shape(trace, *single, problem(name)[2])
    assert {leaf.dtype for leaf in jax.tree.leaves(traces)} == {np.dtype(np.float32)}
