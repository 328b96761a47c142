r"""Normalization of pre-activations: of each unit over the batch, or of each example over units.

    batch       (z - E z) / sd z * scale + bias     per unit (channel), over examples and positions
    mean_batch  (z - E z) + bias                    the same mean, no division
    layer       (z - E z) / sd z * scale + bias     per example, over all units and positions
    group       the same per example and group of units

with the standard deviation sqrt(var + `EPSILON`). A norm over the batch couples its examples;
given the moments it is to use, as in evaluation, it does not, and is affine. The bias of the layer
below a norm over the batch has no effect in training, and is kept all the same: it takes up what a
site's shift adds, so that a norm sees the same pre-activations under every centering.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

NORMS = ("none", "batch", "mean_batch", "layer", "group")
"""Names; ``none`` adds no module and no parameter."""

EPSILON = 1e-5
"""Added to every variance, in units of the pre-activations squared."""


class Moments(NamedTuple):
    """Mean and (biased) variance of every unit's pre-activation over a batch; arrays [units]."""

    mean: Float[Array, " units"]
    var: Float[Array, " units"]


def batch_moments(z: Float[Array, "batch *position units"]) -> Moments:
    """Return every unit's moments over examples and positions.

    Example:
        >>> print(*batch_moments(jnp.array([[1.0, 0.0], [3.0, 0.0]])))
        [2. 0.] [1. 0.]
    """
    axes = tuple(range(z.ndim - 1))
    return Moments(jnp.mean(z, axis=axes), jnp.var(z, axis=axes))


def standardize(z: Float[Array, "batch *position units"], num_groups: int) -> Array:
    """Return every example with each group of units at mean zero and variance one.

    Args:
        z: Pre-activations, units last.
        num_groups: Divides the units into so many runs; 1 takes all of them together.

    Example:
        >>> print(standardize(jnp.array([[1.0, 3.0]]), num_groups=1))
        [[-1.  1.]]
    """
    grouped = z.reshape(z.shape[0], -1, num_groups, z.shape[-1] // num_groups)
    mean = jnp.mean(grouped, axis=(1, 3), keepdims=True)
    var = jnp.var(grouped, axis=(1, 3), keepdims=True)
    return ((grouped - mean) / jnp.sqrt(var + EPSILON)).reshape(z.shape)


class Norm(nn.Module):
    """One norm with its learned scale, which starts at one, and bias, which starts at zero.

    Attributes:
        kind: In `NORMS`, but not ``none``.
        num_groups: Of units, for ``group``.
    """

    kind: str
    num_groups: int = 1

    @nn.compact
    def __call__(
        self, z: Float[Array, "batch *position units"], moments: Moments | None = None
    ) -> tuple[Array, Moments | None]:
        """Return what the nonlinearity is to read, and the batch's moments if they are used.

        Args:
            z: Pre-activations.
            moments: What a norm over the batch uses; by default the batch's own.
        """
        own = None
        if self.kind in ("batch", "mean_batch"):
            own = batch_moments(z)
            mean, var = own if moments is None else moments
            z = z - mean
            z = z / jnp.sqrt(var + EPSILON) if self.kind == "batch" else z
        else:
            z = standardize(z, self.num_groups if self.kind == "group" else 1)
        units = (z.shape[-1],)
        if self.kind != "mean_batch":
            z = z * self.param("scale", nn.initializers.ones, units, z.dtype)
        return z + self.param("bias", nn.initializers.zeros, units, z.dtype), own
