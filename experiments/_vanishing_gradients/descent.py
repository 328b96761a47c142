"""Gradient descent of one network in one arm's coordinates, until the target loss."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from experiments._vanishing_gradients.network import (
    Traces,
    Weights,
    delta_rms,
    first_over_last,
    lambda_max,
    plain,
    reparametrized,
    started,
    trace,
)
from experiments._vanishing_gradients.problem import Draw
from signdyn.centering import Centering
from signdyn.records import Variable

LOST = 10.0
"""A descent whose loss exceeds this many times a uniform guess's is given up."""


class Point(NamedTuple):
    """A point of the sweep.

    Attributes:
        activation: Its number in `experiments._fisher_spectrum.activation.NAMES`.
        depth: Number of hidden layers.
        centering: Coefficients of the sites.
        fall: Factor by which deltas fall, a layer, at the start; 0 for the activation's own.
        rate: Learning rate x lambda_max of the network's own Fisher at the start.
    """

    activation: Float[Array, ""] | float
    depth: Float[Array, ""] | float
    centering: Centering
    fall: Float[Array, ""] | float
    rate: Float[Array, ""] | float


class State(NamedTuple):
    """Carried along a descent.

    Attributes:
        weights: The weights.
        step: Number of losses that are known.
        losses: [step] mean nll before each update; NaN from the end of the descent on.
        fall: First hidden layer's delta over the last one's, latest.
    """

    weights: Weights
    step: Int[Array, ""]
    losses: Float[Array, " step"]
    fall: Float[Array, ""]


def measure(
    draw: Draw, point: Point, *, num_layers: int, steps: int, target_loss: float
) -> dict[str, Array]:
    """Return the losses of one descent, and what is described in `TEXTS`.

    It ends with the first loss that is at most the target, or that is lost, see `LOST`: a replica
    that runs alone takes no more steps than that.

    Args:
        draw: The digits and the start.
        point: Which network, in which coordinates, at which rate.
        num_layers: Hidden layers that arrays have room for.
        steps: Losses that are looked at, at most.
        target_loss: In nats.
    """
    batch, normal = draw.batch, draw.normal
    normal = normal._replace(kernels=normal.kernels[:num_layers], biases=normal.biases[:num_layers])
    raw, signs = started(normal, point.activation), draw.signs[: num_layers + 1]
    form = plain(point.activation, point.depth, raw)
    at_start = trace(raw, batch, form)
    in_arm = partial(reparametrized, raw, form, at_start, signs, fall=point.fall)
    # signs change no eigenvalue, but they would change its rounding, and so the rate
    unflipped = Centering(*(site._replace(flip=0.0) for site in point.centering))
    weights, form = in_arm(centering=unflipped)
    top = lambda_max(weights, batch.x, form)
    weights, form = in_arm(centering=point.centering)
    rate = jnp.asarray(point.rate, batch.x.dtype) / top
    lost = LOST * jnp.log(float(normal.readout_bias.size))

    def going(state: State) -> Array:
        latest = state.losses[state.step - 1]
        # false for NaN too
        open_end = (latest > target_loss) & (latest < lost)
        return (state.step < steps) & ((state.step == 0) | open_end)

    def step(state: State) -> State:
        traces: Traces = trace(state.weights, batch, form)
        return State(
            jax.tree.map(lambda w, g: w - rate * g, state.weights, traces.grads),
            state.step + 1,
            state.losses.at[state.step].set(traces.loss),
            first_over_last(delta_rms(traces, form.depth), form.depth),
        )

    nothing = jnp.full(steps, jnp.nan, batch.x.dtype)
    end = lax.while_loop(going, step, State(weights, jnp.array(0), nothing, nothing[0]))
    arrived = end.losses[end.step - 1] <= target_loss
    return {
        "loss": end.losses,
        "steps": crossing(end.losses, end.step, target_loss),
        "lambda_max": top,
        "step_size": rate,
        "end_fall": jnp.where(arrived, end.fall, jnp.nan),
    }


def crossing(
    losses: Float[Array, " step"], known: Array | int, target_loss: float
) -> Float[Array, ""]:
    """Return the updates at which the loss crosses the target, between steps on a log scale.

    Descents of few steps are told apart by fractions of one.

    Args:
        losses: Before each update; only the last known one may be at most the target.
        known: How many are known, at least one.
        target_loss: In nats.

    Returns:
        Updates; 0 if the first loss is at most the target, NaN if the last known one is not.

    Example:
        >>> print(crossing(jnp.array([8.0, 4.0, 1.0, jnp.nan]), 3, 2.0))
        1.5
    """
    last, before = losses[known - 1], losses[jnp.maximum(known - 2, 0)]
    steps = known - 2.0 + jnp.log(before / target_loss) / jnp.log(before / last)
    return jnp.where(last <= target_loss, jnp.where(known == 1, 0.0, steps), jnp.nan)


TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "loss": (("step",), "nat", "mean nll before a step; NaN after the descent's end"),
    "steps": ((), "step", "updates at which the loss crosses the target"),
    "lambda_max": ((), "nat / parameter^2", "largest eigenvalue of the Fisher at the start"),
    "step_size": ((), "parameter^2 / nat", "learning rate"),
    "end_fall": ((), "1", "first hidden layer's delta over the last one's at the target"),
}
"""Variables of the record: dimensions, unit, meaning."""


def tabulate(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays."""
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in TEXTS.items()}
