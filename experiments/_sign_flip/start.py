"""What the flagship measures of a network before its first step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from signdyn.analysis.fisher import fisher_vector_product
from signdyn.analysis.spectrum import top_eigenpairs
from signdyn.diagnostics.activity import mean_energy
from signdyn.diagnostics.signs import (
    example_sign_unanimity,
    positive_fraction,
    share,
    sign_coherence,
    sign_unanimity,
)
from signdyn.inputs import as_inputs
from signdyn.models.traces import Traces, trace_batch
from signdyn.records import Variable
from signdyn.replicas import Draw, Hyper, Structure, start_replica
from signdyn.training import TrainFn

MAX_BATCHES = 8
"""Batches of one size that are averaged over; the first ones of the training set."""


def batch_sizes(num_examples: int) -> list[int]:
    """Return powers of two up to the number of examples, and that number.

    Example:
        >>> batch_sizes(6)
        [1, 2, 4, 6]
    """
    sizes = [2**k for k in range(num_examples.bit_length()) if 2**k < num_examples]
    return [*sizes, num_examples]


def start_measurement(structure: Structure, data: Any, draw: Callable) -> TrainFn:
    """Return the measurement in the shape of a training function, so that it runs in blocks."""

    def run(draw: Draw, hyper: Hyper) -> dict[str, Array]:
        start = start_replica(structure, data, draw, hyper)
        x = as_inputs(jnp.asarray(data.x_train))
        traces = trace_batch(
            structure.model, structure.likelihood, start.params, x, start.labels, start.sites
        )

        def apply_fn(params, x):
            return structure.model.apply({"params": params}, x, start.sites, start.means)

        product = fisher_vector_product(apply_fn, structure.likelihood, start.params, x)
        dim = ravel_pytree(start.params)[0].size
        # the start vector is the same for all replicas; any fixed one will do
        top = top_eigenpairs(product, dim, 1, jax.random.key(0), num_iterations=16)
        return {
            "start_loss": traces.loss,
            "lambda_max": top.eigenvalues[0],
            "lambda_max_residual": top.residuals[0],
            **_signs(traces, batch_sizes(len(x))),
        }

    return TrainFn(draw, run)


def tabulate_start(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays."""
    texts = {
        "start_loss": ((), "nat", "mean nll on the training set before the first step"),
        "lambda_max": ((), "nat / parameter^2", "largest eigenvalue of the Fisher"),
        "lambda_max_residual": ((), "nat / parameter^2", "|F v - lambda_max v|"),
        "mean_energy": (("layer",), "1", "|E h|^2 / E|h|^2 of the layer's inputs"),
        "example_unanimity": (
            ("layer",),
            "1",
            "share of (example, unit) whose gradients all have one sign",
        ),
        "positive_deltas": (("layer",), "1", "share of positive deltas"),
        "unanimity": (
            ("layer", "batch_size"),
            "1",
            "share of units whose batch gradients all have one sign",
        ),
        "coherence": (
            ("layer", "batch_size"),
            "1",
            "sign coherence of the batch gradient, mean over units and batches",
        ),
    }
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in texts.items()}


def _signs(traces: Traces, sizes: Sequence[int]) -> dict[str, Array]:
    layers = list(zip(traces.inputs, traces.deltas, strict=True))
    masks, which = _batch_masks(len(traces.outputs), sizes)

    def of_batch(mask: Array) -> tuple[Array, Array]:
        grads = [(h * mask[:, None]).T @ d for h, d in layers]
        coherence = jnp.stack([jnp.nanmean(sign_coherence(grad)) for grad in grads])
        return coherence, jnp.stack([share(sign_unanimity(grad)) for grad in grads])

    # batches by masks: one small program for all sizes, where slices would make one a size
    coherence, unanimity = lax.map(of_batch, jnp.asarray(masks, traces.outputs.dtype))
    averaging = which / which.sum(axis=1, keepdims=True)  # [size, batch]
    return {
        "mean_energy": jnp.stack([mean_energy(h) for h, _ in layers]),
        "example_unanimity": jnp.stack([share(example_sign_unanimity(h, d)) for h, d in layers]),
        "positive_deltas": jnp.stack([positive_fraction(d) for _, d in layers]),
        "coherence": (averaging @ coherence).T,
        "unanimity": (averaging @ unanimity).T,
    }


def _batch_masks(num_examples: int, sizes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return [batch, example] which examples a batch holds and [size, batch] of which size."""
    rows = np.arange(num_examples)
    masks, which = [], []
    for size in sizes:
        for start in range(0, num_examples - size + 1, size)[:MAX_BATCHES]:
            masks.append((rows >= start) & (rows < start + size))
            which.append(np.array(sizes) == size)
    return np.array(masks), np.array(which, np.float32).T
