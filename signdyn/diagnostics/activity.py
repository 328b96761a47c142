"""What the activations of a layer look like over examples: their mean, length and overlap.

Activations are [example, unit]; expectations E are means over the examples given. With a the
activations of one example, |a|^2 is summed over units. Results are float64 for float64 input
and float32 otherwise. A NaN activation makes a result NaN.

May import: checks.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.checks import checked


@checked
def mean_energy(activations: Float[Array, "example unit"]) -> Float[Array, ""]:
    """Return |E a|^2 / E|a|^2, the share of the second moment that is due to the mean.

    E[a a^T] = Cov(a) + E[a] E[a]^T, so this is the share of its trace that the rank-one outlier
    carries. 0 for activations centered over the examples, 1 for constant ones. It is blind to the
    signs of units and to any rotation: unlike sign coherence it survives a sign-flip control.

    Args:
        activations: A layer's activations; any scale.

    Returns:
        Scalar in [0, 1], NaN if all activations are zero.

    Example:
        >>> print(mean_energy(jnp.array([[1.0, 1.0], [1.0, -1.0]])))  # 1 / 2
        0.5
    """
    a = activations.astype(_result_dtype(activations))
    a = a / jnp.max(jnp.abs(a), initial=0.0)  # the ratio of squares must not under- or overflow
    ratio = jnp.sum(jnp.mean(a, axis=0) ** 2) / jnp.mean(jnp.sum(a**2, axis=1))
    return jnp.minimum(ratio, 1.0)  # Jensen's inequality, against rounding


@checked
def c_value(activations: Float[Array, "example unit"]) -> Float[Array, ""]:
    """Return the mean cosine between the activation vectors of two different examples.

    For two inputs this is the correlation c = q_12 / sqrt(q_11 q_22) of Poole et al. (2016), there
    taken between pre-activations; it is uncentered, so a common mean makes it large. With
    u_n = a_n / |a_n| over the M examples that have a direction,

        c = (|sum_n u_n|^2 - M) / (M (M - 1)) ,

    which costs one pass instead of M^2 pairs.

    Args:
        activations: A layer's activations or pre-activations.

    Returns:
        Scalar in [-1/(M-1), 1]. Examples with all units zero are left out; NaN if fewer than two
        remain.

    Example:
        >>> print(c_value(jnp.array([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]])))  # (0 + 1 + 0) / 3
        0.3333333333333333
    """
    a = activations.astype(_result_dtype(activations))
    scale = jnp.max(jnp.abs(a), axis=1, keepdims=True, initial=0.0)
    has_direction = scale != 0  # also true for NaN, which must not be left out
    a = a / jnp.where(has_direction, scale, 1.0)
    norm = jnp.sqrt(jnp.sum(a**2, axis=1, keepdims=True))
    directions = a / jnp.where(has_direction, norm, 1.0)
    count = jnp.count_nonzero(has_direction).astype(a.dtype)
    of_pairs = jnp.sum(jnp.sum(directions, axis=0) ** 2) - count
    cosine = jnp.minimum(of_pairs / (count * (count - 1)), 1.0)  # against rounding
    return jnp.where(count > 1, cosine, jnp.nan)


@checked
def q_value(activations: Float[Array, "example unit"]) -> Float[Array, ""]:
    """Return E|a|^2 / units, the mean squared activity of a unit.

    q of Poole et al. (2016), there of the pre-activations, here averaged over examples.

    Args:
        activations: A layer's activations or pre-activations.

    Returns:
        Scalar >= 0, in squared units of the activations; NaN without examples or units.

    Example:
        >>> print(q_value(jnp.array([[1.0, 3.0], [1.0, 1.0]])))  # 12 / 4
        3.0
    """
    a, exponent = _near_one(activations.astype(_result_dtype(activations)))
    return jnp.ldexp(jnp.mean(a**2), 2 * exponent)


@checked
def bias_shift(
    inputs: Float[Array, "example fan_in"], kernel_updates: Float[Array, "fan_in unit"]
) -> Float[Array, " unit"]:
    """Return how far one update of the kernel shifts each unit's mean pre-activation, E[a] @ dW.

    Clevert et al. (2016) call "bias shift" the change of a unit's mean value due to a weight
    update: inputs with a nonzero mean act as a bias that every weight update moves along. Here it
    is that of the pre-activation with the layers below held fixed, for which it is exact. Centered
    inputs shift nothing. To count the bias' own update as well, append a column of ones to
    ``inputs`` and the update of the bias as the last row of ``kernel_updates``.

    Args:
        inputs: The layer's inputs over the examples that define the mean; of a convolution,
            its patches.
        kernel_updates: What is added to the kernel [fan_in, units]; of a convolution, to
            ``kernel.reshape(-1, units)``.

    Returns:
        Array [units], signed, in units of the pre-activation; NaN without examples.

    Raises:
        ValueError: If the two disagree on fan_in.

    Example:
        >>> inputs = jnp.array([[1.0, 0.0], [3.0, 0.0]])  # mean (2, 0)
        >>> print(bias_shift(inputs, jnp.array([[0.5, -1.0], [7.0, 7.0]])))
        [ 1. -2.]
    """
    dtype = _result_dtype(inputs, kernel_updates)
    a, exponent = _near_one(inputs.astype(dtype))
    mean = jnp.ldexp(jnp.mean(a, axis=0), exponent)
    return jnp.matmul(mean, kernel_updates.astype(dtype), precision="highest")


def _near_one(a: Array) -> tuple[Array, Array]:
    """Return a / 2^exponent, none above 1, and the exponent: exact, and safe to square and sum."""
    exponent = jnp.frexp(jnp.max(jnp.abs(a), initial=0.0))[1]
    return jnp.ldexp(a, -exponent), exponent


def _result_dtype(*arrays: Array) -> jnp.dtype:
    """Return float64 if any array holds it, else float32."""
    return jnp.dtype("float64" if any(x.dtype == "float64" for x in arrays) else "float32")
