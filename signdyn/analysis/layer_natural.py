r"""The exact natural gradient of a model whose parameters all lie in known layers.

The same (F + damping I)^{-1} g as :func:`signdyn.analysis.natural.natural_gradient`, to the same
error, without the factor A that it takes. Three ways are tried, each only where the one before has
not come to its end: conjugate gradients on products with A of the layers, as many as a
factorization would cost; the same, preconditioned by the Cholesky factor of the Fisher or of the
Gram matrix of the layers, whichever is smaller; and the orthogonal factorization of A. Which one
is needed depends on the damping alone: the smaller it is, the further down. May import JAX,
signdyn.analysis.layers, layer_algebra and natural.
"""

import math
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.analysis._layer import with_ones
from signdyn.analysis._sample_solve import Samples, solve_in_samples
from signdyn.analysis._solve import Found, Map, Vector, solve, unless
from signdyn.analysis._units import check_damping
from signdyn.analysis.layer_algebra import (
    fisher_of_layers,
    product_of_layers,
    pullback_of_layers,
    scores_of_layers,
)
from signdyn.analysis.layers import Layer, gram_of_layers, layer_factor
from signdyn.analysis.natural import natural_gradient
from signdyn.checks import checked

MAX_PRODUCTS = 512
"""More products than that are not tried before a factorization, whatever it costs."""

MIN_PRODUCTS = 8
"""Fewer than that do not tell the largest curvature."""

MAX_CORRECTIONS = 32
"""Products that are tried with a Cholesky factor as preconditioner."""


@checked
def natural_gradient_of_layers(
    layers: Mapping[str, Layer],
    matrices: Mapping[str, Float[Array, "_parameter _unit"]],
    *,
    damping: float | Float[Array, ""],
) -> dict[str, Float[Array, "_parameter _unit"]]:
    r"""Return (F + damping I)^{-1} g, F the Fisher of all layers' parameters together.

    Conjugate gradients stop where the error is a few dozen roundings of the answer, which their
    residual over the damping bounds, and are believed if the true residual agrees. Products are
    with A and A^T, never with a rounded F. Where that takes more products than a factorization
    costs, a Cholesky factor preconditions them; where that does not do either, as in float32 at a
    damping far below 1e-6 lambda_max, the answer is that of
    :func:`signdyn.analysis.natural.natural_gradient` for the layers' factor. So the damping
    decides the cost, and not the accuracy: the error grows with the square root of the condition
    number.

    Args:
        layers: Of :func:`signdyn.analysis.layers.fisher_layers` or a sibling, which decide what F
            is; equal N and R.
        matrices: g: for every layer [fan_in + 1, units] with the bias last, or [fan_in, units];
            :func:`signdyn.analysis.layers.layer_matrices` makes them of a gradient.
        damping: Absolute, in units of F; a non-negative scalar, may be traced. 0 goes to the
            orthogonal factorization.

    Returns:
        Like ``matrices``, in units of parameter: grad's sign, so an update subtracts it. NaN
        throughout where the gradient or the Fisher is not finite, or F + damping I is singular to
        working precision as in :func:`signdyn.analysis.natural.natural_gradient`.

    Raises:
        ValueError: If layers and matrices do not fit each other, or a Python ``damping`` is
            negative, or is 0 although there are fewer rows N R than parameters.

    Example:
        >>> layer = Layer(jnp.array([[[1.0]], [[0.0]]]), jnp.array([[[[1.0]]], [[[2.0]]]]))
        >>> grad = {"dense": jnp.array([[1.0], [2.0]])}  # F = [[.5, .5], [.5, 2.5]]
        >>> direction = natural_gradient_of_layers({"dense": layer}, grad, damping=0.5)
        >>> print(2.75 * direction["dense"].T.round(6))
        [[2.  1.5]]
    """
    name = "natural_gradient_of_layers"
    check_damping(name, damping)
    layers = _homogeneous(layers, matrices)
    shapes = {key: matrices[key].shape for key in layers}
    rows, size = _rows(layers), sum(map(math.prod, shapes.values()))
    if isinstance(damping, (int, float)) and damping == 0.0 and rows < size:
        raise ValueError(
            f"{name}: expected damping > 0 where there are fewer rows than parameters, as F is "
            f"singular, got damping=0, {rows} rows and {size} parameters; use "
            "signdyn.analysis.natural.natural_gradient_pinv."
        )
    grad = _flat({key: matrices[key] for key in layers})
    damping = jnp.asarray(damping, grad.dtype)

    def damped(v: Vector) -> Vector:
        return _flat(product_of_layers(layers, _split(v, shapes))) + damping * v

    def orthogonal(target: Vector) -> Vector:
        A = jnp.concatenate([layer_factor(layer, bias=False) for layer in layers.values()], axis=1)
        return natural_gradient(A, target, damping=damping)

    with jax.default_matmul_precision("highest"):
        # Squared norms leave the range of float32 early.
        largest = jnp.max(jnp.abs(grad))
        scale = jnp.where(largest == 0.0, jnp.ones_like(largest), largest)
        target = grad / scale
        finite = jnp.isfinite(largest)
        for inputs, deltas in layers.values():
            finite &= jnp.isfinite(jnp.sum(inputs)) & jnp.isfinite(jnp.sum(deltas))
        # What is not finite is not worth a factorization, and without damping nothing ends.
        zero = jnp.where(False, target[0], 0.0)
        start = Found(jnp.where(finite, jnp.zeros_like(target), jnp.nan), ~finite, zero)
        trying = damping > 0.0
        samples = _samples(layers, shapes)
        budget = _affordable_products(layers, in_samples=samples is not None)

        def by_products() -> Found:
            if samples is not None:
                return solve_in_samples(samples, damped, target, damping, budget)
            return solve(damped, lambda r: r, target, damping, budget, zero)

        found = unless(start.solved | ~trying, by_products, start)
        cholesky = partial(_cholesky, layers, shapes, damping)
        found = unless(
            found.solved | ~trying,
            lambda: solve(damped, cholesky(), target, damping, MAX_CORRECTIONS, found.largest),
            found,
        )
        found = unless(
            found.solved, lambda: Found(orthogonal(target), found.solved | True, zero), found
        )
    return _split(scale * found.direction, shapes)


def _cholesky(
    layers: Mapping[str, Layer], shapes: Mapping[str, tuple[int, ...]], damping: Float[Array, ""]
) -> Map:
    """Return the map to an approximate solution, NaN where it cannot be had.

    The damping is raised by what rounding takes from the smallest eigenvalues, so that they stay
    positive: what that changes is up to the corrections.
    """
    in_parameters = _rows(layers) >= sum(map(math.prod, shapes.values()))
    matrix = (fisher_of_layers if in_parameters else gram_of_layers)(layers, bias=False)
    raised = damping + jnp.finfo(matrix.dtype).eps * jnp.trace(matrix)
    factor = jax.lax.linalg.cholesky(
        matrix + raised * jnp.eye(len(matrix), dtype=matrix.dtype), symmetrize_input=False
    )

    def in_factored(b: Array) -> Array:
        return jax.scipy.linalg.cho_solve((factor, True), b)

    def in_samples(v: Vector) -> Vector:
        scores = scores_of_layers(layers, _split(v, shapes))
        inside = in_factored(scores.ravel()).reshape(scores.shape)
        return (v - _flat(pullback_of_layers(layers, inside, bias=False))) / raised

    return in_factored if in_parameters else in_samples


def _samples(layers: Mapping[str, Layer], shapes: Mapping[str, tuple[int, ...]]) -> Samples | None:
    """Return products in the space of rows, or None where those of parameters are cheaper."""
    size, units = (sum(f(shape) for shape in shapes.values()) for f in (math.prod, lambda s: s[1]))
    num_examples, rank = next(iter(layers.values())).deltas.shape[:2]
    shared = any(inputs.shape[1] > 1 for inputs, _ in layers.values())
    if shared or num_examples * rank >= size or num_examples * units >= 2 * size:
        return None
    dense = [(inputs[:, 0], deltas[:, :, 0]) for inputs, deltas in layers.values()]
    moments = [inputs @ inputs.T / num_examples for inputs, _ in dense]

    def scores(v: Vector) -> Float[Array, " row"]:
        return scores_of_layers(layers, _split(v, shapes)).ravel()

    def pullback(u: Float[Array, " row"]) -> Vector:
        return _flat(pullback_of_layers(layers, u.reshape(num_examples, rank), bias=False))

    def gram(u: Float[Array, " row"]) -> Float[Array, " row"]:
        u = u.reshape(num_examples, rank)
        parts = [
            jnp.einsum("nru,nu->nr", deltas, moment @ jnp.einsum("nr,nru->nu", u, deltas))
            for moment, (_, deltas) in zip(moments, dense, strict=True)
        ]
        return sum(parts[1:], start=parts[0]).ravel()

    return Samples(scores, pullback, gram)


def _affordable_products(layers: Mapping[str, Layer], *, in_samples: bool = False) -> int:
    """Return how many products cost as much as the Cholesky factor, by counting flops."""
    rows, size, product, gram, fisher = _rows(layers), 0, 0, 0, 0
    for inputs, deltas in layers.values():
        (num_examples, positions, fan_in), units = inputs.shape, deltas.shape[-1]
        size += fan_in * units
        across = num_examples / 2 if in_samples else fan_in  # a product there and back, or one
        product += 4 * num_examples * positions * units * (across + deltas.shape[1])
        gram += 2 * rows**2 * units
    if rows >= size:
        fisher = size**2 * rows // next(iter(layers.values())).deltas.shape[1]
    matrix = fisher if rows >= size else gram
    affordable = (matrix + min(rows, size) ** 3 // 3) // int(product)
    return max(MIN_PRODUCTS, min(affordable, MAX_PRODUCTS))


def _homogeneous(layers: Mapping[str, Layer], matrices: Mapping[str, Array]) -> dict[str, Layer]:
    """Return the layers with inputs (a, 1) where the matrix has a bias, or raise ValueError."""
    jax.eval_shape(scores_of_layers, layers, matrices)
    with_bias = {key: len(matrices[key]) > layer.inputs.shape[-1] for key, layer in layers.items()}
    return {
        key: Layer(with_ones(inputs) if with_bias[key] else inputs, deltas)
        for key, (inputs, deltas) in layers.items()
    }


def _rows(layers: Mapping[str, Layer]) -> int:
    num_examples, rank = next(iter(layers.values())).deltas.shape[:2]
    return num_examples * rank


def _flat(matrices: Mapping[str, Array]) -> Vector:
    return jnp.concatenate([matrix.ravel() for matrix in matrices.values()])


def _split(v: Vector, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
    parts, start = {}, 0
    for key, shape in shapes.items():
        parts[key] = v[start : start + math.prod(shape)].reshape(shape)
        start += math.prod(shape)
    return parts
