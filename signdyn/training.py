"""Training as one pure function of (key, hyper): what is static, what is batched, what is kept.

`make_train_fn` closes over everything that decides the program (`Structure`, data, `Probe`)
and returns ``train(key, hyper) -> Trajectory``, to be vmapped over replicas. What a replica starts
from is in `signdyn.replicas`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.analysis.layers import Layer, fisher_layers, monte_carlo_fisher_layers
from signdyn.checks import checked
from signdyn.data.check import check_data
from signdyn.likelihoods import Likelihood
from signdyn.models.taps import linen_tapped
from signdyn.models.traces import Statistics, Traces, apply_frozen, frozen, trace_batch
from signdyn.optimizers import check_optimizer, make_optimizer
from signdyn.preconditioning import Curvature
from signdyn.replicas import Draw as Draw
from signdyn.replicas import Hyper as Hyper
from signdyn.replicas import Start, draw_replica, start_replica
from signdyn.replicas import Structure as Structure
from signdyn.types import Params, Tapped

NEVER = -1
"""Value of ``Trajectory.diverged_at`` for a replica whose loss stayed finite."""

RUNNING_MEAN_DECAY = 0.9
"""Decay per step of the running statistics that stand for a batch's own in evaluation: the means
that ``batch`` centering subtracts, and the moments of norms over the batch."""


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
        observe: (state, Observation) -> state, after every step; with a period, after its last
            step, and with a window (state, Observation, ...) -> state, the latest step's last.
        read: state -> pytree of arrays, kept every ``record_every`` steps.
        period: Steps from one observation to the next; must divide ``record_every``. Steps that
            are not observed cost what they do without a probe, and their body is compiled apart.
        window: How many of a period's last steps are observed, together: 2 for what is measured
            of two successive updates.
    """

    init: Callable[[Params], Any]
    observe: Callable[..., Any]
    read: Callable[[Any], Any] = lambda state: state
    period: int = 1
    window: int = 1


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
    run: Callable[[Any, Any], Any]

    def __call__(self, key: PRNGKeyArray, hyper: Hyper) -> Trajectory:
        """Return the trajectory of one replica."""
        return self.run(self.draw(key), hyper)


@checked
def make_train_fn(structure: Structure, data: Any, probe: Probe = NO_PROBE) -> TrainFn:
    """Return ``train(key, hyper) -> Trajectory``: pure, to be jitted and vmapped by the caller.

    Args:
        structure: Static description.
        data: Arrays x_train, y_train, x_test, y_test and the int num_classes, as
            `signdyn.data.load` returns; labels as the likelihood takes them.
        probe: What to measure while training.

    Raises:
        ValueError: If the data cannot be trained on (see `signdyn.data.check`), a batch would
            hold more examples than there are, there is no such optimizer, or the probe's period
            does not fit.

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
    check_data("make_train_fn", data)
    num_examples, num_features = data.x_train.shape
    batch_size = structure.batch_size
    if batch_size is not None and batch_size > num_examples:
        raise ValueError(
            f"make_train_fn: batch_size must be at most the {num_examples} training examples, "
            f"got {batch_size}."
        )
    every = structure.record_every
    if not 1 <= probe.window <= probe.period <= every or every % probe.period:
        raise ValueError(
            "make_train_fn: expected a probe whose window is at most its period, which divides "
            f"record_every, got window={probe.window}, period={probe.period} and "
            f"record_every={every}."
        )
    check_optimizer(structure.optimizer, structure.damping, structure.damping_frame)
    draw = _draw_fn(
        structure.model,
        (num_examples, num_features),
        str(data.x_train.dtype),
        None if batch_size is None else (batch_size, structure.steps),
    )

    def run(draw: Draw, hyper: Hyper) -> Trajectory:
        start = start_replica(structure, data, draw, hyper)
        optimizer = make_optimizer(
            structure.optimizer,
            hyper,
            damping=structure.damping,
            frame=structure.damping_frame,
            nonnegative=structure.nonnegative,
            inverse_period=structure.inverse_period,
        )
        return _Run(structure, data, probe, start, optimizer, _labels_key(draw)).trajectory()

    return TrainFn(draw, run)


@lru_cache(maxsize=64)
def _draw_fn(model, shape, dtype, batching):
    # cached, so that programs which differ in optimizer or probe share one compiled draw:
    # XLA takes .6 s of CPU for every random draw in a program
    return partial(draw_replica, model, shape, dtype, batching)


class _Carry(NamedTuple):
    params: Params
    statistics: Statistics
    opt_state: optax.OptState
    probe_state: Any
    train_loss: Float[Array, ""]


class _Run(NamedTuple):
    """One replica's training, inside the trace."""

    structure: Structure
    data: Any
    probe: Probe
    start: Start
    optimizer: optax.GradientTransformationExtraArgs
    labels_key: PRNGKeyArray

    def trajectory(self) -> Trajectory:
        every = self.structure.record_every
        steps = jnp.arange(self.structure.steps).reshape(-1, every)
        params = self.start.params
        carry = _Carry(
            params=params,
            statistics=self.start.statistics,
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
        periods = steps.reshape(-1, self.probe.period)
        carry_after, loss = lax.scan(self._period, carry, periods)
        loss = loss.reshape(-1)
        first = loss[0] if self.structure.batch_size is None else carry.train_loss
        return carry_after, (loss, first, self.probe.read(carry_after.probe_state))

    def _period(self, carry: _Carry, steps: Int[Array, " period"]):
        def unobserved(carry: _Carry, step: Int[Array, ""]):
            carry, observation = self._step(carry, step)
            return carry, observation.traces.loss

        alone = self.probe.period - self.probe.window
        losses, observations = [], []
        if alone:
            carry, loss = lax.scan(unobserved, carry, steps[:alone])
            losses.append(loss)
        for place in range(alone, self.probe.period):
            carry, observation = self._step(carry, steps[place])
            observations.append(observation)
            losses.append(observation.traces.loss[None])
        state = self.probe.observe(carry.probe_state, *observations)
        return carry._replace(probe_state=state), jnp.concatenate(losses)

    def _step(self, carry: _Carry, step: Int[Array, ""]) -> tuple[_Carry, Observation]:
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
        likelihood = self.structure.likelihood
        _check_classes(likelihood, traces.outputs, y, self.data.num_classes)
        updates, opt_state = self.optimizer.update(
            traces.grads,
            carry.opt_state,
            carry.params,
            curvature=self._curvature(carry.params, x, y, traces),
            frame=self._from_raw,
        )
        train_loss = traces.loss if self.start.batches is None else carry.train_loss
        observation = Observation(step, train_loss, carry.params, updates, traces)
        return carry._replace(
            params=optax.apply_updates(carry.params, updates),
            statistics=self._running(carry.statistics, traces.statistics),
            opt_state=opt_state,
        ), observation

    def _running(self, running: Statistics, latest: Statistics) -> Statistics:
        decayed = _decayed(running, latest)
        if all(site.batch is None for site in self.start.sites):
            return decayed._replace(means=running.means)  # nothing reads them: saves their sums
        return decayed

    def _curvature(self, params: Params, x: Array, y: Array, traces: Traces) -> Curvature:
        """Return the batch's; what a model takes from the batch as a whole is constant in it.

        ``loss_after`` lets them move, as the next step will, so that adaptive damping sees a model
        that forgets them fail.
        """
        model, likelihood, sites = self.structure.model, self.structure.likelihood, self.start.sites

        def apply_fn(params: Params, x: Array) -> Array:
            return apply_frozen(model, params, x, sites, traces.statistics)

        def loss_after(displacement: Params) -> Array:
            moved = optax.apply_updates(params, displacement)
            return jnp.mean(likelihood.nll(model.apply({"params": moved}, x, sites), y))

        # What layers read is not these parameters then, so that theirs is another Fisher.
        mapped = hasattr(model, "unmapped")

        def tapped() -> Tapped:
            if mapped:
                raise ValueError(
                    "make_train_fn: expected a model whose layers read its own parameters for a "
                    f"natural gradient by layers, got a {type(model).__name__}; use natural or "
                    "natural_cg, which take any model."
                )
            return linen_tapped(model, sites, **frozen(traces.statistics))

        def layers() -> dict[str, Layer]:
            return fisher_layers(tapped(), likelihood.thin(), params, x)

        def sampled_layers(step: Array) -> dict[str, Layer]:
            key = jax.random.fold_in(self.labels_key, step)
            return monte_carlo_fisher_layers(tapped(), likelihood, params, x, key, 1)

        return Curvature(
            factor=lambda: fisher_factor(apply_fn, likelihood, params, x),
            product=lambda: fisher_vector_product(apply_fn, likelihood, params, x),
            layers=layers,
            loss=traces.loss,
            loss_after=loss_after,
            layered=not mapped,
            sampled_layers=sampled_layers,
        )

    def _from_raw(self, params: Params) -> Params:
        """Return the parameters with sites that compute what ``params`` compute without."""
        return self.structure.model.matched(params, self.start.sites, self.start.means)

    def _outputs(self, carry: _Carry, x: Array) -> Array:
        sites = self.start.sites
        return apply_frozen(self.structure.model, carry.params, x, sites, carry.statistics)

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


def _decayed(running: Statistics, latest: Statistics) -> Statistics:
    keep = RUNNING_MEAN_DECAY
    return jax.tree.map(lambda old, new: keep * old + (1 - keep) * new, running, latest)


def _labels_key(draw: Draw) -> PRNGKeyArray:
    """Return the key of labels drawn from the model: of the replica's own random bits.

    ``draw`` holds no key, and one more array in it would be one more in every program.
    """
    high, low = (jnp.uint32(noise[0] * 2.0**23) for noise in draw.label_noise)
    return jax.random.fold_in(jax.random.key(high), low)


def _check_classes(likelihood: Likelihood, outputs: Array, labels: Array, num_classes: int) -> None:
    """Raise where some of the class numbers would have no loss, but NaN."""
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        return
    if likelihood.name == "categorical" and outputs.shape[1] != num_classes:
        raise ValueError(
            f"make_train_fn: expected a model with {num_classes} outputs, one a class, got "
            f"{outputs.shape[1]}."
        )
    if likelihood.name == "bernoulli" and num_classes > 2:
        raise ValueError(
            f"make_train_fn: expected two classes for the bernoulli likelihood, got {num_classes}; "
            "use categorical()."
        )


def _first(happened: Bool[Array, " steps"]) -> Int[Array, ""]:
    return jnp.where(jnp.any(happened), jnp.argmax(happened), NEVER).astype(jnp.int32)
