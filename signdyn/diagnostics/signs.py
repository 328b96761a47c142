"""Signs of gradients and weights: coherence within a unit, agreement of two vectors, fractions.

A kernel is [fan_in, units] and "per unit" reduces axis 0. The caller reshapes a convolution
kernel to that form first, with the output channels last: ``kernel.reshape(-1, units)``.

Rules shared by every function here:

* A zero has no sign. It is left out of numerator and denominator, except where a docstring says
  otherwise; where nothing is left the result is NaN. (Backends that flush subnormal numbers see
  them as zeros.)
* A NaN entry makes the result it enters NaN, so a diverged run never looks like a coherent one.
* Signs are counted exactly. Results are float64 for float64 input and float32 otherwise,
  because half precision cannot hold the counts.

May import: types.
"""

import math
import operator
from collections.abc import Sequence
from typing import SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signdyn.checks import checked
from signdyn.types import Params


@checked
def sign_coherence(kernel_grad: Float[Array, "fan_in unit"]) -> Float[Array, " unit"]:
    """Return, per unit, how much the signs of its gradient pull together.

    With g the gradient of one unit's weights,

        coherence = |sum_i sign(g_i)| / #{i : g_i != 0} ,

    which is 1 if all signs are equal and 0 if they balance. Independent symmetric signs reach
    :func:`coherence_chance_level`, about sqrt(2 / (pi fan_in)): compare with that, not with 0.

    Args:
        kernel_grad: Gradient with respect to a kernel [fan_in, units].

    Returns:
        Array [units] in [0, 1], NaN where a unit has no nonzero gradient.

    Example:
        >>> print(sign_coherence(jnp.array([[3.0, -1.0, 0.0], [1.0, 2.0, 0.0]])))
        [ 1.  0. nan]
    """
    return _coherence(kernel_grad, axis=0)


@checked
def weighted_sign_coherence(kernel_grad: Float[Array, "fan_in unit"]) -> Float[Array, " unit"]:
    """Return, per unit, |sum_i g_i| / sum_i |g_i|: sign coherence weighted by magnitude.

    Independent Gaussian entries reach about 1 / sqrt(fan_in). Each unit is scaled by its largest
    entry first, so gradients of any magnitude neither overflow nor underflow.

    Args:
        kernel_grad: Gradient with respect to a kernel [fan_in, units].

    Returns:
        Array [units] in [0, 1], NaN where a unit's gradient is all zero or not finite.

    Example:
        >>> print(weighted_sign_coherence(jnp.array([[3.0, -1.0, 0.0], [1.0, 3.0, 0.0]])))
        [1.  0.5 nan]
    """
    grad = kernel_grad.astype(_result_dtype([kernel_grad]))
    scaled = grad / jnp.max(jnp.abs(grad), axis=0, keepdims=True, initial=0.0)
    return jnp.abs(jnp.sum(scaled, axis=0)) / jnp.sum(jnp.abs(scaled), axis=0)


@checked
def sign_unanimity(kernel_grad: Float[Array, "fan_in unit"]) -> Float[Array, " unit"]:
    """Return, per unit, 1 if all nonzero entries of its gradient have one sign, else 0.

    A share of unanimous units is the mean over units. n independent symmetric signs are unanimous
    with probability 2^(1-n).

    Args:
        kernel_grad: Gradient with respect to a kernel [fan_in, units].

    Returns:
        Array [units] of 1.0 and 0.0, NaN where a unit has no nonzero gradient.

    Example:
        >>> print(sign_unanimity(jnp.array([[3.0, -1.0, 0.0], [0.0, 2.0, 0.0]])))
        [ 1.  0. nan]
    """
    return _unanimity(kernel_grad, axis=0)


@checked
def pair_sign_agreement(kernel_grad: Float[Array, "fan_in unit"]) -> Float[Array, " unit"]:
    """Return, per unit, the share of pairs of its weights whose gradients have equal sign.

    With p positive, m negative and n = p + m nonzero entries the share is
    (p (p-1) + m (m-1)) / (n (n-1)). Independent symmetric signs agree in 1/2 of the pairs at any
    fan_in, so unlike :func:`sign_coherence` it compares layers of different width.

    Args:
        kernel_grad: Gradient with respect to a kernel [fan_in, units].

    Returns:
        Array [units] in [0, 1], NaN where a unit has fewer than two nonzero entries.

    Example:
        >>> print(pair_sign_agreement(jnp.array([[3.0, 1.0], [1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]])))
        [0.5 nan]
    """
    positive, negative = _sign_counts(kernel_grad, (0,))
    total = positive + negative
    equal = positive * (positive - 1) + negative * (negative - 1)
    return equal / (total * (total - 1))


@checked
def example_sign_coherence(
    inputs: Float[Array, "example fan_in"], deltas: Float[Array, "example unit"]
) -> Float[Array, "example unit"]:
    """Return the sign coherence of every unit's gradient on every single example.

    On example n the gradient of unit j is deltas[n, j] * inputs[n]. A delta can only turn all the
    signs of its input over, so the coherence is that of inputs[n] wherever the delta is nonzero,
    and the per-example gradients [example, fan_in, unit] are never formed.

    Args:
        inputs: The layer's inputs (the activations below, or the data), finite.
        deltas: d nll / d pre-activation per example and unit.

    Returns:
        Array [example, unit]: :func:`sign_coherence` of each outer product; NaN where the delta is
        zero or NaN, or the input is all zero.

    Raises:
        ValueError: If the two do not hold the same number of examples.

    Example:
        >>> inputs = jnp.array([[1.0, 2.0], [1.0, -2.0]])
        >>> print(example_sign_coherence(inputs, jnp.array([[-3.0, 0.0], [1.0, 1.0]])))
        [[ 1. nan]
         [ 0.  0.]]
    """
    return _where_delta_has_a_sign(_coherence(inputs, axis=1), deltas)


@checked
def mean_example_sign_coherence(
    inputs: Float[Array, "example fan_in"], deltas: Float[Array, "example unit"]
) -> Float[Array, ""]:
    """Return the mean of :func:`example_sign_coherence` over where it is defined.

    As every unit of an example has the coherence of its input, it is the mean of those, each as
    often as the example has deltas: a few sums of [example], and no array [example, unit].

    Args:
        inputs: The layer's inputs, finite.
        deltas: d nll / d pre-activation per example and unit.

    Returns:
        Scalar in [0, 1], NaN where nothing is defined.

    Raises:
        ValueError: If the two do not hold the same number of examples.

    Example:
        >>> inputs = jnp.array([[1.0, 2.0], [1.0, -2.0]])
        >>> print(mean_example_sign_coherence(inputs, jnp.array([[-3.0, 0.0], [1.0, 1.0]])))
        0.33333334
    """
    coherence = _coherence(inputs, axis=1)
    has_sign = (jnp.abs(deltas) > 0).astype(coherence.dtype)
    often = jnp.where(jnp.isnan(coherence), 0.0, _sum_of_signs(has_sign, (1,)))
    return jnp.sum(jnp.where(often > 0, often * coherence, 0.0)) / jnp.sum(often)


@checked
def example_sign_unanimity(
    inputs: Float[Array, "example fan_in"], deltas: Float[Array, "example unit"]
) -> Float[Array, "example unit"]:
    """Return 1 where a single example's gradient of a unit has one sign throughout, else 0.

    With non-negative inputs it is 1 wherever it is defined: on one example, and only there, "all
    gradients into a unit have one sign" is exact (LeCun et al., 1998, section 4.3).

    Args:
        inputs: The layer's inputs (the activations below, or the data), finite.
        deltas: d nll / d pre-activation per example and unit.

    Returns:
        Array [example, unit]: :func:`sign_unanimity` of each outer product; NaN where the delta is
        zero or NaN, or the input is all zero.

    Raises:
        ValueError: If the two do not hold the same number of examples.

    Example:
        >>> inputs = jnp.array([[1.0, 2.0], [1.0, -2.0]])
        >>> print(example_sign_unanimity(inputs, jnp.array([[-3.0, 0.0], [1.0, 1.0]])))
        [[ 1. nan]
         [ 0.  0.]]
    """
    return _where_delta_has_a_sign(_unanimity(inputs, axis=1), deltas)


def sign_agreement(a: Params, b: Params) -> Float[Array, ""]:
    """Return the share of coordinates, among those nonzero in both, with equal sign.

    Args:
        a: Array or pytree of arrays.
        b: The same structure and shapes.

    Returns:
        Scalar in [0, 1], NaN if no coordinate is nonzero in both. 1/2 is chance level.

    Raises:
        ValueError: If structures or shapes differ.

    Example:
        >>> a, b = jnp.array([1.0, 2.0, -3.0, 0.0]), jnp.array([5.0, -1.0, 0.0, 1.0])
        >>> print(sign_agreement(a, b))
        0.5
    """
    equal, opposite = _agreement_counts("sign_agreement", a, b)
    return equal / (equal + opposite)


def sign_flips(before: Params, after: Params) -> Float[Array, ""]:
    """Return the share of coordinates whose sign changed, among those nonzero before and after.

    A weight that starts or ends at exactly zero (a bias initialized at zero, a projected weight)
    has no sign to flip and is left out, hence sign_flips = 1 - :func:`sign_agreement`.

    Args:
        before: Array or pytree of arrays, for instance the initial parameters.
        after: The same structure and shapes.

    Returns:
        Scalar in [0, 1], NaN if no coordinate is nonzero in both.

    Raises:
        ValueError: If structures or shapes differ.

    Example:
        >>> before = jnp.array([1.0, 2.0, 3.0, 4.0, 0.0])
        >>> after = jnp.array([-1.0, 2.0, 3.0, 9.0, 1.0])
        >>> print(sign_flips(before, after))
        0.25
    """
    equal, opposite = _agreement_counts("sign_flips", before, after)
    return opposite / (equal + opposite)


@checked
def negative_fraction(
    weights: Float[Array, "..."], *, axis: SupportsIndex | Sequence[int] | None = None
) -> Float[Array, "..."]:
    """Return the share of entries below zero, among all entries, zeros included.

    negative_fraction(w) + negative_fraction(-w) is therefore 1 less the share of exact zeros.

    Args:
        weights: Any array.
        axis: Axes to reduce; all of them by default. Axis 0 of a kernel gives one value per unit.

    Returns:
        Array of the remaining shape in [0, 1], NaN where there is no entry.

    Raises:
        ValueError: If the array has no such axis, or one is named twice.

    Example:
        >>> print(negative_fraction(jnp.array([-1.0, 0.0, 2.0, 3.0])))
        0.25
    """
    axes = _axes("negative_fraction", weights, axis)
    negative = _sign_counts(weights, axes)[1]
    return negative / float(math.prod(weights.shape[place] for place in axes))


@checked
def positive_fraction(
    deltas: Float[Array, "..."], *, axis: SupportsIndex | Sequence[int] | None = None
) -> Float[Array, "..."]:
    """Return the share of positive entries among the nonzero ones.

    The sign of a unit's gradient on an example with non-negative inputs is the sign of its delta,
    which is set by the residual and the weights above; this measures how one-sided it is.

    Args:
        deltas: d nll / d pre-activation, or any array.
        axis: Axes to reduce; all of them by default. Axis 0 of [example, unit] gives one value per
            unit.

    Returns:
        Array of the remaining shape in [0, 1], NaN where no entry is nonzero.

    Raises:
        ValueError: If the array has no such axis, or one is named twice.

    Example:
        >>> print(positive_fraction(jnp.array([-1.0, 0.0, 2.0])))
        0.5
    """
    positive, negative = _sign_counts(deltas, _axes("positive_fraction", deltas, axis))
    return positive / (positive + negative)


@checked
def share(
    indicators: Float[Array, "*shape"], axis: SupportsIndex | Sequence[int] | None = None
) -> Float[Array, "*rest"]:
    """Return the share of ones among entries that are 1, 0, or NaN where undefined.

    Exactly 1 where all defined entries are: counted from the zeros, whose mean is exact on every
    device. A GPU divides by multiplying with a reciprocal, so that a mean of ones may fall short.

    Args:
        indicators: Such as :func:`sign_unanimity` returns.
        axis: To count along; all of them by default.

    Returns:
        Array of the axes that are left, in [0, 1], NaN where nothing is defined.

    Raises:
        ValueError: If the array has no such axis, or one is named twice.

    Example:
        >>> print(share(jnp.array([1.0, 0.0, jnp.nan, 1.0, 1.0])))
        0.75
    """
    return 1.0 - jnp.nanmean(1.0 - indicators, axis=_axes("share", indicators, axis))


@checked
def coherence_chance_level(n: int) -> float:
    """Return the expected sign coherence of n independent symmetric signs.

    E|s_1 + ... + s_n| / n = C(2k, k) / 4^k with k = floor(n / 2), which is
    C(n-1, (n-1)/2) / 2^(n-1) for odd and C(n, n/2) / 2^n for even n, and tends to sqrt(2 / (pi n)).
    Computed from log-gamma functions: relative error below 1e-8 up to n = 10^6.

    Args:
        n: Number of signs, usually the fan_in.

    Returns:
        A number in (0, 1].

    Raises:
        ValueError: If n is below 1.

    Example:
        >>> round(coherence_chance_level(5), 12)  # C(4, 2) / 2^4
        0.375
    """
    if n < 1:
        raise ValueError(
            f"coherence_chance_level: expected a number of signs n >= 1, got {n=}; "
            "without signs coherence is undefined."
        )
    k = n // 2
    return math.exp(math.lgamma(k + 0.5) - math.lgamma(k + 1) - 0.5 * math.log(math.pi))


def _result_dtype(arrays: Sequence[Array]) -> jnp.dtype:
    """Return float64 if any array holds it, else float32."""
    return jnp.dtype("float64" if any(x.dtype == "float64" for x in arrays) else "float32")


def _coherence(x: Array, axis: int) -> Array:
    positive, negative = _sign_counts(x, (axis,))
    return jnp.abs(positive - negative) / (positive + negative)  # 0/0, that is NaN, without signs


def _unanimity(x: Array, axis: int) -> Array:
    positive, negative = _sign_counts(x, (axis,))
    unanimous = (jnp.minimum(positive, negative) == 0).astype(positive.dtype)
    return jnp.where(positive + negative > 0, unanimous, jnp.nan)


def _axes(name: str, x: Array, axis: SupportsIndex | Sequence[int] | None) -> tuple[int, ...]:
    """Return the axes that are meant, counted from the first, or raise in the caller's name."""
    try:
        if axis is None:
            return tuple(range(x.ndim))
        wanted = axis if isinstance(axis, Sequence) else operator.index(axis)
        return np.lib.array_utils.normalize_axis_tuple(wanted, x.ndim)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}: expected axis to be None, or different ones of the {x.ndim} axes of an array "
            f"of shape {x.shape}, got {axis=}."
        ) from None


def _sign_counts(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return how many entries are positive and how many negative; NaN where one is NaN."""
    return _counts_of_signs(jnp.sign(x.astype(_result_dtype([x]))), axes)


DIGIT = 4096
"""Two counts below it fit one float32: the first plus `DIGIT` times the second, exactly."""


def _counts_of_signs(sign: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Return how many of some signs are 1 and how many -1 over the axes; NaN where one is NaN."""
    num_signs = math.prod(sign.shape[place] for place in axes)
    if num_signs > MOST_IN_FLOAT32:  # each on its own: float32 holds few, however many are others
        return _count(sign > 0, sign, axes), _count(sign < 0, sign, axes)
    if 1 < len(axes) == sign.ndim:
        # not along all axes at once, which XLA for CPU is slow at
        positive, negative = _counts_of_signs(sign, axes[:-1])
        return jnp.sum(positive), jnp.sum(negative)
    if num_signs < DIGIT:  # one sum for both
        digits = _sum_of_signs(jnp.where(sign < 0, DIGIT, sign), axes)
        negative = jnp.floor(digits / DIGIT)
        return digits - DIGIT * negative, negative
    balance, total = _sum_of_signs(sign, axes), _sum_of_signs(jnp.abs(sign), axes)
    return (total + balance) / 2, (total - balance) / 2


def _count(counted: Array, sign: Array, axes: tuple[int, ...]) -> Array:
    """Return how many are to be counted, rounded once from an integer; NaN where a sign is."""
    count = jnp.sum(counted, axis=axes, dtype=jnp.int32).astype(sign.dtype)
    return jnp.where(jnp.any(jnp.isnan(sign), axis=axes), jnp.nan, count)


MOST_IN_FLOAT32 = 2**24
"""So many ones can be added in float32, in any order, without rounding."""


def _sum_of_signs(signs: Array, axes: tuple[int, ...]) -> Array:
    """Return the sum of up to `MOST_IN_FLOAT32` entries -1, 0 and 1, exact; NaN where one is."""
    # By products with ones: XLA for CPU is several times slower at sums of so few entries. And
    # not along all axes at once, which it is slower at still.
    if 1 < len(axes) == signs.ndim:
        return jnp.sum(_sum_of_signs(signs, axes[:-1]))
    ones = jnp.ones([signs.shape[place] for place in axes], signs.dtype)
    contracted = (axes, tuple(range(len(axes))))
    return jax.lax.dot_general(signs, ones, (contracted, ((), ())), precision="highest")


def _where_delta_has_a_sign(of_input: Array, deltas: Array) -> Array:
    """Spread a value per example over the units whose delta on it is nonzero and not NaN."""
    dtype = _result_dtype([of_input, deltas])
    return jnp.where(jnp.abs(deltas) > 0, of_input[:, None].astype(dtype), jnp.nan)


def _agreement_counts(name: str, a: Params, b: Params) -> tuple[Array, Array]:
    """Return how many coordinates have equal and how many opposite sign; NaN if one is NaN."""
    leaves_a, structure_a = jax.tree.flatten(a)
    leaves_b, structure_b = jax.tree.flatten(b)
    shapes_a, shapes_b = [jnp.shape(x) for x in leaves_a], [jnp.shape(x) for x in leaves_b]
    if structure_a != structure_b or shapes_a != shapes_b:
        raise ValueError(
            f"{name}: expected two arrays or pytrees of equal structure and shapes, got "
            f"{jax.tree.map(jnp.shape, a)} and {jax.tree.map(jnp.shape, b)}; pass two versions of "
            "the same parameters."
        )
    pairs = [(jnp.asarray(x), jnp.asarray(y)) for x, y in zip(leaves_a, leaves_b, strict=True)]
    dtype = _result_dtype([leaf for pair in pairs for leaf in pair])
    equal = opposite = jnp.zeros((), dtype)
    for x, y in pairs:
        sign = (jnp.sign(x) * jnp.sign(y)).astype(dtype)
        same, other = _counts_of_signs(sign, tuple(range(sign.ndim)))
        equal, opposite = equal + same, opposite + other
    return equal, opposite
