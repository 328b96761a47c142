r"""Natural gradients (F + damping I)^{-1} g, and how two directions compare.

From a factor A, F = A^T A, all solves use orthogonal factorizations of A, never A^T A: the error
grows with the square root of F's condition number. From products v -> F v they use conjugate
gradients, from the diagonal a division. May import JAX and signdyn.diagnostics.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, Float

from signdyn.analysis._numbers import power_of_two
from signdyn.analysis._units import unit_bias_factor as unit_bias_factor
from signdyn.analysis._units import unit_natural_gradient as unit_natural_gradient
from signdyn.analysis._units import weighted_input_mean as weighted_input_mean
from signdyn.checks import checked
from signdyn.diagnostics.signs import sign_agreement

MatVec = Callable[[Array], Array]
"""v -> F v."""


@checked
def natural_gradient(
    A: Float[Array, "rows param"],
    grad: Float[Array, " param"],
    *,
    damping: float | Float[Array, ""],
) -> Float[Array, " param"]:
    r"""Return (A^T A + damping I)^{-1} grad, the damped natural gradient.

    In parameter space where rows >= P, by [A; sqrt(damping) I] = Q R and R^T R v = g; in sample
    space where rows < P, by A^T = Q R: the P - rows directions outside the span of Q have no
    curvature, and g is divided there by the damping. Cost 2 P^2 (rows + P), or 4 P rows^2, flops.
    Damping breaks the invariance under reparametrization, gradually.

    Args:
        A: Factor of F, such as :func:`signdyn.analysis.fisher.fisher_factor` returns.
        grad: Gradient of the mean nll, in the order of ``ravel_pytree``.
        damping: Absolute, in units of F; a non-negative scalar, may be traced. 0 asks for F^{-1},
            which exists only if A has full column rank: not for softmax outputs or ReLU units,
            where :func:`natural_gradient_pinv` is defined.

    Returns:
        Array [P], in units of parameter: grad's sign, so an update subtracts it. NaN throughout
        where F + damping I is singular to working precision, that is where its smallest pivot
        is below sqrt(min(rows, P)) machine epsilons of the largest.

    Raises:
        ValueError: If shapes disagree, or a Python ``damping`` is negative, or is 0 although A has
            fewer rows than columns.

    Example:
        >>> A, grad = jnp.diag(jnp.array([1.0, 2.0])), jnp.array([1.0, 1.0])
        >>> print(natural_gradient(A, grad, damping=0.0))  # F = diag(1, 4)
        [1.   0.25]
        >>> print(natural_gradient(A, grad, damping=1.0))
        [0.5 0.2]
    """
    _check_not_empty("natural_gradient", A)
    _check_damping("natural_gradient", damping)
    _check_invertible(A, damping)
    root = jnp.sqrt(jnp.asarray(damping, A.dtype))
    with jax.default_matmul_precision("highest"):
        if A.shape[0] >= A.shape[1]:
            return _solve(A, root, grad)
        Q, R = jnp.linalg.qr(A.T)
        inside = Q.T @ grad
        outside = grad - Q @ inside
        # Twice: what rounding left inside the span would be divided by the damping.
        outside = outside - Q @ (Q.T @ outside)
        return Q @ _solve(R.T, root, inside, outside=root) + outside / root**2


@checked
def natural_gradient_pinv(
    A: Float[Array, "rows param"], grad: Float[Array, " param"], *, rcond: float | Float[Array, ""]
) -> Float[Array, " param"]:
    r"""Return F^+ grad, the shortest v that minimizes ||F v - grad||, for F = A^T A of any rank.

    By the singular value decomposition of A: exact on the kept eigenvectors, zero off them.

    Args:
        A: Factor of F.
        grad: Gradient of the mean nll, in the order of ``ravel_pytree``.
        rcond: Relative cutoff in [0, 1), in units of lambda_max as in
            :func:`signdyn.analysis.spectrum.conditioning`: directions whose eigenvalue of F is at
            or below rcond * lambda_max are dropped.

    Returns:
        Array [P], in units of parameter: grad's sign, so an update subtracts it.

    Raises:
        ValueError: If shapes disagree, or a Python ``rcond`` is outside [0, 1).

    Example:
        >>> A = jnp.array([[2.0, 2.0]])  # F: 8 along (1, 1), 0 along (1, -1)
        >>> print(natural_gradient_pinv(A, jnp.array([1.0, 3.0]), rcond=1e-9).round(6))
        [0.25 0.25]
    """
    _check_not_empty("natural_gradient_pinv", A)
    if isinstance(rcond, (int, float, np.generic)) and not 0.0 <= rcond < 1.0:
        raise ValueError(
            "natural_gradient_pinv: expected 0 <= rcond < 1, a fraction of lambda_max, got "
            f"{rcond=}."
        )
    with jax.default_matmul_precision("highest"):
        if A.shape[0] >= A.shape[1]:
            _, singular_values, Vt = jnp.linalg.svd(jnp.linalg.qr(A, mode="r"))
        else:
            Q, R = jnp.linalg.qr(A.T)
            U, singular_values, _ = jnp.linalg.svd(R)
            Vt = (Q @ U).T
        inverse = 1 / power_of_two(singular_values[0])
        eigenvalues = (singular_values * inverse) ** 2  # of F inverse^2
        dropped = eigenvalues <= rcond * eigenvalues[0]  # not "kept >": a NaN is to stay one
        return Vt.T @ jnp.where(dropped, 0.0, (Vt @ grad) / eigenvalues * inverse * inverse)


class Solution(NamedTuple):
    """What an iterative solve has found, and how well it fits.

    Attributes:
        direction: Array [P], in units of parameter: grad's sign, so an update subtracts it.
        residual: Scalar ||(F + damping I) direction - grad|| / ||grad||, from one product more:
            not the recursion's own, which goes on falling where the true one no longer does. The
            error of the direction may be larger by the condition number of F + damping I. NaN for
            a zero gradient.
    """

    direction: Float[Array, " param"]
    residual: Float[Array, ""]


@checked
def natural_gradient_cg(
    product: MatVec,
    grad: Float[Array, " param"],
    *,
    damping: float | Float[Array, ""],
    num_iterations: int,
    tolerance: float | Float[Array, ""],
) -> Solution:
    r"""Return (F + damping I)^{-1} grad by conjugate gradients, from products v -> F v alone.

    Stops when the recursion's residual is at or below ``tolerance`` times ||grad||, or after
    ``num_iterations`` products. Stopping early is a damping of its own: what is left out are the
    directions of small curvature, so the answer depends on both numbers and neither has a default.
    With kappa the condition number of F + damping I, k products shrink the error, in the norm
    that the matrix defines, by 2 ((sqrt(kappa) - 1) / (sqrt(kappa) + 1))^k or more.

    Args:
        product: v -> F v for vectors [P], F symmetric and positive semi-definite, such as
            :func:`signdyn.analysis.fisher.fisher_vector_product` returns.
        grad: Gradient of the mean nll, in the order of ``ravel_pytree``.
        damping: Absolute, in units of F; a non-negative scalar, may be traced.
        num_iterations: At most so many products, at least 1; static.
        tolerance: Relative residual, below 1; may be traced. Below machine epsilon it acts as
            machine epsilon, since beyond that the recursion only runs into 0 / 0.

    Returns:
        The :class:`Solution`; its residual says whether it has converged. All NaN where ``grad``
        or the products are not finite, or the curvature along the gradient is zero.

    Raises:
        ValueError: If ``grad`` is not a vector [P] that ``product`` keeps the shape of, or a
            Python ``damping``, ``num_iterations`` or ``tolerance`` is out of range.

    Example:
        >>> curvatures, grad = jnp.array([1.0, 4.0]), jnp.array([1.0, 1.0])
        >>> F = lambda v: curvatures * v
        >>> exact = natural_gradient_cg(F, grad, damping=0.0, num_iterations=2, tolerance=0.0)
        >>> print(exact.direction)
        [1.   0.25]
        >>> early = natural_gradient_cg(F, grad, damping=0.0, num_iterations=1, tolerance=0.0)
        >>> print(early.direction, early.residual)  # grad * (g.g) / (g.F g); -(0.6, -0.6) is left
        [0.4 0.4] 0.6
    """
    _check_damping("natural_gradient_cg", damping)
    _check_cg(product, grad, num_iterations, tolerance)
    # The squared norms that the recursion is made of leave the range of float32 early.
    largest = jnp.max(jnp.abs(grad))
    scale = jnp.where(largest == 0.0, jnp.ones_like(largest), largest)
    target = grad / scale
    tol = jnp.maximum(jnp.asarray(tolerance, grad.dtype), jnp.finfo(grad.dtype).eps)

    def damped(v: Array) -> Array:
        return product(v) + jnp.asarray(damping, v.dtype) * v

    with jax.default_matmul_precision("highest"):
        direction, _ = cg(damped, target, tol=tol, maxiter=num_iterations)
        residual = jnp.linalg.norm(damped(direction) - target) / jnp.linalg.norm(target)
    # Where a NaN stops the recursion at its first product, it has not left its start at zero.
    defined = (largest == 0.0) | jnp.isfinite(residual)
    return Solution(jnp.where(defined, scale * direction, jnp.nan), residual)


@checked
def natural_gradient_diagonal(
    diagonal: Float[Array, " param"],
    grad: Float[Array, " param"],
    *,
    damping: float | Float[Array, ""],
) -> Float[Array, " param"]:
    """Return grad / (diagonal + damping): the natural gradient if F were its diagonal.

    What Adam and its kin approximate, but for the square root they take of the diagonal and the
    empirical Fisher they take it from. Invariant to the scale of every parameter, not to shifts
    of a layer's inputs, which mix weights with biases.

    Args:
        diagonal: Diagonal of F, such as :func:`signdyn.analysis.fisher.fisher_diagonal` returns.
        grad: Gradient of the mean nll, in the order of ``ravel_pytree``.
        damping: Absolute, in units of F; a non-negative scalar, may be traced.

    Returns:
        Array [P], in units of parameter: grad's sign, so an update subtracts it. NaN where
        diagonal + damping is not positive.

    Raises:
        ValueError: If shapes disagree, or a Python ``damping`` is negative.

    Example:
        >>> diagonal, grad = jnp.array([1.0, 4.0, 0.0]), jnp.array([1.0, 1.0, 1.0])
        >>> print(natural_gradient_diagonal(diagonal, grad, damping=0.0))
        [1.   0.25  nan]
    """
    _check_damping("natural_gradient_diagonal", damping)
    curvature = diagonal + jnp.asarray(damping, diagonal.dtype)
    return jnp.where(curvature > 0.0, grad / curvature, jnp.nan)


class Comparison(NamedTuple):
    """How direction a compares with direction b; scalars, NaN where undefined.

    Attributes:
        cosine: a.b / (|a| |b|), in [-1, 1]; depends on the parametrization.
        norm_ratio: |a| / |b|; depends on the parametrization.
        sign_agreement: Share of coordinates, among those nonzero in both, with equal sign.
        function_cosine: a^T F b / (|a|_F |b|_F), in [-1, 1], with |v|_F = |A v|; the same in
            every parametrization.
        function_norm_ratio: |a|_F / |b|_F.
    """

    cosine: Float[Array, ""]
    norm_ratio: Float[Array, ""]
    sign_agreement: Float[Array, ""]
    function_cosine: Float[Array, ""]
    function_norm_ratio: Float[Array, ""]


@checked
def compare_directions(
    a: Float[Array, " param"],
    b: Float[Array, " param"],
    *,
    A: Float[Array, "rows param"] | None = None,
) -> Comparison:
    r"""Return angle, length ratio and sign agreement of two directions, also in function space.

    A small step v changes the model by KL(p_theta || p_{theta + v}) = |A v|^2 / 2 nats an example,
    to leading order: |A v| is its length in function space, whatever the parameters are.

    Args:
        a: Direction, in the order of ``ravel_pytree``.
        b: Direction to compare it with.
        A: Factor of F, such as :func:`signdyn.analysis.fisher.fisher_factor` returns; without it
            the function-space fields are NaN.

    Returns:
        The :class:`Comparison`. Angles with a zero vector and ratios to one are NaN.

    Raises:
        ValueError: If shapes disagree.

    Example:
        >>> a, b = jnp.array([3.0, 4.0]), jnp.array([4.0, -3.0])
        >>> c = compare_directions(a, b, A=jnp.array([[1.0, 0.0]]))  # F sees coordinate 0 alone
        >>> print(c.cosine, c.norm_ratio, c.sign_agreement)
        0.0 1.0 0.5
        >>> print(c.function_cosine, c.function_norm_ratio)
        1.0 0.75
    """
    if a.size == 0:
        raise ValueError(
            f"compare_directions: expected vectors of one entry or more, got {a.shape=}."
        )
    undefined = jnp.full((), jnp.nan, jnp.result_type(a, b))
    function_cosine = function_norm_ratio = undefined
    with jax.default_matmul_precision("highest"):
        cosine, norm_ratio = _angle_and_ratio(a, b)
        if A is not None:
            _check_not_empty("compare_directions", A)
            function_cosine, function_norm_ratio = _angle_and_ratio(A @ a, A @ b)
    return Comparison(
        cosine, norm_ratio, sign_agreement(a, b), function_cosine, function_norm_ratio
    )


def _angle_and_ratio(
    a: Float[Array, " n"], b: Float[Array, " n"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Return cosine and ratio of lengths, without the squares of very large or small entries."""
    largest_a, largest_b = jnp.max(jnp.abs(a)), jnp.max(jnp.abs(b))
    unit_a, unit_b = a / largest_a, b / largest_b
    norm_a, norm_b = jnp.linalg.norm(unit_a), jnp.linalg.norm(unit_b)
    cosine = jnp.clip(unit_a @ unit_b / (norm_a * norm_b), -1.0, 1.0)
    ratio = jnp.where(largest_a == 0.0, 0.0, (norm_a / norm_b) * (largest_a / largest_b))
    return cosine, jnp.where(largest_b > 0.0, ratio, jnp.nan)


def _solve(
    A: Float[Array, "rows n"],
    root: Float[Array, ""],
    g: Float[Array, " n"],
    outside: float | Float[Array, ""] = math.inf,
) -> Float[Array, " n"]:
    """Return (A^T A + root^2 I)^{-1} g, NaN if singular to working precision; rows >= n.

    ``outside`` is the pivot of the directions that A leaves out, if there are any.
    """
    n = g.size
    R = jnp.linalg.qr(jnp.concatenate([A, root * jnp.eye(n, dtype=A.dtype)]), mode="r")
    pivots = jnp.abs(jnp.diag(R))
    regular = jnp.minimum(jnp.min(pivots), outside) > n**0.5 * jnp.finfo(A.dtype).eps * jnp.max(
        pivots
    )
    solution = solve_triangular(R, solve_triangular(R, g, trans=1))
    return jnp.where(regular, solution, jnp.nan)


def _check_not_empty(name: str, A: Array) -> None:
    if A.size == 0:
        raise ValueError(f"{name}: expected at least one row and column, got {A.shape=}.")


def _check_cg(product: MatVec, grad: Array, num_iterations: int, tolerance: float | Array) -> None:
    if grad.size == 0:
        raise ValueError(f"natural_gradient_cg: expected one parameter or more, got {grad.shape=}.")
    result = jax.eval_shape(product, grad)
    if getattr(result, "shape", None) != grad.shape or result.dtype != grad.dtype:
        raise ValueError(
            f"natural_gradient_cg: expected product to map a vector to one of its own shape and "
            f"dtype, {jax.eval_shape(jnp.copy, grad)}, got {result}."
        )
    if num_iterations < 1:
        raise ValueError(
            f"natural_gradient_cg: expected num_iterations >= 1, got {num_iterations=}."
        )
    if isinstance(tolerance, (int, float, np.generic)) and not 0.0 <= tolerance < 1.0:
        raise ValueError(
            f"natural_gradient_cg: expected 0 <= tolerance < 1, a fraction of the gradient's "
            f"length, got {tolerance=}."
        )


def _check_damping(name: str, damping: float | Array) -> None:
    if isinstance(damping, (int, float, np.generic)) and not damping >= 0.0:
        raise ValueError(f"{name}: expected damping >= 0, got {damping=}.")


def _check_invertible(A: Array, damping: float | Array) -> None:
    if isinstance(damping, (int, float, np.generic)) and damping == 0.0 and A.shape[0] < A.shape[1]:
        raise ValueError(
            f"natural_gradient: expected damping > 0 where A has fewer rows than columns, as F is "
            f"singular, got damping=0 and {A.shape=}; use natural_gradient_pinv."
        )
