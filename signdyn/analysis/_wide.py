r"""Eigenvalues of a Gram matrix that is formed in twice the precision of its factor.

A Gram matrix squares the condition number: an eigenvalue of it is right to epsilon lambda_max,
where a singular value of the factor is right to epsilon sigma_max. With float64 products of a
float32 factor the first error is the smaller one down to lambda / lambda_max of
(eps64 / eps32)^2 = 3e-18, far below what float32 resolves. Private to signdyn.analysis. May import
JAX.
"""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

BITS = 27
"""Bisections: sigma is found to 2^-27 sigma_max, a fraction of float32's epsilon."""


def can_widen(dtype: jnp.dtype) -> bool:
    """Return whether float64 is wider than ``dtype``, and what the default device computes with."""
    return jnp.finfo(dtype).bits < 64 and jax.default_backend() != "tpu"


@contextlib.contextmanager
def wide() -> Iterator[None]:
    """Let float64 exist in here, also in a program that has none elsewhere."""
    with jax.enable_x64(True):
        yield


def eigenvalues_of_wide(
    gram: Float[Array, "row row"], rank: int, size: int, dtype: jnp.dtype
) -> Float[Array, " size"]:
    """Return ``size`` eigenvalues of a float64 Gram matrix in ``dtype``: ``rank``, then zeros.

    To be called inside of :func:`wide`. Descending and never negative: what rounding makes
    negative is smaller than epsilon of float64 times lambda_max, and counts as zero.
    """
    with jax.default_matmul_precision("highest"):
        sigma = lax.platform_dependent(gram, cpu=_by_bisection, default=_by_eigh)
    found = (sigma[:rank] ** 2).astype(dtype)
    # Zeros of a matrix with a NaN are undefined too.
    return jnp.concatenate([found, jnp.zeros(size - rank, dtype) * found[0]])


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
    squares = jnp.concatenate([jnp.zeros(1, gram.dtype), off_diagonal**2])
    around = jnp.sqrt(squares)
    above = jnp.max(jnp.abs(diagonal) + around + jnp.append(around[1:], 0.0))  # Gershgorin
    smallest = jnp.maximum(jnp.finfo(gram.dtype).tiny, jnp.finfo(gram.dtype).eps ** 2 * above)

    def count_below(sigma: Float[Array, " row"]) -> Float[Array, " row"]:
        shift = sigma**2

        def pivot(k: int, state: tuple[Array, Array]) -> tuple[Array, Array]:
            last, count = state
            now = diagonal[k] - shift - squares[k] / last
            now = jnp.where(jnp.abs(now) < smallest, -smallest, now)
            return now, count + (now < 0.0)

        start = jnp.ones(size, gram.dtype), jnp.zeros(size, jnp.int32)
        return lax.fori_loop(0, size, pivot, start)[1]

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        is_above = count_below(middle) <= jnp.arange(size)
        return jnp.where(is_above, middle, low), jnp.where(is_above, high, middle)

    bounds = jnp.zeros(size, gram.dtype), jnp.full(size, jnp.sqrt(above))
    low, high = lax.fori_loop(0, BITS, halve, bounds)
    # A NaN compares as false everywhere: it is put back by hand.
    return ((low + high) / 2 + 0.0 * above)[::-1]
