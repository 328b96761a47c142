r"""Blocks of the Fisher of dense layers, from pairs of inputs and pairs of deltas.

With homogeneous inputs a and deltas d of one layer, b and e of the other,

    F_{(a,u),(b,v)} = sum_n (a_n b_n) (sum_r d_nru e_nrv) / N :

one product of [N, pairs of inputs] with [N, pairs of deltas], of inner dimension N where the
factors' is N R. In a layer's own block either kind of pair is symmetric, which leaves a quarter of
the work. Private to signdyn.analysis. May import JAX.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

Dense = tuple[Float[Array, "batch _parameter"], Float[Array, "batch rank _unit"]]

CHUNK = 512
"""Examples whose pairs are formed together: they stay in the caches, and take little memory."""


def block_of_pairs(one: Dense, two: Dense) -> Float[Array, "row column"]:
    """Return A_one^T A_two, for the factors A of two dense layers, or of one with itself.

    Args:
        one: Inputs [N, fan_in + 1] and deltas [N, R, units].
        two: Those of another layer on the same examples, or ``one`` itself, the same object.
    """
    (a, d), (b, e) = one, two
    num_examples = a.shape[0]
    left, places = _pairs(a.shape[1], b.shape[1], one is two)
    right, columns = _pairs(d.shape[2], e.shape[2], one is two)

    def flat(pairs: Float[Array, "batch row column"]) -> Float[Array, "batch pair"]:
        return pairs.reshape(pairs.shape[0], pairs.shape[1] * pairs.shape[2])

    def product(a: Array, b: Array, d: Array, e: Array) -> Float[Array, "left right"]:
        moments = a[:, :, None] * b[:, None, :]
        # A sum of products is one loop here; a batch of small dots is slow.
        covariances = jnp.sum(d[:, :, :, None] * e[:, :, None, :], axis=1)
        return flat(moments)[:, left].T @ flat(covariances)[:, right]

    num_chunks = num_examples // CHUNK
    split = num_chunks * CHUNK
    rest = product(a[split:], b[split:], d[split:], e[split:])
    if num_chunks:
        chunks = [s[:split].reshape(num_chunks, CHUNK, *s.shape[1:]) for s in (a, b, d, e)]
        rest, _ = lax.scan(lambda total, own: (total + product(*own), None), rest, chunks)
    found = (rest / num_examples)[:, columns.ravel()][places]
    found = found.reshape(*places.shape, *columns.shape)
    return found.transpose(0, 2, 1, 3).reshape(a.shape[1] * d.shape[2], -1)


def _pairs(
    rows: int, columns: int, symmetric: bool
) -> tuple[Int[np.ndarray, " pair"] | slice, Int[np.ndarray, "row column"]]:
    """Return which of all raveled pairs are to be formed, and the place of each among them."""
    places = np.arange(rows * columns).reshape(rows, columns)
    if not symmetric:
        return slice(None), places
    i, j = np.tril_indices(rows)
    places[i, j] = places[j, i] = np.arange(len(i))
    return columns * i + j, places
