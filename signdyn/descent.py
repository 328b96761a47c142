"""One replica's training, step by step, as a scan of scans: records of periods of steps.

May import: analysis, models, optimizers, preconditioning, probes, replicas, types.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.analysis.layers import Layer, fisher_layers, monte_carlo_fisher_layers
from signdyn.inputs import in_chunks, input_struct, is_one_pass, reader
from signdyn.likelihoods import Likelihood
from signdyn.models.taps import linen_tapped
from signdyn.models.traces import Statistics, Traces, apply_frozen, frozen, trace_batch
from signdyn.preconditioning import Curvature
from signdyn.probes import Observation, Probe
from signdyn.replicas import Start, Structure
from signdyn.types import Params, Tapped

NEVER = -1
"""Value of ``Trajectory.diverged_at`` for a replica whose loss stayed finite."""

RUNNING_MEAN_DECAY = 0.9
"""Decay per step of the running statistics that stand for a batch's own in evaluation: the means
that ``batch`` centering subtracts, and the moments of norms over the batch."""


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


class Carry(NamedTuple):
    """A replica between two steps.

    Attributes:
        params: Before the next step.
        statistics: Running means of what the model takes from batches as a whole.
        opt_state: Of the optimizer.
        probe_state: Of the probe.
        train_loss: Latest mean nll on the training set, nats.
    """

    params: Params
    statistics: Statistics
    opt_state: optax.OptState
    probe_state: Any
    train_loss: Float[Array, ""]


class Descent(NamedTuple):
    """One replica's training, inside a trace: begun, advanced by whole records, and read.

    Attributes:
        structure: Static description.
        data: As for `signdyn.training.make_train_fn`.
        probe: What is measured.
        start: The replica before its first step.
        optimizer: Of its hyperparameters.
        labels_key: Of labels drawn from the model.
    """

    structure: Structure
    data: Any
    probe: Probe
    start: Start
    optimizer: optax.GradientTransformationExtraArgs
    labels_key: PRNGKeyArray

    def begun(self) -> Carry:
        """Return the state before the first step."""
        params = self.start.params
        return Carry(
            params=params,
            statistics=self.start.statistics,
            opt_state=self.optimizer.init(params),
            probe_state=self.probe.init(params),
            train_loss=jnp.zeros((), input_struct(self.data).dtype),
        )

    def advanced(self, carry: Carry, steps: Int[Array, " steps"]) -> tuple[Carry, Any]:
        """Return the state after some steps, and of every record its losses and readings."""
        return lax.scan(self._record, carry, steps.reshape(-1, self.structure.record_every))

    def trajectory(self, carry: Carry, kept: Any) -> Trajectory:
        """Return what is kept of the training, of the last state and of all records."""
        loss, train_loss, readings = kept
        loss = loss.reshape(-1)
        return Trajectory(
            loss=loss,
            train_loss=train_loss,
            diverged_at=_first(~jnp.isfinite(loss)),
            final=self._final(carry),
            probe=readings,
            params=carry.params,
        )

    def _record(self, carry: Carry, steps: Int[Array, " every"]):
        if self.structure.batch_size is not None:
            nll = self.structure.likelihood.nll(self._train_outputs(carry), self.start.labels)
            carry = carry._replace(train_loss=jnp.mean(nll))
        periods = steps.reshape(-1, self.probe.period)
        carry_after, loss = lax.scan(self._period, carry, periods)
        loss = loss.reshape(-1)
        first = loss[0] if self.structure.batch_size is None else carry.train_loss
        return carry_after, (loss, first, self.probe.read(carry_after.probe_state))

    def _period(self, carry: Carry, steps: Int[Array, " period"]):
        def unobserved(carry: Carry, step: Int[Array, ""]):
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

    def _step(self, carry: Carry, step: Int[Array, ""]) -> tuple[Carry, Observation]:
        x, y = jnp.asarray(self.data.x_train), self.start.labels
        if self.start.batches is not None:
            rows = self.start.batches[step]
            x, y = x[rows], y[rows]
        x = reader(self.data)(x)
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

    def _outputs(self, carry: Carry, x: Array) -> Array:
        model, sites, read = self.structure.model, self.start.sites, reader(self.data)

        def outputs(x: Array) -> Array:
            return apply_frozen(model, carry.params, read(x), sites, carry.statistics)

        return in_chunks(outputs, x)

    def _train_outputs(self, carry: Carry) -> Array:
        return self._outputs(carry, jnp.asarray(self.data.x_train))

    def _final(self, carry: Carry) -> dict[str, Array]:
        split, test = len(self.data.x_train), jnp.asarray(self.data.x_test)
        y = jnp.concatenate([self.start.labels, jnp.asarray(self.data.y_test)])
        if is_one_pass(split + len(test)):
            # one pass over both sets: a second one would lengthen compilation by half a second
            outputs = self._outputs(carry, jnp.concatenate([jnp.asarray(self.data.x_train), test]))
        else:  # many examples are not copied
            parts = [self._train_outputs(carry), self._outputs(carry, test)]
            outputs = jnp.concatenate(parts)
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


def _first(happened: Bool[Array, " steps"]) -> Int[Array, ""]:
    return jnp.where(jnp.any(happened), jnp.argmax(happened), NEVER).astype(jnp.int32)


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
