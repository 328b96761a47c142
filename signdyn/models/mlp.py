"""A multilayer perceptron with a site before every dense layer.

Any Flax module can be trained by `signdyn.training` that keeps the conventions of this one:

* ``__call__(x, sites=None, means=None)``; ``sites`` holds one `Site` a layer, ``means`` the
  means they subtract (by default the batch's own);
* it sows each layer's inputs as ``traces/<layer>_inputs`` and the batch mean of the
  activations at its site as ``means/<layer>_mean``;
* it perturbs each layer's pre-activations as ``deltas/<layer>_delta``;
* ``matched(params, sites, means)`` returns the parameters that give the same function with
  ``sites`` as ``params`` give without.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.activations import Activation, get_activation
from signdyn.centering import Site, apply_site, match_dense
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

    Example:
        >>> import jax
        >>> model = MLP(widths=(3,), num_outputs=2, activation="tanh")
        >>> params = model.init(jax.random.key(0), jnp.zeros((1, 4)))["params"]
        >>> {name: layer["kernel"].shape for name, layer in params.items()}
        {'dense_0': (4, 3), 'dense_1': (3, 2)}
    """

    widths: Sequence[int]
    num_outputs: int
    activation: str | Activation = "relu"

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
    ) -> Float[Array, "batch outputs"]:
        """Return the outputs; see the module's docstring for what is sown and perturbed."""
        activation = get_activation(self.activation)
        units = (*self.widths, self.num_outputs)
        kernels = self._drawn_kernels(x) if self.is_initializing() else None
        a = x
        z = x
        for index, name in enumerate(self.layer_names):
            mean = jnp.mean(a, axis=0)
            self.sow("means", f"{name}_mean", mean, reduce_fn=_keep_last)
            h = a
            if sites is not None:
                h = apply_site(sites[index], a, mean if means is None else means[index])
            self.sow("traces", f"{name}_inputs", h, reduce_fn=_keep_last)
            init = nn.initializers.constant(kernels[index] if kernels else 0.0)
            z = nn.Dense(units[index], kernel_init=init, param_dtype=h.dtype, name=name)(h)
            z = self.perturb(f"{name}_delta", z, collection="deltas")
            a = activation.fn(z)
        return z

    def _drawn_kernels(self, x: Float[Array, "batch features"]) -> list[Array]:
        # One draw for all kernels: XLA needs .6 s of CPU to compile every further one.
        moment = get_activation(self.activation).gaussian_second_moment
        fan_in = (x.shape[-1], *self.widths)
        units = (*self.widths, self.num_outputs)
        sizes = [n * m for n, m in zip(fan_in, units, strict=True)]
        normal = jax.random.normal(self.make_rng("params"), (sum(sizes),), x.dtype)
        kernels, start = [], 0
        for index, (n, m) in enumerate(zip(fan_in, units, strict=True)):
            scale = (n * (1.0 if index == 0 else moment)) ** -0.5
            kernels.append(scale * normal[start : start + n * m].reshape(n, m))
            start += n * m
        return kernels

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
        matched = dict(params)
        for name, site, mean in zip(self.layer_names, sites, means, strict=True):
            kernel, bias = match_dense(params[name]["kernel"], params[name]["bias"], site, mean)
            matched[name] = {"kernel": kernel, "bias": bias}
        return matched


def _keep_last(_, new):
    return new
