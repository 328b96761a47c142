"""Checks that every function of a model shares: float parameters, one row of outputs an example.

Private to signdyn.analysis. May import JAX and signdyn.types.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from signdyn.types import ApplyFn, Params

Unravel = Callable[[Array], Params]


def flatten(name: str, params: Params) -> tuple[Float[Array, " param"], Unravel]:
    """Return ``ravel_pytree(params)``, or raise where a leaf is not of a real float dtype."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    for path, leaf in leaves:
        dtype = getattr(leaf, "dtype", type(leaf))
        if dtype is not float and not jnp.issubdtype(dtype, jnp.floating):
            raise ValueError(
                f"{name}: expected params of float arrays, got {dtype} at "
                f"params{jax.tree_util.keystr(path)}; close apply_fn over what is not trained."
            )
    if not leaves:
        raise ValueError(f"{name}: expected params to hold at least one array, got {params!r}.")
    return ravel_pytree(params)


def check_outputs(name: str, apply_fn: ApplyFn, params: Params, x: Array) -> None:
    """Raise unless ``x`` holds examples and ``apply_fn`` maps them to float outputs [N, K]."""
    if x.ndim == 0 or x.shape[0] == 0:
        raise ValueError(
            f"{name}: expected at least one example along axis 0 of x, got {x.shape=}."
        )
    outputs = jax.eval_shape(apply_fn, params, x)
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != x.shape[0]:
        raise ValueError(
            f"{name}: expected apply_fn to return one array [{x.shape[0]}, K], got {outputs}; "
            "give every example a row, for a single output x.shape[0] rows of length 1."
        )
    if not jnp.issubdtype(outputs.dtype, jnp.floating):
        raise ValueError(f"{name}: expected float outputs from apply_fn, got {outputs.dtype}.")
