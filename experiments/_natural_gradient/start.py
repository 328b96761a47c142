"""What is measured on digits before the first step: units' corrections, and directions compared."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.layers import Layer, fisher_layers, layer_matrix
from signdyn.analysis.natural import (
    compare_directions,
    unit_bias_factor,
    unit_natural_gradient,
    weighted_input_mean,
)
from signdyn.models.taps import linen_tapped
from signdyn.models.traces import Traces, trace_batch
from signdyn.preconditioning import SOLVES, Curvature
from signdyn.records import Variable
from signdyn.replicas import Draw, Hyper, Structure, start_replica
from signdyn.training import TrainFn

METHODS = ("gradient", "natural_diagonal", "natural_unit", "natural_kfac")
"""Directions that are compared with the exact natural gradient, all with the same damping."""

COMPARED = ("cosine", "function_cosine", "sign_agreement")


def start_measurement(structure: Structure, data: Any, draw: Callable) -> TrainFn:
    """Return the measurement in the shape of a training function, so that it runs in blocks."""

    def run(draw: Draw, hyper: Hyper) -> dict[str, Array]:
        start = start_replica(structure, data, draw, hyper)
        model, likelihood, x = structure.model, structure.likelihood, jnp.asarray(data.x_train)
        traces = trace_batch(model, likelihood, start.params, x, start.labels, start.sites)

        def apply_fn(params, x):
            return model.apply({"params": params}, x, start.sites, start.means)

        factor = fisher_factor(apply_fn, likelihood, start.params, x)
        tapped_fn = linen_tapped(model, start.sites, start.means)
        layers = fisher_layers(tapped_fn, likelihood, start.params, x)
        return {
            "start_loss": traces.loss,
            **_corrections(layers, traces.grads),
            **_directions(factor, layers, traces, jnp.asarray(hyper.damping)),
        }

    return TrainFn(draw, run)


def _corrections(layers: Mapping[str, Layer], grads: Any) -> dict[str, Array]:
    """Return what each unit's own natural gradient owes to its inputs' means."""
    rows = []
    for name, layer in layers.items():
        grad = layer_matrix(grads[name])
        inputs, deltas = layer.inputs, layer.deltas
        weighted = _centered_by_unit(inputs, deltas, grad, weighted_input_mean(inputs, deltas))
        plain_mean = jnp.mean(inputs, axis=(0, 1))
        units = deltas.shape[-1]
        plain = _centered_by_unit(inputs, deltas, grad, jnp.tile(plain_mean, (units, 1)))
        own = unit_natural_gradient(inputs, deltas, grad, damping=0.0)[:-1]
        rows.append(
            {
                "bias_factor": jnp.max(jnp.abs(unit_bias_factor(inputs, deltas, grad) - 1.0)),
                "weighted_bias_factor": jnp.max(jnp.abs(weighted[1] - 1.0)),
                "plain_bias_factor": jnp.max(jnp.abs(plain[1] - 1.0)),
                "weighted_weight_step": jnp.max(jnp.abs(weighted[0] - own)) / jnp.max(jnp.abs(own)),
            }
        )
    return {name: jnp.stack([row[name] for row in rows]) for name in rows[0]}


def _centered_by_unit(
    inputs: Array, deltas: Array, grad: Array, means: Float[Array, "unit fan_in"]
) -> tuple[Array, Array]:
    """Return every unit's weight step and bias factor with its inputs centered by its own mean.

    Centering leaves the function, and takes the mean times the bias's gradient from the weights'.
    """

    def of_unit(unit: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        delta, g, mean = unit
        own = inputs - mean
        g = jnp.concatenate([g[:-1] - mean * g[-1], g[-1:]])[:, None]
        step = unit_natural_gradient(own, delta[..., None], g, damping=0.0)
        return step[:-1, 0], unit_bias_factor(own, delta[..., None], g)[0]

    # one after the other, see signdyn.analysis._units on batches of factorizations
    steps, factors = lax.map(of_unit, (jnp.moveaxis(deltas, 3, 0), grad.T, means))
    return steps.T, factors


def _directions(
    factor: Array, layers: Mapping[str, Layer], traces: Traces, damping: Array
) -> dict[str, Array]:
    curvature = Curvature(
        factor=lambda: factor,
        product=lambda: lambda v: factor.T @ (factor @ v),
        layers=lambda: layers,
        loss=traces.loss,
        loss_after=lambda displacement: jnp.full_like(traces.loss, jnp.nan),  # no step is taken
    )
    exact = ravel_pytree(SOLVES["natural"](curvature, traces.grads, damping))[0]
    comparisons = []
    for method in METHODS:
        direction = traces.grads
        if method != "gradient":
            direction = SOLVES[method](curvature, traces.grads, damping)
        comparisons.append(compare_directions(ravel_pytree(direction)[0], exact, A=factor))
    return {
        name: jnp.stack([getattr(comparison, name) for comparison in comparisons])
        for name in COMPARED
    }


TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "start_loss": ((), "nat", "mean nll on the training set before the first step"),
    "bias_factor": (("layer",), "1", "largest |k - 1| over units, k as in theorem 2"),
    "weighted_bias_factor": (
        ("layer",),
        "1",
        "the same with inputs centered by the delta^2-weighted mean",
    ),
    "plain_bias_factor": (("layer",), "1", "the same with inputs centered by the plain mean"),
    "weighted_weight_step": (
        ("layer",),
        "1",
        "largest change of a weight's step by that weighted centering, over the largest step",
    ),
    "cosine": (("method",), "1", "cosine with the exact natural gradient, in parameter space"),
    "function_cosine": (("method",), "1", "the same in function space, under the Fisher"),
    "sign_agreement": (("method",), "1", "share of coordinates with the exact one's sign"),
}
"""Variables of the record: dimensions, unit, meaning; ``method`` in the order of METHODS."""


def tabulate_start(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays."""
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in TEXTS.items()}
