r"""The factor A of a layer's Fisher, and the Gram matrix A A^T of many layers without A.

Private to signdyn.analysis, re-exported by layers. May import JAX.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.analysis._layer import Bias, Layer, homogeneous_arrays, with_ones
from signdyn.analysis._units import layer_arrays


def layer_factor(layer: Layer, *, bias: bool = True) -> Float[Array, "rows param"]:
    r"""Return A with A^T A = the layer's block of the Fisher, mean over examples.

    Exact also where positions share weights: row (n, r) is the ravel of
    N^{-1/2} sum_t (a_nt, 1) (x) delta_nrt.

    Args:
        layer: Of :func:`fisher_layers` or one of its siblings, which decide whose block it is.
        bias: Whether the layer has one.

    Returns:
        Array [N * R, (fan_in + bias) * units], rows example-major, columns the ravel of a matrix
        [fan_in + bias, units] whose last row is the bias, see :func:`layer_matrix`.

    Raises:
        ValueError: If the layer's shapes disagree.

    Example:
        >>> layer = Layer(jnp.array([[[1.0, 2.0]]]), jnp.array([[[[3.0]]]]))
        >>> print(layer_factor(layer))  # delta (a, 1)
        [[3. 6. 3.]]
    """
    inputs, deltas = layer_arrays("layer_factor", *layer)
    inputs = with_ones(inputs) if bias else inputs
    with jax.default_matmul_precision("highest"):
        scores = jnp.einsum("ntf,nrtu->nrfu", inputs, deltas)
    num_examples, rank = deltas.shape[:2]
    return scores.reshape(num_examples * rank, -1) / math.sqrt(num_examples)


def gram_of_layers(layers: Mapping[str, Layer], *, bias: Bias = True) -> Float[Array, "rows rows"]:
    r"""Return A A^T, for A the factor of all layers' parameters together, without forming A.

    The nonzero eigenvalues of F = A^T A from a matrix of the size of the data. With one position,

        (A A^T)_{(n,r),(m,s)} = (1/N) sum_layers (a_n . a_m + 1) (delta_nr . delta_ms) ,

    and with weights shared over positions both products stand under sum_{t,t'}; each layer takes
    the cheaper of that sum and of its per-example matrices.

    Args:
        layers: Of :func:`fisher_layers` or a sibling; equal N and R.
        bias: Whether the layers have one, or for each of them whether it has.

    Returns:
        Array [N * R, N * R], rows example-major, symmetric and positive semidefinite up to
        rounding. Its eigenvalues lose half the digits of a factor's squared singular values.

    Raises:
        ValueError: If there is no layer, or shapes disagree.

    Example:
        >>> layer = Layer(jnp.array([[[2.0]], [[0.0]]]), jnp.array([[[[1.0]]], [[[3.0]]]]))
        >>> print(gram_of_layers({"dense": layer}))  # (a_n a_m + 1) delta_n delta_m / 2
        [[2.5 1.5]
         [1.5 4.5]]
    """
    arrays = homogeneous_arrays("gram_of_layers", layers, bias)
    with jax.default_matmul_precision("highest"):
        grams = [_gram(a, d) for a, d in arrays.values()]
    return sum(grams[1:], start=grams[0])


def _gram(
    inputs: Float[Array, "batch position fan_in"], deltas: Float[Array, "batch rank position unit"]
) -> Float[Array, "rows rows"]:
    """Return one layer's part of A A^T, by the cheaper way of the two."""
    num_examples, rank, positions, units = deltas.shape
    fan_in = inputs.shape[2]
    if positions == 1:
        inputs, deltas = inputs[:, 0], deltas[:, :, 0].reshape(-1, units)
        moments = jnp.repeat(jnp.repeat(inputs @ inputs.T, rank, axis=0), rank, axis=1)
        return moments * (deltas @ deltas.T) / num_examples
    # Products a pair of examples: of their R matrices each, or of T x T positions.
    if rank**2 * fan_in * units <= positions**2 * (fan_in + rank**2 * (units + 1)):
        scores = jnp.einsum("ntf,nrtu->nrfu", inputs, deltas).reshape(num_examples * rank, -1)
        return scores @ scores.T / num_examples

    def rows_of(example: tuple[Array, Array]) -> Array:
        a, d = example
        return jnp.einsum(
            "mts,mrqts->rmq",
            jnp.einsum("tf,msf->mts", a, inputs),
            jnp.einsum("rtu,mqsu->mrqts", d, deltas),
        )

    # Example by example: all pairs at once would need N^2 R^2 T^2 numbers.
    rows = jax.lax.map(rows_of, (inputs, deltas))
    return rows.reshape(num_examples * rank, -1) / num_examples
