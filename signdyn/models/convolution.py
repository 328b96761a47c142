"""Convolution, in the two ways that accelerators and CPUs are good at.

On an accelerator a convolution is one: `jax.lax.conv_general_dilated`. XLA for CPU runs small ones
inside ``scan`` and ``vmap`` an order of magnitude slower than the same sum written as one product
of patches with the flattened kernel, gradients above all; ``python -m scripts.bench.convolution``
measures by how much. Which one runs is decided where the program is lowered for a device.

A row of `patches` is what one position of a convolution reads, in the order of its kernel
[*window, channels, units]: with it a convolution is a dense layer at every position.

Models keep activations [channels, height, width, batch] between their convolutions: whatever moves
along positions, patches and pools above all, then moves whole rows of examples, which are
contiguous, and all their patches are the columns of one matrix. `swap_batch_and_channels` leads
there and back.

Knows arrays only. May import JAX.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

PADDINGS = ("SAME", "VALID")
"""SAME pads with zeros to ceil(size / stride) positions, VALID does not pad."""


def pad(
    activations: Float[Array, "batch *size channels"],
    window: Sequence[int],
    strides: Sequence[int],
    padding: str,
) -> Float[Array, "batch *padded channels"]:
    """Return the activations with the zeros around them that a convolution would add.

    Args:
        activations: Channels last.
        window: Size of the kernel along every spatial axis.
        strides: One an axis.
        padding: In `PADDINGS`.

    Example:
        >>> print(pad(jnp.ones((1, 2, 1)), (3,), (1,), "SAME").ravel())
        [0. 1. 1. 0.]
    """
    size = activations.shape[1:-1]
    pads = jax.lax.padtype_to_pads(size, tuple(window), tuple(strides), padding)
    zero = jnp.zeros((), activations.dtype)
    return jax.lax.pad(activations, zero, [(0, 0, 0), *((*p, 0) for p in pads), (0, 0, 0)])


def patches(
    activations: Float[Array, "batch *size channels"],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int] | None = None,
) -> Float[Array, "batch *position window_channel"]:
    """Return what every position of an unpadded convolution reads, flattened as its kernel is.

    Args:
        activations: Channels last, padded already.
        window: Size of the kernel along every spatial axis.
        strides: One an axis.
        dilation: Distance between the kernel's taps along every axis; 1 by default.

    Example:
        >>> print(patches(jnp.arange(4.0).reshape(1, 4, 1), (2,), (1,))[0])
        [[0. 1.]
         [1. 2.]
         [2. 3.]]
    """
    apart = (1,) * len(window) if dilation is None else dilation
    return _windows(activations, window, strides, apart, axis=activations.ndim - 1)


def _windows(read, window, strides, apart, axis):
    # Axis by axis, the last one first: 3 + 3 slices instead of 3 x 3, and so are their gradients.
    for place in reversed(range(len(window))):
        size, stride = read.shape[place + 1], strides[place]
        span = (window[place] - 1) * apart[place] + 1
        length = (num_positions(size, span, stride) - 1) * stride + 1
        starts = [tap * apart[place] for tap in range(window[place])]
        slices = [
            jax.lax.slice_in_dim(read, start, start + length, stride, place + 1) for start in starts
        ]
        read = jax.lax.concatenate(slices, axis)
    return read


def swap_batch_and_channels(
    activations: Float[Array, "first *size last"],
) -> Float[Array, "last *size first"]:
    """Return activations with the batch last if it is first, and first if it is last.

    Example:
        >>> swap_batch_and_channels(jnp.zeros((64, 28, 28, 3))).shape
        (3, 28, 28, 64)
    """
    return jnp.swapaxes(activations, 0, -1)


def columns(
    activations: Float[Array, "channels *size batch"],
    window: Sequence[int],
    strides: Sequence[int],
) -> Float[Array, "window_channel *position batch"]:
    """Return :func:`patches` of activations whose batch is the last axis, one patch a column.

    Args:
        activations: Channels first, padded already.
        window: Size of the kernel along every spatial axis.
        strides: One an axis.

    Example:
        >>> print(columns(jnp.arange(4.0).reshape(1, 4, 1), (2,), (1,))[..., 0])
        [[0. 1. 2.]
         [1. 2. 3.]]
    """
    return _windows(activations, window, strides, (1,) * len(window), axis=0)


def convolve(
    activations: Float[Array, "batch *size channels"],
    kernel: Float[Array, "*window channels units"],
    strides: Sequence[int],
) -> Float[Array, "batch *position units"]:
    """Return the convolution without padding, by the implementation that the device is good at.

    What machine learning calls so: the kernel is not mirrored.

    Args:
        activations: Channels last, padded already.
        kernel: One window of weights for every channel and unit.
        strides: One a spatial axis.

    Example:
        >>> print(convolve(jnp.arange(4.0).reshape(1, 4, 1), jnp.ones((2, 1, 1)), (1,))[0, :, 0])
        [1. 3. 5.]
    """

    def by_product(a: Array, w: Array) -> Array:
        return convolve_by_product(a, w, strides)

    def natively(a: Array, w: Array) -> Array:
        return convolve_natively(a, w, strides)

    return jax.lax.platform_dependent(activations, kernel, cpu=by_product, default=natively)


def convolve_by_product(
    activations: Float[Array, "batch *size channels"],
    kernel: Float[Array, "*window channels units"],
    strides: Sequence[int],
) -> Float[Array, "batch *position units"]:
    """Return :func:`convolve` as one product of patches with the flattened kernel.

    Args:
        activations: Padded already.
        kernel: Its window first.
        strides: Along each axis of the window.
    """
    read = columns(swap_batch_and_channels(activations), kernel.shape[:-2], strides)
    # without the barrier XLA folds the transposition into the product, which makes that slow
    rows = jax.lax.optimization_barrier(kernel.reshape(-1, kernel.shape[-1]).T)
    z = rows @ read.reshape(len(read), -1)
    return swap_batch_and_channels(z.reshape(-1, *read.shape[1:]))


def convolve_natively(
    activations: Float[Array, "batch *size channels"],
    kernel: Float[Array, "*window channels units"],
    strides: Sequence[int],
) -> Float[Array, "batch *position units"]:
    """Return :func:`convolve` as `jax.lax.conv_general_dilated` computes it.

    Args:
        activations: Padded already.
        kernel: Its window first.
        strides: Along each axis of the window.
    """
    rank = kernel.ndim
    batch_last, window_first = (0, rank - 1, *range(1, rank - 1)), (rank - 1, rank - 2)
    numbers = jax.lax.ConvDimensionNumbers(
        lhs_spec=batch_last, rhs_spec=(*window_first, *range(rank - 2)), out_spec=batch_last
    )
    return jax.lax.conv_general_dilated(
        activations, kernel, tuple(strides), "VALID", dimension_numbers=numbers
    )


def num_positions(size: int, window: int, stride: int, padding: str = "VALID") -> int:
    """Return at how many positions along an axis a convolution is evaluated.

    Args:
        size: Of the activations.
        window: Of the kernel.
        stride: Between positions.
        padding: In `PADDINGS`.

    Example:
        >>> num_positions(8, 3, 2), num_positions(8, 3, 2, "SAME")
        (3, 4)
    """
    return -(-size // stride) if padding == "SAME" else (size - window) // stride + 1


def image_shape(name: str, input_shape: Sequence[int]) -> tuple[int, int, int]:
    """Return (height, width, channels), one channel if there is none.

    Args:
        name: Of the model, for the message.
        input_shape: (height, width) or (height, width, channels).

    Raises:
        ValueError: If it is neither.

    Example:
        >>> image_shape("CNN", (8, 8))
        (8, 8, 1)
    """
    if len(input_shape) not in (2, 3):
        raise ValueError(
            f"{name}: expected input_shape (height, width) or (height, width, channels), got "
            f"{tuple(input_shape)}; take the data set's input_shape, of one example."
        )
    height, width, *channels = input_shape
    return height, width, (channels or [1])[0]


def as_images(
    name: str, x: Float[Array, "batch features"], input_shape: Sequence[int]
) -> Float[Array, "batch height width channels"]:
    """Return flattened examples in their shape, with a channel axis.

    Args:
        name: Of the model, for the message.
        x: Examples.
        input_shape: As for :func:`image_shape`.

    Raises:
        ValueError: If examples are of another size.

    Example:
        >>> as_images("CNN", jnp.zeros((5, 64)), (8, 8)).shape
        (5, 8, 8, 1)
    """
    shape = image_shape(name, input_shape)
    if math.prod(shape) != x.shape[-1]:
        raise ValueError(
            f"{name}: expected flattened examples of input_shape {tuple(input_shape)}, "
            f"{math.prod(shape)} features, got {x.shape=}; take the data set's input_shape."
        )
    return x.reshape(-1, *shape)


def max_pool(
    activations: Float[Array, "batch height width channels"],
) -> Float[Array, "batch half_height half_width channels"]:
    """Return the largest of every 2 x 2 activations; an odd last row or column is dropped.

    Of equal ones, one alone gets the gradient.

    Example:
        >>> print(max_pool(jnp.array([[1.0, 4.0], [3.0, 2.0]]).reshape(1, 2, 2, 1)).ravel())
        [4.]
    """
    rows, columns = (2, 3)  # the second one as it is once the first has gone
    return _larger_of_two(_larger_of_two(_squares(activations), rows), columns)


def mean_pool(
    activations: Float[Array, "batch height width channels"],
) -> Float[Array, "batch half_height half_width channels"]:
    """Return the mean of every 2 x 2 activations; an odd last row or column is dropped.

    Example:
        >>> print(mean_pool(jnp.array([[1.0, 4.0], [3.0, 2.0]]).reshape(1, 2, 2, 1)).ravel())
        [2.5]
    """
    return jnp.mean(_squares(activations), axis=(2, 4))


def _squares(activations: Array) -> Float[Array, "batch half_height 2 half_width 2 channels"]:
    # XLA for CPU runs reduce_window and its gradient as slowly as convolutions.
    batch, height, width, channels = activations.shape
    even = activations[:, : height // 2 * 2, : width // 2 * 2]
    return even.reshape(batch, height // 2, 2, width // 2, 2, channels)


def _larger_of_two(a: Array, axis: int) -> Array:
    # Not jnp.max: its gradient asks which entry equals the maximum, and is 0 / 0 where XLA
    # recomputes the entries, in the backward pass, with another rounding.
    one, other = (jax.lax.index_in_dim(a, place, axis, keepdims=False) for place in (0, 1))
    return jnp.where((one > other) | jnp.isnan(one), one, other)
