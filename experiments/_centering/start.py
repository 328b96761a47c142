"""What is measured before the first step: curvature of the loss, and the moments of the inputs."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from experiments._centering.networks import Point, Problem, layer_inputs, started, structure
from signdyn.analysis.spectrum import top_eigenpairs
from signdyn.likelihoods import Likelihood
from signdyn.records import Variable
from signdyn.replicas import start_replica
from signdyn.training import Draw, TrainFn
from signdyn.types import Params

NUM_PRODUCTS = 16
"""Depth of the Krylov space that finds lambda_max."""


def start_fn(problem: Problem, draw: Callable[..., Draw]) -> TrainFn:
    """Return the measurement in the shape of a training function, so that it runs in blocks."""

    def run(draw: Draw, point: Point) -> dict[str, Array]:
        model, draw = started(problem, draw, point)
        start = start_replica(structure(problem, model), problem.data, draw, point.hyper)
        x = jnp.asarray(problem.data.x_train)

        def outputs_of(params: Params) -> Array:
            return model.apply({"params": params}, x, start.sites)

        product = gauss_newton_product(outputs_of, problem.likelihood, start.params)
        dim = ravel_pytree(start.params)[0].size
        # the start vector is the same for all replicas; any fixed one will do
        top = top_eigenpairs(product, dim, 1, jax.random.key(0), num_iterations=NUM_PRODUCTS)
        first, *_ = model.layer_names
        inputs = layer_inputs(model, start.params, x, start.sites)
        rows = inputs[first] @ model.maps[first]
        with_one = jnp.concatenate([rows, jnp.ones_like(rows[:, :1])], axis=1)
        nll = problem.likelihood.nll(outputs_of(start.params), start.labels)
        return {
            "start_loss": jnp.mean(nll),
            "lambda_max": top.eigenvalues[0],
            "lambda_max_residual": top.residuals[0],
            "input_moment": with_one.T @ with_one / len(x),
            "one_signed": jnp.stack([one_signed_share(h) for h in inputs.values()]),
        }

    return TrainFn(draw, run)


def one_signed_share(inputs: Float[Array, "example unit"]) -> Float[Array, ""]:
    """Return the share of units that are never positive, or never negative, on any example.

    Example:
        >>> print(one_signed_share(jnp.array([[1.0, -1.0], [2.0, 3.0]])))
        0.5
    """
    one = jnp.all(inputs >= 0.0, axis=0) | jnp.all(inputs <= 0.0, axis=0)
    return jnp.mean(one.astype(inputs.dtype))


def gauss_newton_product(
    outputs_of: Callable[[Params], Float[Array, "example output"]],
    likelihood: Likelihood,
    params: Params,
) -> Callable[[Array], Array]:
    """Return v -> G v for the Gauss-Newton matrix G of the mean nll over all examples together.

    Where examples are independent, G is the Fisher. Where a site subtracts batch means they are
    not: J is then the Jacobian of all outputs with the means moving, and G still is what bounds
    the rate of gradient descent, near a minimum.
    """
    theta, unravel = ravel_pytree(params)
    outputs, push = jax.linearize(lambda t: outputs_of(unravel(t)), theta)
    pull = jax.linear_transpose(push, theta)
    factor = likelihood.fisher_factor(outputs)

    def product(v: Array) -> Array:
        scores = jnp.einsum("nkr,nk->nr", factor, push(v.astype(theta.dtype)))
        (result,) = pull(jnp.einsum("nkr,nr->nk", factor, scores))
        return result / len(outputs)

    return product


_FISHER = "nat / parameter^2"
TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "start_loss": ((), "nat", "mean nll on the training set before the first step"),
    "lambda_max": ((), _FISHER, "largest eigenvalue of the loss's Gauss-Newton matrix"),
    "lambda_max_residual": ((), _FISHER, "|G v - lambda_max v|"),
    "input_moment": (
        ("feature", "other_feature"),
        "1",
        "E[(h, 1)(h, 1)^T] of the first layer's inputs",
    ),
    "one_signed": (("layer",), "1", "share of the layer's inputs that have one sign on all digits"),
}


def tabulate_start(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays."""
    return {
        name: Variable(dims, results[name], units, text)
        for name, (dims, units, text) in TEXTS.items()
    }
