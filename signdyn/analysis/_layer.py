"""One layer's arrays, and what every function of a mapping of layers checks.

Private to signdyn.analysis, `Layer` re-exported by layers. May import JAX.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.analysis._units import layer_arrays

Bias = bool | Mapping[str, bool]
"""Whether all layers have a bias, or which do."""


class Layer(NamedTuple):
    """Inputs and deltas of one layer on N examples.

    Attributes:
        inputs: [N, T, fan_in]; T positions share the weights, T = 1 in a dense layer. For a
            convolution a row is a patch, flattened as the kernel is.
        deltas: [N, R, T, units], derivatives with respect to the pre-activations, one for each of
            the R columns of the output factor; not divided by N. Their sum of outer products over
            R is E over labels, so R is summed, and only examples are averaged.
    """

    inputs: Float[Array, "batch position fan_in"]
    deltas: Float[Array, "batch rank position unit"]


def homogeneous_arrays(
    name: str, layers: Mapping[str, Layer], bias: Bias
) -> dict[str, tuple[Float[Array, "batch _position _parameter"], Float[Array, "batch rank ..."]]]:
    """Return each layer's inputs, (a, 1) where it has a bias, and deltas, or raise ValueError."""
    arrays = {key: layer_arrays(name, *layer) for key, layer in layers.items()}
    if len({deltas.shape[:2] for _, deltas in arrays.values()}) != 1:
        shapes = {key: layer.deltas.shape for key, layer in layers.items()}
        raise ValueError(
            f"{name}: expected at least one layer, all of equal N and R, got deltas of "
            f"shapes {shapes}; pass the layers of one model on one batch."
        )
    if isinstance(bias, Mapping) and bias.keys() != layers.keys():
        raise ValueError(
            f"{name}: expected bias for the layers {', '.join(layers)}, got it for "
            f"{', '.join(bias) or 'none'}; signdyn.analysis.layers.biases reads it off params."
        )
    has_bias = bias if isinstance(bias, Mapping) else dict.fromkeys(layers, bias)
    return {key: (with_ones(a) if has_bias[key] else a, d) for key, (a, d) in arrays.items()}


def with_ones(inputs: Float[Array, "*rows fan_in"]) -> Float[Array, "*rows parameter"]:
    """Return (a, 1) for every a: what the weights and the bias read."""
    return jnp.concatenate([inputs, jnp.ones_like(inputs[..., :1])], axis=-1)
