"""One descent as the playground makes it, until the loss is low enough or the steps are used up.

Batches are cut from the training set in its one order, epoch after epoch; a remainder is added to
the next epoch's first batch. Loss, weights and biases as in ``nn.ts``; a weight that the L1 penalty
takes across zero stays zero for good. Everything that tells arms apart is data: one program serves
all arms, data sets and rates, and each replica stops when it is done.
"""

import itertools
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from experiments._sigmoid_vs_tanh.network import (
    Scalar,
    Units,
    drawn_params,
    match,
    pre_outputs,
    rate_shares,
    square_loss,
)
from experiments._sigmoid_vs_tanh.setting import NUM_DRAWS, Points, Setting
from signdyn.records import Variable
from signdyn.training import TrainFn
from signdyn.types import Params

COARSENESS = 20
"""The loss is looked at after every step at first, later after every twentieth part of them."""


class Point(NamedTuple):
    """What tells descents apart; every leaf a scalar.

    Attributes:
        dataset: Place among the setting's data sets.
        learning_rate: Step size.
        units: Hidden units, see `experiments._sigmoid_vs_tanh.network`.
        matched: 1 to start as the function that the drawn weights give with plain units, 0 to
            start from the drawn weights as they are.
        rates: Units whose slope and scale give every parameter a learning rate of its own.
        output_slope: Of the output unit.
        label_gap: Between the two labels.
        stop_loss: The descent ends at this loss.
        max_steps: It ends after so many steps.
    """

    dataset: Scalar = 0.0
    learning_rate: Scalar = 0.03
    units: Units = Units()
    matched: Scalar = 1.0
    rates: Units = Units()
    output_slope: Scalar = 1.0
    label_gap: Scalar = 2.0
    stop_loss: Scalar = 0.0
    max_steps: Scalar = 0.0


class Draw(NamedTuple):
    """What is random about a replica: its weights and biases, and which draw of the data."""

    params: Params
    which: Int[Array, ""]


class Start(NamedTuple):
    """A replica before its first step.

    Attributes:
        params: Weights and biases.
        x: [feature, example].
        y: [example], -1 or 1.
    """

    params: Params
    x: Float[Array, "feature example"]
    y: Float[Array, " example"]


def draw_replica(setting: Setting, key: PRNGKeyArray) -> Draw:
    """Return the replica with this key."""
    size = sum(a * b for a, b in itertools.pairwise(setting.units))
    uniform = jax.random.uniform(key, (size + 1,))
    params = drawn_params(uniform[:-1], setting.units, zero=setting.init_zero)
    return Draw(params, jnp.floor(uniform[-1] * NUM_DRAWS).astype(jnp.int32))


def start_replica(points: Points, draw: Draw, point: Point) -> Start:
    """Return the replica as a point of the sweep wants it."""
    matched = jnp.asarray(point.matched) > 0
    params = jax.tree.map(
        lambda new, old: jnp.where(matched, new, old), match(draw.params, point.units), draw.params
    )
    place = (jnp.asarray(point.dataset).astype(jnp.int32), draw.which)
    return Start(params, jnp.asarray(points.x)[place], jnp.asarray(points.y)[place])


def make_descent(
    setting: Setting,
    points: Points,
    *,
    activation: str,
    max_steps: int,
) -> TrainFn:
    """Return the function that trains one replica.

    Args:
        setting: Static; its activation and learning rate are not read.
        points: The data.
        activation: phi of the hidden units, a name in `signdyn.activations.ACTIVATIONS`.
        max_steps: Of any point.
    """

    def run(draw: Draw, point: Point) -> dict[str, Array]:
        start = start_replica(points, draw, point)
        descent = _Descent(setting, activation, start, point, looks(max_steps))
        return descent.result()

    return TrainFn(partial(draw_replica, setting), run)


def looks(max_steps: int) -> np.ndarray:
    """Return the numbers of steps after which the training loss is looked at; [look].

    Example:
        >>> looks(45)[-5:]
        array([39, 40, 42, 44, 46])
    """
    steps = [0]
    while steps[-1] < max_steps:
        steps.append(steps[-1] + max(1, steps[-1] // COARSENESS))
    return np.array(steps)


class _Carry(NamedTuple):
    look: Int[Array, ""]
    params: Params
    alive: Params
    loss: Float[Array, ""]
    losses: Float[Array, " look"]


class _Descent(NamedTuple):
    """One replica's descent, inside the trace."""

    setting: Setting
    activation: str
    start: Start
    point: Point
    looks: np.ndarray

    def result(self) -> dict[str, Array]:
        params, dtype = self.start.params, self.start.x.dtype
        carry = _Carry(
            look=jnp.zeros((), jnp.int32),
            params=params,
            alive={
                name: jnp.ones_like(layer["kernel"])
                for name, layer in params.items()
                if self._kills
            },
            loss=jnp.full((), jnp.inf, dtype),
            losses=jnp.full(len(self.looks), jnp.nan, dtype),
        )
        return {"losses": lax.while_loop(self._goes_on, self._look, carry).losses}

    @property
    def _kills(self) -> bool:
        return self.setting.regularization == "L1"

    def _goes_on(self, carry: _Carry) -> Array:
        steps = jnp.asarray(self.looks)[carry.look]  # an index beyond the end is the last one
        more = (carry.look < len(self.looks)) & (steps <= self.point.max_steps)
        return more & (carry.loss > self.point.stop_loss)  # and no more once it is NaN

    def _look(self, carry: _Carry) -> _Carry:
        loss = self._train_loss(carry.params)
        steps = jnp.asarray(self.looks)
        now, then = steps[carry.look], steps[carry.look + 1]
        params, alive = lax.fori_loop(now, then, self._step, (carry.params, carry.alive))
        losses = carry.losses.at[carry.look].set(loss)
        return _Carry(carry.look + 1, params, alive, loss, losses)

    def _train_loss(self, params: Params) -> Float[Array, ""]:
        """Return the mean loss on the training set, between labels -1 and 1."""
        return jnp.mean(self._nll(params, self.start.x, self.start.y, 2.0))

    def _nll(self, params: Params, x: Array, y: Array, label_gap: Any) -> Float[Array, " example"]:
        outputs = pre_outputs(params, x, self.point.units, self.activation)
        return square_loss(self.point.output_slope, label_gap).nll(outputs[:, None], y)

    def _step(self, step: Int[Array, ""], carry: tuple[Params, Params]) -> tuple[Params, Params]:
        params, alive = carry
        x, y, weights = self._batch(step)

        def loss(params: Params) -> Array:
            nll = self._nll(params, x, y, self.point.label_gap)
            return jnp.sum(weights * nll) / jnp.sum(weights)

        grads = jax.grad(loss)(params)
        shares_of = rate_shares(params, self.point.rates)
        rate = self.point.learning_rate
        # with other labels the penalty is scaled as the loss is
        penalty = rate * self.setting.regularization_rate * (self.point.label_gap / 2.0) ** 2
        moved, lives = {}, {}
        for name, layer in params.items():
            shares = shares_of[name]
            kernel = layer["kernel"]
            new = kernel - rate * shares["kernel"] ** 2 * grads[name]["kernel"]
            if self._kills:
                shrunk = new - penalty * shares["kernel"] * jnp.sign(kernel)
                lives[name] = jnp.where(new * shrunk < 0.0, 0.0, alive[name])
                new = lives[name] * shrunk
            elif self.setting.regularization == "L2":
                new -= penalty * kernel
            bias = layer["bias"] - rate * shares["bias"] ** 2 * grads[name]["bias"]
            moved[name] = {"kernel": new, "bias": bias}
        return moved, lives

    def _batch(self, step: Int[Array, ""]) -> tuple[Array, Array, Array]:
        """Return inputs, labels and weights of a step's examples."""
        x, y, size = self.start.x, self.start.y, self.setting.batch_size
        whole = x.shape[1] // size * size
        begin = step * size % whole
        batch_x = lax.dynamic_slice_in_dim(x, begin, size, axis=1)
        batch_y = lax.dynamic_slice_in_dim(y, begin, size)
        weights = jnp.ones(size, x.dtype)
        if whole == len(y):
            return batch_x, batch_y, weights
        # the playground carries the remainder's gradients over an epoch's end
        carried = jnp.full(len(y) - whole, (begin == 0) & (step > 0), x.dtype)
        return (
            jnp.concatenate([batch_x, x[:, whole:]], axis=1),
            jnp.concatenate([batch_y, y[whole:]]),
            jnp.concatenate([weights, carried]),
        )


TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "losses": (
        ("look",),
        "nat",
        "mean loss on the training set at each look; NaN after the end",
    ),
}
"""Variables of the record: dimensions, unit, meaning. Losses are those between -1 and 1."""


def tabulate(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's descents as named arrays."""
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in TEXTS.items()}
