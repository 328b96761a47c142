r"""What is read off a layer's inputs and deltas: how often two weights of a unit move the same way.

On a batch the gradient of a unit's weight i is the sum of delta_n x_ni over its examples. With mu
the inputs' mean over the training set,

    g_i  =  mu_i sum_n delta_n  +  sum_n delta_n (x_ni - mu_i) :

the mean times the bias' gradient, and the gradient of a network with centered inputs.

Layers of different size are padded with zeros to one: zeros have no sign, and count nowhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Float

from signdyn.analysis.theory import sign_agreement

ROUNDING = 1e-5
"""Standard deviation over mean up to which an input counts as constant."""


class Batches(NamedTuple):
    """Which examples some batches of several sizes hold.

    Attributes:
        sizes: Ascending.
        masks: [batch, example] 1 for the examples of a batch.
        members: [size, batch] 1 for the batches of a size.
    """

    sizes: tuple[int, ...]
    masks: Float[np.ndarray, "batch example"]
    members: Float[np.ndarray, "size batch"]


def batches(num_examples: int, sizes: Sequence[int], most: int) -> Batches:
    """Return the first disjoint batches of each size, at most ``most`` of one size.

    All sizes have one shape that way, and are one small program.

    Example:
        >>> made = batches(4, (1, 2), most=2)
        >>> print(made.masks, made.members)
        [[1. 0. 0. 0.]
         [0. 1. 0. 0.]
         [1. 1. 0. 0.]
         [0. 0. 1. 1.]] [[1. 1. 0. 0.]
         [0. 0. 1. 1.]]
    """
    rows, masks, members = np.arange(num_examples), [], []
    for size in sizes:
        for begin in range(0, num_examples - size + 1, size)[:most]:
            masks.append((rows >= begin) & (rows < begin + size))
            members.append(np.array(sizes) == size)
    return Batches(tuple(sizes), np.array(masks, np.float32), np.array(members, np.float32).T)


def mean_by_size(of_batches: Batches, values: Float[Array, " batch"]) -> Float[Array, " size"]:
    """Return the mean over the batches of each size; those that are NaN are left out.

    Example:
        >>> print(mean_by_size(batches(4, (1, 2), most=2), jnp.array([1.0, 3.0, 5.0, jnp.nan])))
        [2. 5.]
    """
    known = ~jnp.isnan(values)
    members = jnp.asarray(of_batches.members, values.dtype)
    return members @ jnp.where(known, values, 0.0) / (members @ known.astype(values.dtype))


def doublings(largest: int) -> tuple[int, ...]:
    """Return the powers of two up to ``largest``.

    Example:
        >>> doublings(9)
        (1, 2, 4, 8)
    """
    return tuple(2**k for k in range(largest.bit_length()))


def padded(layers: Sequence[Float[Array, "example _"]]) -> Float[Array, "layer example widest"]:
    """Return the arrays stacked, each with columns of zeros added up to the widest."""
    widest = max(layer.shape[1] for layer in layers)
    return jnp.stack([jnp.pad(one, ((0, 0), (0, widest - one.shape[1]))) for one in layers])


def plateau(inputs: Float[Array, "example fan_in"]) -> Float[Array, ""]:
    """Return how often two weights' gradients agree for large batches and deltas of mean zero.

    The mean of `signdyn.analysis.theory.sign_agreement` over all pairs of inputs that are not
    always zero, at their uncentered cosines over the examples.

    Example:
        >>> print(plateau(jnp.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])))  # 45 degrees
        0.75
    """
    moments = inputs.T @ inputs
    length = jnp.sqrt(jnp.diagonal(moments))
    live = length > 0
    unit = jnp.where(live, length, 1.0)
    pairs = live[:, None] & live & ~jnp.eye(len(live), dtype=bool)
    predicted = sign_agreement(moments / (unit[:, None] * unit))
    return jnp.sum(jnp.where(pairs, predicted, 0.0)) / jnp.sum(pairs)


def attributed(
    inputs: Float[Array, "example fan_in"],
    bias_grad: Float[Array, " unit"],
    centered_grad: Float[Array, "fan_in unit"],
) -> Float[Array, " unit"]:
    """Return the agreement that the mean's part of a batch's gradient alone would make.

    A unit's centered gradient is taken as normal noise of mean zero, independent from input to
    input, in proportion to the input's standard deviation. Weight i then has the sign of the bias'
    gradient b with probability p_i = Phi(mu_i |b| / (sd_i q)), where q is the noise's size, and
    two weights agree with p_i p_k + (1 - p_i)(1 - p_k). Unlike the plateau it assumes nothing of
    the deltas.

    Args:
        inputs: Of all examples: gives means and standard deviations.
        bias_grad: The batch's gradient of the biases.
        centered_grad: That of the weights, of centered inputs.

    Returns:
        The mean over pairs of inputs that vary, per unit; NaN for a unit without a gradient.

    Example:
        >>> x, noise = jnp.array([[1.0, 1.0], [3.0, 3.0]]), jnp.array([[1.0, 1.0], [-1.0, -1.0]])
        >>> print(attributed(x, jnp.array([0.0, 9.0]), noise))
        [0.5 1. ]
    """
    mean, spread = jnp.mean(inputs, axis=0), jnp.std(inputs, axis=0)
    live = (spread > ROUNDING * jnp.abs(mean))[:, None]
    scale = jnp.where(live, spread[:, None], 1.0)
    count = jnp.sum(live)
    noise = jnp.where(live, centered_grad / scale, 0.0)
    size = jnp.sqrt(jnp.sum(noise**2, axis=0) / count)
    with_bias = ndtr(mean[:, None] / scale * bias_grad / size)
    equal = sum(_pairs(jnp.where(live, p, 0.0)) for p in (with_bias, 1.0 - with_bias))
    return equal / (count * (count - 1.0))


def _pairs(p: Float[Array, "fan_in unit"]) -> Float[Array, " unit"]:
    return jnp.sum(p, axis=0) ** 2 - jnp.sum(p**2, axis=0)
