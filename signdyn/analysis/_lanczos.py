"""Lanczos, and what of its result has a meaning once the Krylov space is exhausted.

Not matfree's, for it keeps the products, so that residuals are true ones without a product more;
and it reads only those vectors of the basis that are there, once. Tests compare the two. Private to
signdyn.analysis. May import JAX.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from signdyn.analysis._numbers import power_of_two

MatVec = Callable[[Array], Array]
ROWS = 8
"""Vectors of the basis that are projected out together: read from memory once, small in cache."""


class Tridiagonal(NamedTuple):
    """F in the basis of a Krylov space.

    Attributes:
        basis: Array Q [depth, dim], orthonormal rows.
        images: Array Q F [depth, dim], the products that were made.
        diagonal: Array [depth], of T = Q F Q^T.
        off_diagonal: Array [depth - 1], of T.
    """

    basis: Float[Array, "depth dim"]
    images: Float[Array, "depth dim"]
    diagonal: Float[Array, " depth"]
    off_diagonal: Float[Array, " depth-1"]


class RitzPairs(NamedTuple):
    """Eigenpairs of the matrix restricted to a Krylov space, descending.

    Attributes:
        values: Array [depth], NaN from the exhaustion of the space on.
        coefficients: Array [depth, depth]; row j holds the vector of value j in ``basis``. The
            first column is its overlap with the normalized start.
        basis: Array [depth, dim], orthonormal rows; zero from the exhaustion on.
        images: Array [depth, dim], the matrix times each of them.
        found: Array [depth], true where a pair means something; false throughout for a NaN.
    """

    values: Float[Array, " depth"]
    coefficients: Float[Array, "depth depth"]
    basis: Float[Array, "depth dim"]
    images: Float[Array, "depth dim"]
    found: Bool[Array, " depth"]


def tridiagonal(matvec: MatVec, start: Float[Array, " dim"], depth: int) -> Tridiagonal:
    """Return ``depth`` vectors of the Krylov space of ``start``, and F in them.

    Lanczos' recurrence, then a block of earlier vectors after the other is projected out of the
    new one: no vector that is not there yet is read, and none twice. The recurrence has removed
    all but rounding errors, so that one pass leaves what two passes of Gram-Schmidt without it do.
    """
    filled = -(-depth // ROWS) * ROWS
    basis = jnp.pad((start / jnp.linalg.norm(start))[None], ((0, filled - 1), (0, 0)))

    def step(k: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        basis, images, diagonal, lengths = state  # lengths[k]: of vector k, not yet normalized
        image = matvec(basis[k])
        diagonal = diagonal.at[k].set(basis[k] @ image)
        new = image - diagonal[k] * basis[k] - lengths[k] * basis[k - 1]  # lengths[0] is 0

        def project(block: Array, new: Float[Array, " dim"]) -> Float[Array, " dim"]:
            rows = lax.dynamic_slice_in_dim(basis, block * ROWS, ROWS)
            return new - (rows @ new) @ rows

        new = lax.fori_loop(0, k // ROWS + 1, project, new)
        length = norm_of_rows(new)
        lengths = lengths.at[k + 1].set(length, mode="drop")
        basis = basis.at[k + 1].set(new / length, mode="drop")
        return basis, images.at[k].set(image), diagonal, lengths

    zeros = jnp.zeros(depth, basis.dtype)
    state = (basis, jnp.zeros_like(basis[:depth]), zeros, zeros)
    basis, images, diagonal, lengths = lax.fori_loop(0, depth, step, state)
    return Tridiagonal(basis[:depth], images, diagonal, lengths[1:])


def ritz_pairs(matvec: MatVec, start: Float[Array, " dim"], depth: int) -> RitzPairs:
    """Return the Ritz pairs after ``depth`` products, with full reorthogonalization.

    Where the Krylov space is exhausted the recurrence divides rounding errors, or zero, by their
    own length. Rows from the first that is not orthonormal to its predecessors are cut off.
    """
    basis, images, diagonal, off_diagonal = tridiagonal(matvec, start, depth)
    deviation = jnp.abs(jnp.tril(basis @ basis.T - jnp.eye(depth, dtype=basis.dtype)))
    tolerance = 32.0 * start.size**0.5 * jnp.finfo(basis.dtype).eps
    alive = jnp.cumprod(jnp.all(deviation < tolerance, axis=1)).astype(bool)
    diagonal = jnp.where(alive, diagonal, 0.0)
    off_diagonal = jnp.where(alive[1:], off_diagonal, 0.0)
    scale = jnp.max(jnp.abs(diagonal)) + 2.0 * jnp.max(jnp.abs(off_diagonal), initial=0.0)
    # What was cut off goes to the end, below every eigenvalue (Gershgorin).
    diagonal = jnp.where(alive, diagonal, jnp.where(scale > 0.0, -2.0 * scale, -1.0))
    unit = power_of_two(scale)  # eigh is asked for no other scale than 1
    diagonal, off_diagonal = diagonal / unit, off_diagonal / unit
    T = jnp.diag(diagonal) + jnp.diag(off_diagonal, 1) + jnp.diag(off_diagonal, -1)
    values, vectors = jnp.linalg.eigh(T)
    values = values * unit
    # A NaN of the matrix itself is in the diagonal of the last row alive; eigh may lose it.
    found = (jnp.arange(depth) < jnp.sum(alive)) & jnp.isfinite(scale)
    values = jnp.where(found, values[::-1], jnp.nan)
    basis, images = (jnp.where(alive[:, None], rows, 0.0) for rows in (basis, images))
    return RitzPairs(values, vectors[:, ::-1].T, basis, images, found)


def quadrature(
    matvec: MatVec, start: Float[Array, " dim"], depth: int
) -> tuple[Float[Array, " depth"], Float[Array, " depth"]]:
    """Return nodes and weights with sum w f(node) = u^T f(F) u, u the normalized start.

    Gauss's rule: exact for polynomials f of degree below 2 ``depth`` (Golub and Meurant, 2010).
    A node that was cut off is NaN with weight 0; if F holds a NaN, so are all weights.
    """
    pairs = ritz_pairs(matvec, start, depth)
    cut_off = jnp.where(pairs.found[0], 0.0, jnp.nan)
    return pairs.values, jnp.where(pairs.found, pairs.coefficients[:, 0] ** 2, cut_off)


def norm_of_rows(rows: Float[Array, "*row dim"]) -> Float[Array, "*row"]:
    """Return the length of every row, whose squares may be beyond the range of the dtype."""
    unit = power_of_two(jnp.max(jnp.abs(rows), axis=-1))
    return unit * jnp.linalg.norm(rows / unit[..., None], axis=-1)


def dtype_of(name: str, matvec: MatVec, dim: int) -> jnp.dtype:
    """Return the dtype in which ``matvec`` answers, or raise if it does not map [dim] to [dim]."""
    probe = jax.eval_shape(matvec, jax.ShapeDtypeStruct((dim,), jnp.result_type(float)))
    if getattr(probe, "shape", None) != (dim,) or not jnp.issubdtype(probe.dtype, jnp.floating):
        raise ValueError(
            f"{name}: expected matvec to map vectors of shape ({dim},) to float vectors of that "
            f"shape, got {probe}."
        )
    return probe.dtype
