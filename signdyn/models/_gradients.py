"""A layer's gradient from what it reads and its deltas, by a product that CPUs are good at.

XLA for CPU multiplies small matrices fast where the left one is read along its rows. A kernel's
gradient reads it along its columns, so there the transposed inputs are written out first.

Knows arrays only. May import JAX and signdyn.types.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.types import Params


def layer_gradient(
    layer: Params,
    inputs: Float[Array, "batch *position fan_in"],
    deltas: Float[Array, "batch *position units"],
) -> Params:
    """Return the gradient of a layer's kernel and bias, summed over examples and positions.

    Args:
        layer: Its parameters, "kernel" [*window, channels, units] or [fan_in, units] and "bias".
        inputs: What the flattened kernel reads.
        deltas: Derivatives with respect to its pre-activations.

    Returns:
        A tree like ``layer``.

    Example:
        >>> layer = {"kernel": jnp.zeros((2, 1)), "bias": jnp.zeros(1)}
        >>> grads = layer_gradient(layer, jnp.array([[1.0, 2.0]]), jnp.array([[3.0]]))
        >>> print(grads["kernel"].T, grads["bias"])
        [[3. 6.]] [3.]
    """
    # batch last, as convolutions have it: then nothing is moved
    read, d = inputs.T.reshape(inputs.shape[-1], -1), deltas.T.reshape(deltas.shape[-1], -1)
    kernel = jax.lax.platform_dependent(read, d, cpu=_by_rows, default=_product)
    return {"kernel": kernel.reshape(layer["kernel"].shape), "bias": jnp.sum(d, axis=1)}


def _product(columns: Array, deltas: Array) -> Float[Array, "fan_in units"]:
    return columns @ deltas.T


def _by_rows(columns: Array, deltas: Array) -> Float[Array, "fan_in units"]:
    # without the barrier XLA folds the transposition that made the columns into the product
    return _product(jax.lax.optimization_barrier(columns), deltas)
