r"""The playground's network, and others that start as the same function.

Hidden units are h = scale (tanh(slope z) + offset). Since tanh(z) = 2 sigmoid(2 z) - 1,

    slope 1/2, offset 1, scale 1/2:   sigmoid(z)
    slope 1/2, offset 0, scale 1/2:   sigmoid(z) - 1/2
    slope 1/2, offset 0, scale 1:     2 sigmoid(z) - 1
    slope 1,   offset 0, scale 1:     tanh(z) = 2 sigmoid(2 z) - 1

so that one program trains all of them. With weights and biases matched, they are one function.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.activations import get_activation
from signdyn.centering import Site, match_dense
from signdyn.likelihoods import Likelihood
from signdyn.types import Params

Scalar = Float[Array, ""] | float


class Units(NamedTuple):
    """What hidden units are: h = scale (phi(slope z) + offset)."""

    slope: Scalar = 1.0
    offset: Scalar = 0.0
    scale: Scalar = 1.0


SIGMOID = Units(slope=0.5, offset=1.0, scale=0.5)
"""The sigmoid, for phi = tanh."""


def pre_outputs(
    params: Params, x: Float[Array, "feature example"], units: Units, activation: str = "tanh"
) -> Float[Array, " example"]:
    """Return the output unit's pre-activation of every example.

    Args:
        params: Kernels [fan_in, units] and biases by layer, in the order of the data's way.
        x: Inputs.
        units: Of all hidden layers.
        activation: phi, a name in `signdyn.activations.ACTIVATIONS`.
    """
    phi = get_activation(activation).fn
    h = z = x
    for layer in params.values():
        # sums of products, examples last: with so few units about twice as fast as dots
        z = jnp.sum(layer["kernel"][:, :, None] * h[:, None, :], axis=0) + layer["bias"][:, None]
        h = units.scale * (phi(units.slope * z) + units.offset)
    return z[0]


def match(params: Params, units: Units) -> Params:
    """Return parameters that with ``units`` give the function that ``params`` give with phi.

    Example:
        >>> layer = {"kernel": jnp.array([[3.0]]), "bias": jnp.array([1.0])}
        >>> params = {"dense_0": layer, "dense_1": layer}
        >>> x = jnp.array([[0.2]])
        >>> plain = pre_outputs(params, x, Units())
        >>> print(plain, pre_outputs(match(params, SIGMOID), x, SIGMOID))
        [3.765] [3.765]
    """
    last = len(params) - 1
    matched = {}
    for place, (name, layer) in enumerate(params.items()):
        kernel, bias = layer["kernel"], layer["bias"]
        if place:
            each = jnp.ones(kernel.shape[0], kernel.dtype)
            site = Site(units.scale * each, units.offset * each)
            kernel, bias = match_dense(kernel, bias, site, jnp.zeros_like(each))
        slope = units.slope if place < last else 1.0
        matched[name] = {"kernel": kernel / slope, "bias": bias / slope}
    return matched


def rate_shares(params: Params, units: Units) -> Params:
    r"""Return what a step in matched coordinates is worth in those of phi, by parameter.

    A kernel W' = W / (slope scale) has the gradient slope scale g, so a step of -eta times that
    moves W by -eta (slope scale)^2 g: a learning rate of its own, here its square root. A bias
    b' = b / slope likewise; no slope in the output layer, no scale in the first. ``offset`` must
    be zero, else biases move with weights.
    """
    last = len(params) - 1
    shares = {}
    for place, name in enumerate(params):
        slope = jnp.asarray(units.slope if place < last else 1.0)
        shares[name] = {"kernel": slope * (units.scale if place else 1.0), "bias": slope}
    return shares


def square_loss(slope: Scalar = 1.0, label_gap: Scalar = 2.0) -> Likelihood:
    r"""Return the playground's loss, 1/2 (o - y)^2, behind an output unit o that saturates.

    Outputs f are the unit's pre-activations, labels y are -1 or 1, o = tanh(slope f). Other
    labels that are ``label_gap`` apart go with o scaled and shifted as they are, so that a
    residual is label_gap / 2 times what it is between -1 and 1:

        nll = 1/2 (label_gap / 2)^2 (tanh(slope f) - y)^2 ,
        B = label_gap / 2 slope (1 - tanh(slope f)^2) ,

    which is the normal likelihood of variance 1 around o. Slope 1/2 and gap 1 are o = sigmoid(f)
    with labels 0 and 1.

    Example:
        >>> f, y = jnp.array([[0.0], [jnp.arctanh(0.5)]]), jnp.array([1.0, 1.0])
        >>> print(square_loss().nll(f, y), square_loss().fisher_factor(f)[:, 0, 0])
        [0.5   0.125] [1.   0.75]
    """
    half = label_gap / 2.0

    def nll(outputs: Array, labels: Array) -> Float[Array, " example"]:
        return 0.5 * (half * (jnp.tanh(slope * outputs[:, 0]) - labels)) ** 2

    def fisher_factor(outputs: Array) -> Float[Array, "example 1 1"]:
        o = jnp.tanh(slope * outputs)
        return (half * slope * (1.0 - o * o))[:, :, None]

    def correct(outputs: Array, labels: Array) -> Float[Array, " example"]:
        right = (outputs[:, 0] > 0.0) == (labels > 0.0)
        return jnp.where(jnp.isnan(outputs[:, 0]), jnp.nan, right.astype(outputs.dtype))

    return Likelihood("square_loss", nll, fisher_factor, correct)


def drawn_params(uniform: Float[Array, " _"], units: tuple[int, ...], *, zero: bool) -> Params:
    """Return the playground's start: weights uniform in [-1/2, 1/2], biases .1; or all zero.

    Args:
        uniform: Numbers in [0, 1], at least as many as there are weights.
        units: Of every layer, inputs and output included.
        zero: Whether all start at zero.
    """
    params, start = {}, 0
    for place, (fan_in, fan_out) in enumerate(itertools.pairwise(units)):
        size = fan_in * fan_out
        kernel = uniform[start : start + size].reshape(fan_in, fan_out) - 0.5
        params[f"dense_{place}"] = {
            "kernel": kernel,
            "bias": jnp.full(fan_out, 0.1, uniform.dtype),
        }
        start += size
    return jax.tree.map(jnp.zeros_like, params) if zero else params
