r"""Networks of any depth, activation, centering and slope in one program.

Hidden layers are all alike, as many units as inputs, so that they are one scan over stacked
weights; how many of them count is data, as is the activation. Layer l computes

    h = s (a + t) ,   z = h W + b ,   phi(k z) ,

a site, a dense layer, and units whose slope is k times the activation's own. Raw networks have
s = 1, t = 0, k = 1. `reparametrized` writes a raw network in other coordinates, as the same
function: sites as `signdyn.centering` has them, and k with weights and biases divided by it. With
d the deltas, d nll / d z,

    d' = k d ,   g_b' = k g_b ,   g_W' = k s (g_W + t (x) g_b) ,

so that centering, t = -mu, leaves every delta alone, and slopes leave every activation alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int

from experiments._fisher_spectrum.activation import NAMES, chosen
from signdyn.activations import get_activation
from signdyn.analysis.fisher import fisher_vector_product
from signdyn.analysis.spectrum import top_eigenpairs
from signdyn.centering import Centering, Site, apply_site, match_dense, resolve_sites
from signdyn.likelihoods import categorical

LIKELIHOOD = categorical()

LANCZOS = 12
"""Products for lambda_max; 24 give the same to six digits."""


BIAS_SD = 0.01
"""Of hidden biases at the start. Where every unit below is off, a ReLU without bias would lie on
its kink exactly, and in other coordinates rounding would decide its derivative."""


class Weights(NamedTuple):
    """All parameters; layers beyond the depth are there, and never read.

    Attributes:
        kernels: [layer, unit, unit] of the hidden layers.
        biases: [layer, unit].
        readout_kernel: [unit, output].
        readout_bias: [output].
    """

    kernels: Float[Array, "layer unit unit"]
    biases: Float[Array, "layer unit"]
    readout_kernel: Float[Array, "unit output"]
    readout_bias: Float[Array, " output"]


class Form(NamedTuple):
    """What makes a function of weights; all of it data.

    Attributes:
        activation: Its number in `NAMES`.
        depth: Number of hidden layers.
        sites: Leaves [layer + 1, ...]: one a hidden layer, and the readout's.
        slopes: [layer], k above.
    """

    activation: Float[Array, ""]
    depth: Float[Array, ""]
    sites: Site
    slopes: Float[Array, " layer"]


class Batch(NamedTuple):
    """Examples and their classes."""

    x: Float[Array, "example unit"]
    y: Int[Array, " example"]


class Traces(NamedTuple):
    """One forward and backward pass.

    Attributes:
        loss: Mean nll, nats.
        grads: Of the loss, like the weights.
        inputs: [layer + 1, example, unit] what each layer's kernel reads, the readout's last.
        deltas: [layer, example, unit] d nll / d z of the hidden layers, in nats, not divided by
            the number of examples; zero beyond the depth.
    """

    loss: Float[Array, ""]
    grads: Weights
    inputs: Float[Array, "site example unit"]
    deltas: Float[Array, "layer example unit"]


def stacked(*trees: Any) -> Any:
    """Return the trees' leaves stacked along a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def plain(activation: Array | float, depth: Array | float, weights: Weights) -> Form:
    """Return the form of a raw network with these weights."""
    num_layers, width = weights.biases.shape
    dtype = weights.kernels.dtype
    ones, zeros = (
        jnp.ones((num_layers + 1, width), dtype),
        jnp.zeros((num_layers + 1, width), dtype),
    )
    sites = Site(gain=ones, shift=zeros)
    slopes = jnp.ones(num_layers, dtype)
    return Form(jnp.asarray(activation, dtype), jnp.asarray(depth, dtype), sites, slopes)


def started(normal: Weights, activation: Array | float) -> Weights:
    """Return standard normal weights scaled: kernels as `signdyn.models.mlp.MLP` draws them."""
    moments = jnp.array([get_activation(name).gaussian_second_moment for name in NAMES])
    moment = moments[jnp.asarray(activation).astype(int)].astype(normal.kernels.dtype)
    num_layers, width = normal.biases.shape
    first = jnp.arange(num_layers) == 0
    scales = (width * jnp.where(first, 1.0, moment)) ** -0.5
    return normal._replace(
        kernels=scales[:, None, None] * normal.kernels,
        biases=BIAS_SD * normal.biases,
        readout_kernel=(width * moment) ** -0.5 * normal.readout_kernel,
    )


def outputs(weights: Weights, x: Array, form: Form) -> Float[Array, "example output"]:
    """Return the network's outputs."""
    return _forward(weights, x, form, jnp.zeros((len(weights.biases), 1, 1), x.dtype))[0]


def trace(weights: Weights, batch: Batch, form: Form) -> Traces:
    """Return loss, gradient, and every layer's inputs and deltas."""
    num_examples, width = batch.x.shape
    taps = jnp.zeros((len(weights.biases), num_examples, width), batch.x.dtype)

    def mean_nll(weights: Weights, taps: Array) -> tuple[Array, Array]:
        out, inputs = _forward(weights, batch.x, form, taps)
        return jnp.mean(LIKELIHOOD.nll(out, batch.y)), inputs

    (loss, inputs), (grads, deltas) = jax.value_and_grad(mean_nll, argnums=(0, 1), has_aux=True)(
        weights, taps
    )
    return Traces(loss, grads, inputs, num_examples * deltas)


def lambda_max(weights: Weights, x: Array, form: Form) -> Float[Array, ""]:
    """Return the largest eigenvalue of the Fisher, in nats / parameter^2."""
    flat, unravel = ravel_pytree(weights)
    product = fisher_vector_product(lambda w, x: outputs(unravel(w), x, form), LIKELIHOOD, flat, x)
    # the start vector is the same for all networks; any fixed one will do
    top = top_eigenpairs(product, flat.size, 1, jax.random.key(0), num_iterations=LANCZOS)
    return top.eigenvalues[0]


def delta_rms(traces: Traces, depth: Array) -> Float[Array, " layer"]:
    """Return the root mean square delta of every hidden layer; NaN beyond the depth."""
    rms = jnp.sqrt(jnp.mean(traces.deltas**2, axis=(1, 2)))
    return jnp.where(jnp.arange(len(rms)) < depth, rms, jnp.nan)


def first_over_last(rms: Float[Array, " layer"], depth: Array) -> Float[Array, ""]:
    """Return the first hidden layer's delta over the last one's."""
    return rms[0] / rms[depth.astype(int) - 1]


def chosen_slopes(rms: Float[Array, " layer"], depth: Array, fall: Array) -> Float[Array, " layer"]:
    """Return the slopes that make deltas fall by the factor ``fall`` a layer, from the last down.

    Args:
        rms: Of the raw network's deltas, by hidden layer.
        depth: Number of hidden layers.
        fall: 1 for deltas of one size in all layers; 0 leaves all slopes alone.
    """
    below = depth - 1.0 - jnp.arange(len(rms))
    wanted = rms[depth.astype(int) - 1] * jnp.where(fall > 0, fall, 1.0) ** below
    return jnp.where((fall > 0) & (below >= 0), wanted / rms, 1.0)


def reparametrized(
    weights: Weights,
    form: Form,
    traces: Traces,
    signs: Float[Array, "site unit"],
    centering: Centering,
    fall: Array | float,
) -> tuple[Weights, Form]:
    """Return the raw network ``weights`` and ``form`` in other coordinates, the same function.

    Args:
        weights: Of the raw network at the start.
        form: Its form.
        traces: Of it, on the batch whose means are subtracted.
        signs: +1 or -1, for a centering that flips.
        centering: Coefficients of the sites.
        fall: See `chosen_slopes`.
    """
    means = jnp.mean(traces.inputs, axis=1)
    each = resolve_sites(centering, tuple(means), tuple(signs))
    sites = stacked(*each)
    slopes = chosen_slopes(delta_rms(traces, form.depth), form.depth, jnp.asarray(fall))
    new = form._replace(sites=sites, slopes=slopes)
    return rewritten(weights, new), new


def rewritten(weights: Weights, form: Form) -> Weights:
    """Return the raw network's weights as those of the same function in another form."""
    hidden = jax.tree.map(lambda leaf: leaf[:-1], form.sites)
    last = jax.tree.map(lambda leaf: leaf[-1], form.sites)
    none = jnp.zeros_like(weights.biases)  # sites here subtract no batch means
    kernels, biases = jax.vmap(match_dense)(weights.kernels, weights.biases, hidden, none)
    readout = match_dense(weights.readout_kernel, weights.readout_bias, last, none[0])
    return Weights(kernels / form.slopes[:, None, None], biases / form.slopes[:, None], *readout)


def predicted_grads(grads: Weights, form: Form) -> Weights:
    """Return what the raw network's gradient becomes in another form, by the module's formula."""
    gain, shift = form.sites.gain[:, :, None], form.sites.shift[:, :, None]
    kernels = gain[:-1] * (grads.kernels + shift[:-1] * grads.biases[:, None, :])
    return Weights(
        kernels=form.slopes[:, None, None] * kernels,
        biases=form.slopes[:, None] * grads.biases,
        readout_kernel=gain[-1] * (grads.readout_kernel + shift[-1] * grads.readout_bias),
        readout_bias=grads.readout_bias,
    )


def _forward(weights: Weights, x: Array, form: Form, taps: Array) -> tuple[Array, Array]:
    phi = chosen(form.activation)
    none = jnp.zeros_like(weights.biases[0])
    hidden = jax.tree.map(lambda leaf: leaf[:-1], form.sites)
    last = jax.tree.map(lambda leaf: leaf[-1], form.sites)

    def layer(a: Array, one: tuple) -> tuple[Array, Array]:
        place, kernel, bias, site, slope, tap = one
        h = apply_site(site, a, none)
        # a branch, and no mask: a replica that runs alone skips what does not count
        a = lax.cond(place < form.depth, lambda: phi(slope * (h @ kernel + bias + tap)), lambda: a)
        return a, h

    places = jnp.arange(len(weights.biases))
    layers = (places, weights.kernels, weights.biases, hidden, form.slopes, taps)
    a, inputs = lax.scan(layer, x, layers)
    h = apply_site(last, a, none)
    out = h @ weights.readout_kernel + weights.readout_bias
    return out, jnp.concatenate([inputs, h[None]])
