r"""The networks that race: one program for all activations, centerings and scalings.

What is usually static is a number here: the activation, and the map that every layer reads its
inputs through (none, each unit divided by its standard deviation, or whitening), so that all arms
are points of one compiled program. Maps come from the activations at the start, and weights are
matched to them and to the centering: all arms of a seed and an activation start as one function.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from experiments._fisher_spectrum.activation import NAMES, chosen
from signdyn.activations import get_activation
from signdyn.centering import Site
from signdyn.likelihoods import Likelihood, categorical
from signdyn.models.mlp import MLP
from signdyn.models.traces import init_params
from signdyn.models.whitening import Mapped, standardizing_map, whitening_map
from signdyn.training import Draw, Hyper, Probe, Structure, TrainFn, Trajectory, make_train_fn
from signdyn.types import Params

SCALINGS = ("none", "standardized", "whitened")
"""Maps by their number."""

FLOOR = 0.1
"""Added to variances and eigenvalues before they are divided by, as a share of their mean: a
pixel may hardly vary, and a ReLU unit not at all."""


class Point(NamedTuple):
    """A point of the sweep.

    Attributes:
        hyper: Learning rate and centering.
        activation: Its number in `NAMES`.
        input_scaling: Number in `SCALINGS`, of the map after the input's site.
        hidden_scaling: The same, after the hidden sites.
        shifted: 1 to start as the function that the drawn weights make of centered inputs, by
            biases of the first layer; 0 as that of raw ones.
    """

    hyper: Hyper
    activation: Float[Array, ""] | float = 0.0
    input_scaling: Float[Array, ""] | float = 0.0
    hidden_scaling: Float[Array, ""] | float = 0.0
    shifted: Float[Array, ""] | float = 0.0


class Problem(NamedTuple):
    """What all arms share: data as `signdyn.training.make_train_fn` takes it, and the network."""

    data: Any
    widths: tuple[int, ...]
    likelihood: Likelihood = categorical()

    @property
    def units(self) -> tuple[int, ...]:
        """Inputs, units of every hidden layer, outputs."""
        return (self.data.x_train.shape[1], *self.widths, self.data.num_classes)


def structure(problem: Problem, model: Any, *, steps: int = 1) -> Structure:
    """Return what is static of a descent with full batches."""
    return Structure(model, problem.likelihood, steps=steps)


def draw_fn(problem: Problem) -> Callable[[PRNGKeyArray], Draw]:
    """Return the draw of all networks: ReLU networks' weights."""
    model = MLP(problem.widths, problem.units[-1], "relu")
    return make_train_fn(structure(problem, model), problem.data).draw


def norm_train_fn(problem: Problem, probe: Probe, steps: int, norm: str) -> TrainFn:
    """Return the function of (draw, hyper) that trains ReLU networks with a norm.

    Their kernels are those that the networks without norms start with.
    """
    model = MLP(problem.widths, problem.units[-1], "relu", norm)
    train = make_train_fn(structure(problem, model, steps=steps), problem.data, probe)

    def run(draw: Draw, hyper: Hyper) -> Trajectory:
        fresh = init_params(model, jax.random.key(0), jnp.asarray(problem.data.x_train))
        return train.run(draw._replace(params={**fresh, **draw.params}), hyper)

    return TrainFn(draw_fn(problem), run)


def train_fn(problem: Problem, probe: Probe, steps: int) -> TrainFn:
    """Return the function of (draw, point) that trains with full batches."""

    def run(draw: Draw, point: Point) -> Trajectory:
        model, draw = started(problem, draw, point)
        train = make_train_fn(structure(problem, model, steps=steps), problem.data, probe)
        return train.run(draw, point.hyper)

    return TrainFn(draw_fn(problem), run)


def started(problem: Problem, draw: Draw, point: Point) -> tuple[Mapped, Draw]:
    """Return a point's model, and the draw as its parameters before centering."""
    x = jnp.asarray(problem.data.x_train)
    model = MLP(problem.widths, problem.units[-1], chosen(point.activation))
    first, *hidden = model.layer_names
    moments = [get_activation(name).gaussian_second_moment for name in NAMES]
    moment = jnp.array(moments, x.dtype)[jnp.asarray(point.activation).astype(int)]
    params = dict(draw.params)
    for name in hidden:
        # drawn for ReLU, whose moment is a half
        params[name] = {**params[name], "kernel": params[name]["kernel"] * (0.5 / moment) ** 0.5}
    kernel, bias = params[first]["kernel"], params[first]["bias"]
    shift = jnp.asarray(point.shifted, x.dtype) * jnp.mean(x, axis=0)
    params[first] = {"kernel": kernel, "bias": bias - shift @ kernel}
    inputs = layer_inputs(model, params, x)
    numbers = [point.input_scaling, *[point.hidden_scaling] * len(hidden)]
    maps = {
        name: scaling_map(rows, number)
        for (name, rows), number in zip(inputs.items(), numbers, strict=True)
    }
    mapped = Mapped(model, maps)
    return mapped, draw._replace(params=mapped.mapped(params))


def layer_inputs(
    model: Any, params: Params, x: Array, sites: Sequence[Site] | None = None
) -> Mapping[str, Float[Array, "example unit"]]:
    """Return what every layer reads, after its site and before its map, by name."""
    _, sown = model.apply({"params": params}, x, sites, mutable=["traces"])
    return {name: sown["traces"][f"{name}_inputs"] for name in model.layer_names}


def scaling_map(
    inputs: Float[Array, "example unit"], number: Float[Array, ""] | float
) -> Float[Array, "unit unit"]:
    """Return the map of that number in `SCALINGS` for a layer with these inputs."""
    centered = inputs - jnp.mean(inputs, axis=0)
    covariance = centered.T @ centered / len(inputs)
    floor = FLOOR * jnp.mean(jnp.diagonal(covariance))
    maps = [
        jnp.eye(len(covariance), dtype=covariance.dtype),
        standardizing_map(covariance, floor),
        whitening_map(covariance, floor),
    ]
    return jnp.stack(maps)[jnp.asarray(number).astype(int)]
