"""What is folded over a descent: turns of updates and of gradients, and where updates point.

An optimizer with memory averages gradients, and an average turns back rarely even where what it
averages alternates. So both are followed: the updates, which are the path, and the gradients at
the successive points of that path.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import tree
from jaxtyping import Array, Bool, Float

from experiments._path_probe import tabulate_losses
from signdyn.diagnostics.signs import sign_coherence
from signdyn.diagnostics.zigzag import (
    Path,
    empty_path,
    extend,
    reversal_fraction,
    tortuosity,
)
from signdyn.records import Variable
from signdyn.training import Observation, Probe, Trajectory
from signdyn.types import Params

Kernels = list[Float[Array, "fan_in unit"]]


class State(NamedTuple):
    """Folded state; everything stops once the training loss has reached the target.

    Attributes:
        updates: The path.
        grads: The batch gradients one after the other, as if each were an update.
        reached: Whether the target was reached.
        steps: Number of steps before that.
        coherence: Sum over those steps of the first layer's `sign_coherence` of the update, mean
            over units. The first layer alone: what it reads does not change while it is trained.
        along_mean: Sum over those steps of the first layer's `share_along_mean`.
        start: Kernels before the first step.
        latest: Kernels after the last step that counts.
    """

    updates: Path
    grads: Path
    reached: Bool[Array, ""]
    steps: Float[Array, ""]
    coherence: Float[Array, ""]
    along_mean: Float[Array, ""]
    start: Kernels
    latest: Kernels


READINGS: Mapping[str, str] = {
    "tortuosity": "path length over displacement",
    "reversal_fraction": "share of successive updates with negative cosine",
    "gradient_reversals": "share of successive batch gradients with negative cosine",
    "coherence": "sign coherence of the update, first layer, mean over units",
    "along_mean": "share of the kernel update's energy along the inputs' mean, first layer",
    "sum_drift": "largest change of a unit's weight sum over the largest absolute change",
}
"""What `optimizer_probe` reads, each a number without unit, and what it means."""


def share_along_mean(
    inputs: Float[Array, "example fan_in"], update: Float[Array, "fan_in unit"]
) -> Float[Array, ""]:
    """Return |m^T U|^2 / (|m|^2 |U|^2), m the mean over examples of what the layer reads.

    In [0, 1]; an update that points anywhere has 1 / fan_in on average. Orthogonal changes of the
    inputs' coordinates, sign flips among them, leave it alone. NaN without a mean or an update;
    of no meaning where the mean is zero up to rounding.

    Example:
        >>> inputs = jnp.array([[1.0, 0.0], [3.0, 0.0]])
        >>> print(share_along_mean(inputs, jnp.array([[1.0], [1.0]])))
        0.5
    """
    mean = jnp.mean(inputs, axis=0)
    return jnp.sum((mean @ update) ** 2) / (jnp.sum(mean**2) * jnp.sum(update**2))


def sum_drift(start: Kernels, latest: Kernels) -> Float[Array, ""]:
    """Return max_j |sum_i D_ij| / max_j sum_i |D_ij|, D what the weights moved; largest layer's.

    0 if the incoming weights of every unit kept their sum.

    Example:
        >>> start = [jnp.zeros((2, 2))]
        >>> print(sum_drift(start, [jnp.array([[1.0, 1.0], [-1.0, 2.0]])]))
        1.0
    """
    moved = [after - before for before, after in zip(start, latest, strict=True)]
    ratios = [
        jnp.max(jnp.abs(jnp.sum(d, axis=0))) / jnp.max(jnp.sum(jnp.abs(d), axis=0)) for d in moved
    ]
    return jnp.max(jnp.stack(ratios))


def optimizer_probe(target_loss: float) -> Probe:
    """Return the probe of a descent until the training loss is ``target_loss``, nats."""

    def init(params: Params) -> State:
        kernels = _kernels(params)
        zero = jnp.zeros((), kernels[0].dtype)
        return State(
            updates=empty_path(params),
            grads=empty_path(params),
            reached=jnp.array(False),
            steps=zero,
            coherence=zero,
            along_mean=zero,
            start=kernels,
            latest=kernels,
        )

    def observe(state: State, observation: Observation) -> State:
        reached = state.reached | (observation.train_loss <= target_loss)
        updates = _kernels(observation.updates)
        coherence = jnp.nanmean(sign_coherence(updates[0]))
        along_mean = share_along_mean(observation.traces.inputs[0], updates[0])
        moved = State(
            updates=extend(state.updates, observation.updates),
            grads=extend(state.grads, observation.traces.grads),
            reached=reached,
            steps=state.steps + 1.0,
            coherence=state.coherence + coherence,
            along_mean=state.along_mean + along_mean,
            start=state.start,
            latest=tree.map(jnp.add, _kernels(observation.params), updates),
        )
        return tree.map(lambda new, old: jnp.where(reached, old, new), moved, state)._replace(
            reached=reached
        )

    def read(state: State) -> dict[str, Array]:
        return {
            "tortuosity": tortuosity(state.updates),
            "reversal_fraction": reversal_fraction(state.updates),
            "gradient_reversals": reversal_fraction(state.grads),
            "coherence": state.coherence / state.steps,
            "along_mean": state.along_mean / state.steps,
            "sum_drift": sum_drift(state.start, state.latest),
        }

    return Probe(init, observe, read)


def tabulate(trajectory: Trajectory) -> Mapping[str, Variable]:
    """Return a block's losses, and the readings of `optimizer_probe` at the last record."""
    table = dict(tabulate_losses(trajectory))
    for name, text in READINGS.items():
        values = np.asarray(trajectory.probe[name])[:, -1]
        table[name] = Variable((), values, "1", f"{text}, until the target loss")
    return table


def _kernels(params: Any) -> Kernels:
    return [layer["kernel"] for layer in params.values()]
