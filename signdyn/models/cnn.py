"""A convolutional network with a site before every layer, with the conventions of an MLP.

What is different from `signdyn.models.mlp`, and the same in every model with convolutions:

* inputs come flattened, [batch, features], as for training, and are given their shape here;
* before a convolution a site acts per *channel*: its mean is over examples and positions of the
  activations that the layer reads, without their padding, and it acts after the padding, so that
  function matching is exact at borders too;
* in `signdyn.models.traces.Traces` the inputs of a convolution are its patches
  [N, positions, height * width * channels], flattened as its kernel is, and its deltas are
  [N, positions, units], so that the kernel's gradient is
  ``einsum("npf,npu->fu", inputs, deltas) / N``.
"""

import itertools
from collections.abc import Mapping, Sequence

import flax.linen as nn
import jax
from jaxtyping import Array, Float

from signdyn.activations import Activation, get_activation
from signdyn.centering import Site
from signdyn.models.convolution import (
    PADDINGS,
    as_images,
    image_shape,
    max_pool,
    mean_pool,
    num_positions,
    swap_batch_and_channels,
)
from signdyn.models.layers import Pass, Shapes, check_norm, draw_kernels, matched_params
from signdyn.models.norms import Moments
from signdyn.types import Params

POOLS = {"max": max_pool, "mean": mean_pool}
"""Name -> what is made of every 2 x 2 activations."""


class CNN(nn.Module):
    """Convolutions, dense layers of ``widths`` units, and a linear readout of ``num_outputs``.

    Kernels start as those of `signdyn.models.mlp.MLP`, a convolution's fan_in being
    height * width * channels. Biases start at zero.

    Attributes:
        input_shape: Of one example, (height, width) or (height, width, channels), as
            `signdyn.data.Dataset.input_shape`.
        channels: Units of each convolution.
        num_outputs: Units of the readout.
        widths: Units of each hidden dense layer after the convolutions.
        kernel_size: Height and width of every kernel.
        strides: Of each convolution, down and across alike; one number for all of them, or one
            each.
        padding: "SAME" or "VALID".
        pool: In `POOLS`.
        pool_after: Numbers of the convolutions, from 0, whose activations are pooled.
        activation: Name in `signdyn.activations.ACTIVATIONS`, or an `Activation`.
        norm: In `signdyn.models.norms.NORMS`: what stands between each hidden layer and its
            nonlinearity.
        num_groups: Of units, for the norm ``group``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = CNN((8, 8), channels=(4, 6), num_outputs=10, pool_after=(0, 1))
        >>> init = lambda: model.init(jax.random.key(0), jnp.zeros((1, 64)))
        >>> params = jax.eval_shape(init)["params"]
        >>> {name: layer["kernel"].shape for name, layer in params.items()}
        {'conv_0': (3, 3, 1, 4), 'conv_1': (3, 3, 4, 6), 'dense_0': (24, 10)}
    """

    input_shape: Sequence[int]
    channels: Sequence[int]
    num_outputs: int
    widths: Sequence[int] = ()
    kernel_size: int = 3
    strides: int | Sequence[int] = 1
    padding: str = "SAME"
    pool: str = "max"
    pool_after: Sequence[int] = ()
    activation: str | Activation = "relu"
    norm: str = "none"
    num_groups: int = 1

    def __post_init__(self):
        """Refuse what cannot be built."""
        super().__post_init__()
        check_norm("CNN", self.norm, self.num_groups, (*self.channels, *self.widths))
        if self.padding not in PADDINGS:
            raise ValueError(
                f"CNN: padding must be one of {', '.join(PADDINGS)}, got {self.padding!r}."
            )
        if self.pool not in POOLS:
            raise ValueError(f"CNN: pool must be one of {', '.join(POOLS)}, got {self.pool!r}.")
        if not set(self.pool_after) <= set(range(len(self.channels))):
            raise ValueError(
                f"CNN: pool_after must hold numbers of its {len(self.channels)} convolutions, "
                f"from 0, got {tuple(self.pool_after)}."
            )
        if not isinstance(self.strides, int) and len(self.strides) != len(self.channels):
            raise ValueError(
                f"CNN: strides must be one number or one for each of {len(self.channels)} "
                f"convolutions, got {tuple(self.strides)}."
            )
        self._shapes()

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the data's way through them."""
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
        activation = get_activation(self.activation)
        shapes = self._shapes()
        kernels = None
        if self.is_initializing():
            key, moment = self.make_rng("params"), activation.gaussian_second_moment
            kernels = draw_kernels(key, shapes, moment, x.dtype)
        layers = Pass(self, shapes, sites, means, norms, kernels, self.norm, self.num_groups)
        a = swap_batch_and_channels(as_images("CNN", x, self.input_shape))
        for index, stride in enumerate(self._strides()):
            name = f"conv_{index}"
            z = layers.conv(name, a, (stride, stride), self.padding)
            a = activation.fn(layers.normalized(name, z))
            a = POOLS[self.pool](a) if index in self.pool_after else a
        # else XLA pools anew wherever it reads the transposed activations
        a = swap_batch_and_channels(jax.lax.optimization_barrier(a)).reshape(len(x), -1)
        *hidden, readout = [name for name in shapes if name.startswith("dense")]
        for name in hidden:
            a = activation.fn(layers.normalized(name, layers.dense(name, a)))
        return layers.dense(readout, a)

    def _strides(self) -> Sequence[int]:
        if isinstance(self.strides, int):
            return (self.strides,) * len(self.channels)
        return self.strides

    def _shapes(self) -> Shapes:
        *size, channels = image_shape("CNN", self.input_shape)
        shapes: dict[str, tuple[int, ...]] = {}
        for index, (units, stride) in enumerate(zip(self.channels, self._strides(), strict=True)):
            shapes[f"conv_{index}"] = (self.kernel_size, self.kernel_size, channels, units)
            size = [num_positions(n, self.kernel_size, stride, self.padding) for n in size]
            size = [n // 2 for n in size] if index in self.pool_after else size
            channels = units
        height, width = size
        if height < 1 or width < 1:
            raise ValueError(
                f"CNN: inputs of shape {tuple(self.input_shape)} leave nothing after the "
                f"convolutions; use smaller kernels or strides, fewer pools, or padding='SAME'."
            )
        units = (height * width * channels, *self.widths, self.num_outputs)
        for index, shape in enumerate(itertools.pairwise(units)):
            shapes[f"dense_{index}"] = shape
        return shapes

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
