"""An activation chosen by a number, so that several share one compiled program."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from signdyn.activations import Activation, get_activation


def chosen(number: Float[Array, ""] | float, names: Sequence[str]) -> Activation:
    """Return the activation that is ``number`` among ``names``; the number may be traced.

    Example:
        >>> print(chosen(1.0, ("tanh", "relu"))(jnp.array([-1.0, 2.0])))
        [0. 2.]
    """
    branches = [get_activation(name).fn for name in names]
    index = jnp.asarray(number).astype(int)
    return Activation("chosen", lambda z: lax.switch(index, branches, z))


def second_moment(number: Float[Array, ""] | float, names: Sequence[str]) -> Float[Array, ""]:
    """Return E[phi(z)^2] of that activation under z ~ N(0, 1), in float32.

    Example:
        >>> print(second_moment(1.0, ("tanh", "relu")))
        0.5
    """
    moments = [get_activation(name).gaussian_second_moment for name in names]
    return jnp.array(moments, jnp.float32)[jnp.asarray(number).astype(int)]
