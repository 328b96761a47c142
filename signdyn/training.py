"""Training as one pure function of (key, hyper): what is static, what is batched, what is kept.

`make_train_fn` closes over everything that decides the program (`Structure`, data, `Probe`)
and returns ``train(key, hyper) -> Trajectory``, to be vmapped over replicas. Seeds are shared:
a replica's initial weights, signs, label noise and data order depend on its key alone, never
on its hyperparameters, so variants with the same key are paired.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from signdyn.centering import CENTERINGS, Centering, Site, resolve_sites
from signdyn.likelihoods import Likelihood
from signdyn.models.traces import Traces, init_params, site_means, trace_batch
from signdyn.optimizers import make_optimizer
from signdyn.types import Params

NEVER = -1
"""Value of ``Trajectory.diverged_at`` for a replica whose loss stayed finite."""

RUNNING_MEAN_DECAY = 0.9
"""Decay per step of the running means that ``batch`` centering uses in evaluation."""


@dataclass(frozen=True)
class Structure:
    """What decides the compiled program. Another value is another program.

    Attributes:
        model: A Flax module with the conventions of `signdyn.models.mlp`.
        likelihood: Loss and output distribution.
        optimizer: Name in `signdyn.optimizers.DIRECTIONS`.
        steps: Number of updates.
        batch_size: Examples a step; None means all of them.
        record_every: Steps between evaluations on the whole training set and probe readings.
    """

    model: Any
    likelihood: Likelihood
    optimizer: str = "sgd"
    steps: int = 100
    batch_size: int | None = None
    record_every: int = 1

    def __post_init__(self):
        """Refuse numbers that cannot be trained with."""
        if self.steps < 1:
            raise ValueError(f"Structure: steps must be at least 1, got {self.steps}.")
        if self.record_every < 1 or self.steps % self.record_every:
            raise ValueError(
                f"Structure: record_every must divide steps, got record_every="
                f"{self.record_every} and steps={self.steps}."
            )
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"Structure: batch_size must be positive, got {self.batch_size}.")


class Hyper(NamedTuple):
    """What is batched: every leaf a scalar array (or a Python float before stacking).

    Attributes:
        learning_rate: Step size.
        weight_decay: Decoupled, on kernels only.
        momentum: Decay of the velocity, or of Adam's first moment.
        init_scale: Factor on the initial kernels.
        label_noise: Probability that a training label is redrawn uniformly.
        centering: Coefficients of the sites.
    """

    learning_rate: Float[Array, "..."] | float
    weight_decay: Float[Array, "..."] | float = 0.0
    momentum: Float[Array, "..."] | float = 0.9
    init_scale: Float[Array, "..."] | float = 1.0
    label_noise: Float[Array, "..."] | float = 0.0
    centering: Centering = CENTERINGS["none"]


class Draw(NamedTuple):
    """Everything random about a replica: a function of its key alone, see `draw_replica`.

    Attributes:
        params: Initial parameters, before ``init_scale`` and function matching.
        signs: One array [units] a site, +1 or -1; used where ``flip`` is set.
        label_noise: [2, N] uniform numbers: whether a label is redrawn, and what it becomes.
        batches: [steps, batch] rows of the training set, or None for all rows every step.
    """

    params: Params
    signs: tuple[Float[Array, " _"], ...]
    label_noise: Float[Array, "2 examples"]
    batches: Int[Array, "steps batch"] | None


class Start(NamedTuple):
    """A replica before its first step: function-matched parameters, sites, labels, batches."""

    params: Params
    sites: tuple[Site, ...]
    means: tuple[Float[Array, " _"], ...]
    labels: Array
    batches: Int[Array, "steps batch"] | None


class Observation(NamedTuple):
    """What a probe sees of one step.

    Attributes:
        step: 0 for the first.
        train_loss: Latest mean nll on the whole training set; with all examples in the batch
            it is that of ``params``, else it is at most ``record_every`` - 1 steps old.
        params: Before the update.
        updates: What the step adds to ``params``.
        traces: Loss, gradient, outputs, inputs and deltas of the step's batch.
    """

    step: Int[Array, ""]
    train_loss: Float[Array, ""]
    params: Params
    updates: Params
    traces: Traces


class Probe(NamedTuple):
    """A measurement folded over the steps, so that no history of parameters is stored.

    Attributes:
        init: params -> state.
        observe: (state, Observation) -> state, after every step.
        read: state -> pytree of arrays, kept every ``record_every`` steps.
    """

    init: Callable[[Params], Any]
    observe: Callable[[Any, Observation], Any]
    read: Callable[[Any], Any] = lambda state: state


NO_PROBE = Probe(init=lambda params: (), observe=lambda state, observation: state)


class Trajectory(NamedTuple):
    """What is kept of one replica's training; T steps, R = T / record_every records.

    Attributes:
        loss: [T] mean nll of the step's batch before the update, nats.
        train_loss: [R] mean nll on the training set before step r * record_every, nats.
        diverged_at: First step whose loss was not finite, or `NEVER`.
        final: Mean nll (nats) and accuracy on the training and the test set after step T.
        probe: The probe's readings *after* each record's last step, leading axis R.
        params: Parameters after step T.
    """

    loss: Float[Array, " steps"]
    train_loss: Float[Array, " records"]
    diverged_at: Int[Array, ""]
    final: dict[str, Float[Array, ""]]
    probe: Any
    params: Params


@dataclass(frozen=True)  # and no NamedTuple, of which jax.jit can keep no weak reference
class TrainFn:
    """``train(key, hyper) -> Trajectory``, and the two halves it is made of.

    Attributes:
        draw: key -> `Draw`. Depends on the seed only, so a sweep draws once a seed.
        run: (draw, hyper) -> `Trajectory`: the program that a sweep compiles. A sweep takes any
            draw and any pytree of arrays here, so a measurement can be laid out like a training.
    """

    draw: Callable[[PRNGKeyArray], Any]
    run: Callable[[Any, Hyper], Any]

    def __call__(self, key: PRNGKeyArray, hyper: Hyper) -> Trajectory:
        """Return the trajectory of one replica."""
        return self.run(self.draw(key), hyper)


def make_train_fn(structure: Structure, data: Any, probe: Probe = NO_PROBE) -> TrainFn:
    """Return ``train(key, hyper) -> Trajectory``: pure, to be jitted and vmapped by the caller.

    Args:
        structure: Static description.
        data: Arrays x_train, y_train, x_test, y_test and the int num_classes, as
            `signdyn.data.load` returns.
        probe: What to measure while training.

    Raises:
        ValueError: If a batch would hold more examples than there are, or there is no such
            optimizer.

    Example:
        >>> from signdyn.data import load
        >>> from signdyn.likelihoods import categorical
        >>> from signdyn.models.mlp import MLP
        >>> structure = Structure(MLP((8,), 2), categorical(), steps=20)
        >>> train = make_train_fn(structure, load("two_gaussians"))
        >>> trajectory = train(jax.random.key(0), Hyper(learning_rate=0.1))
        >>> bool(trajectory.loss[-1] < trajectory.loss[0]), int(trajectory.diverged_at) == NEVER
        (True, True)
    """
    if data.x_train.ndim != 2 or not np.issubdtype(data.y_train.dtype, np.integer):
        raise ValueError(
            "make_train_fn: x_train must be [examples, features] and y_train integer classes, got "
            f"{data.x_train.shape=} and {data.y_train.dtype=}; flatten inputs, number the classes."
        )
    num_examples, num_features = data.x_train.shape
    batch_size = structure.batch_size
    if batch_size is not None and batch_size > num_examples:
        raise ValueError(
            f"make_train_fn: batch_size must be at most the {num_examples} training examples, "
            f"got {batch_size}."
        )
    make_optimizer(structure.optimizer, Hyper(learning_rate=0.0))  # refuses an unknown name now
    draw = _draw_fn(
        structure.model,
        (num_examples, num_features),
        str(data.x_train.dtype),
        None if batch_size is None else (batch_size, structure.steps),
    )

    def run(draw: Draw, hyper: Hyper) -> Trajectory:
        start = start_replica(structure, data, draw, hyper)
        optimizer = make_optimizer(structure.optimizer, hyper)
        return _Run(structure, data, probe, start, optimizer).trajectory()

    return TrainFn(draw, run)


@lru_cache(maxsize=64)
def _draw_fn(model, shape, dtype, batching):
    # cached, so that programs which differ in optimizer or probe share one compiled draw:
    # XLA takes .6 s of CPU for every random draw in a program
    return partial(draw_replica, model, shape, dtype, batching)


def draw_replica(
    model: Any,
    shape: tuple[int, int],
    dtype: str,
    batching: tuple[int, int] | None,
    key: PRNGKeyArray,
) -> Draw:
    """Return everything random about the replica with this key.

    Args:
        model: The Flax module.
        shape: Shape of the training inputs.
        dtype: Their type.
        batching: Batch size and number of steps, or None for full batches.
        key: The replica's key.
    """
    init_key, sign_key, noise_key, order_key = jax.random.split(key, 4)
    x = jnp.zeros(shape, dtype)
    params = init_params(model, init_key, x)
    units = [mean.shape[0] for mean in jax.eval_shape(partial(site_means, model), params, x)]
    signs = jax.random.rademacher(sign_key, (sum(units),), x.dtype)
    splits = [sum(units[:i]) for i in range(1, len(units))]
    return Draw(
        params=params,
        signs=tuple(jnp.split(signs, splits)),
        label_noise=jax.random.uniform(noise_key, (2, shape[0]), x.dtype),
        batches=None if batching is None else batch_order(order_key, shape[0], *batching),
    )


def start_replica(structure: Structure, data: Any, draw: Draw, hyper: Hyper) -> Start:
    """Return a replica's function-matched start.

    Args:
        structure: Static description.
        data: Training data, as for `make_train_fn`.
        draw: From `draw_replica`.
        hyper: Scalar leaves.
    """
    x, y = jnp.asarray(data.x_train), jnp.asarray(data.y_train)
    params = jax.tree.map(lambda p: p * hyper.init_scale if p.ndim > 1 else p, draw.params)
    means = site_means(structure.model, params, x)
    sites = resolve_sites(hyper.centering, means, draw.signs)
    return Start(
        params=structure.model.matched(params, sites, means),
        sites=sites,
        means=means,
        labels=noisy_labels(draw.label_noise, y, data.num_classes, hyper.label_noise),
        batches=draw.batches,
    )


def noisy_labels(
    uniforms: Float[Array, "2 examples"],
    labels: Int[Array, " examples"],
    num_classes: int,
    probability: Float[Array, ""] | float,
) -> Int[Array, " examples"]:
    """Return ``labels`` with each redrawn uniformly, with the given probability.

    A label changed at probability .1 is changed to the same at .2.

    Example:
        >>> uniforms = jnp.array([[0.05, 0.95], [0.6, 0.6]])
        >>> noisy_labels(uniforms, jnp.array([0, 0]), 2, 0.1).tolist()
        [1, 0]
    """
    redrawn = jnp.floor(uniforms[1] * num_classes).astype(labels.dtype)
    return jnp.where(uniforms[0] < probability, redrawn, labels)


def batch_order(
    key: PRNGKeyArray, num_examples: int, batch_size: int, steps: int
) -> Int[Array, "steps batch"]:
    """Return the examples of every step: a fresh permutation an epoch, its remainder dropped.

    Example:
        >>> rows = batch_order(jax.random.key(0), num_examples=5, batch_size=2, steps=2)
        >>> len(set(rows.ravel().tolist()))  # one epoch: no example twice
        4
    """
    per_epoch = num_examples // batch_size
    epochs = -(-steps // per_epoch)
    keys = jax.random.split(key, epochs)
    order = jax.vmap(lambda k: jax.random.permutation(k, num_examples))(keys)
    order = order[:, : per_epoch * batch_size].reshape(-1, batch_size)
    return order[:steps].astype(jnp.int32)


class _Carry(NamedTuple):
    params: Params
    means: tuple
    opt_state: optax.OptState
    probe_state: Any
    train_loss: Float[Array, ""]


class _Run(NamedTuple):
    """One replica's training, inside the trace."""

    structure: Structure
    data: Any
    probe: Probe
    start: Start
    optimizer: optax.GradientTransformation

    def trajectory(self) -> Trajectory:
        every = self.structure.record_every
        steps = jnp.arange(self.structure.steps).reshape(-1, every)
        params = self.start.params
        carry = _Carry(
            params=params,
            means=self.start.means,
            opt_state=self.optimizer.init(params),
            probe_state=self.probe.init(params),
            train_loss=jnp.zeros((), self.data.x_train.dtype),
        )
        carry, (loss, train_loss, readings) = lax.scan(self._record, carry, steps)
        loss = loss.reshape(-1)
        return Trajectory(
            loss=loss,
            train_loss=train_loss,
            diverged_at=_first(~jnp.isfinite(loss)),
            final=self._final(carry),
            probe=readings,
            params=carry.params,
        )

    def _record(self, carry: _Carry, steps: Int[Array, " every"]):
        if self.structure.batch_size is not None:
            outputs = self._outputs(carry, jnp.asarray(self.data.x_train))
            nll = self.structure.likelihood.nll(outputs, self.start.labels)
            carry = carry._replace(train_loss=jnp.mean(nll))
            first = carry.train_loss
            carry, loss = lax.scan(self._step, carry, steps)
        else:
            carry, loss = lax.scan(self._step, carry, steps)
            first = loss[0]
        return carry, (loss, first, self.probe.read(carry.probe_state))

    def _step(self, carry: _Carry, step: Int[Array, ""]):
        x, y = jnp.asarray(self.data.x_train), self.start.labels
        if self.start.batches is not None:
            rows = self.start.batches[step]
            x, y = x[rows], y[rows]
        traces = trace_batch(
            self.structure.model,
            self.structure.likelihood,
            carry.params,
            x,
            y,
            self.start.sites,
        )
        updates, opt_state = self.optimizer.update(traces.grads, carry.opt_state, carry.params)
        train_loss = traces.loss if self.start.batches is None else carry.train_loss
        observation = Observation(step, train_loss, carry.params, updates, traces)
        return carry._replace(
            params=optax.apply_updates(carry.params, updates),
            means=_decayed(carry.means, traces.means),
            opt_state=opt_state,
            probe_state=self.probe.observe(carry.probe_state, observation),
        ), traces.loss

    def _outputs(self, carry: _Carry, x: Array) -> Array:
        variables = {"params": carry.params}
        return self.structure.model.apply(variables, x, self.start.sites, carry.means)

    def _final(self, carry: _Carry) -> dict[str, Array]:
        # one pass over both sets: a second one would lengthen compilation by half a second
        split = len(self.data.x_train)
        x = jnp.concatenate([jnp.asarray(self.data.x_train), jnp.asarray(self.data.x_test)])
        y = jnp.concatenate([self.start.labels, jnp.asarray(self.data.y_test)])
        outputs = self._outputs(carry, x)
        nll = self.structure.likelihood.nll(outputs, y)
        correct = self.structure.likelihood.correct(outputs, y)
        return {
            "train_loss": jnp.mean(nll[:split]),
            "train_accuracy": jnp.mean(correct[:split]),
            "test_loss": jnp.mean(nll[split:]),
            "test_accuracy": jnp.mean(correct[split:]),
        }


def _decayed(running: tuple, latest: tuple) -> tuple:
    keep = RUNNING_MEAN_DECAY
    return jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, running, latest)


def _first(happened: Bool[Array, " steps"]) -> Int[Array, ""]:
    return jnp.where(jnp.any(happened), jnp.argmax(happened), NEVER).astype(jnp.int32)
