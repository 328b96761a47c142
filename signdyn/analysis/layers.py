r"""What every layer of any model reads and receives: inputs and deltas, example by example.

The score of a layer's weights is an outer product, delta (x) (a, 1), so two small arrays hold what
a [batch, fan_in, units] array of per-example gradients would: the Fisher's blocks, its units' own
blocks, its Gram matrix and the K-FAC approximation all follow from them. A model shows its layers
by calling ``z = tap(name, h, h @ W + b)`` in each, see :data:`signdyn.types.TappedFn`;
`signdyn.models.taps` does it for Flax modules. Knows no framework. May import JAX, signdyn.types
and signdyn.likelihoods.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from signdyn.analysis._independence import check_independent
from signdyn.analysis._labels import draw_labels, label_factor, sampler_of
from signdyn.analysis._layer import Layer as Layer
from signdyn.analysis._layer_gram import gram_of_layers as gram_of_layers
from signdyn.analysis._layer_gram import layer_factor as layer_factor
from signdyn.analysis._layer_params import Coverage as Coverage
from signdyn.analysis._layer_params import biases as biases
from signdyn.analysis._layer_params import columns_of_layers as columns_of_layers
from signdyn.analysis._layer_params import coverage as coverage
from signdyn.analysis._layer_params import layer_matrices as layer_matrices
from signdyn.analysis._layer_params import layer_matrix as layer_matrix
from signdyn.analysis._layer_params import layer_params as layer_params
from signdyn.analysis._layer_params import params_of_matrices as params_of_matrices
from signdyn.analysis._params import check_outputs
from signdyn.checks import checked
from signdyn.likelihoods import Likelihood, output_fisher_factor
from signdyn.types import Params, TappedFn


@checked
def fisher_layers(
    tapped_fn: TappedFn, likelihood: Likelihood, params: Params, x: Shaped[Array, "batch ..."]
) -> dict[str, Layer]:
    r"""Return every tapped layer's inputs and the deltas of the Fisher, labels the model's own.

    With B_n [K, R] the factor of example n's output Fisher, delta_nr = (d outputs_n / d z_n)^T B_nr
    for the pre-activations z: the exact expectation over labels, in R backward passes through the
    whole batch.

    Args:
        tapped_fn: Pure ``(params, x, tap) -> outputs`` that calls ``z = tap(name, inputs, z)`` once
            in every layer that is to be seen, and goes on with what it gets back; outside of
            ``jit``, ``scan`` and ``remat`` of its own. Must treat examples independently.
        likelihood: Observation model, see :mod:`signdyn.likelihoods`.
        params: Point at which to evaluate; any pytree of float arrays.
        x: The N inputs over which the Fisher's expectation is taken.

    Returns:
        A `Layer` for every name, in the order of the calls, R the rank of the output factor.
        Positions, that is all axes between the first and the last, are flattened to one.

    Raises:
        ValueError: If no tap is called, a name is used twice, a tap's arrays do not fit each
            other, ``x`` holds no examples, examples are mixed, or outputs are not floats [N, K].

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> x, w = jnp.array([[1.0, 2.0]]), jnp.ones((2, 1))
        >>> model = lambda w, x, tap: 3.0 * tap("dense", x, x @ w)
        >>> layer = fisher_layers(model, gaussian(), w, x)["dense"]
        >>> print(layer.inputs[0], layer.deltas[0, 0])  # d output / d z = 3, and B = 1
        [[1. 2.]] [[3.]]
    """
    factor_of = partial(output_fisher_factor, likelihood)
    return _pull_back("fisher_layers", tapped_fn, params, x, factor_of)


@checked
def empirical_fisher_layers(
    tapped_fn: TappedFn,
    likelihood: Likelihood,
    params: Params,
    x: Shaped[Array, "batch ..."],
    y: Shaped[Array, "batch ..."],
) -> dict[str, Layer]:
    r"""Return every tapped layer's inputs and the deltas of the data's nll, R = 1.

    The mean over examples of delta (x) (a, 1) is the gradient of the mean nll; its second moment
    is the empirical Fisher, which is not the Fisher (Kunstner et al., 2019).

    Args:
        tapped_fn: As in :func:`fisher_layers`.
        likelihood: Gives the nll.
        params: Point at which to evaluate; any pytree of float arrays.
        x: The N inputs.
        y: The N labels, as the likelihood wants them.

    Returns:
        A `Layer` for every name, with R = 1; delta = d nll_n / d z_n in nats, NaN for an example
        whose nll is.

    Raises:
        ValueError: As :func:`fisher_layers`; or if there are not N labels.

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> x, y, w = jnp.array([[1.0, 2.0]]), jnp.array([[1.0]]), jnp.ones((2, 1))
        >>> model = lambda w, x, tap: tap("dense", x, x @ w)
        >>> layer = empirical_fisher_layers(model, gaussian(), w, x, y)["dense"]
        >>> print(layer.deltas[0, 0])  # residual 3 - 1
        [[2.]]
    """
    name = "empirical_fisher_layers"

    def score(outputs: Array) -> Array:
        return label_factor(likelihood, outputs, y[:, None])

    return _pull_back(name, tapped_fn, params, x, score)


@checked
def monte_carlo_fisher_layers(
    tapped_fn: TappedFn,
    likelihood: Likelihood,
    params: Params,
    x: Shaped[Array, "batch ..."],
    key: PRNGKeyArray,
    num_samples: int,
) -> dict[str, Layer]:
    r"""Return every tapped layer's inputs and the deltas of labels drawn from the model.

    Column r is the score of the r-th label an example, divided by sqrt(num_samples): an unbiased
    estimate of what :func:`fisher_layers` computes, with an error of order 1 / sqrt(N num_samples).

    Args:
        tapped_fn: As in :func:`fisher_layers`.
        likelihood: Observation model; its ``sample`` draws the labels.
        params: Point at which to evaluate; any pytree of float arrays.
        x: The N inputs.
        key: Decides the labels; the same key gives
            :func:`signdyn.analysis.fisher.monte_carlo_fisher_factor` the same labels.
        num_samples: Labels an example, at least 1; static.

    Returns:
        A `Layer` for every name, with R = num_samples.

    Raises:
        ValueError: As :func:`fisher_layers`; or if the likelihood cannot sample, or
            ``num_samples`` is below 1.

    Example:
        >>> from signdyn.likelihoods import bernoulli
        >>> x, w = jnp.ones((1, 1)), jnp.zeros((1, 1))
        >>> model = lambda w, x, tap: tap("dense", x, x @ w)
        >>> key = jax.random.key(0)
        >>> layer = monte_carlo_fisher_layers(model, bernoulli(), w, x, key, 4)["dense"]
        >>> print(jnp.abs(layer.deltas[0, :, 0, 0]))  # |p - y| = 1/2 for both labels; / sqrt 4
        [0.25 0.25 0.25 0.25]
    """
    name = "monte_carlo_fisher_layers"
    sample = sampler_of(name, likelihood, num_samples)

    def scores(outputs: Array) -> Array:
        labels = draw_labels(sample, outputs, key, num_samples)
        return label_factor(likelihood, outputs, labels)

    return _pull_back(name, tapped_fn, params, x, scores)


def _pull_back(
    name: str,
    tapped_fn: TappedFn,
    params: Params,
    x: Array,
    factor_of: Callable[[Array], Float[Array, "batch output rank"]],
) -> dict[str, Layer]:
    """Return each layer's inputs, and the columns of ``factor_of(outputs)`` pulled back to it."""

    def apply_fn(p: Params, x: Array) -> Array:
        return tapped_fn(p, x, lambda _name, _inputs, z: z)

    check_outputs(name, apply_fn, params, x)
    check_independent(name, apply_fn, params, x)
    shapes = _shapes(name, tapped_fn, params, x)

    def perturbed(perturbations: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        seen = {}

        def tap(layer: str, inputs: Array, z: Array) -> Array:
            seen[layer] = inputs
            return z + perturbations[layer]

        return tapped_fn(params, x, tap), seen

    with jax.default_matmul_precision("highest"):
        # Under shard_map a derivative by what devices share is summed over them: these zeros are
        # made of what each device has.
        own = [
            jnp.where(False, leaf.ravel()[0], 0)
            for leaf in jax.tree.leaves((params, x))
            if leaf.size
        ]
        zeros = {
            layer: sum((zero.astype(z.dtype) for zero in own), jnp.zeros(z.shape, z.dtype))
            for layer, (_, z) in shapes.items()
        }
        outputs, pull, seen = jax.vjp(perturbed, zeros, has_aux=True)
        # Examples are independent: one pass for the batch gives every example its own deltas.
        columns = jnp.moveaxis(factor_of(outputs).astype(outputs.dtype), -1, 0)
        (pulled,) = jax.vmap(pull, out_axes=1)(columns)
    return {
        layer: Layer(
            inputs=seen[layer].reshape(x.shape[0], -1, inputs.shape[-1]),
            deltas=pulled[layer].reshape(x.shape[0], columns.shape[0], -1, z.shape[-1]),
        )
        for layer, (inputs, z) in shapes.items()
    }


def _shapes(
    name: str, tapped_fn: TappedFn, params: Params, x: Array
) -> dict[str, tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]]:
    """Return the shapes of every layer's inputs and pre-activations, in the order of the calls."""
    shapes = {}

    def tap(layer: str, inputs: Array, z: Array) -> Array:
        if layer in shapes:
            raise ValueError(
                f"{name}: expected every tap to have a name of its own, got {layer!r} twice; "
                "a layer that is applied twice in one pass has no single input."
            )
        positions = math.prod(inputs.shape[1:-1])
        fits = min(inputs.ndim, z.ndim) >= 2 and inputs.shape[0] == z.shape[0] == x.shape[0]
        if not fits or positions != math.prod(z.shape[1:-1]):
            raise ValueError(
                f"{name}: expected tap({layer!r}, inputs, z) with inputs [N, ..., fan_in] and z "
                f"[N, ..., units] of equal positions, N={x.shape[0]}, got {inputs.shape=}, "
                f"{z.shape=}; for a convolution the inputs are its patches."
            )
        if not (jnp.issubdtype(z.dtype, jnp.floating) and inputs.dtype == z.dtype):
            raise ValueError(
                f"{name}: expected inputs and pre-activations of one float dtype at tap "
                f"{layer!r}, got {inputs.dtype=}, {z.dtype=}; cast the inputs."
            )
        shapes[layer] = (
            jax.ShapeDtypeStruct(inputs.shape, inputs.dtype),
            jax.ShapeDtypeStruct(z.shape, z.dtype),
        )
        return z

    jax.eval_shape(lambda p, x: tapped_fn(p, x, tap), params, x)
    if not shapes:
        raise ValueError(
            f"{name}: expected tapped_fn to call tap in at least one layer, got none; write "
            "z = tap('dense_0', h, h @ W + b), or use signdyn.models.taps for a Flax module."
        )
    return shapes
