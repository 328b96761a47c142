"""The layers that the models are made of: a site before each, and everything sown and perturbed.

See `signdyn.models.mlp` for the conventions that this keeps for all models.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from signdyn.centering import Site, apply_site, match_conv, match_dense
from signdyn.models.convolution import columns, convolve, pad, swap_batch_and_channels
from signdyn.models.norms import NORMS, Moments, Norm
from signdyn.types import Params

Shapes = Mapping[str, tuple[int, ...]]
"""Name -> shape of a layer's kernel, in the order of the data's way: [fan_in, units] of a dense
layer, [height, width, channels, units] of a convolution."""


@dataclass(frozen=True)
class Pass:
    """What all layers share in one pass through a model; to be made in its ``__call__``.

    Attributes:
        module: The model, in whose name is sown and perturbed.
        shapes: Of all layers.
        sites: One a layer, or None for plain activations.
        means: What the sites subtract, by default the batch's own means.
        moments: What norms over the batch use, by the layer's name; by default the batch's own.
        kernels: Freshly drawn, by the layer's name, while initializing; None after.
        norm: In `signdyn.models.norms.NORMS`.
        num_groups: Of units, for the norm ``group``.
    """

    module: nn.Module
    shapes: Shapes
    sites: Sequence[Site] | None = None
    means: Sequence[Float[Array, " _"]] | None = None
    moments: Mapping[str, Moments] | None = None
    kernels: Mapping[str, Array] | None = None
    norm: str = "none"
    num_groups: int = 1

    def dense(self, name: str, a: Float[Array, "batch fan_in"]) -> Float[Array, "batch units"]:
        """Return the pre-activations of a dense layer; its site acts on every unit it reads."""
        h = self._sited(name, a, a)
        self._sow("traces", f"{name}_inputs", h)
        layer = nn.Dense(
            self.shapes[name][-1], kernel_init=self._init(name), param_dtype=h.dtype, name=name
        )
        return self._perturbed(name, layer(h))

    def conv(
        self,
        name: str,
        a: Float[Array, "channels height width batch"],
        strides: tuple[int, int],
        padding: str,
    ) -> Float[Array, "units out_height out_width batch"]:
        """Return the pre-activations of a convolution; its site acts on every channel it reads.

        The mean is over examples and positions, without the padding. The site comes after the
        padding, so that every position reads the same shift and matching is exact at borders too.

        Args:
            name: The layer's.
            a: What it reads, before the site.
            strides: Along height and width.
            padding: "SAME" or "VALID".
        """
        *window, _, units = self.shapes[name]
        a, read = (
            swap_batch_and_channels(a),
            swap_batch_and_channels(pad(a, window, strides, padding)),
        )
        h = self._sited(name, a, read)
        read = columns(swap_batch_and_channels(h), window, strides)
        self._sow("traces", f"{name}_inputs", read.reshape(len(read), -1, len(h)).T)
        layer = nn.Conv(
            units,
            tuple(window),
            strides=strides,
            padding="VALID",
            kernel_init=self._init(name),
            param_dtype=h.dtype,
            conv_general_dilated=_convolve,
            name=name,
        )
        z = layer(h)
        flat = z.reshape(len(z), -1, units)
        return swap_batch_and_channels(self._perturbed(name, flat).reshape(z.shape))

    def normalized(self, name: str, z: Array) -> Array:
        """Return the pre-activations of a layer after its norm, if there is one."""
        if self.norm == "none":
            return z
        given = None if self.moments is None else self.moments.get(name)
        convolved = z.ndim > 2  # then its units are first
        z = swap_batch_and_channels(z) if convolved else z
        z, own = Norm(self.norm, self.num_groups, name=f"{name}_norm")(z, given)
        if own is not None:
            self._sow("norms", f"{name}_moments", own)
        return swap_batch_and_channels(z) if convolved else z

    def _sited(self, name: str, a: Array, read: Array) -> Array:
        mean = jnp.mean(a, axis=tuple(range(a.ndim - 1)))
        self._sow("means", f"{name}_mean", mean)
        if self.sites is None:
            return read
        index = list(self.shapes).index(name)
        return apply_site(
            self.sites[index], read, mean if self.means is None else self.means[index]
        )

    def _init(self, name: str) -> nn.initializers.Initializer:
        return nn.initializers.constant(self.kernels[name] if self.kernels else 0.0)

    def _perturbed(self, name: str, z: Array) -> Array:
        return self.module.perturb(f"{name}_delta", z, collection="deltas")

    def _sow(self, collection: str, name: str, value: Array | Moments) -> None:
        self.module.sow(collection, name, value, reduce_fn=lambda _, new: new)


def _convolve(inputs: Array, kernel: Array, strides: Sequence[int], padding: str, **_) -> Array:
    # As nn.Conv calls it, which is told above to neither pad nor dilate nor group.
    del padding
    return convolve(inputs, kernel, strides)


def draw_kernels(
    key: PRNGKeyArray, shapes: Shapes, moment: float, dtype: jnp.dtype
) -> dict[str, Array]:
    """Return kernels ~ N(0, 1 / (fan_in moment)), the first one ~ N(0, 1 / fan_in).

    Args:
        key: Decides them.
        shapes: Of the kernels; the first one reads data.
        moment: E[phi(z)^2] of the activation under z ~ N(0, 1).
        dtype: Of the kernels.
    """
    # One draw for all kernels: XLA needs .6 s of CPU to compile every further one.
    sizes = [math.prod(shape) for shape in shapes.values()]
    normal = jax.random.normal(key, (sum(sizes),), dtype)
    kernels, start = {}, 0
    for (name, shape), size in zip(shapes.items(), sizes, strict=True):
        fan_in = math.prod(shape[:-1])
        scale = (fan_in * (1.0 if start == 0 else moment)) ** -0.5
        kernels[name] = scale * normal[start : start + size].reshape(shape)
        start += size
    return kernels


def matched_params(
    layer_names: Sequence[str],
    params: Params,
    sites: Sequence[Site],
    means: Sequence[Float[Array, " _"]],
) -> Params:
    """Return parameters whose function with ``sites`` is that of ``params`` without.

    Args:
        layer_names: Names of dense layers and convolutions, one for every site.
        params: Parameters of the network without sites; those of norms stay.
        sites: One a layer.
        means: Means that the sites subtract, one array a layer.
    """
    matched = dict(params)
    for name, site, mean in zip(layer_names, sites, means, strict=True):
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        match = match_dense if kernel.ndim == 2 else match_conv
        kernel, bias = match(kernel, bias, site, mean)
        matched[name] = {"kernel": kernel, "bias": bias}
    return matched


def check_norm(name: str, norm: str, num_groups: int, units: Sequence[int]) -> None:
    """Raise unless there is such a norm and its groups divide the units of every layer it is on.

    Args:
        name: Of the model, for the message.
        norm: As in `signdyn.models.norms.NORMS`.
        num_groups: Read for ``group`` only.
        units: Of the layers that have one.

    Raises:
        ValueError: If not.
    """
    if norm not in NORMS:
        raise ValueError(f"{name}: norm must be one of {', '.join(NORMS)}, got {norm!r}.")
    if norm == "group" and any(num_groups < 1 or n % num_groups for n in units):
        raise ValueError(
            f"{name}: num_groups must divide the units of every hidden layer, got {num_groups=} "
            f"for layers of {', '.join(map(str, units))} units."
        )
