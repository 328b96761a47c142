"""All singular values of a matrix that is made of windows of rows, without holding the matrix.

Private to signdyn.analysis. May import JAX and no module of signdyn.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

Window = Callable[[int | Int[Array, ""]], Float[Array, "chunk rank column"]]
"""``start -> rows of the items start .. start + chunk - 1``, each item giving ``rank`` rows."""


def even_chunk(length: int, target: int) -> int:
    """Return the chunk size, at most ``target``, that shares ``length`` items out most evenly."""
    num_chunks = -(-length // min(target, length))
    return -(-length // num_chunks)


def triangular_factor(window: Window, length: int, chunk: int) -> Float[Array, "size column"]:
    r"""Return R with R^T R = A^T A for the A [length * rank, columns] that the windows make up.

    R of the rows so far is stacked on the next window and reduced again (TSQR of Demmel et al.,
    2012, in sequence). The last window ends at the last item: it overlaps the one before, and rows
    that were counted there enter as zeros. So no item is made up to fill a window.

    Args:
        window: Rows of ``chunk`` items from a given start.
        length: Number of items.
        chunk: Items a window, at most ``length``.

    Returns:
        R, of the size of the smaller side of A for a single window, else [columns, columns].
    """
    if chunk == length:
        rows = window(0)
        return jnp.linalg.qr(rows.reshape(-1, rows.shape[-1]), mode="r")

    def reduce(R: Array, begin: Array) -> tuple[Array, None]:
        start = jnp.minimum(begin, length - chunk)
        is_new = start + jnp.arange(chunk) >= begin
        rows = jnp.where(is_new[:, None, None], window(start), 0.0)
        stacked = jnp.concatenate([R, rows.reshape(-1, R.shape[1])])
        return jnp.linalg.qr(stacked, mode="r"), None

    rows = jax.eval_shape(window, 0)
    empty = jnp.zeros((rows.shape[-1], rows.shape[-1]), rows.dtype)
    R, _ = lax.scan(reduce, empty, jnp.arange(0, length, chunk))
    return R


def collect(window: Window, length: int, chunk: int) -> Float[Array, "row column"]:
    """Return the A that the windows make up, written window by window into its place."""
    if chunk == length:
        rows = window(0)
        return rows.reshape(-1, rows.shape[-1])

    def write(A: Array, begin: Array) -> tuple[Array, None]:
        start = jnp.minimum(begin, length - chunk)
        return lax.dynamic_update_slice_in_dim(A, window(start), start, axis=0), None

    rows = jax.eval_shape(window, 0)
    empty = jnp.zeros((length, *rows.shape[1:]), rows.dtype)
    A, _ = lax.scan(write, empty, jnp.arange(0, length, chunk))
    return A.reshape(-1, rows.shape[-1])


def squared_singular_values(
    R: Float[Array, "row column"], rank: int, size: int
) -> Float[Array, " size"]:
    """Return ``size`` eigenvalues, descending: the ``rank`` largest, squared, and then zeros."""
    singular_values = jnp.linalg.svd(R, compute_uv=False)[:rank]
    # Zeros of a matrix with a NaN are undefined too.
    zeros = jnp.zeros(size - rank, R.dtype) * singular_values[0]
    return jnp.concatenate([singular_values**2, zeros])


def tall_bytes(params: int, chunk_rows: int, num_chunks: int, itemsize: int) -> int:
    """Return the peak of :func:`triangular_factor` over windows of examples, then its SVD."""
    held = params if num_chunks > 1 else 0
    # What LAPACK gets is a copy, in its own order.
    return itemsize * (2 * (held + chunk_rows) * params + params**2)


def dual_bytes(params: int, rows: int, itemsize: int) -> int:
    """Return the peak of the QR of the transposed factor, then its SVD."""
    return itemsize * rows * (2 * params + min(rows, params))
