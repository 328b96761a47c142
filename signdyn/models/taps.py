"""Shows every dense and convolution layer of any Flax Linen module to the analysis functions.

No line of the module changes: its layers are intercepted as they are applied. May import Flax,
JAX, signdyn.models.convolution and signdyn.types.
"""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.models.convolution import patches
from signdyn.types import Params, Tap, Tapped


def linen_tapped(
    model: nn.Module, *args: Any, variables: Mapping[str, Any] | None = None, **kwargs: Any
) -> Tapped:
    """Return ``(params, x, tap=None) -> model(x)`` that taps every `nn.Dense` and `nn.Conv` in it.

    A layer's name is the path of its parameters, "block_0/conv_1", so that it serves for
    :func:`signdyn.analysis.layers.coverage` and to look up its gradient. The inputs of a
    convolution are its patches [batch, *positions, window * channels], in the order of its kernel
    [*window, channels, units]. Layers of other kinds that hold parameters, such as norms and
    embeddings, are not tapped; ``coverage`` names them. Kernels must be used as they are stored,
    not normalized by a module around them.

    Args:
        model: Any Linen module; a layer may be applied once a pass.
        *args: Further arguments of its call, after x.
        variables: Its collections beside ``params``, such as frozen ``batch_stats``.
        **kwargs: Further keywords of its call, ``train=False`` say.

    Returns:
        The tapped model; ``params`` is the module's collection of that name. Without ``tap`` it
        is an ApplyFn.

    Raises:
        ValueError: When the function is called and a layer cannot be tapped: a grouped, masked,
            transposed, or circularly, reflectingly or causally padded convolution.

    Example:
        >>> params = {"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)}
        >>> tapped_fn = linen_tapped(nn.Dense(1))
        >>> print(tapped_fn(params, jnp.array([[1.0, 2.0]]), lambda name, inputs, z: 10 * z))
        [[30.]]
    """

    def tapped_fn(params: Params, x: Array, tap: Tap) -> Array:
        collections = {**(variables or {}), "params": params}
        # Mutable, and what they become is dropped: a batch norm in training mode is to be refused
        # by the analysis functions, in their words.
        mutable = [name for name in collections if name != "params"]
        with nn.intercept_methods(_interceptor(tap)):
            outputs, _ = model.apply(collections, x, *args, mutable=mutable, **kwargs)
        return outputs

    return Tapped(tapped_fn)


def _interceptor(tap: Tap) -> Callable[..., Any]:
    def intercept(
        call: Callable[..., Any], args: tuple, kwargs: dict, context: nn.module.InterceptorContext
    ) -> Any:
        module = context.module
        if context.method_name != "__call__":
            return call(*args, **kwargs)
        name = "/".join(module.path)
        if isinstance(module, nn.ConvTranspose):
            _refuse(name, "a transposed convolution")
        if not isinstance(module, (nn.Dense, nn.Conv)):
            return call(*args, **kwargs)
        z = call(*args, **kwargs)
        inputs = args[0] if args else kwargs["inputs"]
        inputs = inputs.astype(z.dtype)  # as the layer itself promotes them
        if isinstance(module, nn.Conv):
            inputs = _patches(name, module, inputs)
        return tap(name, inputs, z)

    return intercept


def _patches(
    name: str, module: nn.Conv, inputs: Float[Array, "..."]
) -> Float[Array, "batch *position window_channel"]:
    """Return the patches that a convolution reads, flattened as its kernel is."""
    size = module.kernel_size
    window = (size,) if isinstance(size, int) else tuple(size)
    if module.feature_group_count != 1:
        _refuse(name, f"{module.feature_group_count} groups of channels")
    if module.mask is not None:
        _refuse(name, "a mask")
    if isinstance(module.padding, str) and module.padding not in ("SAME", "VALID"):
        _refuse(name, f"padding {module.padding!r}")
    if inputs.ndim != len(window) + 2:
        _refuse(name, f"inputs of shape {inputs.shape}, not [batch, ..., channels],")

    def per_axis(value: Any) -> tuple[int, ...]:
        return tuple(value) if isinstance(value, (tuple, list)) else (value or 1,) * len(window)

    strides, between = per_axis(module.strides), per_axis(module.input_dilation)
    apart = per_axis(module.kernel_dilation)
    pads = nn.linear.canonicalize_padding(module.padding, len(window))
    if isinstance(pads, str):
        size = [(n - 1) * d + 1 for n, d in zip(inputs.shape[1:-1], between, strict=True)]
        spans = [(n - 1) * d + 1 for n, d in zip(window, apart, strict=True)]
        pads = jax.lax.padtype_to_pads(size, spans, strides, pads)
    around = [(*p, d - 1) for p, d in zip(pads, between, strict=True)]
    padded = jax.lax.pad(inputs, jnp.zeros((), inputs.dtype), [(0, 0, 0), *around, (0, 0, 0)])
    return patches(padded, window, strides, apart)


def _refuse(name: str, what: str) -> None:
    raise ValueError(
        f"linen_tapped: expected dense layers and plain convolutions, got {what} in layer "
        f"{name!r}; call the tap in a function of your own, see signdyn.types.TappedFn."
    )
