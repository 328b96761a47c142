"""What is trained: images, the four points of XOR, and what a point of a sweep says beside `Hyper`.

Four switches that are usually settled by the program are data here, so that one program serves
all of them: how much the data count in the loss (with 0, weight decay acts alone, in the same
code), the slope of the activation below zero (0 is ReLU), and whether a network also sees its
inputs negated.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from signdyn.activations import Activation
from signdyn.data import Dataset
from signdyn.inputs import as_inputs
from signdyn.likelihoods import Likelihood
from signdyn.training import NO_PROBE, Draw, Hyper, Probe, Structure, TrainFn, make_train_fn

Scalar = Float[Array, "..."] | float


class Data(NamedTuple):
    """What `signdyn.training.make_train_fn` takes.

    Attributes:
        x_train: [example, feature], floats or pixels of uint8; so is ``x_test``.
        y_train: Labels, and so are ``y_test``.
        num_classes: Number of classes.
        input_shape: Of one example.
        inputs: What a network reads of examples.
    """

    x_train: Any
    y_train: Any
    x_test: Any
    y_test: Any
    num_classes: int
    input_shape: tuple[int, ...]
    inputs: Callable[[Array], Array] = as_inputs


class Point(NamedTuple):
    """A point of a sweep.

    Attributes:
        hyper: As everywhere.
        evidence: Factor on every example's nll; 0 leaves weight decay alone.
        slope: Of the activation below zero; 0 is ReLU.
        mirror: Factor on the inputs' negatives, where a network sees them: 1 or 0.
    """

    hyper: Hyper
    evidence: Scalar = 1.0
    slope: Scalar = 0.0
    mirror: Scalar = 0.0


def images(data: Dataset) -> Data:
    """Return a data set's images."""
    x, y = data.x_train, data.y_train
    return Data(x, y, data.x_test, data.y_test, data.num_classes, data.input_shape)


def xor() -> Data:
    """Return the four points {0, 1}^2, labelled 1 where the coordinates differ."""
    x = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], np.float32)
    y = np.array([0, 1, 1, 0], np.int32)
    return Data(x, y, x, y, 2, (2,))


def train_fn_of(
    structure: Structure, data: Data, probe: Probe = NO_PROBE, *, mirrored: bool = False
) -> TrainFn:
    """Return the training function over (draw, `Point`).

    Args:
        structure: Static description; its model's activation is replaced by the point's.
        data: What is trained on.
        probe: What to measure.
        mirrored: Whether the network has an input for every feature's negative as well. Their
            weights start at zero, so with and without them it starts as the same function.
    """
    draw = make_train_fn(structure, data).draw

    def run(draw: Draw, point: Point) -> Any:
        own = replace(
            structure,
            model=structure.model.clone(activation=leaky(point.slope)),
            likelihood=weighted(structure.likelihood, point.evidence),
        )
        if not mirrored:
            return make_train_fn(own, data, probe).run(draw, point.hyper)
        train = make_train_fn(own, mirror_data(data, point.mirror), probe)
        return train.run(mirror_draw(draw), point.hyper)

    return TrainFn(draw, run)


def leaky(slope: Scalar) -> Activation:
    """Return the leaky ReLU whose slope below zero is an array; ReLU at 0, to the bit.

    Example:
        >>> print(leaky(jnp.array(0.5))(jnp.array([-2.0, 2.0])))
        [-1.  2.]
    """
    return Activation("leaky_relu", lambda z: jnp.where(z > 0, z, slope * z))


def weighted(likelihood: Likelihood, weight: Scalar) -> Likelihood:
    """Return a likelihood whose nll is multiplied by ``weight``; the Fisher is left as it is."""
    return likelihood._replace(nll=lambda outputs, labels: weight * likelihood.nll(outputs, labels))


def mirror_data(data: Data, mirror: Scalar) -> Data:
    """Return the data whose networks read the features' negatives, times ``mirror``, as well.

    Example:
        >>> print(mirror_data(xor(), 1.0).inputs(jnp.asarray(xor().x_train))[1])
        [ 0.  1. -0. -1.]
    """

    def both(x: Array) -> Array:
        x = data.inputs(x)
        return jnp.concatenate([x, -mirror * x], axis=1)

    return data._replace(inputs=both)


def mirror_draw(draw: Draw) -> Draw:
    """Return the draw of a network that has twice the inputs: weights 0 and signs +1 for them."""
    first, *others = draw.params
    kernel = draw.params[first]["kernel"]
    layer = {**draw.params[first], "kernel": jnp.concatenate([kernel, jnp.zeros_like(kernel)])}
    signs = jnp.concatenate([draw.signs[0], jnp.ones_like(draw.signs[0])])
    return draw._replace(
        params={first: layer, **{name: draw.params[name] for name in others}},
        signs=(signs, *draw.signs[1:]),
    )
