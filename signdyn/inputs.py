"""What a model reads of a data set: pixels are scaled in the step, many examples read in chunks.

Arrays of uint8 are pixels. They lie on the device as they are, a quarter of their size in
float32, and only what is read at a time becomes float32 in [0, 1]. May import JAX, and nothing of
signdyn.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Shaped

ONE_PASS = 2048
"""Up to so many examples are read in one pass; more of them in chunks."""

CHUNK = 500
"""Examples of a chunk: it divides the 10,000, 50,000 and 60,000 of the known data sets."""

_STEP = 1 / 255
_HIGH = np.float32(int(_STEP * 2**23) / 2**23)
_LOW = np.float32(_STEP - float(_HIGH))
"""1/255 in two parts. A pixel times the first is exact, and the sum of both products is what a
division gives, for each of the 256; XLA would make a division a product with the rounded 1/255."""


def as_inputs(x: Shaped[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return what a model reads: pixels of uint8 over 255 in float32, floats as they are.

    The same bits as NumPy's ``x.astype(np.float32) / np.float32(255)``, inside a program or not.

    Example:
        >>> print(as_inputs(jnp.array([0, 51, 255], jnp.uint8)))
        [0.  0.2 1. ]
    """
    if x.dtype != jnp.uint8:
        return x
    levels = x.astype(jnp.float32)
    return levels * _HIGH + levels * _LOW


def reader(data: Any) -> Callable[[Array], Array]:
    """Return the function from examples, as ``data`` holds them, to what a model reads.

    It is ``data.inputs`` if there is one, else `as_inputs`.
    """
    return getattr(data, "inputs", None) or as_inputs


def input_struct(data: Any) -> jax.ShapeDtypeStruct:
    """Return shape and dtype of the whole training set, as a model reads it."""
    x = data.x_train
    return jax.eval_shape(reader(data), jax.ShapeDtypeStruct(x.shape, x.dtype))


def is_one_pass(number: int) -> bool:
    """Return whether so many examples are read in one pass."""
    return number <= ONE_PASS


def in_chunks(function: Callable[..., Any], *arrays: Shaped[Array, "example ..."]) -> Any:
    """Return ``function(*arrays)`` of a function that treats examples one by one.

    More than `ONE_PASS` examples are handed to it `CHUNK` at a time, one chunk after the other, so
    that what it needs in between is needed of one chunk.

    Args:
        function: Arrays with a leading axis of examples -> a pytree of such arrays.
        arrays: Of equal length.

    Example:
        >>> x = jnp.arange(2500)
        >>> bool(jnp.all(in_chunks(lambda x: x * x, x) == x * x))
        True
    """
    number = len(arrays[0])
    if is_one_pass(number):
        return function(*arrays)
    mapped = _map_chunks(function, arrays)
    joined = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), mapped)
    rest = number % CHUNK
    if not rest:
        return joined
    last = function(*(a[number - rest :] for a in arrays))
    return jax.tree.map(lambda *ends: jnp.concatenate(ends), joined, last)


def mean_of_chunks(function: Callable[..., Any], *arrays: Shaped[Array, "example ..."]) -> Any:
    """Return ``function(*arrays)`` of a function that returns means over examples.

    Args:
        function: Arrays with a leading axis of examples -> a pytree of means over them.
        arrays: Of equal length; in chunks as by `in_chunks`.

    Example:
        >>> x = jnp.ones((2500, 3))
        >>> print(mean_of_chunks(lambda x: jnp.mean(x, axis=0), x))
        [1. 1. 1.]
    """
    number = len(arrays[0])
    if is_one_pass(number):
        return function(*arrays)
    mapped = _map_chunks(function, arrays)
    means = jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), mapped)
    rest = number % CHUNK
    if not rest:
        return means
    last = function(*(a[number - rest :] for a in arrays))
    return jax.tree.map(lambda a, b: a + (b - a) * (rest / number), means, last)


def _map_chunks(function: Callable[..., Any], arrays: Sequence[Array]) -> Any:
    """Return what the function makes of every whole chunk, a leading axis the chunks."""

    def of_chunk(place: Array) -> Any:
        # and no reshaped arrays, which might be copies
        parts = (
            lax.dynamic_slice_in_dim(a, place * CHUNK, CHUNK) for a in map(jnp.asarray, arrays)
        )
        return function(*parts)

    return lax.map(of_chunk, jnp.arange(len(arrays[0]) // CHUNK))
