"""What is measured along a descent: `measure`, a pure function of a draw and a `Hyper`."""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from experiments._two_weights.problem import (
    LIKELIHOOD,
    Draw,
    Task,
    factor_of,
    landscape,
    make_task,
    outputs_of,
)
from signdyn.analysis.natural import natural_gradient
from signdyn.diagnostics.signs import example_sign_unanimity, sign_unanimity
from signdyn.diagnostics.zigzag import (
    Path,
    empty_path,
    extend,
    mean_turning_cosine,
    reversal_fraction,
    tortuosity,
)
from signdyn.records import Variable
from signdyn.training import Hyper

Method = Literal["gradient", "single", "natural"]
"""Gradient of all examples, gradient of one after the other, natural gradient of all."""


class Fold(NamedTuple):
    """Carried along a descent; everything below ``theta`` stops at the target loss.

    Attributes:
        theta: [2] the weights.
        path: The path so far.
        reached: Whether the target was reached.
        steps: Number of steps before that.
        examples: Sum over those steps of the share of examples whose gradient has one sign.
        batch: Number of those steps whose full-batch gradient has one sign.
        update: Number of those steps whose update has one sign.
    """

    theta: Float[Array, "2"]
    path: Path
    reached: Bool[Array, ""]
    steps: Float[Array, ""]
    examples: Float[Array, ""]
    batch: Float[Array, ""]
    update: Float[Array, ""]


def measure(draw: Draw, hyper: Hyper, *, method: Method, steps: int) -> dict[str, Array]:
    """Return the path of one replica, and what is measured along it.

    Args:
        draw: The digits and the start.
        hyper: ``learning_rate`` counts the largest stable step, 2 / lambda_max of the Fisher at
            the minimum; a natural gradient takes it as it is. ``centering`` of the input makes
            the arm's coordinates.
        method: What the update follows. Natural gradients are undamped: two weights and
            hundreds of examples make a Fisher that has an inverse.
        steps: Updates.

    Returns:
        The variables described in `TEXTS`, and the arm's ``inputs`` and ``labels``.
    """
    task = make_task(draw, hyper.centering)
    curvature = landscape(task)
    rate = jnp.asarray(hyper.learning_rate, task.inputs.dtype)
    if method != "natural":
        rate = rate * 2.0 / curvature["lambda_max"]
    zero = jnp.zeros((), task.inputs.dtype)
    start = Fold(task.start, empty_path(task.start), jnp.array(False), zero, zero, zero, zero)

    def step(fold: Fold, time: Array) -> tuple[Fold, tuple[Array, Array]]:
        outputs = outputs_of(fold.theta, task.inputs)
        loss = jnp.mean(LIKELIHOOD.nll(outputs, task.labels))
        deltas = jax.grad(lambda f: jnp.sum(LIKELIHOOD.nll(f, task.labels)))(outputs)
        gradient = task.inputs.T @ deltas / len(deltas)  # [weight, 1]
        update = -rate * _direction(method, task, fold.theta, deltas, gradient[:, 0], time)
        return _extend(fold, task, loss, deltas, gradient, update), (fold.theta, loss)

    end, (weights, losses) = lax.scan(step, start, jnp.arange(steps))
    return {
        **curvature,
        "weights": weights,
        "loss": losses,
        "learning_rate": rate,
        "steps_to_target": jnp.where(end.reached, end.steps, jnp.nan),
        "examples_of_one_sign": end.examples / end.steps,
        "batches_of_one_sign": end.batch / end.steps,
        "updates_of_one_sign": end.update / end.steps,
        "reversal_fraction": reversal_fraction(end.path),
        "turning_cosine": mean_turning_cosine(end.path),
        "tortuosity": tortuosity(end.path),
        "inputs": task.inputs,
        "labels": task.labels,
    }


def _direction(
    method: Method, task: Task, theta: Array, deltas: Array, gradient: Array, time: Array
) -> Array:
    if method == "single":
        # resampled digits are in random order already
        example = time % len(deltas)
        return deltas[example] * task.inputs[example]
    if method == "natural":
        return natural_gradient(factor_of(theta, task.inputs), gradient, damping=0.0)
    return gradient


def _extend(
    fold: Fold, task: Task, loss: Array, deltas: Array, gradient: Array, update: Array
) -> Fold:
    reached = fold.reached | (loss <= task.target_loss)

    def add(total: Array, amount: Array | float) -> Array:
        return total + jnp.where(reached, 0.0, amount).astype(total.dtype)

    return Fold(
        theta=fold.theta + update,
        path=extend(fold.path, update, where=~reached),
        reached=reached,
        steps=add(fold.steps, 1.0),
        examples=add(fold.examples, jnp.nanmean(example_sign_unanimity(task.inputs, deltas))),
        batch=add(fold.batch, sign_unanimity(gradient)[0]),
        update=add(fold.update, sign_unanimity(update[:, None])[0]),
    )


_UNTIL = "until the target loss"
TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "weights": (("step", "weight"), "1", "weight of the ink and of the constant, before a step"),
    "loss": (("step",), "nat", "mean nll before a step"),
    "learning_rate": ((), "1", "step size"),
    "steps_to_target": ((), "step", "updates before the loss is at most the target"),
    "examples_of_one_sign": (
        (),
        "1",
        f"share of (step, example) whose gradient has one sign, {_UNTIL}",
    ),
    "batches_of_one_sign": (
        (),
        "1",
        f"share of steps whose full-batch gradient has one sign, {_UNTIL}",
    ),
    "updates_of_one_sign": ((), "1", f"share of steps whose update has one sign, {_UNTIL}"),
    "reversal_fraction": ((), "1", f"share of turns with negative cosine, {_UNTIL}"),
    "turning_cosine": ((), "1", f"mean cosine of successive updates, {_UNTIL}"),
    "tortuosity": ((), "1", f"path length over displacement, {_UNTIL}"),
    "minimum": (("weight",), "1", "weights of least loss"),
    "target_loss": ((), "nat", "loss at which the descent has arrived"),
    "lambda_max": ((), "nat", "largest eigenvalue of the Fisher at the minimum"),
    "lambda_max_anywhere": ((), "nat", "largest eigenvalue of the Fisher at any weights"),
    "condition_number": ((), "1", "lambda_max / lambda_min of the Fisher at the minimum"),
}
"""Variables of the record: dimensions, unit, meaning."""

DATA_TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "inputs": (("example", "weight"), "1", "ink, as the arm sees it, and the constant 1"),
    "labels": (("example",), "1", "1 for the second class"),
}
"""Variables of the record that are the same for all methods."""


def tabulate(*, with_data: bool) -> Callable[[Mapping[str, Any]], Mapping[str, Variable]]:
    """Return the function from a block's measurements to named arrays."""
    texts = {**TEXTS, **DATA_TEXTS} if with_data else TEXTS

    def table(results: Mapping[str, Any]) -> Mapping[str, Variable]:
        return {
            name: Variable(dims, results[name], units, long_name)
            for name, (dims, units, long_name) in texts.items()
        }

    return table
