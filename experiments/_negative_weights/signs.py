"""The measurement folded over training: signs of weights, biases and deltas at marked steps."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from experiments._path_probe import tabulate_losses
from signdyn.diagnostics.signs import negative_fraction, positive_fraction
from signdyn.records import Variable
from signdyn.training import Observation, Probe, Trajectory
from signdyn.types import Params

READINGS: Mapping[str, tuple[str, str]] = {
    "negative": ("weight", "number of weights below zero"),
    "positive": ("weight", "number of weights above zero"),
    "flipped": ("weight", "number of weights with the opposite sign of their start"),
    "mean_weight": ("1", "mean weight"),
    "negative_biases": ("1", "share of biases below zero"),
    "positive_deltas": ("1", "share of positive ones among the batch's nonzero deltas"),
}
"""What is read of every layer: unit and meaning."""


class Signs(NamedTuple):
    """Folded state.

    Attributes:
        start: Kernels before the first step, one row a layer, see `rows_of`.
        readings: Of `READINGS`, [mark, layer] each; NaN at marks to come.
    """

    start: Float[Array, "layer weight"]
    readings: dict[str, Float[Array, "mark layer"]]


def marks(steps: int) -> tuple[int, ...]:
    """Return the numbers of steps after which signs are counted: 0, powers of two, all but one.

    What is counted is what a step starts from, so that deltas are those of the same weights.

    Example:
        >>> marks(10)
        (0, 1, 2, 4, 8, 9)
    """
    powers = (2**k for k in range(steps.bit_length()))
    return tuple(sorted({0, steps - 1, *(n for n in powers if n < steps)}))


def sign_probe(steps: int, names: Sequence[str]) -> Probe:
    """Return the probe that counts signs at the marks of a training of ``steps`` updates.

    Args:
        steps: Of the training.
        names: Of the layers, in the order in which the model hands out their deltas.
    """
    places = np.array(marks(steps))

    def init(params: Params) -> Signs:
        start = rows_of([params[name]["kernel"] for name in names])
        undefined = jnp.full((len(places), len(names)), jnp.nan, start.dtype)
        return Signs(start, dict.fromkeys(READINGS, undefined))

    def observe(state: Signs, observation: Observation) -> Signs:
        here = jnp.asarray(places) == observation.step

        def counted() -> dict[str, Array]:
            layers = [observation.params[name] for name in names]
            latest = read_signs(state.start, layers, observation.traces.deltas)
            return {
                name: jnp.where(here[:, None], latest[name], values)
                for name, values in state.readings.items()
            }

        # counting costs as much as a step of a small network
        readings = lax.cond(jnp.any(here), counted, lambda: state.readings)
        return state._replace(readings=readings)

    return Probe(init, observe, lambda state: state.readings)


def rows_of(arrays: Sequence[Array]) -> Float[Array, "array longest"]:
    """Return one row an array, flattened and filled up with zeros, which have no sign.

    One reduction then serves all layers, which shortens compilation by seconds.

    Example:
        >>> print(rows_of([jnp.ones((2, 1)), jnp.ones(3)]))
        [[1. 1. 0.]
         [1. 1. 1.]]
    """
    longest = max(array.size for array in arrays)
    return jnp.stack([jnp.pad(jnp.ravel(a), (0, longest - a.size)) for a in arrays])


def read_signs(
    start: Float[Array, "layer weight"], layers: Sequence[Params], deltas: Sequence[Array]
) -> dict[str, Float[Array, " layer"]]:
    """Return `READINGS` of layers with these parameters and deltas, started from ``start``."""
    weights, biases = (rows_of([layer[kind] for layer in layers]) for kind in ("kernel", "bias"))
    sizes, units = (
        jnp.array([layer[kind].size for layer in layers], weights.dtype)
        for kind in ("kernel", "bias")
    )
    return {
        "negative": _count_negative(weights),
        "positive": _count_negative(-weights),
        "flipped": _count_negative(jnp.sign(start) * weights),
        "mean_weight": jnp.sum(weights, axis=1) / sizes,
        "negative_biases": _count_negative(biases) / units,
        "positive_deltas": positive_fraction(rows_of(deltas), axis=1),
    }


def _count_negative(rows: Float[Array, "row entry"]) -> Float[Array, " row"]:
    # a whole number, and NaN where an entry is
    return jnp.round(negative_fraction(rows, axis=1) * rows.shape[1])


def tabulate_signs(trajectory: Trajectory) -> Mapping[str, Variable]:
    """Return a block's losses and signs as named arrays."""
    table = dict(tabulate_losses(trajectory))
    for name, (units, text) in READINGS.items():
        values = np.asarray(trajectory.probe[name])[:, -1]  # the last record knows of all marks
        table[name] = Variable(("mark", "layer"), values, units, f"{text}, at marked steps")
    return table


def tabulate_parameters(trajectory: Trajectory) -> Mapping[str, Variable]:
    """Return a block's losses and final parameters as named arrays."""
    table = dict(tabulate_losses(trajectory))
    for name, layer in trajectory.params.items():
        for kind, dims in (("kernel", (f"{name}_in", f"{name}_out")), ("bias", (f"{name}_out",))):
            text = f"{kind} of {name} after the last step"
            table[f"{name}_{kind}"] = Variable(dims, layer[kind], "1", text)
    return table
