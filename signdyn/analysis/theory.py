r"""What theory predicts, to be drawn beside what is measured.

* Conditioning: the outlier that a mean puts into a second-moment matrix, and what a bias adds.
* Mean-field theory: the Fisher of a random network, for any activation, and its critical rate.
* Signs: how often two weights of a unit move the same way, and what chance alone would do.
* Null modes: how many eigenvalues of a Fisher are exactly zero, and why.

Closed forms broadcast over arrays, follow the dtype of their arguments, and work under ``jit`` and
``vmap``; counts and mean-field predictions are Python numbers. May import JAX, NumPy,
signdyn.diagnostics and signdyn.activations.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from signdyn.analysis._mean_field import FisherStatistics as FisherStatistics
from signdyn.analysis._mean_field import MeanFieldFisher as MeanFieldFisher
from signdyn.analysis._mean_field import MeanFieldLayers as MeanFieldLayers
from signdyn.analysis._mean_field import mean_field_fisher as mean_field_fisher
from signdyn.analysis._mean_field import mean_field_layers as mean_field_layers
from signdyn.checks import checked
from signdyn.diagnostics.signs import coherence_chance_level

Real = Float[ArrayLike, "..."]
"""A number or an array of them; several broadcast against each other."""
Reals = Float[Array, "..."]
"""An array of the shape that the arguments broadcast to."""

_POINTS, _LENGTHS = np.polynomial.legendre.leggauss(32)

_FAR = 12
"""Beyond so many standard deviations lies 2e-33 of a normal distribution."""


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
    mean, var = jnp.broadcast_arrays(jnp.asarray(mean), _not_negative(var))
    ratio = dim / num_samples
    bulk_high = var * (1 + math.sqrt(ratio)) ** 2
    bulk_low = jnp.zeros_like(var) if ratio > 1 else var * (1 - math.sqrt(ratio)) ** 2
    length = dim * mean**2
    seen = length > var * math.sqrt(ratio)
    spike = jnp.where(seen, length, 1.0)
    outlier = (spike + var) * (spike + var * ratio) / spike
    overlap = 1 - ratio * var * (spike + var) / (spike * (spike + ratio * var))
    undefined = jnp.isnan(mean) | jnp.isnan(var)
    return SpikedCovariance(
        outlier=jnp.where(undefined, jnp.nan, jnp.where(seen, outlier, bulk_high)),
        overlap=jnp.where(undefined, jnp.nan, jnp.where(seen, overlap, 0.0)),
        threshold_mean=jnp.sqrt(var) * (dim * num_samples) ** -0.25,
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
    length = dim * jnp.asarray(mean) ** 2
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
    return 2 / jnp.asarray(lambda_max)


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
    cosine = jnp.asarray(cosine)
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
    mean, std = jnp.asarray(mean), jnp.asarray(std)
    scale = jnp.hypot(mean, std)  # its square must not under- or overflow
    return (mean / scale) ** 2 + jnp.asarray(correlation) * (std / scale) ** 2


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
        Array of the shape that mean and std broadcast to, in [0, 1]; NaN where both are 0.

    Example:
        >>> print(mean_sign_agreement(1.0, 1.0))
        0.75
    """
    mean, std = jnp.broadcast_arrays(jnp.asarray(mean), jnp.asarray(std))
    agreement = 0.5 + jnp.arctan2(mean, std) / math.pi
    return jnp.where((mean == 0) & (std == 0), jnp.nan, agreement)


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
    arrays = (jnp.asarray(value) for value in (mean, std, delta_mean, delta_std))
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
    _require_signs("gaussian_unanimity", n)
    cosine = jnp.asarray(cosine)
    slope, inverse = (jnp.sqrt(a / b) for a, b in ((cosine, 1 - cosine), (1 - cosine, cosine)))
    # in units of the own part where that is the smaller one: the integrand is smooth either way
    steep, unit = jnp.minimum(slope, 1)[..., None], jnp.minimum(inverse, 1)[..., None]
    nodes, lengths = (
        jnp.asarray(half, cosine.dtype).reshape((1,) * cosine.ndim + (-1,)) for half in _real_line()
    )
    density = unit * jnp.exp(-((unit * nodes) ** 2) / 2) / math.sqrt(2 * math.pi)
    inside = jnp.sum(lengths * density * ndtr(steep * nodes) ** n, axis=-1)
    return 2 * (inside + ndtr(-_FAR * unit[..., 0]))


@checked
def null_unanimity(n: int) -> float:
    """Return 2^(1-n), the chance that n independent symmetric signs are all equal.

    Args:
        n: Number of signs, usually the fan_in.

    Returns:
        A number in [0, 1]; 0 where 2^(1-n) underflows.

    Raises:
        ValueError: If n is below 1.

    Example:
        >>> null_unanimity(3)
        0.25
    """
    _require_signs("null_unanimity", n)
    return math.ldexp(1.0, 1 - n)


@checked
def null_coherence(n: int) -> float:
    """Return E|s_1 + ... + s_n| / n for independent symmetric signs, about sqrt(2 / (pi n)).

    This is :func:`signdyn.diagnostics.signs.coherence_chance_level`, the level that
    ``sign_coherence`` has by chance.

    Args:
        n: Number of signs, usually the fan_in.

    Returns:
        A number in (0, 1].

    Raises:
        ValueError: If n is below 1.

    Example:
        >>> print(f"{null_coherence(2):.6f}")  # both equal, or they cancel
        0.500000
    """
    _require_signs("null_coherence", n)
    return coherence_chance_level(n)


@checked
def null_majority(n: int) -> float:
    """Return the expected share of the majority among n independent symmetric signs.

    It is (1 + coherence) / 2, since the majority exceeds half by half of |sum of signs|.

    Args:
        n: Number of signs, usually the fan_in.

    Returns:
        A number in (1/2, 1].

    Raises:
        ValueError: If n is below 1.

    Example:
        >>> print(f"{null_majority(2):.6f}")
        0.750000
    """
    _require_signs("null_majority", n)
    return (1 + coherence_chance_level(n)) / 2


@checked
def null_weighted_coherence(n: int) -> float:
    r"""Return E[|sum_i g_i| / sum_i |g_i|] for independent normal g, about 1 / sqrt(n).

    With X = |sum g| and Y = sum |g| expanded about their means, Var(Y) / E[Y]^2 = (pi/2 - 1) / n
    and Cov(X, Y) / (E[X] E[Y]) = 1 / (2n) + O(1/n^2), hence

        E[X / Y] = n^{-1/2} (1 + (pi - 3) / (2 n) + O(1/n^2)) .

    Args:
        n: Number of entries, usually the fan_in.

    Returns:
        A number in (0, 1], exact for n = 1, within 2 % at n = 2, .1 % from n = 5 on.

    Raises:
        ValueError: If n is below 1.

    Example:
        >>> print(f"{null_weighted_coherence(100):.3f}")
        0.100
    """
    _require_signs("null_weighted_coherence", n)
    return min(1.0, (1 + (math.pi - 3) / (2 * n)) / math.sqrt(n))


@checked
def linear_null_modes(num_inputs: int, num_hidden: int, num_outputs: int) -> int:
    r"""Return the number of zero eigenvalues of the Fisher of x -> W2 W1 x, without biases.

    The function is the product W2 W1, and its first-order changes dW2 W1 + W2 dW1 span
    num_outputs r1 + num_inputs r2 - r1 r2 dimensions, with r1 and r2 the ranks of W1 and W2; all
    other directions are null. With a hidden layer no wider than inputs and outputs num_hidden^2
    are left: W1 -> G W1, W2 -> W2 G^{-1} changes nothing for any invertible G.

    Args:
        num_inputs: Columns of W1. The inputs must span them all.
        num_hidden: Rows of W1. The weights must be of full rank, as random ones are.
        num_outputs: Rows of W2, each with an output Fisher of full rank.

    Returns:
        The count, among num_hidden (num_inputs + num_outputs) parameters.

    Example:
        >>> linear_null_modes(10, 10, 10)  # half of the 200 parameters
        100
    """
    rank1, rank2 = min(num_inputs, num_hidden), min(num_hidden, num_outputs)
    image = num_outputs * rank1 + num_inputs * rank2 - rank1 * rank2
    return num_hidden * (num_inputs + num_outputs) - image


@checked
def scaling_null_modes(widths: Sequence[int]) -> int:
    """Return the number of zero eigenvalues of the Fisher that ReLU-like activations cause.

    phi(c u) = c phi(u) for c > 0, so a hidden unit's incoming weights and bias can grow by c and
    its outgoing weights shrink by it: one null mode a hidden unit, for every layer. It is the
    exact count for fully connected layers of generic weights, with enough examples, full-rank
    output Fisher, and no unit that is off, or on, for all examples: one that is always on is
    linear, so that its bias can be traded for those above, and two such mix.

    Args:
        widths: (inputs, hidden, ..., outputs).

    Returns:
        The number of hidden units.

    Example:
        >>> scaling_null_modes((64, 32, 16, 10))
        48
    """
    return sum(widths[1:-1])


@checked
def softmax_null_modes(fan_in: int) -> int:
    """Return the number of zero eigenvalues of the Fisher that a softmax over all K logits causes.

    Adding one vector to the weights of every class, and one number to every bias, adds the same
    number to all logits of an example, which leaves its probabilities alone.

    Args:
        fan_in: Inputs of the output layer, which has a bias.

    Returns:
        fan_in + 1.

    Example:
        >>> softmax_null_modes(8)
        9
    """
    return fan_in + 1


def _real_line() -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and lengths of Gauss-Legendre quadrature on panels of length 1."""
    left = np.arange(-_FAR, _FAR)[:, None]
    return (left + (1 + _POINTS) / 2).ravel(), np.tile(_LENGTHS / 2, 2 * _FAR)


def _not_negative(var: Real) -> Reals:
    var = jnp.asarray(var)
    return jnp.where(var >= 0, var, jnp.nan)


def _owens_t(h: Array, a: Array) -> Array:
    """Return Owen's T for 0 <= a <= 1 by Gauss-Legendre quadrature, to rounding."""
    nodes, lengths = (
        jnp.asarray(half, a.dtype).reshape((1,) * a.ndim + (-1,))
        for half in ((1 + _POINTS) / 2, _LENGTHS / 2)
    )
    x, weights = a[..., None] * nodes, a[..., None] * lengths
    integrand = jnp.exp(-(h[..., None] ** 2) * (1 + x**2) / 2) / (1 + x**2)
    return jnp.sum(weights * integrand, axis=-1) / (2 * math.pi)


def _require_signs(name: str, n: int) -> None:
    if n < 1:
        raise ValueError(
            f"{name}: expected a number of signs n >= 1, got {n=}; without signs it is undefined."
        )
