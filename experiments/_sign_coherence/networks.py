r"""Networks of any activation and width in one program, before their first step.

Hidden layers of equal width, kernels drawn as those of `signdyn.models.mlp.MLP`, biases zero. The
activation is a number, and the width is data: a narrower network is a corner of a wider one, whose
other units feed nobody and receive no delta.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments._sign_coherence.activation import chosen, second_moment
from signdyn.centering import CENTERINGS, Centering
from signdyn.models.mlp import MLP
from signdyn.replicas import Draw as ReplicaDraw
from signdyn.replicas import Hyper, batch_order
from signdyn.types import Params

RANDOM_UNITS = 32
"""Units whose deltas are drawn, to compare with those of the network."""


class Point(NamedTuple):
    """A point of the sweep; every leaf a float.

    Attributes:
        activation: Its number among those of the program.
        width: Units of every hidden layer.
        learning_rate: Of a descent.
        minibatches: 1 to train with the draw's minibatches, 0 with all examples every step.
        centering: Coefficients of the sites.
    """

    activation: Float[Array, ""] | float
    width: Float[Array, ""] | float
    learning_rate: Float[Array, ""] | float = 0.0
    minibatches: Float[Array, ""] | float = 0.0
    centering: Centering = CENTERINGS["none"]


class Draw(NamedTuple):
    """What is random about a replica.

    Attributes:
        kernels: One [fan_in, units] a layer, standard normal, of the widest network.
        signs: One [fan_in] a layer, +1 or -1, for the arm that flips.
        deltas: [example, unit] standard normal.
        order: [example] a permutation of the training set.
        batches: [step, example] rows of minibatches, whose size divides the training set's, or
            None.
    """

    kernels: tuple[Float[Array, "_ _"], ...]
    signs: tuple[Float[Array, " _"], ...]
    deltas: Float[Array, "example unit"]
    order: Int[Array, " example"]
    batches: Int[Array, "step example"] | None


def draw_fn(
    units: Sequence[int], num_examples: int, batching: tuple[int, int] | None = None
) -> Callable[[PRNGKeyArray], Draw]:
    """Return the function of a key that draws a replica.

    Args:
        units: Inputs, hidden units of every layer, outputs.
        num_examples: Of the training set.
        batching: Batch size and number of steps, or None for no minibatches.
    """
    shapes = list(itertools.pairwise(units))
    sizes = [n * m for n, m in shapes]
    sizes += [*units[:-1], num_examples * RANDOM_UNITS, num_examples]

    def draw(key: PRNGKeyArray) -> Draw:
        number_key, order_key = jax.random.split(key)
        # one call for all, since every call compiles a generator of its own
        normal = jax.random.normal(number_key, (sum(sizes),), jnp.float32)
        *parts, deltas, order = jnp.split(normal, np.cumsum(sizes)[:-1])
        kernels = zip(parts, shapes, strict=False)
        return Draw(
            kernels=tuple(kernel.reshape(shape) for kernel, shape in kernels),
            signs=tuple(jnp.sign(part) for part in parts[len(shapes) :]),
            deltas=deltas.reshape(num_examples, RANDOM_UNITS),
            order=jnp.argsort(order),
            batches=None if batching is None else batch_order(order_key, num_examples, *batching),
        )

    return draw


def network(draw: Draw, point: Point, activations: Sequence[str]) -> tuple[MLP, Params]:
    """Return the model and its parameters; the point's activation is a number among names."""
    hidden = tuple(kernel.shape[1] for kernel in draw.kernels[:-1])
    model = MLP(hidden, draw.kernels[-1].shape[1], chosen(point.activation, activations))
    moment = second_moment(point.activation, activations)
    params, last = {}, len(draw.kernels) - 1
    for index, (name, kernel) in enumerate(zip(model.layer_names, draw.kernels, strict=True)):
        rows, columns = kernel.shape
        fan_in = rows if index == 0 else point.width * moment
        reads = jnp.ones(rows, kernel.dtype) if index == 0 else units_on(rows, point)
        feeds = jnp.ones(columns, kernel.dtype) if index == last else units_on(columns, point)
        scaled = kernel * reads[:, None] * feeds / jnp.sqrt(fan_in)
        params[name] = {"kernel": scaled, "bias": jnp.zeros(columns, kernel.dtype)}
    return model, params


def units_on(units: int, point: Point) -> Float[Array, " unit"]:
    """Return 1 for the units of the point's network, 0 for those beyond its width."""
    return (jnp.arange(units) < point.width).astype(jnp.float32)


def replica(draw: Draw, point: Point, params: Params) -> tuple[ReplicaDraw, Hyper]:
    """Return the replica as `signdyn.training` takes it: no label noise.

    A step reads as many rows as there are examples: all of them, or each row of a minibatch
    several times, which is the same mean. So both are one program.
    """
    num_examples, batches = len(draw.order), draw.batches
    if batches is not None:
        rows = jnp.repeat(batches, num_examples // batches.shape[1], axis=1)
        batches = jnp.where(point.minibatches > 0, rows, jnp.arange(num_examples))
    noise = jnp.zeros((2, num_examples), draw.deltas.dtype)
    own = ReplicaDraw(params, draw.signs, label_noise=noise, batches=batches)
    return own, Hyper(point.learning_rate, centering=point.centering)
