"""The measurement folded over a descent: path, coherence and deltas until a target loss."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from signdyn.diagnostics.signs import sign_coherence
from signdyn.diagnostics.zigzag import (
    Path,
    coordinate_flip_fraction,
    empty_path,
    extend,
    mean_turning_cosine,
    reversal_fraction,
    tortuosity,
)
from signdyn.records import Variable
from signdyn.training import Observation, Probe, Trajectory
from signdyn.types import Params


class PathState(NamedTuple):
    """Folded state; everything stops once the training loss has reached the target.

    Attributes:
        path: The path so far.
        reached: Whether the target was reached.
        samples: Number of steps before that at which signs were counted.
        coherence: [layer] sum over those steps of the batch gradient's sign coherence.
    """

    path: Path
    reached: Bool[Array, ""]
    samples: Float[Array, ""]
    coherence: Float[Array, " layer"]


COHERENCE_EVERY = 4
"""Steps between counts of signs, which cost as much as a fifth of a step of a small network."""

READINGS = {
    "tortuosity": "path length over displacement",
    "turning_cosine": "mean cosine of successive updates",
    "reversal_fraction": "share of turns with negative cosine",
    "coordinate_flips": "share of coordinates whose update changed sign",
    "coherence": "sign coherence of the batch gradient, mean over units",
}
"""What `path_probe` reads, without units, and what it means."""


def path_probe(target_loss: float) -> Probe:
    """Return the probe of how a descent goes until the training loss is ``target_loss``, nats."""

    def init(params: Params) -> PathState:
        kernels = _kernels(params)
        zeros = jnp.zeros(len(kernels), kernels[0].dtype)
        start = jnp.zeros((), kernels[0].dtype)
        return PathState(empty_path(params), jnp.array(False), start, zeros)

    def observe(state: PathState, observation: Observation) -> PathState:
        reached = state.reached | (observation.train_loss <= target_loss)
        grads = _kernels(observation.traces.grads)
        due = ~reached & (observation.step % COHERENCE_EVERY == 0)
        coherence = lax.cond(
            due,
            lambda: jnp.stack([jnp.nanmean(sign_coherence(grad)) for grad in grads]),
            lambda: jnp.zeros_like(state.coherence),
        )
        return PathState(
            path=extend(state.path, observation.updates, where=~reached),
            reached=reached,
            samples=state.samples + due.astype(state.samples.dtype),
            coherence=state.coherence + coherence,
        )

    def read(state: PathState) -> dict[str, Array]:
        return {
            "tortuosity": tortuosity(state.path),
            "turning_cosine": mean_turning_cosine(state.path),
            "reversal_fraction": reversal_fraction(state.path),
            "coordinate_flips": coordinate_flip_fraction(state.path),
            "coherence": state.coherence / state.samples,
        }

    return Probe(init, observe, read)


def tabulate_losses(trajectory: Trajectory) -> Mapping[str, Variable]:
    """Return a block's losses as named arrays."""
    table = {
        "loss": Variable(("step",), trajectory.loss, "nat", "mean nll of the step's batch"),
        "train_loss": Variable(
            ("record",), trajectory.train_loss, "nat", "mean nll on the training set"
        ),
        "diverged_at": Variable(
            (), trajectory.diverged_at, "step", "first step with a loss that is not finite, or -1"
        ),
    }
    for name, values in trajectory.final.items():
        units = "nat" if name.endswith("loss") else "1"
        text = f"{name.replace('_', ' ')} after the last step"
        table[f"final_{name}"] = Variable((), values, units, text)
    return table


def tabulate_descent(trajectory: Trajectory) -> Mapping[str, Variable]:
    """Return a block's losses, and the readings of `path_probe` at the last record."""
    table = dict(tabulate_losses(trajectory))
    for name, text in READINGS.items():
        values = np.asarray(trajectory.probe[name])[:, -1]
        dims = ("layer",) if values.ndim == 2 else ()
        table[name] = Variable(dims, values, "1", f"{text}, until the target loss")
    return table


def tabulate_on_the_way(trajectory: Trajectory) -> Mapping[str, Variable]:
    """Return the table of `tabulate_descent`, and two readings at every record: means so far.

    What lies between two records is theirs too, see `between_records`.
    """
    table = dict(tabulate_descent(trajectory))
    for name in ON_THE_WAY:
        values = np.asarray(trajectory.probe[name])
        dims = ("record", "layer") if values.ndim == 3 else ("record",)
        text = f"{READINGS[name]}, from the start to the record's last step"
        table[f"{name}_so_far"] = Variable(dims, values, "1", text)
    return table


ON_THE_WAY = ("turning_cosine", "coherence")


def between_records(means: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the means of what was added between records, from means over all until each record.

    Args:
        means: [..., record] running means.
        counts: [..., record] of how many values each is the mean; growing.

    Returns:
        [..., record]; NaN where nothing was added.

    Example:
        >>> between_records(np.array([2.0, 3.0, 3.0]), np.array([1, 3, 3]))  # of 2, then 3 and 4
        array([2. , 3.5, nan])
    """
    counts = np.broadcast_to(counts, means.shape)
    sums = np.where(counts > 0, means, 0.0).astype(np.float64) * counts
    added = np.diff(counts, axis=-1, prepend=0)
    with np.errstate(invalid="ignore"):
        return np.diff(sums, axis=-1, prepend=0.0) / np.where(added > 0, added, np.nan)


def steps_to_target(losses: np.ndarray, target_loss: float, every: int) -> np.ndarray:
    """Return the number of updates before the loss is at most the target; NaN if it never is.

    Args:
        losses: [..., record] training loss before update ``record * every``.
        target_loss: In nats.
        every: Updates between records.

    Example:
        >>> steps_to_target(np.array([[2.0, 1.0, 0.5], [2.0, 1.5, 1.2]]), 1.0, every=10)
        array([10., nan])
    """
    hit = np.asarray(losses) <= target_loss
    return np.where(hit.any(-1), hit.argmax(-1) * float(every), np.nan)


def _kernels(tree: Any) -> list[Array]:
    # norms have no kernel
    return [layer["kernel"] for layer in tree.values() if "kernel" in layer]
