r"""The Fisher information of the mean log-likelihood: as a dense factor, and matrix-free.

Labels are the model's own in everything called "Fisher" here. Knows no framework: a model is a
pure ``apply_fn(params, x) -> outputs`` on any pytree. May import JAX, signdyn.types and
signdyn.likelihoods.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Shaped

from signdyn.likelihoods import Likelihood
from signdyn.types import ApplyFn, Params

Unravel = Callable[[Array], Params]


def fisher_factor(
    apply_fn: ApplyFn, likelihood: Likelihood, params: Params, x: Shaped[Array, "batch ..."]
) -> Float[Array, "rows param"]:
    r"""Return A with A^T A = F, the Fisher of the mean log-likelihood over ``x``.

    With J_n the Jacobian of the outputs on example n and B_n B_n^T their output Fisher,

        F = (1/N) sum_n J_n^T B_n B_n^T J_n ,    A = N^{-1/2} [B_1^T J_1; ...; B_N^T J_N] .

    The labels never enter: this is the Fisher, not the "empirical Fisher", which differs
    from it by more than noise (Kunstner et al., 2019).

    Args:
        apply_fn: Pure ``(params, x) -> outputs``; must treat examples independently
            (no batch normalisation in training mode).
        likelihood: Observation model, see :mod:`signdyn.likelihoods`.
        params: Point at which to evaluate F; any pytree of float arrays.
        x: The N inputs over which the expectation is taken.

    Returns:
        Array [N * rank, P] in the dtype of ``params``, columns in the order of
        ``ravel_pytree``; needs N * rank * P * itemsize bytes, else use
        :func:`fisher_vector_product`. F is in nats / parameter^2, independent of N.

    Raises:
        ValueError: If ``x`` holds no examples, ``params`` holds anything but floats, or
            ``apply_fn`` does not return float outputs [N, K].

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> A = fisher_factor(lambda w, x: x @ w, gaussian(), jnp.zeros((2, 1)), x)
        >>> print(A.T @ A)  # linear-Gaussian: F = E[x x^T]
        [[0.5 0. ]
         [0.  2. ]]
    """
    theta, unravel = _flatten("fisher_factor", params)
    _check_outputs("fisher_factor", apply_fn, params, x)

    def rows_of(example: Array) -> Array:
        outputs, pull = jax.vjp(lambda t: apply_fn(unravel(t), example[None]), theta)
        factor = likelihood.fisher_factor(outputs).astype(outputs.dtype)
        (rows,) = jax.vmap(pull)(jnp.moveaxis(factor, -1, 0))
        return rows

    with jax.default_matmul_precision("highest"):
        rows = jax.vmap(rows_of)(x)
    return rows.reshape(-1, theta.size) / math.sqrt(x.shape[0])


def fisher_vector_product(
    apply_fn: ApplyFn, likelihood: Likelihood, params: Params, x: Shaped[Array, "batch ..."]
) -> Callable[[Float[Array, " param"]], Float[Array, " param"]]:
    r"""Return v -> F v, for the F of :func:`fisher_factor`, without forming a matrix.

    F v = (1/N) sum_n J_n^T B_n B_n^T J_n v: one forward and one reverse derivative of ``apply_fn``
    a product, at the cost of one or two gradients. The model is linearized once, here; keep the
    returned function inside the ``jit`` or ``vmap`` that called this one.

    Args:
        apply_fn: Pure ``(params, x) -> outputs``, differentiable in forward mode; must treat
            examples independently.
        likelihood: Observation model, see :mod:`signdyn.likelihoods`.
        params: Point at which to evaluate F; any pytree of float arrays.
        x: The N inputs over which the expectation is taken.

    Returns:
        A linear function of a vector [P] in the order of ``ravel_pytree``; it computes in, and
        returns, the dtype of ``params``. F is in nats / parameter^2, independent of N.

    Raises:
        ValueError: As :func:`fisher_factor`; the product, if its vector is not of shape [P].

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> F = fisher_vector_product(lambda w, x: x @ w, gaussian(), jnp.zeros((2, 1)), x)
        >>> print(F(jnp.array([1.0, 1.0])))  # E[x x^T] = diag(1/2, 2)
        [0.5 2. ]
    """
    theta, unravel = _flatten("fisher_vector_product", params)
    _check_outputs("fisher_vector_product", apply_fn, params, x)
    with jax.default_matmul_precision("highest"):
        outputs, push = jax.linearize(lambda t: apply_fn(unravel(t), x), theta)
        pull = jax.linear_transpose(push, theta)
        factor = likelihood.fisher_factor(outputs).astype(outputs.dtype)

    def product(v: Float[Array, "..."]) -> Float[Array, "..."]:
        if v.shape != theta.shape:
            raise ValueError(
                f"fisher_vector_product: expected a vector of shape {theta.shape}, got {v.shape=}; "
                "flatten a pytree with jax.flatten_util.ravel_pytree."
            )
        with jax.default_matmul_precision("highest"):
            scores = jnp.einsum("nkr,nk->nr", factor, push(v.astype(theta.dtype)))
            (result,) = pull(jnp.einsum("nkr,nr->nk", factor, scores))
        return result / x.shape[0]

    return product


def _flatten(name: str, params: Params) -> tuple[Float[Array, " param"], Unravel]:
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


def _check_outputs(name: str, apply_fn: ApplyFn, params: Params, x: Array) -> None:
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
