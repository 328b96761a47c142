"""The directions in which single units move: kept over a run of SGD, measured when it is over.

How many different examples a batch holds is data: a batch of B rows holds the first m of its
examples B / m times each, and its mean gradient is theirs. So one program runs m = 1 and m = B.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from experiments._generalization.spans import (
    effective_dimension,
    effective_dimension_of_gram,
    minority_share,
    one_signed,
    orthants_met,
    rank,
    second_moment_spectrum,
)
from signdyn.records import Variable
from signdyn.replicas import Draw, Hyper, Structure
from signdyn.training import Observation, Probe, TrainFn, make_train_fn
from signdyn.types import Params

NUM_UNITS = 4
"""Units of a layer whose updates are kept, the first ones; all units are drawn alike."""

NUM_LAYERS = 2
"""The layer that reads the data and the one that reads the first hidden units."""

NUM_IN_GRAM = 32
"""Updates of the whole network whose inner products are recorded; all enter its dimension."""

NUM_EIGENVALUES = 32
"""Of a unit's updates, the largest."""


class Point(NamedTuple):
    """What a variant is.

    Attributes:
        hyper: Rate and centering.
        examples: Different examples in a batch; must divide its size.
    """

    hyper: Hyper
    examples: Float[Array, "..."] | float


class Kept(NamedTuple):
    """The probe's state, T steps of P parameters.

    Attributes:
        updates: [T, P] of the whole network.
        kernels: One array [T, fan_in, units] a layer, of the kept units.
        inputs: One array [T, fan_in] a layer: what it reads on the batch's first example.
    """

    updates: Float[Array, "steps params"]
    kernels: tuple[Float[Array, "steps _ units"], ...]
    inputs: tuple[Float[Array, "steps _"], ...]


def directions_fn(structure: Structure, data: Any) -> TrainFn:
    """Return the run; its variants are `Point`s.

    Args:
        structure: With a batch size, and ``record_every`` as large as ``steps``.
        data: As for `signdyn.training.make_train_fn`.
    """
    train = make_train_fn(structure, data, directions_probe(structure))

    def run(draw: Draw, point: Point) -> dict[str, Any]:
        slots = jnp.arange(structure.batch_size) % jnp.asarray(point.examples).astype(jnp.int32)
        batches = jnp.asarray(draw.batches)[:, slots]
        trajectory = train.run(draw._replace(batches=batches), point.hyper)
        kept = jax.tree.map(lambda leaf: leaf[0], trajectory.probe)
        return {
            "loss": trajectory.loss,
            "final_loss": trajectory.final["train_loss"],
            "examples": jnp.asarray(point.examples),
            "gram": kept.updates @ kept.updates.T,
            "kernels": kept.kernels,
            "inputs": kept.inputs,
        }

    return TrainFn(train.draw, run)


def directions_probe(structure: Structure) -> Probe:
    """Return the probe that keeps every update, and what the layers of `NUM_LAYERS` read."""
    names = structure.model.layer_names[:NUM_LAYERS]
    steps = structure.steps

    def init(params: Params) -> Kept:
        kernels = [params[name]["kernel"] for name in names]
        flat = ravel_pytree(params)[0]
        return Kept(
            jnp.zeros((steps, flat.size), flat.dtype),
            tuple(jnp.zeros((steps, *k[:, :NUM_UNITS].shape), k.dtype) for k in kernels),
            tuple(jnp.zeros((steps, len(k)), k.dtype) for k in kernels),
        )

    def observe(state: Kept, observation: Observation) -> Kept:
        step, updates = observation.step, observation.updates
        inputs = observation.traces.inputs
        return Kept(
            state.updates.at[step].set(ravel_pytree(updates)[0]),
            tuple(
                kept.at[step].set(updates[name]["kernel"][:, :NUM_UNITS])
                for name, kept in zip(names, state.kernels, strict=True)
            ),
            tuple(
                kept.at[step].set(x[0])
                for x, kept in zip(inputs[:NUM_LAYERS], state.inputs, strict=True)
            ),
        )

    return Probe(init, observe)


def prefixes(steps: int) -> list[int]:
    """Return the numbers of steps after which spans are measured: powers of two, and all.

    Example:
        >>> prefixes(6)
        [1, 2, 4, 6]
    """
    return [*(2**k for k in range(steps.bit_length()) if 2**k < steps), steps]


TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "loss": (("step",), "nat", "mean nll of the step's batch"),
    "final_loss": ((), "nat", "mean nll on the training set after the last step"),
    "gram": (("first", "second"), "1", "inner products of the network's first updates"),
    "network_dimension": ((), "1", "effective dimension of the network's updates"),
    "one_signed": (("layer",), "1", "share of a unit's nonzero updates with one sign"),
    "unit_dimension": (("layer",), "1", "effective dimension of a unit's updates"),
    "spectrum": (
        ("layer", "eigenvalue"),
        "1",
        "eigenvalues of a unit's summed squared updates, as shares of their sum",
    ),
    "step_orthants": (("layer", "prefix"), "1", "orthants that a unit's updates lie in"),
    "most_step_orthants": (("layer",), "1", "the same after all steps, the largest over units"),
    "path_orthants": (
        ("layer", "prefix"),
        "1",
        "orthants around its start that a unit's weights have been in",
    ),
    "minority": (("layer",), "1", "share of the rarer sign in a unit's displacement"),
    "rank": (("layer", "prefix"), "1", "dimensions that a unit's updates span, single examples"),
    "rank_shown": (("layer", "prefix"), "1", "dimensions that the inputs shown so far span"),
    "rank_gap": (
        ("layer",),
        "1",
        "largest |rank of updates - rank of the inputs that moved the unit|, single examples",
    ),
}
"""Variables of the record: dimensions, unit, meaning; means over kept units that ever moved."""


def tabulate_directions(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays; computed here, by NumPy, in float64."""
    rows = []
    for place, examples in enumerate(results["examples"]):
        layers = [
            measure_layer(kernels[place], inputs[place], single=examples == 1)
            for kernels, inputs in zip(results["kernels"], results["inputs"], strict=True)
        ]
        rows.append({name: np.stack([layer[name] for layer in layers]) for name in layers[0]})
    table = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    gram = np.asarray(results["gram"])
    table["gram"] = gram[:, :NUM_IN_GRAM, :NUM_IN_GRAM]
    table["network_dimension"] = np.array([effective_dimension_of_gram(one) for one in gram])
    table |= {name: np.asarray(results[name]) for name in ("loss", "final_loss")}
    return {name: Variable(dims, table[name], *text) for name, (dims, *text) in TEXTS.items()}


def measure_layer(kernels: np.ndarray, inputs: np.ndarray, *, single: bool) -> dict[str, Any]:
    """Return what the kept units of one layer did.

    Args:
        kernels: [step, fan_in, unit] their updates.
        inputs: [step, fan_in] what the layer read on the first example of every batch.
        single: Whether there was no other example in it; ranks are NaN where there was.
    """
    ends = prefixes(len(inputs))
    shown = [rank(inputs[:end]) if single else np.nan for end in ends]
    moved = [unit for unit in np.moveaxis(kernels, 2, 0) if unit.any()]
    units = [_measure_unit(unit, inputs, np.array(shown, np.float64)) for unit in moved]
    measured = {name: _mean([unit[name] for unit in units]) for name in UNIT_SHAPES}
    most = [unit["step_orthants"][-1] for unit in units]
    gaps = [unit["rank_gap"] for unit in units]
    return {
        **{name: _shaped(value, name, len(ends)) for name, value in measured.items()},
        "most_step_orthants": np.max(most) if most else np.nan,
        "rank_gap": np.max(gaps) if gaps else np.nan,
        "rank_shown": np.array(shown, np.float64),
    }


UNIT_SHAPES = {
    "one_signed": "number",
    "unit_dimension": "number",
    "spectrum": "eigenvalues",
    "step_orthants": "prefixes",
    "path_orthants": "prefixes",
    "minority": "number",
    "rank": "prefixes",
}


def _measure_unit(updates: np.ndarray, inputs: np.ndarray, shown: np.ndarray) -> dict[str, Any]:
    """Return one unit's measurements; ``shown`` holds the inputs' ranks, NaN if none are asked."""
    moving = np.flatnonzero(updates.any(axis=1))
    path = np.cumsum(updates, axis=0, dtype=np.float64)
    spectrum = second_moment_spectrum(updates)
    ends = prefixes(len(updates))
    places = np.array(ends) - 1
    ranks = moved_by = shown
    if np.isfinite(shown).all():
        ranks = np.array([rank(updates[:end]) for end in ends], np.float64)
        if len(moving) < len(updates):
            moved = [rank(inputs[moving[moving < end]]) for end in ends]
            moved_by = np.array(moved, np.float64)
    return {
        "one_signed": one_signed(updates)[moving].mean(),
        "unit_dimension": effective_dimension(spectrum),
        "spectrum": spectrum,
        "step_orthants": orthants_met(updates)[places],
        "path_orthants": orthants_met(path)[places],
        "minority": minority_share(path[-1]),
        "rank": ranks,
        "rank_gap": np.abs(ranks - moved_by).max(),
    }


def _mean(values: Sequence[Any]) -> Any:
    return np.mean(values, axis=0) if values else np.nan


def _shaped(value: Any, name: str, num_prefixes: int) -> np.ndarray:
    """Return a unit's mean in the shape that the record has for it; NaN where no unit moved."""
    if UNIT_SHAPES[name] == "number":
        return np.asarray(value, np.float64)
    if UNIT_SHAPES[name] == "prefixes":
        return np.broadcast_to(np.asarray(value, np.float64), num_prefixes)
    padded = np.full(NUM_EIGENVALUES, np.nan)
    shown = np.atleast_1d(value)[:NUM_EIGENVALUES]
    padded[: len(shown)] = shown
    return padded
