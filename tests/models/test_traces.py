"""Traces: one pass gives what a gradient for every example, and loops over layers, would give."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.centering import CENTERINGS, Centering, SiteCentering, combine, resolve_sites
from signdyn.likelihoods import bernoulli, categorical, gaussian
from signdyn.models.mlp import MLP
from signdyn.models.traces import init_params, site_means, trace_batch

N = 12
FAST = {"xla_backend_optimization_level": 0}  # compiling is all that takes time here
MODEL = MLP((4, 3), 3, "tanh")
CONSTANT = {
    "none": CENTERINGS["none"],
    "both": CENTERINGS["both"],
    "flip": CENTERINGS["flip"],
}
COUPLED = {
    "batch": CENTERINGS["batch"],
    "batch and flip": combine(CENTERINGS["batch"], CENTERINGS["flip"]),
    "half a batch mean": Centering(SiteCentering(0.3), SiteCentering(batch=0.5, offset=1.0)),
}


def problem(dtype=np.float64):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(0, 2, size=(N, 5)), dtype)
    params = init_params(MODEL, jax.random.key(0), x)
    biases = iter(rng.normal(size=(3, 4)))
    params = {
        k: {**p, "bias": p["bias"] + next(biases)[: len(p["bias"])]} for k, p in params.items()
    }
    return jax.tree.map(lambda leaf: leaf.astype(dtype), params), x, jnp.arange(N) % 3


@jax.jit
def sites_of(params, x, centering):
    means = site_means(MODEL, params, x)
    signs = [jnp.asarray([(-1.0) ** i for i in range(len(mean))], x.dtype) for mean in means]
    return resolve_sites(centering, means, signs)


traced = jax.jit(partial(trace_batch, MODEL, categorical()), compiler_options=FAST)


def by_hand(params, x, sites):
    """Return outputs, and each layer's inputs and the mean before its site: a loop over layers."""
    a, inputs, means = x, [], []
    for index, (layer, site) in enumerate(zip(params.values(), sites, strict=True)):
        mean = a.sum(0) / len(a)
        h = site.gain * (a + site.shift - (0.0 if site.batch is None else site.batch * mean))
        inputs.append(h)
        means.append(mean)
        z = h @ layer["kernel"] + layer["bias"]
        a = jnp.tanh(z) if index < 2 else z
    return a, inputs, means


def loss_by_hand(params, x, y, sites):
    outputs, *_ = by_hand(params, x, sites)
    shifted = outputs - outputs.max(1, keepdims=True)
    log_p = shifted - jnp.log(jnp.exp(shifted).sum(1, keepdims=True))
    return -log_p[jnp.arange(len(y)), y].sum() / len(y)


grads_by_hand = jax.jit(jax.grad(loss_by_hand), compiler_options=FAST)
example_grads = jax.jit(
    jax.vmap(
        lambda params, x, y, sites: jax.grad(loss_by_hand)(params, x[None], y[None], sites),
        (None, 0, 0, None),
    ),
    compiler_options=FAST,
)


@pytest.mark.parametrize("name", [*CONSTANT, *COUPLED])
def test_a_kernels_gradient_is_inputs_times_deltas_over_n_under_every_centering(name):
    params, x, y = problem()
    sites = sites_of(params, x, {**CONSTANT, **COUPLED}[name])
    traces, expected = traced(params, x, y, sites), grads_by_hand(params, x, y, sites)
    for index, key in enumerate(MODEL.layer_names):
        kernel = traces.inputs[index].T @ traces.deltas[index] / N
        bias = traces.deltas[index].mean(0)
        for found in (kernel, traces.grads[key]["kernel"]):
            np.testing.assert_allclose(found, expected[key]["kernel"], rtol=0, atol=1e-14)
        for found in (bias, traces.grads[key]["bias"]):
            np.testing.assert_allclose(found, expected[key]["bias"], rtol=0, atol=1e-14)


@pytest.mark.parametrize("name", CONSTANT)
def test_an_examples_gradient_is_its_delta_times_its_input(name):
    params, x, y = problem()
    sites = sites_of(params, x, CONSTANT[name])
    traces, expected = traced(params, x, y, sites), example_grads(params, x, y, sites)
    for index, key in enumerate(MODEL.layer_names):
        outer = traces.inputs[index][:, :, None] * traces.deltas[index][:, None, :]
        np.testing.assert_allclose(outer, expected[key]["kernel"], rtol=0, atol=1e-14)
        np.testing.assert_allclose(traces.deltas[index], expected[key]["bias"], atol=1e-14)


@pytest.mark.parametrize("name", [*CONSTANT, *COUPLED])
def test_outputs_inputs_means_and_loss_are_those_of_a_loop_over_layers(name):
    params, x, y = problem()
    sites = sites_of(params, x, {**CONSTANT, **COUPLED}[name])
    traces = traced(params, x, y, sites)
    outputs, inputs, means = by_hand(params, x, sites)
    np.testing.assert_allclose(traces.loss, loss_by_hand(params, x, y, sites), atol=1e-14)
    np.testing.assert_allclose(traces.loss, categorical().nll(traces.outputs, y).mean(), atol=1e-14)
    np.testing.assert_allclose(traces.outputs, outputs, atol=1e-13)
    found = (*traces.inputs, *traces.means)
    for one, other in zip(found, (*inputs, *means), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-14)


def test_site_means_are_the_means_before_centering_over_the_rows_given():
    params, x, _ = problem()
    sites = sites_of(params, x, CENTERINGS["both"])
    for given in (None, sites):
        used = sites_of(params, x, CENTERINGS["none"]) if given is None else given
        expected = by_hand(params, x, used)[2]
        for found, mean in zip(site_means(MODEL, params, x, given), expected, strict=True):
            np.testing.assert_allclose(found, mean, atol=1e-14)


@pytest.mark.parametrize(
    ("likelihood", "labels", "deltas_by_hand"),
    [
        (gaussian(0.5), np.linspace(-1, 1, 3 * N).reshape(N, 3), lambda f, y: (f - y) / 0.5),
        (bernoulli(), np.arange(N) % 2, lambda f, y: 1 / (1 + np.exp(-f)) - y[:, None]),
        (
            categorical(),
            np.arange(N) % 3,
            lambda f, y: np.exp(f) / np.exp(f).sum(1, keepdims=True) - np.eye(3)[y],
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_deltas_of_the_readout_are_the_residuals_of_the_likelihood(
    likelihood, labels, deltas_by_hand
):
    params, x, _ = problem()
    num_outputs = 1 if likelihood == bernoulli() else 3
    layer = jax.tree.map(lambda leaf: leaf[..., :num_outputs], params["dense_0"])
    trace = partial(trace_batch, MLP((), num_outputs), likelihood)
    traces = jax.jit(trace, compiler_options=FAST)({"dense_0": layer}, x, jnp.asarray(labels))
    residuals = deltas_by_hand(np.asarray(traces.outputs), labels)
    np.testing.assert_allclose(traces.deltas[0], residuals, atol=1e-14)


def test_in_single_precision_all_traces_are_single():
    params, x, y = problem(np.float32)
    traces = traced(params, x, y, sites_of(params, x, CENTERINGS["batch"]))
    assert {leaf.dtype for leaf in jax.tree.leaves(traces)} == {np.dtype(np.float32)}
    kernel = traces.inputs[1].T @ traces.deltas[1] / N
    np.testing.assert_allclose(traces.grads["dense_1"]["kernel"], kernel, atol=1e-6)


class TwoHeads(nn.Module):
    """Two readouts that are added: a module of one's own that keeps the conventions."""

    layer_names = ("left", "right")

    @nn.compact
    def __call__(self, x, sites=None, means=None):
        """Return the sum of both readouts."""
        total = jnp.zeros((len(x), 2), x.dtype)
        for name, a in zip(self.layer_names, (x, x**2), strict=True):
            self.sow("means", f"{name}_mean", a.mean(0), reduce_fn=lambda _, new: new)
            self.sow("traces", f"{name}_inputs", a, reduce_fn=lambda _, new: new)
            z = nn.Dense(2, param_dtype=x.dtype, name=name)(a)
            total = total + self.perturb(f"{name}_delta", z, collection="deltas")
        return total


def test_a_module_of_ones_own_is_traced_if_it_keeps_the_conventions():
    params, x, y = problem()
    layer = jax.tree.map(lambda leaf: leaf[..., :2], params["dense_0"])
    params = {"left": layer, "right": jax.tree.map(jnp.negative, layer)}
    trace = jax.jit(partial(trace_batch, TwoHeads(), categorical()), compiler_options=FAST)
    traces = trace(params, x, y % 2)
    np.testing.assert_array_equal(traces.inputs[1], x**2)
    np.testing.assert_array_equal(traces.deltas[0], traces.deltas[1])
    for index, name in enumerate(TwoHeads.layer_names):
        kernel = traces.inputs[index].T @ traces.deltas[index] / N
        np.testing.assert_allclose(traces.grads[name]["kernel"], kernel, atol=1e-14)
