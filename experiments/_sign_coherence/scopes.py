"""What "all gradients" may range over: the weights of a unit, of a layer, or of the network.

All of them on one example, whose gradients are outer products of inputs and deltas: signs are
counted from those of the factors.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.diagnostics.signs import coherence_chance_level, share

Layers = Float[Array, "layer example width"]


def scope_readings(inputs: Layers, deltas: Layers) -> dict[str, Array]:
    """Return how far the gradients of one example share a sign, by scope.

    Args:
        inputs: Of every layer, see `experiments._sign_coherence.readings.padded`.
        deltas: The same.
    """
    counts = outer_counts(inputs, deltas)
    return {
        "layer_unanimity": share(unanimity(counts), axis=1),
        "layer_coherence": jnp.nanmean(coherence(counts), axis=1),
        "layer_chance": jnp.nanmean(chance(deltas), axis=1),
        "network_unanimity": share(unanimity(jnp.sum(counts, axis=1))),
        "network_coherence": jnp.nanmean(coherence(jnp.sum(counts, axis=1))),
    }


def outer_counts(
    inputs: Float[Array, "*rows fan_in"], deltas: Float[Array, "*rows unit"]
) -> Float[Array, "2 *rows"]:
    """Return how many entries of each row's outer product are positive, and how many negative.

    Example:
        >>> print(outer_counts(jnp.array([1.0, 2.0, -1.0]), jnp.array([3.0, 0.0])))
        [2. 1.]
    """
    up, down, plus, minus = (
        jnp.sum(wanted, axis=-1).astype(jnp.float32)
        for wanted in (inputs > 0, inputs < 0, deltas > 0, deltas < 0)
    )
    return jnp.stack([up * plus + down * minus, up * minus + down * plus])


def unanimity(counts: Float[Array, "2 *rows"]) -> Float[Array, "*rows"]:
    """Return 1 where all signs are one, 0 where not, NaN where there is none."""
    one = (jnp.min(counts, axis=0) == 0).astype(jnp.float32)
    return jnp.where(jnp.sum(counts, axis=0) > 0, one, jnp.nan)


def coherence(counts: Float[Array, "2 *rows"]) -> Float[Array, "*rows"]:
    """Return |sum of signs| / number of signs, NaN where there is none."""
    return jnp.abs(counts[0] - counts[1]) / jnp.sum(counts, axis=0)


def chance(deltas: Float[Array, "*rows unit"]) -> Float[Array, "*rows"]:
    """Return the coherence of a layer if its deltas' signs were random and inputs non-negative.

    Example:
        >>> print(chance(jnp.array([[1.0, -3.0], [0.0, 2.0]])))  # of two signs 1/2, of one 1
        [0.5 1. ]
    """
    levels = [jnp.nan, *(coherence_chance_level(n + 1) for n in range(deltas.shape[-1]))]
    return jnp.array(levels, jnp.float32)[jnp.sum(deltas != 0, axis=-1)]
