"""Numbers as floats, and powers of two that keep their squares from under- and overflowing.

Private to signdyn.analysis. May import JAX and signdyn.types.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from signdyn.types import Real, Reals


def as_floats(*values: Real) -> tuple[Reals, ...]:
    """Return each as an array of its own float dtype; integers and truth values become floats.

    Integer arithmetic would wrap around at 2^31 without a word. What becomes a float does as a
    Python number does: it takes on the precision of floats that it meets.
    """
    arrays = (jnp.asarray(value) for value in values)
    return tuple(a if jnp.issubdtype(a.dtype, jnp.floating) else 1.0 * a for a in arrays)


def power_of_two(magnitude: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return the largest power of two up to each magnitude, 1 where that is zero or not finite.

    Multiplying by it or its inverse is exact, and so changes no digit of what would not have left
    the range. To divide by it twice, multiply by the inverse: XLA makes x / p / p of x / (p * p).
    """
    info = jnp.finfo(magnitude.dtype)
    bits = jnp.dtype(f"uint{info.bits}")
    exponent = lax.bitcast_convert_type(jnp.asarray(jnp.inf, magnitude.dtype), bits)
    found = lax.bitcast_convert_type(
        lax.bitcast_convert_type(magnitude, bits) & exponent, magnitude.dtype
    )
    # The inverse of the smallest normal number is one too, that of the largest power is not.
    found = jnp.clip(found, info.tiny, 1 / info.tiny)
    return jnp.where((magnitude > 0) & jnp.isfinite(magnitude), found, 1.0)
