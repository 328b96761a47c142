r"""Eigenvalues of a Gram matrix from its factor, what they say, and the top ones matrix-free.

Eigenvalues of A^T A are squared singular values of A; a float32 ``eigh`` of the product returns
negative ones. May import JAX and matfree.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key
from matfree import decomp

MatVec = Callable[[Array], Array]


def spectrum_of_gram(A: Float[Array, "rows param"]) -> Float[Array, " param"]:
    r"""Return all P eigenvalues of A^T A, largest first, as squared singular values of A.

    Tall A are reduced to the R of their QR decomposition, wide ones to that of their transpose.
    The condition number is never squared in floating point: eigenvalues carry an absolute error of
    about machine epsilon * sqrt(lambda_max * lambda), so float32 resolves ratios
    lambda_max / lambda of 1e10 where ``eigh`` of A^T A ends at 1e7.

    Args:
        A: Factor, such as :func:`signdyn.analysis.fisher.fisher_factor` returns.

    Returns:
        Array [P], descending, never negative; where A has fewer rows than columns the last
        P - rows entries are the exact zeros that A^T A must have. Units are those of A, squared.
        NaN throughout if A holds a NaN.

    Raises:
        ValueError: If A has no rows or no columns.

    Example:
        >>> print(spectrum_of_gram(jnp.array([[1.0, 0.0], [0.0, 3.0]])))
        [9. 1.]
        >>> print(spectrum_of_gram(jnp.array([[3.0, 4.0, 0.0]])))  # one row: rank one
        [25.  0.  0.]
    """
    rows, params = A.shape
    if rows == 0 or params == 0:
        raise ValueError(f"spectrum_of_gram: expected at least one row and column, got {A.shape=}.")
    with jax.default_matmul_precision("highest"):
        R = jnp.linalg.qr(A if rows >= params else A.T, mode="r")
        singular_values = jnp.linalg.svd(R, compute_uv=False)
    return jnp.pad(singular_values**2, (0, max(0, params - rows)))


class Conditioning(NamedTuple):
    """What a spectrum says about the speed of gradient descent; scalars, NaN where undefined.

    Attributes:
        condition_number: lambda_max / lambda_min_kept.
        rank: Number of eigenvalues kept, those above rcond * lambda_max; a float, to hold NaN.
        lambda_max: The largest eigenvalue; gradient descent diverges above step 2 / lambda_max.
        lambda_min_kept: The smallest eigenvalue kept.
        trace: Sum of all eigenvalues, kept or not.
        effective_rank: The participation ratio trace^2 / sum lambda^2, between 1 and P.
        trace_over_lambda_max: The intrinsic dimension, between 1 and P.
    """

    condition_number: Float[Array, ""]
    rank: Float[Array, ""]
    lambda_max: Float[Array, ""]
    lambda_min_kept: Float[Array, ""]
    trace: Float[Array, ""]
    effective_rank: Float[Array, ""]
    trace_over_lambda_max: Float[Array, ""]


def conditioning(
    eigenvalues: Float[Array, " param"], *, rcond: float | Float[Array, ""]
) -> Conditioning:
    r"""Return condition number, ranks and extremes of a positive semi-definite spectrum.

    Args:
        eigenvalues: All of them, in any order, as :func:`spectrum_of_gram` returns; of a part of
            the spectrum, condition number, rank and trace are lower bounds.
        rcond: Relative cutoff in [0, 1), in units of lambda_max: eigenvalues at or below
            rcond * lambda_max count as zero. A reported condition number means nothing without it.

    Returns:
        The :class:`Conditioning`. Of a zero spectrum, rank and trace are 0 and the ratios NaN;
        all is NaN if an eigenvalue is.

    Raises:
        ValueError: If there are no eigenvalues, or a Python ``rcond`` is outside [0, 1).

    Example:
        >>> c = conditioning(jnp.array([4.0, 2.0, 2.0, 0.0]), rcond=1e-6)
        >>> print(c.condition_number, c.rank, c.trace_over_lambda_max)
        2.0 3.0 2.0
        >>> print(c.effective_rank)  # (4 + 2 + 2)^2 / (16 + 4 + 4)
        2.6667
    """
    if eigenvalues.size == 0:
        raise ValueError("conditioning: expected at least one eigenvalue, got none.")
    if isinstance(rcond, (int, float)) and not 0.0 <= rcond < 1.0:
        raise ValueError(
            f"conditioning: expected 0 <= rcond < 1, a fraction of lambda_max, got {rcond=}."
        )
    lambda_max, trace = jnp.max(eigenvalues), jnp.sum(eigenvalues)
    kept = eigenvalues > rcond * lambda_max
    rank = jnp.where(jnp.isnan(lambda_max), jnp.nan, jnp.sum(kept).astype(eigenvalues.dtype))
    smallest = jnp.min(jnp.where(kept, eigenvalues, jnp.inf))
    smallest = jnp.where(rank > 0.0, smallest, jnp.nan)
    # Ratios to lambda_max first: squares of eigenvalues leave the range of float32 early.
    ratios = eigenvalues / lambda_max
    return Conditioning(
        condition_number=lambda_max / smallest,
        rank=rank,
        lambda_max=lambda_max,
        lambda_min_kept=smallest,
        trace=trace,
        effective_rank=jnp.sum(ratios) ** 2 / jnp.sum(ratios**2),
        trace_over_lambda_max=jnp.sum(ratios),
    )


class Eigenpairs(NamedTuple):
    """The k largest eigenvalues found, with their vectors and how well each pair fits.

    Attributes:
        eigenvalues: Array [k], descending.
        eigenvectors: Array [k, dim], one unit vector a row, each up to its sign.
        residuals: Array [k], ||F v - lambda v||, in units of the eigenvalues; an eigenvalue of F
            lies within that distance.
    """

    eigenvalues: Float[Array, " k"]
    eigenvectors: Float[Array, "k dim"]
    residuals: Float[Array, " k"]


def top_eigenpairs(
    matvec: MatVec, dim: int, k: int, key: Key[Array, ""], *, num_iterations: int = 24
) -> Eigenpairs:
    r"""Return the k largest eigenpairs of a symmetric matrix by Lanczos from a random start.

    ``num_iterations + k`` products: Lanczos with full reorthogonalization (matfree), then a
    product a pair for its true residual. Eigenvalues are Rayleigh quotients, so they approach the
    largest from below, with an error below residual^2 / (gap to the rest of the spectrum).

    Args:
        matvec: v -> F v for vectors [dim], F symmetric, such as
            :func:`signdyn.analysis.fisher.fisher_vector_product` returns.
        dim: Length P of the vectors.
        k: Number of pairs, at most ``num_iterations``.
        key: Draws the start; converged pairs depend on it in their rounding and signs alone.
        num_iterations: Depth of the Krylov space, at most ``dim``; judge it by the residuals.
            On sigmoid, tanh and ReLU networks (P = 3,834, 512 digits), raw or centered, 12 gave the
            largest eigenvalue to 2e-6, 8 to 3e-2.

    Returns:
        The :class:`Eigenpairs`, in the dtype that ``matvec`` returns. A Krylov space holds one
        vector of an eigenvalue, whatever its multiplicity, and ends early where F has few distinct
        eigenvalues; pairs beyond its end are NaN. Everything is NaN if F holds a NaN.

    Raises:
        ValueError: If ``k`` is not in 1 .. min(num_iterations, dim), or ``matvec`` does not map
            [dim] to [dim].

    Example:
        >>> F = jnp.diag(jnp.array([1.0, 5.0, 2.0]))
        >>> top = top_eigenpairs(lambda v: F @ v, 3, 2, jax.random.key(0))
        >>> print(top.eigenvalues.round(6))
        [5. 2.]
        >>> print(abs(top.eigenvectors[0]).round(6))
        [0. 1. 0.]
    """
    depth = min(num_iterations, dim)
    if not 1 <= k <= depth:
        raise ValueError(
            f"top_eigenpairs: expected 1 <= k <= min(num_iterations, dim), got {k=}, "
            f"{num_iterations=}, {dim=}; raise num_iterations to a few times k."
        )
    dtype = _dtype_of("top_eigenpairs", matvec, dim)
    start = jax.random.normal(key, (dim,), dtype)
    with jax.default_matmul_precision("highest"):
        basis, tridiagonal, *_ = decomp.tridiag_sym(depth, materialize=False)(matvec, start)
        eigenvalues, eigenvectors = _ritz_pairs(basis, *tridiagonal)  # pyrefly: ignore
        eigenvalues, eigenvectors = eigenvalues[:k], eigenvectors[:k]
        errors = jax.vmap(matvec)(eigenvectors) - eigenvalues[:, None] * eigenvectors
    return Eigenpairs(eigenvalues, eigenvectors, jnp.linalg.norm(errors, axis=-1))


def _ritz_pairs(
    basis: Float[Array, "depth dim"],
    diagonal: Float[Array, " depth"],
    off_diagonal: Float[Array, " depth-1"],
) -> tuple[Float[Array, " depth"], Float[Array, "depth dim"]]:
    """Return the eigenpairs of Q^T T Q, descending, NaN for those of no meaning.

    Where the Krylov space is exhausted the recurrence divides rounding errors, or zero, by their
    own length. Rows from the first that is not orthonormal to its predecessors are cut off.
    """
    depth, dim = basis.shape
    deviation = jnp.abs(jnp.tril(basis @ basis.T - jnp.eye(depth, dtype=basis.dtype)))
    tolerance = 32.0 * dim**0.5 * jnp.finfo(basis.dtype).eps
    alive = jnp.cumprod(jnp.all(deviation < tolerance, axis=1)).astype(bool)
    diagonal = jnp.where(alive, diagonal, 0.0)
    off_diagonal = jnp.where(alive[1:], off_diagonal, 0.0)
    scale = jnp.max(jnp.abs(diagonal)) + 2.0 * jnp.max(jnp.abs(off_diagonal), initial=0.0)
    # What was cut off goes to the end, below every eigenvalue (Gershgorin).
    diagonal = jnp.where(alive, diagonal, jnp.where(scale > 0.0, -2.0 * scale, -1.0))
    T = jnp.diag(diagonal) + jnp.diag(off_diagonal, 1) + jnp.diag(off_diagonal, -1)
    values, vectors = jnp.linalg.eigh(T)
    values, vectors = values[::-1], vectors[:, ::-1].T @ jnp.where(alive[:, None], basis, 0.0)
    # A NaN of the matrix itself is in the diagonal of the last row alive; eigh may lose it.
    found = (jnp.arange(depth) < jnp.sum(alive)) & jnp.isfinite(scale)
    return jnp.where(found, values, jnp.nan), jnp.where(found[:, None], vectors, jnp.nan)


def _dtype_of(name: str, matvec: MatVec, dim: int) -> jnp.dtype:
    """Return the dtype in which ``matvec`` answers, or raise if it does not map [dim] to [dim]."""
    probe = jax.eval_shape(matvec, jax.ShapeDtypeStruct((dim,), jnp.result_type(float)))
    if getattr(probe, "shape", None) != (dim,) or not jnp.issubdtype(probe.dtype, jnp.floating):
        raise ValueError(
            f"{name}: expected matvec to map vectors of shape ({dim},) to float vectors of that "
            f"shape, got {probe}."
        )
    return probe.dtype
