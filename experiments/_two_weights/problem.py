r"""The smallest problem in which an input has a mean: one neuron, two weights, two digit classes.

A neuron tells 8 from 3 by the ink x of twelve pixels, raw in [0, 1] and summed: an 8 is closed
there, a 3 is open. Its two inputs are x and the constant 1, both positive; its two weights
theta = (w, b) are those of the ink and of the constant (which is called the bias):

    p(8 | x) = sigmoid(w x + b) ,    loss = mean nll of the examples.

This choice makes the picture exact. With two weights besides a bias there are three coordinates,
and no plane has the loss's contours; with the bias fitted anew at every point, the mean would
drop out by itself, since a fitted bias absorbs it; without a bias, the centered neuron would be
another function. Here centering, x -> x - m, is the change of coordinates b' = b + w m, and
nothing is left out of the plane.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.natural import natural_gradient
from signdyn.analysis.spectrum import conditioning, spectrum_of_gram
from signdyn.centering import Centering, apply_site, match_dense, resolve_sites
from signdyn.data import Dataset
from signdyn.likelihoods import bernoulli

CLASSES = (3, 8)
"""Digits to tell apart; the label is 1 for the second."""

ROWS, COLUMNS = slice(1, 5), slice(0, 3)
"""Where ink is summed: the left of the upper half. No 3 or 8 is without ink there."""

START = 0.25
"""Both weights start uniformly in [-START, START], in raw coordinates."""

TARGET = 1e-4
"""Nats above the minimum at which a descent has arrived."""

NEWTON_STEPS = 24
"""Natural gradient steps to the minimum; they converge quadratically, in about six."""

LIKELIHOOD = bernoulli()


class Draw(NamedTuple):
    """What is random about a replica.

    Attributes:
        ink: [example] of digits drawn with replacement.
        labels: [example] 0 or 1.
        start: [2] weights (w, b), in raw coordinates.
        minimum: [2] weights of least loss, in raw coordinates.
    """

    ink: Float[Array, " example"]
    labels: Float[Array, " example"]
    start: Float[Array, "2"]
    minimum: Float[Array, "2"]


class Task(NamedTuple):
    """A draw in the coordinates of one arm.

    Attributes:
        inputs: [example, 2] ink, maybe centered or flipped, and the constant 1.
        labels: [example] 0 or 1.
        start: [2] the same function for every arm.
        minimum: [2] likewise.
        target_loss: Nats.
    """

    inputs: Float[Array, "example 2"]
    labels: Float[Array, " example"]
    start: Float[Array, "2"]
    minimum: Float[Array, "2"]
    target_loss: Float[Array, ""]


def two_classes(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return ink [example] and labels [example] of the training digits of `CLASSES`."""
    chosen = np.isin(data.y_train, CLASSES)
    images = data.x_train[chosen].reshape(-1, *data.input_shape)
    ink = images[:, ROWS, COLUMNS].sum(axis=(1, 2), dtype=np.float64)
    return ink, (data.y_train[chosen] == CLASSES[1]).astype(np.float64)


def draw_fn(ink: np.ndarray, labels: np.ndarray) -> Callable[[PRNGKeyArray], Draw]:
    """Return the function of a key that draws a start, and as many digits, with replacement."""

    def draw(key: PRNGKeyArray) -> Draw:
        # one call for both, since every call compiles a generator of its own
        uniform = jax.random.uniform(key, (2 + len(ink),), ink.dtype)
        start = START * (2.0 * uniform[:2] - 1.0)
        rows = jnp.floor(uniform[2:] * len(ink)).astype(int)
        own, truth = jnp.asarray(ink)[rows], jnp.asarray(labels)[rows]
        return Draw(own, truth, start, find_minimum(_with_constant(own), truth))

    return draw


def find_minimum(
    inputs: Float[Array, "example weight"], labels: Float[Array, " example"]
) -> Float[Array, " weight"]:
    """Return the weights of least loss; for a logistic neuron natural gradient is Newton's."""

    def newton(_: Array, theta: Array) -> Array:
        gradient = jax.grad(loss_of)(theta, inputs, labels)
        return theta - natural_gradient(factor_of(theta, inputs), gradient, damping=0.0)

    return lax.fori_loop(0, NEWTON_STEPS, newton, jnp.zeros(inputs.shape[1], inputs.dtype))


def make_task(draw: Draw, centering: Centering) -> Task:
    """Return the draw in an arm's coordinates: the input's constant or flip decides them."""
    ink = draw.ink[:, None]
    (site,) = resolve_sites(centering, [jnp.mean(ink, axis=0)], [-jnp.ones(1, ink.dtype)])
    no_batch_mean = jnp.zeros(1, ink.dtype)

    def match(theta: Array) -> Array:
        kernel, bias = match_dense(theta[:1, None], theta[1:], site, no_batch_mean)
        return jnp.concatenate([kernel[0], bias])

    inputs = _with_constant(apply_site(site, ink, no_batch_mean)[:, 0])
    minimum = match(draw.minimum)
    target_loss = loss_of(minimum, inputs, draw.labels) + TARGET
    return Task(inputs, draw.labels, match(draw.start), minimum, target_loss)


def landscape(task: Task) -> dict[str, Array]:
    """Return the curvature: the Fisher's at the minimum, and the largest there is anywhere."""
    at_minimum = conditioning(spectrum_of_gram(factor_of(task.minimum, task.inputs)), rcond=0.0)
    # p (1 - p) is largest, 1/4 on every example, where all weights are zero
    at_zero = spectrum_of_gram(factor_of(jnp.zeros_like(task.minimum), task.inputs))
    return {
        "lambda_max": at_minimum.lambda_max,
        "lambda_max_anywhere": at_zero[0],
        "condition_number": at_minimum.condition_number,
        "minimum": task.minimum,
        "target_loss": task.target_loss,
    }


def outputs_of(
    theta: Float[Array, " weight"], inputs: Float[Array, "example weight"]
) -> Float[Array, "example 1"]:
    """Return the neuron's logits."""
    return inputs @ theta[:, None]


def loss_of(
    theta: Float[Array, " weight"],
    inputs: Float[Array, "example weight"],
    labels: Float[Array, " example"],
) -> Float[Array, ""]:
    """Return the mean nll, nats."""
    return jnp.mean(LIKELIHOOD.nll(outputs_of(theta, inputs), labels))


def factor_of(
    theta: Float[Array, " weight"], inputs: Float[Array, "example weight"]
) -> Float[Array, "example weight"]:
    """Return the factor of the Fisher; here the Fisher is the Hessian."""
    return fisher_factor(outputs_of, LIKELIHOOD, theta, inputs)


def _with_constant(ink: Float[Array, " example"]) -> Float[Array, "example 2"]:
    return jnp.stack([ink, jnp.ones_like(ink)], axis=1)
