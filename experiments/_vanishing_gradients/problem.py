"""Digits as the networks read them, and what a seed draws."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Float, PRNGKeyArray

from experiments._vanishing_gradients.network import Batch, Weights
from signdyn.data import Dataset


class Draw(NamedTuple):
    """What is random about a replica.

    Attributes:
        batch: Digits drawn with replacement, and their classes.
        normal: Standard normal kernels and hidden biases. A shallower network is the beginning
            of a deeper one.
        signs: [layer + 1, unit] +1 or -1 a site, for the arm that flips.
    """

    batch: Batch
    normal: Weights
    signs: Float[Array, "site unit"]


def pooled(data: Dataset, side: int) -> np.ndarray:
    """Return the training digits [digit, side^2] pooled to ``side`` pixels a side, in float64.

    Every pixel is centered over all training digits, since the question is what hidden units do,
    and all are divided by their root mean square, which the weights' scale presumes to be one.
    """
    height, width = data.input_shape
    images = data.x_train.reshape(-1, side, height // side, side, width // side)
    pixels = images.mean(axis=(2, 4), dtype=np.float64).reshape(-1, side**2)
    centered = pixels - pixels.mean(axis=0)
    return centered / np.sqrt(np.mean(centered**2))


def draw_fn(
    pixels: np.ndarray, labels: np.ndarray, num_classes: int, num_layers: int, num_examples: int
) -> Callable[[PRNGKeyArray], Draw]:
    """Return the function of a key that draws digits, weights and signs."""
    width = pixels.shape[1]
    sites, units = (num_layers + 1) * width, num_layers * width
    sizes = [num_examples, width * num_classes, sites, units, units * width]

    def draw(key: PRNGKeyArray) -> Draw:
        # one call for all, since every call compiles a generator of its own
        normal = jax.random.normal(key, (sum(sizes),), pixels.dtype)
        rows, readout, signs, biases, kernels = jnp.split(normal, np.cumsum(sizes)[:-1])
        rows = jnp.minimum(jnp.floor(ndtr(rows) * len(pixels)), len(pixels) - 1).astype(int)
        return Draw(
            batch=Batch(jnp.asarray(pixels)[rows], jnp.asarray(labels)[rows]),
            normal=Weights(
                kernels=kernels.reshape(num_layers, width, width),
                biases=biases.reshape(num_layers, width),
                readout_kernel=readout.reshape(width, num_classes),
                readout_bias=jnp.zeros(num_classes, pixels.dtype),
            ),
            signs=jnp.sign(signs).reshape(num_layers + 1, width),
        )

    return draw
