r"""Natural gradients (F + damping I)^{-1} g from a factor A of the Fisher, F = A^T A.

All solves use orthogonal factorizations of A, never A^T A: the error grows with the square root of
F's condition number. May import JAX.
"""

import math

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float


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
        is below sqrt(P) machine epsilons of the largest.

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
    _check_shapes("natural_gradient", A, grad)
    _check_damping(A, damping)
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
    _check_shapes("natural_gradient_pinv", A, grad)
    if isinstance(rcond, (int, float)) and not 0.0 <= rcond < 1.0:
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
        eigenvalues = singular_values**2
        dropped = eigenvalues <= rcond * eigenvalues[0]  # not "kept >": a NaN is to stay one
        return Vt.T @ jnp.where(dropped, 0.0, (Vt @ grad) / eigenvalues)


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


def _check_shapes(name: str, A: Array, grad: Array) -> None:
    if A.ndim != 2 or A.size == 0 or grad.shape != A.shape[1:]:
        raise ValueError(
            f"{name}: expected a factor A [rows, P] and a gradient [P], got {A.shape=}, "
            f"{grad.shape=}; flatten a pytree with jax.flatten_util.ravel_pytree."
        )


def _check_damping(A: Array, damping: float | Array) -> None:
    if not isinstance(damping, (int, float)):
        return
    if not damping >= 0.0:
        raise ValueError(f"natural_gradient: expected damping >= 0, got {damping=}.")
    if damping == 0.0 and A.shape[0] < A.shape[1]:
        raise ValueError(
            f"natural_gradient: expected damping > 0 where A has fewer rows than columns, as F is "
            f"singular, got damping=0 and {A.shape=}; use natural_gradient_pinv."
        )
