"""A multilayer perceptron with a site before every dense layer.

Any Flax module can be trained by `signdyn.training` that keeps the conventions of this one:

* ``__call__(x, sites=None, means=None)``; ``sites`` holds one `Site` a layer, ``means`` the
  means they subtract (by default the batch's own);
* it sows each layer's inputs as ``traces/<layer>_inputs`` and the batch mean of the
  activations at its site as ``means/<layer>_mean``;
* it perturbs each layer's pre-activations as ``deltas/<layer>_delta``;
* ``matched(params, sites, means)`` returns the parameters that give the same function with
  ``sites`` as ``params`` give without;
* ``params[<layer>]`` holds the kernel and the bias that the layer reads; if it holds others, of
  which these are a linear function, the model has that function as ``unmapped(params)``;
* if it normalizes over the batch, it sows each such layer's moments as
  ``norms/<layer>_moments`` and takes as ``__call__(..., norms=None)`` those to use, by the
  layer's name (by default the batch's own).

In a convolution a site acts per channel, and its inputs are patches, see `signdyn.models.cnn`.
"""

import itertools
from collections.abc import Mapping, Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from signdyn.activations import Activation, get_activation
from signdyn.centering import Site
from signdyn.models.layers import Pass, Shapes, check_norm, draw_kernels, matched_params
from signdyn.models.norms import Moments
from signdyn.types import Params


class MLP(nn.Module):
    """Dense layers of ``widths`` units and a linear readout of ``num_outputs``.

    Kernels start as N(0, 1 / (fan_in E[phi(z)^2])), z ~ N(0, 1), which keeps the second moment
    of the pre-activations from layer to layer and is He's rule for ReLU; the first layer, which
    reads data, starts as N(0, 1 / fan_in). Biases start at zero.

    Attributes:
        widths: Units of each hidden layer; empty for a linear model.
        num_outputs: Units of the readout.
        activation: Name in `signdyn.activations.ACTIVATIONS`, or an `Activation`.
        norm: In `signdyn.models.norms.NORMS`: what stands between each hidden layer and its
            nonlinearity.
        num_groups: Of units, for the norm ``group``.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> model = MLP(widths=(3,), num_outputs=2, activation="tanh")
        >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4)))["params"]
        >>> {name: layer["kernel"].shape for name, layer in params.items()}
        {'dense_0': (4, 3), 'dense_1': (3, 2)}
    """

    widths: Sequence[int]
    num_outputs: int
    activation: str | Activation = "relu"
    norm: str = "none"
    num_groups: int = 1

    def __post_init__(self):
        """Refuse a norm that there is not."""
        super().__post_init__()
        check_norm("MLP", self.norm, self.num_groups, self.widths)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the dense layers, in the order of the data's way through them."""
        return tuple(f"dense_{index}" for index in range(len(self.widths) + 1))

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch features"],
        sites: Sequence[Site] | None = None,
        means: Sequence[Float[Array, " _"]] | None = None,
        norms: Mapping[str, Moments] | None = None,
    ) -> Float[Array, "batch outputs"]:
        """Return the outputs; see the module's docstring for what is sown and perturbed."""
        activation = get_activation(self.activation)
        shapes = self._shapes(x.shape[-1])
        kernels = None
        if self.is_initializing():
            key, moment = self.make_rng("params"), activation.gaussian_second_moment
            kernels = draw_kernels(key, shapes, moment, x.dtype)
        layers = Pass(self, shapes, sites, means, norms, kernels, self.norm, self.num_groups)
        *hidden, readout = self.layer_names
        a = x
        for name in hidden:
            a = activation.fn(layers.normalized(name, layers.dense(name, a)))
        return layers.dense(readout, a)

    def _shapes(self, features: int) -> Shapes:
        units = (features, *self.widths, self.num_outputs)
        return dict(zip(self.layer_names, itertools.pairwise(units), strict=True))

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
            means: Means that the sites subtract, one array [units] a layer.
        """
        return matched_params(self.layer_names, params, sites, means)
