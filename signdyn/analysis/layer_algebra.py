r"""Products with the factor A of a model's Fisher, and the Fisher itself, layer by layer.

A row of A is an outer product in every layer, so that nothing here forms A where weights are not
shared over positions: with a homogeneous, (a, 1) where there is a bias,

    A v = N^{-1/2} sum_layers sum_t a_nt^T V delta_nrt ,    F = A^T A ,

and V the layer's share of v, a matrix [fan_in + 1, units] with the bias last as
:func:`signdyn.analysis.layers.layer_matrix` makes it. Vectors are mappings from a layer's name to
its matrix; matrices have the order of :func:`signdyn.analysis.layers.columns_of_layers`. The Gram
matrix A A^T is :func:`signdyn.analysis.layers.gram_of_layers`. Knows no framework. May import JAX
and signdyn.analysis.layers.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from signdyn.analysis._layer import Bias, homogeneous_arrays
from signdyn.analysis._layer_pairs import block_of_pairs
from signdyn.analysis.layers import Layer
from signdyn.checks import checked

Matrices = Mapping[str, Float[Array, "_parameter _unit"]]
"""Layer's name -> a matrix of the form of its kernel, the bias as a last row if it has one."""


@checked
def scores_of_layers(layers: Mapping[str, Layer], matrices: Matrices) -> Float[Array, "batch rank"]:
    r"""Return A v, the derivative of every example's scores in the direction v.

    Args:
        layers: Of :func:`signdyn.analysis.layers.fisher_layers` or a sibling; equal N and R.
        matrices: v: for every layer [fan_in + 1, units] with the bias last, or [fan_in, units].

    Returns:
        Array [N, R]; its ravel has the order of the rows of A.

    Raises:
        ValueError: If layers and matrices do not fit each other.

    Example:
        >>> layer = Layer(jnp.array([[[1.0, 2.0]]]), jnp.array([[[[3.0]]]]))
        >>> v = jnp.array([[1.0], [1.0], [10.0]])
        >>> print(scores_of_layers({"dense": layer}, {"dense": v}))  # 3 (1 + 2 + 10)
        [[39.]]
    """
    arrays = _fitting("scores_of_layers", layers, matrices)
    with jax.default_matmul_precision("highest"):
        parts = [
            jnp.einsum("nrtu,ntu->nr", deltas, inputs @ matrices[name])
            for name, (inputs, deltas) in arrays.items()
        ]
    total = sum(parts[1:], start=parts[0])
    return total / math.sqrt(total.shape[0])


@checked
def pullback_of_layers(
    layers: Mapping[str, Layer], scores: Float[Array, "batch rank"], *, bias: Bias = True
) -> dict[str, Float[Array, "_parameter _unit"]]:
    r"""Return A^T u: the sum of every example's scores, weighted; transpose of scores_of_layers.

    Args:
        layers: As in :func:`scores_of_layers`.
        scores: u, [N, R].
        bias: Whether the layers have one, or for each of them whether it has.

    Returns:
        A matrix for every layer, [fan_in + 1, units] with the bias last, or [fan_in, units].

    Raises:
        ValueError: If shapes disagree.

    Example:
        >>> layer = Layer(jnp.array([[[1.0, 2.0]]]), jnp.array([[[[3.0]]]]))
        >>> print(pullback_of_layers({"dense": layer}, jnp.ones((1, 1)))["dense"].T)
        [[3. 6. 3.]]
    """
    arrays = homogeneous_arrays("pullback_of_layers", layers, bias)
    for _, deltas in arrays.values():
        if scores.shape != deltas.shape[:2]:
            raise ValueError(
                f"pullback_of_layers: expected scores [N, R] = {deltas.shape[:2]}, got "
                f"{scores.shape=}; pass what scores_of_layers returns."
            )
    weights = scores / math.sqrt(scores.shape[0])
    with jax.default_matmul_precision("highest"):
        return {
            name: jnp.einsum("ntf,ntu->fu", inputs, jnp.einsum("nr,nrtu->ntu", weights, deltas))
            for name, (inputs, deltas) in arrays.items()
        }


@checked
def product_of_layers(
    layers: Mapping[str, Layer], matrices: Matrices
) -> dict[str, Float[Array, "_parameter _unit"]]:
    r"""Return F v = A^T A v, at the cost of two products a layer.

    Args:
        layers: As in :func:`scores_of_layers`; they decide which Fisher it is.
        matrices: v: for every layer [fan_in + 1, units] with the bias last, or [fan_in, units].

    Returns:
        F v, like ``matrices``.

    Raises:
        ValueError: If layers and matrices do not fit each other.

    Example:
        >>> layer = Layer(jnp.array([[[1.0, 2.0]]]), jnp.array([[[[3.0]]]]))
        >>> v = jnp.array([[1.0], [1.0], [10.0]])
        >>> print(product_of_layers({"dense": layer}, {"dense": v})["dense"].T)  # 39 (3, 6, 3)
        [[117. 234. 117.]]
    """
    _fitting("product_of_layers", layers, matrices)
    bias = {name: _has_bias(layers[name], matrices[name]) for name in layers}
    return pullback_of_layers(layers, scores_of_layers(layers, matrices), bias=bias)


@checked
def fisher_of_layers(
    layers: Mapping[str, Layer], *, bias: Bias = True
) -> Float[Array, "parameter parameter"]:
    r"""Return the whole F = A^T A of all layers' parameters, by pairs of layers.

    Without weight sharing, the block of two layers is

        F_{(a,u),(b,v)} = (1/N) sum_n (a_na b_nb) (sum_r delta_nru epsilon_nrv) ,

    one product of inner dimension N, not N R, of pairs of inputs and pairs of deltas; in a layer's
    own block either kind is symmetric, which leaves a quarter of the work. A layer with positions
    enters with its factor.

    Args:
        layers: As in :func:`scores_of_layers`; they decide which Fisher it is.
        bias: Whether the layers have one, or for each of them whether it has.

    Returns:
        Array [P, P], symmetric up to rounding, in the order of the layers, each its matrix
        [fan_in + 1, units] raveled: with the ``columns`` of
        :func:`signdyn.analysis.layers.columns_of_layers` and F of ``ravel_pytree``, this is
        ``F[columns][:, columns]``.

    Raises:
        ValueError: If there is no layer, or shapes disagree.

    Example:
        >>> layer = Layer(jnp.array([[[1.0, 2.0]]]), jnp.array([[[[3.0]]]]))
        >>> print(fisher_of_layers({"dense": layer}))  # 9 (1, 2, 1) (1, 2, 1)^T
        [[ 9. 18.  9.]
         [18. 36. 18.]
         [ 9. 18.  9.]]
    """
    arrays = list(homogeneous_arrays("fisher_of_layers", layers, bias).values())
    with jax.default_matmul_precision("highest"):
        blocks = [[_block(one, two) for two in arrays[: k + 1]] for k, one in enumerate(arrays)]
    count = range(len(arrays))
    return jnp.block([[blocks[i][j] if j <= i else blocks[j][i].T for j in count] for i in count])


Arrays = tuple[
    Float[Array, "batch _position _parameter"], Float[Array, "batch rank _position _unit"]
]
"""A layer's inputs and deltas, with an axis of positions."""


def _block(one: Arrays, two: Arrays) -> Float[Array, "row column"]:
    """Return A_one^T A_two, for the factors A of two layers, or of one if they are the same."""
    num_examples = one[0].shape[0]
    if max(inputs.shape[1] for inputs, _ in (one, two)) > 1:
        A, B = (
            jnp.einsum("ntf,nrtu->nrfu", *arrays).reshape(num_examples * arrays[1].shape[1], -1)
            for arrays in (one, two)
        )
        return A.T @ B / num_examples
    dense_one = one[0][:, 0], one[1][:, :, 0]
    dense_two = dense_one if one is two else (two[0][:, 0], two[1][:, :, 0])
    return block_of_pairs(dense_one, dense_two)


def _fitting(name: str, layers: Mapping[str, Layer], matrices: Matrices) -> dict[str, Arrays]:
    """Return the layers' arrays, inputs (a, 1) where the matrix has a bias, or raise ValueError."""
    if layers.keys() != matrices.keys():
        raise ValueError(
            f"{name}: expected a matrix for each of the layers {', '.join(layers)}, got them for "
            f"{', '.join(matrices) or 'none'}; signdyn.analysis.layers.layer_matrices makes them."
        )
    for key, layer in layers.items():
        (fan_in, units), shape = (
            (layer.inputs.shape[-1], layer.deltas.shape[-1]),
            matrices[key].shape,
        )
        if shape not in ((fan_in, units), (fan_in + 1, units)):
            raise ValueError(
                f"{name}: expected a matrix {(fan_in + 1, units)} with, or {(fan_in, units)} "
                f"without bias for layer {key!r}, got {shape}; "
                "signdyn.analysis.layers.layer_matrices makes them."
            )
    bias = {key: _has_bias(layers[key], matrices[key]) for key in layers}
    return homogeneous_arrays(name, layers, bias)


def _has_bias(layer: Layer, matrix: Array) -> bool:
    return matrix.shape[0] == layer.inputs.shape[-1] + 1
