"""Whether a model's layers hold all of its parameters, so that they may stand for the model.

Private to signdyn.analysis. May import JAX, signdyn.types, signdyn.likelihoods and
signdyn.analysis.layers.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from signdyn.analysis._params import flatten
from signdyn.analysis.layers import Layer, biases, coverage, fisher_layers
from signdyn.likelihoods import Likelihood
from signdyn.types import ApplyFn, Params, Tapped


class WholeLayers(NamedTuple):
    """Layers that are the whole model.

    Attributes:
        find: Returns them; what is traced, is traced here.
        bias: Which of them have a bias.
        num_params: P, the number of parameters.
        num_rows: N R, the number of rows of the factor.
        dtype: Of their arrays.
    """

    find: Callable[[], dict[str, Layer]]
    bias: dict[str, bool]
    num_params: int
    num_rows: int
    dtype: jnp.dtype


def layers_of_whole(
    apply_fn: ApplyFn, likelihood: Likelihood, params: Params, x: Array
) -> WholeLayers | None:
    """Return the layers of a Tapped model; None if it is none, or they are not all of it.

    The columns of the output factor are those of the likelihood's thin factor if it has one.
    """
    if not isinstance(apply_fn, Tapped):
        return None

    def find() -> dict[str, Layer]:
        return fisher_layers(apply_fn, likelihood.thin(), params, x)

    shapes = jax.eval_shape(find)
    try:
        report, bias = coverage(params, shapes), biases(params, shapes)
    except ValueError:
        return None  # names of the user's own, or layers of another kind
    counts = [
        (layer.inputs.shape[-1] + bias[name]) * layer.deltas.shape[-1]
        for name, layer in shapes.items()
    ]
    dtypes = {layer.deltas.dtype for layer in shapes.values()} | {flatten("", params)[0].dtype}
    if report.missing or sum(counts) != report.num_params or len(dtypes) > 1:
        return None
    num_rows = math.prod(next(iter(shapes.values())).deltas.shape[:2])
    return WholeLayers(find, bias, report.num_params, num_rows, dtypes.pop())
