"""One pass that yields the loss, the gradient, and every layer's inputs and deltas.

The gradient of one example's nll with respect to the weights into unit j is ``delta_j * h``:
two small arrays say what a [batch, fan_in, units] array of per-example gradients would.
Works for any Flax module with the conventions of `signdyn.models.mlp`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from signdyn.centering import Site
from signdyn.likelihoods import Likelihood, example_nll
from signdyn.models._gradients import layer_gradient
from signdyn.models.norms import Moments
from signdyn.types import Params


class Statistics(NamedTuple):
    """What a model takes from a batch as a whole.

    Attributes:
        means: Each site's mean activation before centering: one [units] a layer, or [channels].
        norms: Name -> mean and variance of the pre-activations, of the layers that are normalized
            over the batch.
    """

    means: tuple[Float[Array, " _"], ...]
    norms: dict[str, Moments]


class Traces(NamedTuple):
    """What one forward and backward pass through a batch of N examples yields.

    Attributes:
        loss: Mean nll, nats.
        grads: Gradient of ``loss``, a pytree like the parameters.
        outputs: [N, K].
        inputs: One array a layer: what its kernel reads, after the site. [N, fan_in] of a dense
            layer; of a convolution its patches [N, positions, height * width * channels],
            flattened as its kernel is.
        deltas: One array a layer: d nll / d pre-activation, in nats, example by example. [N, units]
            of a dense layer, so its kernel's gradient is ``inputs.T @ deltas / N``;
            [N, positions, units] of a convolution, so its (flattened) kernel's gradient is
            ``einsum("npf,npu->fu", inputs, deltas) / N``.
        means: One array [units] a layer, of a convolution [channels]: the batch mean at its site,
            before the site.
        norms: Name -> mean and variance of the layer's pre-activations over the batch, of the
            layers that are normalized over it.
    """

    loss: Float[Array, ""]
    grads: Params
    outputs: Float[Array, "batch outputs"]
    inputs: tuple[Float[Array, "batch ... _"], ...]
    deltas: tuple[Float[Array, "batch ... _"], ...]
    means: tuple[Float[Array, " _"], ...]
    norms: dict[str, Moments]

    @property
    def statistics(self) -> Statistics:
        """What the model took from the batch as a whole."""
        return Statistics(self.means, self.norms)


def trace_batch(
    model: Any,
    likelihood: Likelihood,
    params: Params,
    x: Float[Array, "batch features"],
    y: Shaped[Array, "batch ..."],
    sites: Sequence[Site] | None = None,
) -> Traces:
    """Return loss, gradient, and each layer's inputs and deltas on one batch.

    Where a site subtracts the batch's own mean, examples are coupled and a delta is the
    derivative of the *summed* nll; ``inputs.T @ deltas / N`` is the kernel's gradient all the
    same.

    Args:
        model: A module with the conventions of `signdyn.models.mlp`.
        likelihood: Gives the nll, see `signdyn.likelihoods`.
        params: The module's ``params`` collection.
        x: Inputs.
        y: Labels, as the likelihood wants them.
        sites: One `Site` a layer; none means plain activations.

    Example:
        >>> import jax.numpy as jnp
        >>> from signdyn.likelihoods import gaussian
        >>> from signdyn.models.mlp import MLP
        >>> params = {"dense_0": {"kernel": jnp.array([[1.0], [1.0]]), "bias": jnp.zeros(1)}}
        >>> x, y = jnp.array([[1.0, 2.0]]), jnp.array([[1.0]])
        >>> traces = trace_batch(MLP((), 1), gaussian(), params, x, y)
        >>> print(traces.deltas[0], traces.grads["dense_0"]["kernel"].T)
        [[2.]] [[2. 4.]]
    """
    num_examples = x.shape[0]
    taps = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(lambda p: _apply(model, p, x, sites, ["deltas"])[1]["deltas"], params),
    )

    names = model.layer_names
    others = {name: value for name, value in params.items() if name not in names}

    def mean_nll(others, taps):
        variables = {"params": {**params, **others}, "deltas": taps}
        outputs, sown = model.apply(variables, x, sites, mutable=["traces", "means", "norms"])
        return jnp.mean(example_nll(likelihood, outputs, y)), (outputs, sown)

    (loss, (outputs, sown)), (grads, taps) = jax.value_and_grad(
        mean_nll, argnums=(0, 1), has_aux=True
    )(others, taps)
    inputs = [sown["traces"][f"{name}_inputs"] for name in names]
    deltas = [taps[f"{name}_delta"] for name in names]  # over N, as the loss is the mean
    for name, h, d in zip(names, inputs, deltas, strict=True):
        grads[name] = layer_gradient(params[name], h, d)
    if hasattr(model, "unmapped"):
        (grads,) = jax.vjp(model.unmapped, params)[1](grads)
    return Traces(
        loss=loss,
        grads=grads,
        outputs=outputs,
        inputs=tuple(inputs),
        deltas=tuple(num_examples * d for d in deltas),
        **sown_statistics(model, sown)._asdict(),
    )


def batch_statistics(
    model: Any,
    params: Params,
    x: Float[Array, "batch features"],
    sites: Sequence[Site] | None = None,
) -> Statistics:
    """Return what ``model`` takes from ``x`` as a whole, as a batch in training would be taken.

    Args:
        model: A module with the conventions of `signdyn.models.mlp`.
        params: Its ``params`` collection.
        x: The batch.
        sites: One `Site` a layer; none means plain activations.
    """
    return sown_statistics(model, _apply(model, params, x, sites, ["means", "norms"])[1])


def apply_frozen(
    model: Any,
    params: Params,
    x: Float[Array, "batch features"],
    sites: Sequence[Site] | None,
    statistics: Statistics,
) -> Float[Array, "batch outputs"]:
    """Return the outputs where ``statistics`` stand for the batch's own: examples are apart.

    Args:
        model: A module with the conventions of `signdyn.models.mlp`.
        params: Its ``params`` collection.
        x: Inputs.
        sites: One `Site` a layer; None means plain activations.
        statistics: Of the training set, or running ones.
    """
    return model.apply({"params": params}, x, sites, **frozen(statistics))


def frozen(statistics: Statistics) -> dict[str, Any]:
    """Return the keywords that give a model the statistics to use, for its call."""
    norms = {"norms": statistics.norms} if statistics.norms else {}  # not all models take some
    return {"means": statistics.means, **norms}


def site_means(
    model: Any,
    params: Params,
    x: Float[Array, "batch features"],
    sites: Sequence[Site] | None = None,
) -> tuple[Float[Array, " _"], ...]:
    """Return each site's mean activation over ``x``, before centering: one [units] a layer.

    Args:
        model: A module with the conventions of `signdyn.models.mlp`.
        params: Its ``params`` collection.
        x: The batch.
        sites: One `Site` a layer; none means plain activations.
    """
    return batch_statistics(model, params, x, sites).means


def init_params(model: Any, key: PRNGKeyArray, x: Float[Array, "batch features"]) -> Params:
    """Return freshly drawn parameters.

    Args:
        model: A module with the conventions of `signdyn.models.mlp`.
        key: Decides them.
        x: Inputs, of which only the shape and dtype of one row matter.
    """
    variables: nn.FrozenDict | dict = model.init(key, x[:1])
    return variables["params"]


def sown_statistics(model: Any, sown: Any) -> Statistics:
    """Return what a model has sown of a batch as a whole."""
    moments = {name: sown.get("norms", {}).get(f"{name}_moments") for name in model.layer_names}
    return Statistics(
        means=tuple(sown["means"][f"{name}_mean"] for name in model.layer_names),
        norms={name: found for name, found in moments.items() if found is not None},
    )


def _apply(model, params, x, sites, mutable):
    return model.apply({"params": params}, x, sites, mutable=mutable)
