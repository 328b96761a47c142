"""Trained networks in NumPy, float64: what holding weights at zero or above does to a function.

With all weights at zero or above, a unit that is open stays open when inputs grow. So outputs
never fall (`falls`), and neither does what one input's growth adds to them when another one has
grown before (`interaction`). XOR needs the second to fail: raising one input has to raise the
output where the other one is 0 and to lower it where that is 1. From

    f(1, 1) - f(0, 1) - f(1, 0) + f(0, 0) >= 0

and the convexity of the nll in the output follows that the best such function is constant: a loss
of ln 2. That outputs never fall would not suffice: a non-decreasing function can be right on three
of the four points, with a loss of `NON_DECREASING_LOSS`.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

Batch = Float[np.ndarray, "example feature"]

NON_DECREASING_LOSS = 0.75 * math.log(3.0) - 0.5 * math.log(2.0)
"""Least mean nll, in nats, of a non-decreasing function on XOR, where (0, 0) is told apart and the
other three share the probability 2/3."""

GROWING = 4.0
"""Features that grow at once, on average."""

NUM_GROWING = 128
"""Inputs that are made to grow."""


class Network(NamedTuple):
    """Dense layers with ReLU between them.

    Attributes:
        kernels: One a layer.
        biases: One a layer.
    """

    kernels: Sequence[Float[np.ndarray, "fan_in unit"]]
    biases: Sequence[Float[np.ndarray, " unit"]]

    def __call__(self, x: Batch) -> Float[np.ndarray, "example output"]:
        """Return the outputs.

        Every example's sums are taken in the same order, so that rounding never swaps two outputs
        of a network that is non-decreasing.
        """
        a = z = x
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            z = (a[:, :, None] * kernel).sum(axis=1) + bias
            a = np.maximum(z, 0.0)
        return z


def mirrored(x: Batch) -> Batch:
    """Return the inputs with their negatives as further features."""
    return np.concatenate([x, -x], axis=1)


def growing_inputs(features: int) -> tuple[Batch, Batch, Batch]:
    """Return inputs in the unit cube and two growths of a few features each; always the same."""
    rng = np.random.default_rng(0)
    x, one, other = rng.uniform(size=(3, NUM_GROWING, features))
    grows = rng.uniform(size=(2, NUM_GROWING, features)) < GROWING / features
    return x, one * grows[0], other * grows[1]


def falls(network: Network) -> float:
    """Return the share of outputs that fall when inputs grow; ``network`` reads x and -x."""
    x, growth, _ = growing_inputs(len(network.kernels[0]) // 2)
    return float(np.mean(network(mirrored(x + growth)) < network(mirrored(x))))


def interaction(network: Network) -> float:
    """Return the least f(x+d+e) - f(x+d) - f(x+e) + f(x) over examples, over the largest |f|.

    d and e are growths of inputs; ``network`` reads x and -x. Negative where the effect of one
    growth is smaller after the other.
    """
    x, d, e = growing_inputs(len(network.kernels[0]) // 2)
    start, one, other, both = (network(mirrored(x + growth)) for growth in (0.0 * d, d, e, d + e))
    return float(np.min(both - one - other + start) / np.max(np.abs(both)))


def negate_hidden(network: Network) -> Network:
    """Return the network of one hidden layer with all weights into and out of its units negated."""
    first, last = network.kernels
    return Network([-first, -last], [-network.biases[0], network.biases[1]])
