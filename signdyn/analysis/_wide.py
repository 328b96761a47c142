r"""Eigenvalues of a Gram matrix that is formed in twice the precision of its factor.

A Gram matrix squares the condition number: an eigenvalue of it is right to epsilon lambda_max,
where a singular value of the factor is right to epsilon sigma_max. With float64 products of a
float32 factor the first error is the smaller one down to lambda / lambda_max of
(eps64 / eps32)^2 = 3e-18, far below what float32 resolves. Private to signdyn.analysis. May import
JAX.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

BITS = 27
"""Bisections: sigma is found to 2^-27 sigma_max, a fraction of float32's epsilon."""


def can_widen(dtype: jnp.dtype) -> bool:
    """Return whether float64 is wider than ``dtype``, and what the default device computes with."""
    return jnp.finfo(dtype).bits < 64 and jax.default_backend() != "tpu"


def wide_eigenvalues(
    gram_of: Callable[[Any], Float[Array, "row row"]], parts: Any, rank: int, size: int
) -> Float[Array, " size"]:
    """Return ``size`` eigenvalues of the Gram matrix of ``parts``: ``rank`` of it, then zeros.

    Descending and never negative: what rounding makes negative is smaller than epsilon of float64
    times lambda_max, and counts as zero.

    Args:
        gram_of: Forms the matrix in the dtype of its argument, which is ``parts`` in float64.
        parts: Pytree of arrays of one narrower dtype, which is that of the eigenvalues too.
        rank: Largest rank that the matrix can have.
        size: At least ``rank``.
    """
    dtype = jax.tree.leaves(parts)[0].dtype

    # A program may have no float64 but in the scope in which it is traced, and vmap traces again:
    # it is kept out, one matrix after the other, which LAPACK's threads want in any case.
    @jax.custom_batching.sequential_vmap
    def eigenvalues(parts: Any) -> Float[Array, " size"]:
        with jax.enable_x64(True), jax.default_matmul_precision("highest"):
            gram = gram_of(jax.tree.map(lambda part: part.astype(jnp.float64), parts))
            sigma = lax.platform_dependent(gram, cpu=_by_bisection, default=_by_eigh)
            found = (sigma[:rank] ** 2).astype(dtype)
            # Zeros of a matrix with a NaN are undefined too.
            return jnp.concatenate([found, jnp.zeros(size - rank, dtype) * found[0]])

    return eigenvalues(parts)


def num_bytes(size: int) -> int:
    """Return the peak of forming a Gram matrix [size, size] and finding its eigenvalues."""
    return 8 * 3 * size**2


def _by_eigh(gram: Float[Array, "row row"]) -> Float[Array, " row"]:
    return jnp.sqrt(jnp.maximum(jnp.linalg.eigvalsh(gram), 0.0))[::-1]


def _by_bisection(gram: Float[Array, "row row"]) -> Float[Array, " row"]:
    """Return the square roots of all eigenvalues, descending, to an absolute 2^-BITS of the first.

    LAPACK's tridiagonal form, then bisection on the number of eigenvalues below sigma^2 (Sturm's
    count; Barth, Martin and Wilkinson, 1967). jnp.linalg.eigvalsh computes the vectors as well,
    and bisection on lambda itself would need twice the steps for the same right digits of sigma.
    """
    _, diagonal, off_diagonal, _ = lax.linalg.tridiagonal(gram)
    size = diagonal.shape[0]
    around = jnp.pad(jnp.abs(off_diagonal), 1)
    above = jnp.max(jnp.abs(diagonal) + around[:-1] + around[1:])  # Gershgorin
    smallest = jnp.maximum(jnp.finfo(gram.dtype).tiny, jnp.finfo(gram.dtype).eps ** 2 * above)

    def guarded(pivot: Float[Array, " row"]) -> Float[Array, " row"]:
        return jnp.where(jnp.abs(pivot) < smallest, -smallest, pivot)

    def count_below(sigma: Float[Array, " row"]) -> Int[Array, " row"]:
        def eliminate(k: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
            last, count = state
            now = guarded(diagonal[k] - sigma**2 - off_diagonal[k - 1] ** 2 / last)
            return now, count + (now < 0.0)

        first = guarded(diagonal[0] - sigma**2)
        counted = first, (first < 0.0).astype(jnp.int32)
        # A loop's body is traced even if it never runs, and of one row there is nothing to index.
        return (lax.fori_loop(1, size, eliminate, counted) if size > 1 else counted)[1]

    def halve(_: Array, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        is_above = count_below(middle) <= jnp.arange(size)
        return jnp.where(is_above, middle, low), jnp.where(is_above, high, middle)

    high = jnp.full(size, jnp.sqrt(above))
    # A NaN compares as false everywhere: it stays in the lower bound.
    low, high = lax.fori_loop(0, BITS, halve, (0.0 * high, high))
    return ((low + high) / 2)[::-1]
