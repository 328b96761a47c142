r"""How often gradients of a unit's weights share a sign: laws of jointly normal numbers.

Public in :mod:`signdyn.analysis.theory`. May import JAX and NumPy.
"""

import math

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array

from signdyn.analysis._chance import require_signs
from signdyn.analysis._numbers import as_floats
from signdyn.checks import checked
from signdyn.types import Real, Reals

_POINTS, _LENGTHS = np.polynomial.legendre.leggauss(32)

_FAR = 12
"""Beyond so many standard deviations lies 2e-33 of a normal distribution."""


@checked
def sign_agreement(cosine: Real) -> Reals:
    r"""Return 1/2 + asin(cosine) / pi, the chance that two jointly Gaussian numbers share a sign.

    The gradients of two weights into one unit, sum_n delta_n x_ni and sum_n delta_n x_nj, are
    jointly Gaussian for large batches. With deltas of mean zero, independent of the inputs, their
    correlation is the uncentered cosine S_ij / sqrt(S_ii S_jj) of S = E[x x^T], whatever the batch
    size: averaging does not restore the diversity of signs that a mean takes away.

    Args:
        cosine: Uncentered cosine of the two inputs, such as :func:`iid_cosine`. Rounding errors
            beyond +-1, up to the root of the dtype's epsilon, count as +-1; what lies further out
            is NaN.

    Returns:
        Array like cosine, in [0, 1].

    Example:
        >>> print(sign_agreement(jnp.array([-1.0, 0.0, 0.5, 1.0])))  # asin(1/2) = pi / 6
        [0.         0.5        0.66666667 1.        ]
    """
    (cosine,) = as_floats(cosine)
    outside = jnp.abs(cosine) > 1 + math.sqrt(jnp.finfo(cosine.dtype).eps)
    agreement = 0.5 + jnp.arcsin(jnp.clip(cosine, -1, 1)) / math.pi
    return jnp.where(outside, jnp.nan, agreement)


@checked
def iid_cosine(mean: Real, std: Real) -> Reals:
    """Return m^2 / (m^2 + s^2), the uncentered cosine of two independent, equal features.

    Args:
        mean: m of both features.
        std: s, their standard deviation.

    Returns:
        Array of the shape that mean and std broadcast to; NaN where both are 0.

    Example:
        >>> print(iid_cosine(1.0, 2.0))
        0.2
    """
    return equicorrelated_cosine(mean, std, 0.0)


@checked
def equicorrelated_cosine(mean: Real, std: Real, correlation: Real) -> Reals:
    """Return (m^2 + r s^2) / (m^2 + s^2), the uncentered cosine of two features of correlation r.

    Args:
        mean: m of both features.
        std: s, their standard deviation.
        correlation: r, their centered correlation.

    Returns:
        Array of the shape that the arguments broadcast to; NaN where mean and std are 0.

    Example:
        >>> print(equicorrelated_cosine(1.0, 2.0, 0.25))
        0.4
    """
    mean, std, correlation = as_floats(mean, std, correlation)
    scale = jnp.hypot(mean, std)  # its square must not under- or overflow
    return (mean / scale) ** 2 + correlation * (std / scale) ** 2


@checked
def mean_sign_agreement(mean: Real, std: Real) -> Reals:
    r"""Return 1/2 + atan(m / s) / pi: how often a weight moves with the sign of its unit's delta.

    That sign is the one of the batch's mean delta, which is the bias' gradient. For large batches,
    features of mean m and standard deviation s, and deltas of mean zero, independent of the
    features. Independent of the batch size; :func:`batch_sign_agreement` where the deltas have a
    mean.

    Args:
        mean: m of the feature.
        std: s, its standard deviation.

    Returns:
        Array of the shape that mean and std broadcast to, in [0, 1]; NaN where both are 0, or std
        is negative.

    Example:
        >>> print(mean_sign_agreement(1.0, 1.0))
        0.75
    """
    mean, std = jnp.broadcast_arrays(*as_floats(mean, std))
    agreement = 0.5 + jnp.arctan2(mean, std) / math.pi
    return jnp.where((std > 0) | ((std == 0) & (mean != 0)), agreement, jnp.nan)


@checked
def batch_sign_agreement(
    mean: Real, std: Real, delta_mean: Real, delta_std: Real, batch_size: int
) -> Reals:
    r"""Return how often a weight moves with the sign of its unit's mean delta, deltas with a mean.

    Given the B deltas of a batch, the gradient of a weight is Gaussian about m sum_n delta_n with
    variance s^2 sum_n delta_n^2, so that it has the sign of the sum with probability
    Phi((m / s) |R|), R = sum_n delta_n / sqrt(sum_n delta_n^2). For large B,
    R ~ N(sqrt(B) t, 1) / sqrt(1 + t^2) with t = delta_mean / delta_std, and

        E Phi(b |W + c|) = 1 - 2 T(b c / sqrt(1 + b^2), 1 / b) ,    b > 0 ,

    with Owen's T, W standard normal, b = (m / s) / sqrt(1 + t^2) and c = sqrt(B) t. It is
    :func:`mean_sign_agreement` for t = 0, and tends to 1 as B grows if t and m differ from 0.

    Args:
        mean: m of the feature; for negative m the agreement is 1 less that of -m.
        std: s, the feature's standard deviation.
        delta_mean: Mean of the deltas.
        delta_std: Their standard deviation.
        batch_size: B; the approximation is good from about 50 on.

    Returns:
        Array of the shape that the arguments broadcast to, in [0, 1]; NaN where feature or deltas
        are all 0.

    Raises:
        ValueError: If the batch is empty.

    Example:
        >>> print(batch_sign_agreement(1.0, 1.0, 0.0, 1.0, 64))
        0.75
        >>> print(batch_sign_agreement(1.0, 0.0, 0.3, 1.0, 64))  # features that are all 1
        1.0
    """
    if batch_size < 1:
        raise ValueError(
            f"batch_sign_agreement: expected batch_size >= 1, got {batch_size}; without examples "
            "there is no gradient."
        )
    arrays = as_floats(mean, std, delta_mean, delta_std)
    mean, std, delta_mean, delta_std = jnp.broadcast_arrays(*arrays)
    scale = jnp.hypot(delta_mean, delta_std)
    center, spread = math.sqrt(batch_size) * jnp.abs(delta_mean) / scale, delta_std / scale
    slope = jnp.abs(mean) * spread
    length = jnp.hypot(slope, std)
    near = jnp.abs(mean) * center / length  # b c / sqrt(1 + b^2), finite also where b is not
    steep = slope > std
    far = jnp.where(steep, 0.0, std / length * center / jnp.where(steep, 1.0, spread))
    flat = _owens_t(far, slope / jnp.where(steep, 1.0, std))
    # T(h, 1/b) = (Phi(h) + Phi(h/b)) / 2 - Phi(h) Phi(h/b) - T(h/b, b) keeps the slope below 1.
    flat = (ndtr(near) + ndtr(far)) / 2 - ndtr(near) * ndtr(far) - flat
    miss = 2 * jnp.where(steep, _owens_t(near, std / jnp.where(steep, slope, 1.0)), flat)
    constant = (std == 0) & (jnp.abs(mean) * scale > 0)
    miss = jnp.where(constant, 0.0, miss)  # 0/0 in the formula if the deltas are constant, too
    return jnp.where(mean < 0, miss, 1 - miss)


@checked
def gaussian_unanimity(cosine: Real, n: int) -> Reals:
    r"""Return the chance that n jointly normal numbers of mean zero all share a sign.

    Each pair has the same correlation r. As the sum of a common and an own part, each number is
    positive with probability Phi(b u) given the common part u, b = sqrt(r / (1 - r)), so that

        P = 2 int phi(u) Phi(b u)^n du ,

    which is 2 / (n + 1) for r = 1/2, and :func:`sign_agreement` for n = 2 (Gupta, 1963). With
    :func:`iid_cosine` this is how often all n weights of a unit get gradients of one sign, for
    large batches and deltas of mean zero: pairs may agree often while all of them hardly ever do.

    Args:
        cosine: r in [0, 1], such as :func:`iid_cosine`; NaN outside.
        n: Number of signs, usually the fan_in.

    Returns:
        Array like cosine, in [0, 1], by quadrature: to rounding for n up to 1000.

    Raises:
        ValueError: If n is below 1.

    Example:
        >>> print(gaussian_unanimity(jnp.array([0.0, 0.5, 1.0]), 3))  # 2^(1-3), 2 / (3 + 1), 1
        [0.25 0.5  1.  ]
    """
    require_signs("gaussian_unanimity", n)
    (cosine,) = as_floats(cosine)
    slope, inverse = (jnp.sqrt(a / b) for a, b in ((cosine, 1 - cosine), (1 - cosine, cosine)))
    # in units of the own part where that is the smaller one: the integrand is smooth either way
    steep, unit = jnp.minimum(slope, 1)[..., None], jnp.minimum(inverse, 1)[..., None]
    nodes, lengths = (
        jnp.asarray(half, cosine.dtype).reshape((1,) * cosine.ndim + (-1,)) for half in _real_line()
    )
    density = unit * jnp.exp(-((unit * nodes) ** 2) / 2) / math.sqrt(2 * math.pi)
    inside = jnp.sum(lengths * density * ndtr(steep * nodes) ** n, axis=-1)
    # Beyond the last node Phi(b u)^n is no longer 1 where b is small and n large.
    beyond = ndtr(-_FAR * unit[..., 0]) * ndtr(_FAR * steep[..., 0]) ** n
    return 2 * (inside + beyond)


def _real_line() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and lengths of Gauss-Legendre quadrature on panels of length 1."""
    left = np.arange(-_FAR, _FAR)[:, None]
    return (left + (1 + _POINTS) / 2).ravel(), np.tile(_LENGTHS / 2, 2 * _FAR)


def _owens_t(h: Array, a: Array) -> Array:
    """Return Owen's T for 0 <= a <= 1 by Gauss-Legendre quadrature, to rounding."""
    nodes, lengths = (
        jnp.asarray(half, a.dtype).reshape((1,) * a.ndim + (-1,))
        for half in ((1 + _POINTS) / 2, _LENGTHS / 2)
    )
    x, weights = a[..., None] * nodes, a[..., None] * lengths
    integrand = jnp.exp(-(h[..., None] ** 2) * (1 + x**2) / 2) / (1 + x**2)
    return jnp.sum(weights * integrand, axis=-1) / (2 * math.pi)
