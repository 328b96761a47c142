"""A descent whose rate is given in units of 1 / lambda_max, with the test set read at every step.

lambda_max is the largest eigenvalue of the Fisher that the replica starts with, so one ladder of
rates compares arms both at their own best rate and at equal rate x lambda_max.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from signdyn.analysis.fisher import fisher_vector_product
from signdyn.inputs import as_inputs, in_chunks
from signdyn.models.traces import trace_batch
from signdyn.records import Variable
from signdyn.replicas import Draw, Hyper, Start, Structure, start_replica
from signdyn.training import Observation, Probe, TrainFn, make_train_fn
from signdyn.types import Params

NUM_POWERS = 16
"""Power iterations; on digits they leave lambda_max at most 2% too small."""


def race_fn(structure: Structure, data: Any) -> TrainFn:
    """Return the descent; ``hyper.learning_rate`` is the rate times lambda_max.

    Args:
        structure: With ``record_every`` 1, so that the test set is read at every step.
        data: As for `signdyn.training.make_train_fn`; sites must not subtract batch means.
    """

    def run(draw: Draw, hyper: Hyper) -> dict[str, Array]:
        start = start_replica(structure, data, draw, hyper)
        top = starting_curvature(structure, data, start)
        rate = hyper.learning_rate / top
        train = make_train_fn(structure, data, evaluation_probe(structure, data, start))
        trajectory = train.run(draw, hyper._replace(learning_rate=rate))
        return {
            "loss": trajectory.loss,
            "diverged_at": trajectory.diverged_at,
            "lambda_max": top,
            "learning_rate": rate,
            **trajectory.probe,
        }

    return TrainFn(make_train_fn(structure, data).draw, run)


def starting_curvature(structure: Structure, data: Any, start: Start) -> Float[Array, ""]:
    """Return lambda_max of the Fisher at the start, by power iterations from the gradient.

    The gradient, and not a drawn vector, because it is flipped along with the coordinates: the
    iterations of a flipped network are those of the raw one, bit for bit.
    """
    model, likelihood = structure.model, structure.likelihood
    x = as_inputs(jnp.asarray(data.x_train))

    def apply_fn(params: Params, x: Array) -> Array:
        return model.apply({"params": params}, x, start.sites, start.means)

    product = fisher_vector_product(apply_fn, likelihood, start.params, x)
    grads = trace_batch(model, likelihood, start.params, x, start.labels, start.sites).grads
    vector = ravel_pytree(grads)[0]

    def iterate(_, carry):
        vector, _ = carry
        vector = vector / jnp.sqrt(jnp.sum(vector**2))
        longer = product(vector)
        return longer, jnp.sum(vector * longer)

    return lax.fori_loop(0, NUM_POWERS, iterate, (vector, jnp.zeros((), vector.dtype)))[1]


def evaluation_probe(structure: Structure, data: Any, start: Start) -> Probe:
    """Return the probe of loss and error on the test set before every step."""
    x, y = jnp.asarray(data.x_test), jnp.asarray(data.y_test)

    def observe(state: Params, observation: Observation) -> Params:
        del state
        return observation.params

    def read(params: Params) -> dict[str, Array]:
        def apply_fn(x: Array) -> Array:
            return structure.model.apply({"params": params}, as_inputs(x), start.sites, start.means)

        outputs = in_chunks(apply_fn, x)
        return {
            "test_loss": jnp.mean(structure.likelihood.nll(outputs, y)),
            "test_error": 1.0 - jnp.mean(structure.likelihood.correct(outputs, y)),
        }

    return Probe(lambda params: params, observe, read)


TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "loss": (("step",), "nat", "mean nll on the training set before the step"),
    "test_loss": (("step",), "nat", "mean nll on the test set before the step"),
    "test_error": (("step",), "1", "share of the test set that is misclassified before the step"),
    "diverged_at": ((), "step", "first step with a loss that is not finite, or -1"),
    "lambda_max": ((), "nat / parameter^2", "largest eigenvalue of the Fisher at the start"),
    "learning_rate": ((), "parameter^2 / nat", "step size"),
}
"""Variables of the record: dimensions, unit, meaning."""


def tabulate_race(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's descents as named arrays."""
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in TEXTS.items()}
