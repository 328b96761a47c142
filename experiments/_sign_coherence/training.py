"""Networks in training: signs of their gradients at a few steps, fewer and fewer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from experiments._sign_coherence.networks import Draw, Point, network, replica
from experiments._sign_coherence.readings import (
    Batches,
    attributed,
    batches,
    mean_by_size,
    padded,
    plateau,
)
from signdyn.diagnostics.signs import pair_sign_agreement, share
from signdyn.inputs import as_inputs
from signdyn.likelihoods import categorical
from signdyn.models.traces import Traces, trace_batch
from signdyn.records import Variable
from signdyn.replicas import Structure
from signdyn.training import Observation, Probe, Trajectory, make_train_fn
from signdyn.types import Params

ACTIVATIONS = ("relu", "sigmoid")
"""By their number."""

MAX_BATCHES = 2
"""Batches of one size that are averaged over."""


def recorded_steps(steps: int) -> tuple[int, ...]:
    """Return 0, the powers of two below the last step, and the last step of a descent.

    Example:
        >>> recorded_steps(12)
        (0, 1, 2, 4, 8, 11)
    """
    powers = [2**k for k in range((steps - 1).bit_length()) if 2**k < steps - 1]
    return tuple(dict.fromkeys([0, *powers, steps - 1]))


def snapshot_probe(measure: Callable[[Params], dict[str, Array]], steps: Sequence[int]) -> Probe:
    """Return the probe that measures the parameters before each of ``steps``, which come first.

    Args:
        measure: Parameters -> named arrays.
        steps: Ascending.
    """
    due_at = jnp.array(steps)

    def init(params: Params) -> dict[str, Array]:
        shapes = jax.eval_shape(measure, params)
        return {
            name: jnp.zeros((len(steps), *one.shape), one.dtype) for name, one in shapes.items()
        }

    def observe(state: dict[str, Array], observation: Observation) -> dict[str, Array]:
        def taken() -> dict[str, Array]:
            values = measure(observation.params)
            slot = jnp.searchsorted(due_at, observation.step)
            return {name: state[name].at[slot].set(value) for name, value in values.items()}

        return lax.cond(jnp.any(due_at == observation.step), taken, lambda: state)

    return Probe(init, observe)


def run_fn(data: Any, steps: int, batch_size: int) -> Callable[[Draw, Point], Trajectory]:
    """Return the function of (draw, point) that trains a network and reads its gradients.

    Args:
        data: Training and test set.
        steps: Updates.
        batch_size: Of the minibatches whose gradients are read, whatever is trained with.
    """
    x, y = as_inputs(jnp.asarray(data.x_train)), jnp.asarray(data.y_train)
    shown = batches(len(x), (1, batch_size, len(x)), MAX_BATCHES)

    def run(draw: Draw, point: Point) -> Trajectory:
        model, params = network(draw, point, ACTIVATIONS)
        likelihood = categorical()
        structure = Structure(model, likelihood, steps=steps, batch_size=len(x), record_every=steps)

        def measure(params: Params) -> dict[str, Array]:
            return layer_readings(trace_batch(model, likelihood, params, x, y), shown)

        probe = snapshot_probe(measure, recorded_steps(steps))
        return make_train_fn(structure, data, probe).run(*replica(draw, point, params))

    return run


def layer_readings(traces: Traces, shown: Batches) -> dict[str, Array]:
    """Return what `TEXTS` describes of one pass through the training set."""
    layers = padded(traces.inputs), padded(traces.deltas)
    return {"loss": traces.loss, **lax.map(lambda hd: _of_layer(hd[0], hd[1], shown), layers)}


def _of_layer(h: Array, d: Array, shown: Batches) -> dict[str, Array]:
    mean = jnp.mean(h, axis=0)
    varying = h - mean

    def of_batch(mask: Array) -> dict[str, Array]:
        own = d * mask[:, None]
        centered, bias_grad = varying.T @ own, jnp.sum(own, axis=0)
        of_mean = jnp.sum((mean[:, None] * bias_grad) ** 2)
        return {
            "agreement": share(pair_sign_agreement(h.T @ own)),
            "centered_agreement": jnp.nanmean(pair_sign_agreement(centered)),
            "attributed": jnp.nanmean(attributed(h, bias_grad, centered)),
            "mean_share": of_mean / (of_mean + jnp.sum(centered**2)),
        }

    read = lax.map(of_batch, jnp.asarray(shown.masks))
    by_size = {name: mean_by_size(shown, values) for name, values in read.items()}
    return {**by_size, "plateau": plateau(h)}


_SIZES = ("snapshot", "layer", "batch_size")
TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "loss": (("snapshot",), "nat", "mean nll on the training set"),
    "agreement": (
        _SIZES,
        "1",
        "share of pairs of a unit's weights whose gradients have one sign; of one example, a "
        "minibatch, and the training set",
    ),
    "centered_agreement": (_SIZES, "1", "the same of the gradients that centered inputs make"),
    "attributed": (
        _SIZES,
        "1",
        "what the mean's part of the gradients would make it if the rest were noise",
    ),
    "mean_share": (_SIZES, "1", "share of the mean's part in the sum of squares of both parts"),
    "plateau": (
        ("snapshot", "layer"),
        "1",
        "what theory says for large batches and deltas of mean zero",
    ),
}
"""Variables of the record: dimensions, unit, meaning."""


def tabulate(trajectory: Trajectory) -> Mapping[str, Variable]:
    """Return a block's readings as named arrays."""
    table = {
        name: Variable(dims, np.asarray(trajectory.probe[name])[:, -1], *text)
        for name, (dims, *text) in TEXTS.items()
    }
    rises = np.mean(np.diff(trajectory.loss, axis=1) > 0, axis=1)
    table["loss_rises"] = Variable((), rises, "1", "share of steps after which the loss was higher")
    for name in ("train_accuracy", "test_accuracy"):
        text = f"{name.replace('_', ' ')} after the last step"
        table[f"final_{name}"] = Variable((), trajectory.final[name], "1", text)
    return table
