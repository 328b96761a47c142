"""An activation chosen by a number, so that several share one compiled program."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from signdyn.activations import Activation, get_activation

NAMES = ("relu", "tanh", "sigmoid")
"""Activations by their number."""


def chosen(number: Float[Array, ""] | float) -> Activation:
    """Return the activation that is ``number`` in `NAMES`; the number may be traced.

    Example:
        >>> print(chosen(0.0)(jnp.array([-1.0, 2.0])))
        [0. 2.]
    """
    branches = [get_activation(name).fn for name in NAMES]
    index = jnp.asarray(number).astype(int)
    return Activation("chosen", lambda z: lax.switch(index, branches, z))
