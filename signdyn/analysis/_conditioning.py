r"""What a mean does to a second-moment matrix: its outlier, and what a bias adds.

Public in :mod:`signdyn.analysis.theory`. May import JAX.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp

from signdyn.analysis._numbers import as_floats, power_of_two
from signdyn.checks import checked
from signdyn.types import Real, Reals


class SpikedCovariance(NamedTuple):
    """Spectrum of a second-moment matrix of features with one common mean.

    Attributes:
        outlier: The largest eigenvalue; the upper edge of the bulk below the threshold.
        overlap: Squared cosine of its eigenvector with the mean direction; 0 below the threshold.
        threshold_mean: The |mean| above which there is an outlier.
        bulk_low: Lower edge of all other eigenvalues; 0 where there are exact zeros.
        bulk_high: Their upper edge.
    """

    outlier: Reals
    overlap: Reals
    threshold_mean: Reals
    bulk_low: Reals
    bulk_high: Reals


@checked
def spiked_covariance(dim: int, num_samples: int, mean: Real, var: Real) -> SpikedCovariance:
    r"""Return the spectrum of (1/P) sum_p x_p x_p^T, not centered, for iid features with a mean.

    x holds N = ``dim`` features with mean m and variance v each, there are P = ``num_samples``
    independent examples, g = N/P and a = N m^2, the squared length of the mean vector. As N and P
    grow at constant g, whatever the distribution of the features (Le Cun, Kanter & Solla, 1991;
    Benaych-Georges & Nadakuditi, 2012),

        bulk:     v (1 - sqrt g)^2 ... v (1 + sqrt g)^2 ,
        outlier:  (a + v) (a + v g) / a ,    overlap:  1 - g v (a + v) / (a (a + g v)) ,

    the latter two above the threshold a > v sqrt g, that is |m| > sqrt(v) (N P)^{-1/4}. Below it
    the mean cannot be seen: the largest eigenvalue is the edge of the bulk, the overlap 0.
    Centering the features removes the outlier and leaves the bulk.

    Args:
        dim: N, the number of features.
        num_samples: P, the number of examples. With P < N, N - P eigenvalues are exactly 0 and
            ``bulk_low`` is 0; the bulk of the others still starts at v (1 - sqrt g)^2.
        mean: m, any sign.
        var: v, not negative, else NaN.

    Returns:
        Five arrays of the shape that mean and var broadcast to, in units of x^2; without units the
        overlap.

    Raises:
        ValueError: If there are no features or no examples.

    Example:
        >>> spectrum = spiked_covariance(100, 400, jnp.array([0.5, 0.0]), 1.0)
        >>> print(spectrum.outlier)  # 26 (25 + 1/4) / 25, and the edge (1 + 1/2)^2
        [26.26  2.25]
        >>> print(f"{spectrum.bulk_low[0]:.2f} {spectrum.bulk_high[0]:.2f}")
        0.25 2.25
    """
    if dim < 1 or num_samples < 1:
        raise ValueError(
            f"spiked_covariance: expected positive dim and num_samples, got {dim=} and "
            f"{num_samples=}; they are the shape of the data, [num_samples, dim]."
        )
    mean, var = jnp.broadcast_arrays(*as_floats(mean), _not_negative(var))
    ratio = dim / num_samples
    bulk_high = var * (1 + math.sqrt(ratio)) ** 2
    bulk_low = jnp.zeros_like(var) if ratio > 1 else var * (1 - math.sqrt(ratio)) ** 2
    threshold_mean = jnp.sqrt(var) * (dim * num_samples) ** -0.25
    # In a unit in which neither m^2 nor products of variances leave the range of the dtype.
    unit = power_of_two(jnp.maximum(jnp.abs(mean), jnp.sqrt(var)))
    mean, var = mean / unit, var * (1 / unit) * (1 / unit)
    length = dim * mean**2
    seen = length > var * math.sqrt(ratio)
    spike = jnp.where(seen, length, 1.0)
    outlier = (spike + var) * (spike + var * ratio) / spike * unit * unit
    overlap = 1 - ratio * var * (spike + var) / (spike * (spike + ratio * var))
    undefined = jnp.isnan(mean) | jnp.isnan(var)
    return SpikedCovariance(
        outlier=jnp.where(undefined, jnp.nan, jnp.where(seen, outlier, bulk_high)),
        overlap=jnp.where(undefined, jnp.nan, jnp.where(seen, overlap, 0.0)),
        threshold_mean=threshold_mean,
        bulk_low=bulk_low,
        bulk_high=bulk_high,
    )


@checked
def bias_conditioning(dim: int, mean: Real, var: Real) -> Reals:
    r"""Return the condition number of E[(x, 1)(x, 1)^T], features and a bias, for many examples.

    The mean direction and the bias are nearly collinear. In the plane of the two the matrix is
    [[v + a, sqrt a], [sqrt a, 1]] with a = N m^2 and determinant v, hence its eigenvalues are
    l and v / l with l = (1 + v + a + sqrt((1 + v + a)^2 - 4 v)) / 2, and v, which all other
    directions have, lies between them:

        kappa = l^2 / v ,

    which grows with the square of a. Without a bias it would be 1 + a / v, with centered
    features max(v, 1/v).

    Args:
        dim: N, the number of features.
        mean: m of every feature, any sign.
        var: v of every feature, not negative, else NaN; inf where it is 0.

    Returns:
        Array of the shape that mean and var broadcast to. It depends on the units of x.

    Raises:
        ValueError: If there are no features.

    Example:
        >>> print(bias_conditioning(4, jnp.array([0.0, 0.5]), 1.0))  # l = (3 + sqrt 5) / 2
        [1.         6.85410197]
    """
    if dim < 1:
        raise ValueError(f"bias_conditioning: expected positive dim, got {dim=}; it counts inputs.")
    var = _not_negative(var)
    length = dim * as_floats(mean)[0] ** 2
    # (1 + v + a)^2 - 4 v without the cancellation at a = 0, v = 1.
    root = jnp.sqrt((1 - var) ** 2 + length * (2 + 2 * var + length))
    return ((1 + var + length + root) / 2) ** 2 / var


@checked
def critical_learning_rate(lambda_max: Real) -> Reals:
    r"""Return 2 / lambda_max, the step above which gradient descent on a quadratic diverges.

    For the mean nll of a gaussian likelihood of variance 1, (1/2N) sum |f - y|^2, lambda_max is
    that of the Fisher. The threshold is sharp where one eigenvalue stands alone, soft otherwise.

    Args:
        lambda_max: Largest eigenvalue of the curvature.

    Returns:
        Array like lambda_max; inf where it is 0.

    Example:
        >>> print(critical_learning_rate(4.0))
        0.5
    """
    return 2 / as_floats(lambda_max)[0]


def _not_negative(var: Real) -> Reals:
    (var,) = as_floats(var)
    return jnp.where(var >= 0, var, jnp.nan)
