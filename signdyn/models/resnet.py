r"""A small residual network with a site before every layer, with the conventions of a CNN.

A block of two convolutions is that of He et al. (2016, "Deep residual learning", figure 2),

    a' = phi(conv_1(phi(conv_0(a))) + shortcut(a)) ,

with a norm, if there is one, after every convolution. The identity shortcut reads and hands on the
plain activations, which no site has touched; a site acts on what a convolution reads. Where a
block changes channels or size, its shortcut is a 1 x 1 convolution, and as a layer like any other
it has a site of its own. So function matching is exact layer by layer. See `signdyn.models.cnn` for
what sites and traces of convolutions are.
"""

from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.activations import Activation, get_activation
from signdyn.centering import Site
from signdyn.models.convolution import as_images, image_shape, swap_batch_and_channels
from signdyn.models.layers import Pass, Shapes, check_norm, draw_kernels, matched_params
from signdyn.models.norms import Moments
from signdyn.types import Params


class ResNet(nn.Module):
    """A convolution (the stem), residual blocks, the mean over positions, and a linear readout.

    Kernels start as those of `signdyn.models.cnn.CNN`, but the last one of each block is smaller
    by the root of the number of blocks, so that what all branches add does not grow with it.

    Attributes:
        input_shape: Of one example, (height, width) or (height, width, channels).
        channels: Units of each block; the stem has as many as the first.
        num_outputs: Units of the readout.
        strides: Of each block's first convolution and shortcut; one number for all, or one each.
        kernel_size: Height and width of the kernels, but for the shortcuts'.
        activation: Name in `signdyn.activations.ACTIVATIONS`, or an `Activation`.
        norm: In `signdyn.models.norms.NORMS`: what stands after each convolution.
        num_groups: Of units, for the norm ``group``.

    Example:
        >>> import jax
        >>> model = ResNet((8, 8), channels=(4, 6), num_outputs=10, strides=(1, 2))
        >>> init = lambda: model.init(jax.random.key(0), jnp.zeros((1, 64)))
        >>> params = jax.eval_shape(init)["params"]
        >>> for name in model.layer_names:
        ...     print(name, params[name]["kernel"].shape)
        stem (3, 3, 1, 4)
        block_0_conv_0 (3, 3, 4, 4)
        block_0_conv_1 (3, 3, 4, 4)
        block_1_conv_0 (3, 3, 4, 6)
        block_1_conv_1 (3, 3, 6, 6)
        block_1_shortcut (1, 1, 4, 6)
        dense_0 (6, 10)
    """

    input_shape: Sequence[int]
    channels: Sequence[int]
    num_outputs: int
    strides: int | Sequence[int] = 1
    kernel_size: int = 3
    activation: str | Activation = "relu"
    norm: str = "none"
    num_groups: int = 1

    def __post_init__(self):
        """Refuse what cannot be built."""
        super().__post_init__()
        check_norm("ResNet", self.norm, self.num_groups, self.channels)
        if not self.channels:
            raise ValueError("ResNet: channels must name the units of at least one block.")
        if not isinstance(self.strides, int) and len(self.strides) != len(self.channels):
            raise ValueError(
                f"ResNet: strides must be one number or one for each of {len(self.channels)} "
                f"blocks, got {tuple(self.strides)}."
            )
        self._shapes()

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the data's way; a shortcut closes its block."""
        return tuple(self._shapes())

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch features"],
        sites: Sequence[Site] | None = None,
        means: Sequence[Float[Array, " _"]] | None = None,
        norms: Mapping[str, Moments] | None = None,
    ) -> Float[Array, "batch outputs"]:
        """Return the outputs; see `signdyn.models.mlp` for what is sown and perturbed."""
        phi = get_activation(self.activation).fn
        shapes = self._shapes()
        kernels = self._drawn(shapes, x) if self.is_initializing() else None
        layers = Pass(self, shapes, sites, means, norms, kernels, self.norm, self.num_groups)

        def conv(name: str, a: Array, stride: int = 1) -> Array:
            return layers.normalized(name, layers.conv(name, a, (stride, stride), "SAME"))

        images = as_images("ResNet", x, self.input_shape)
        a = phi(conv("stem", swap_batch_and_channels(images)))
        for index, stride in enumerate(self._strides()):
            block = f"block_{index}"
            branch = conv(f"{block}_conv_1", phi(conv(f"{block}_conv_0", a, stride)))
            shortcut = f"{block}_shortcut"
            a = phi(branch + (conv(shortcut, a, stride) if shortcut in shapes else a))
        return layers.dense("dense_0", jnp.mean(a, axis=(1, 2)).T)

    def _strides(self) -> Sequence[int]:
        if isinstance(self.strides, int):
            return (self.strides,) * len(self.channels)
        return self.strides

    def _shapes(self) -> Shapes:
        size = self.kernel_size
        channels = self.channels[0]
        in_channels = image_shape("ResNet", self.input_shape)[2]
        shapes: dict[str, tuple[int, ...]] = {"stem": (size, size, in_channels, channels)}
        for index, (units, stride) in enumerate(zip(self.channels, self._strides(), strict=True)):
            shapes[f"block_{index}_conv_0"] = (size, size, channels, units)
            shapes[f"block_{index}_conv_1"] = (size, size, units, units)
            if stride != 1 or channels != units:
                shapes[f"block_{index}_shortcut"] = (1, 1, channels, units)
            channels = units
        return {**shapes, "dense_0": (channels, self.num_outputs)}

    def _drawn(self, shapes: Shapes, x: Array) -> dict[str, Array]:
        moment = get_activation(self.activation).gaussian_second_moment
        kernels = draw_kernels(self.make_rng("params"), shapes, moment, x.dtype)
        share = len(self.channels) ** -0.5
        return {
            name: share * kernel if name.endswith("_conv_1") else kernel
            for name, kernel in kernels.items()
        }

    def matched(
        self,
        params: Params,
        sites: Sequence[Site],
        means: Sequence[Float[Array, " _"]],
    ) -> Params:
        """Return parameters whose function with ``sites`` is that of ``params`` without.

        Args:
            params: Parameters of the network without sites.
            sites: One a layer.
            means: Means that the sites subtract, one array a layer: [channels] or [units].
        """
        return matched_params(self.layer_names, params, sites, means)
