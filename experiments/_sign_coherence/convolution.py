"""A convolutional network: signs of one example's gradients, by positions summed over.

A kernel sees an example at many positions, and its gradient is the sum over them: to a convolution
one example is what a batch is to a dense layer. Here deltas are kept at some positions only, drawn
at random: with one position the gradient is that of a dense layer on a patch, with all of them it
is the convolution's own.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments._sign_coherence.readings import doublings, plateau
from experiments._sign_coherence.training import snapshot_probe
from signdyn.diagnostics.signs import (
    example_sign_unanimity,
    pair_sign_agreement,
    share,
    sign_unanimity,
)
from signdyn.inputs import as_inputs
from signdyn.likelihoods import categorical
from signdyn.models.cnn import CNN
from signdyn.models.traces import trace_batch
from signdyn.records import Variable
from signdyn.replicas import Draw as ReplicaDraw
from signdyn.replicas import Hyper, Structure
from signdyn.training import Trajectory, make_train_fn
from signdyn.types import Params

SHOWN = 32
"""Examples whose gradients are read, the first ones."""

RANDOM_UNITS = 8
"""Units whose deltas are drawn, to compare with those of the network."""


class Draw(NamedTuple):
    """What is random about a replica.

    Attributes:
        network: Parameters, signs, and minibatches.
        order: [position] a permutation: k positions are those whose number in it is below k.
        deltas: [example, position, unit] standard normal.
    """

    network: ReplicaDraw
    order: Int[Array, " position"]
    deltas: Float[Array, "example position unit"]


def structure(data: Any, channels: tuple[int, ...], steps: int, batch_size: int) -> Structure:
    """Return the network, two or more convolutions that keep all positions, and its training."""
    last = len(channels) - 1
    model = CNN(data.input_shape, channels, data.num_classes, pool="mean", pool_after=(last,))
    return Structure(model, categorical(), steps=steps, batch_size=batch_size, record_every=steps)


def draw_fn(data: Any, structure: Structure) -> Callable[[PRNGKeyArray], Draw]:
    """Return the function of a key that draws a replica."""
    draw_network = make_train_fn(structure, data).draw
    positions = math.prod(data.input_shape[:2])

    def draw(key: PRNGKeyArray) -> Draw:
        network_key, own_key = jax.random.split(key)
        normal = jax.random.normal(own_key, (SHOWN * RANDOM_UNITS + 1, positions), jnp.float32)
        deltas = normal[1:].reshape(SHOWN, RANDOM_UNITS, positions).swapaxes(1, 2)
        return Draw(draw_network(network_key), jnp.argsort(normal[0]), deltas)

    return draw


def run_fn(data: Any, structure: Structure) -> Callable[[Draw, Hyper], Trajectory]:
    """Return the function of (draw, hyper) that trains a network and reads its first examples."""
    x, y = as_inputs(jnp.asarray(data.x_train)[:SHOWN]), jnp.asarray(data.y_train)[:SHOWN]
    num_convolutions, numbers = len(structure.model.channels), num_positions(data)

    def run(draw: Draw, hyper: Hyper) -> Trajectory:
        def measure(params: Params) -> dict[str, Array]:
            traces = trace_batch(structure.model, structure.likelihood, params, x, y)
            widest = max(h.shape[-1] for h in traces.inputs[:num_convolutions])
            patches = [
                jnp.pad(h, ((0, 0), (0, 0), (0, widest - h.shape[-1])))
                for h in traces.inputs[:num_convolutions]
            ]
            convolutions = jnp.stack(patches), jnp.stack(traces.deltas[:num_convolutions])
            return {
                **lax.map(lambda one: _of_convolution(one[0], one[1], draw, numbers), convolutions),
                "readout_unanimity": share(
                    example_sign_unanimity(traces.inputs[-1], traces.deltas[-1])
                ),
            }

        probe = snapshot_probe(measure, (0, structure.steps - 1))
        return make_train_fn(structure, data, probe).run(draw.network, hyper)

    return run


def num_positions(data: Any) -> tuple[int, ...]:
    """Return the numbers of positions that are summed over, up to all of them."""
    everywhere = math.prod(data.input_shape[:2])
    return tuple(dict.fromkeys([*doublings(everywhere)[::2], everywhere]))


def _of_convolution(
    patches: Float[Array, "example position fan_in"],
    deltas: Float[Array, "example position unit"],
    draw: Draw,
    numbers: tuple[int, ...],
) -> dict[str, Array]:
    units = deltas.shape[-1]
    both = jnp.concatenate([deltas, draw.deltas], axis=-1)

    def of_number(number: Array) -> dict[str, Array]:
        some = jnp.where((draw.order < number)[:, None], both, 0.0)
        grads = jnp.einsum("npf,npu->nfu", patches, some)
        equal = jax.vmap(pair_sign_agreement)(grads)
        return {
            "unanimity": share(jax.vmap(sign_unanimity)(grads[..., :units])),
            "agreement": share(equal[:, :units]),
            "random_agreement": share(equal[:, units:]),
        }

    read = lax.map(of_number, jnp.array(numbers))
    return {**read, "plateau": jnp.nanmean(jax.vmap(plateau)(patches))}


_CONV = ("snapshot", "convolution")
TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "unanimity": (
        (*_CONV, "positions"),
        "1",
        "share of (example, unit) whose gradients all have one sign",
    ),
    "agreement": (
        (*_CONV, "positions"),
        "1",
        "share of pairs of a unit's weights whose gradients on one example have one sign",
    ),
    "random_agreement": ((*_CONV, "positions"), "1", "the same, with deltas drawn N(0, 1)"),
    "plateau": (
        _CONV,
        "1",
        "what theory says of it for many positions and deltas of mean zero, from the uncentered "
        "cosines over the positions of one example",
    ),
    "readout_unanimity": (("snapshot",), "1", "unanimity of the dense readout"),
}
"""Variables of the record: dimensions, unit, meaning."""


def tabulate(trajectory: Trajectory) -> Mapping[str, Variable]:
    """Return a block's readings, before the first and the last step, as named arrays."""
    table = {
        name: Variable(dims, np.asarray(trajectory.probe[name])[:, -1], *text)
        for name, (dims, *text) in TEXTS.items()
    }
    text = "train accuracy after the last step"
    return {
        **table,
        "final_train_accuracy": Variable((), trajectory.final["train_accuracy"], "1", text),
    }
