r"""The Fisher information of the mean log-likelihood: as a dense factor, in parts, matrix-free.

Three matrices share a form, F = (1/N) sum_n J_n^T S_n S_n^T J_n, and differ in S: the output
Fisher's factor (labels the model's own, expectation taken exactly: "Fisher"), the scores of labels
drawn from the model ("Monte Carlo Fisher", an unbiased estimate of it), or the scores of the data's
labels ("empirical Fisher", another matrix). Knows no framework: a model is a pure
``apply_fn(params, x) -> outputs`` on any pytree, that treats examples independently; batch
normalization in training mode is refused. May import JAX, signdyn.types and signdyn.likelihoods.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from signdyn.analysis._independence import check_independent
from signdyn.analysis._labels import draw_labels, label_factor, sampler_of
from signdyn.analysis._params import check_outputs, flatten
from signdyn.analysis._split import MeanCovarianceSplit as MeanCovarianceSplit
from signdyn.analysis._split import mean_covariance_split as mean_covariance_split
from signdyn.analysis._units import unit_fisher as unit_fisher
from signdyn.checks import checked
from signdyn.likelihoods import Likelihood, output_fisher_factor
from signdyn.types import ApplyFn, Params

OutputFactor = Callable[[Array, Any], Array]
"""``(outputs [N, K], their labels [N, R, ...] or None) -> S [N, K, R]``."""

Product = Callable[[Float[Array, " param"]], Float[Array, " param"]]
"""``v [P] -> F v [P]``."""


@checked
def fisher_factor(
    apply_fn: ApplyFn, likelihood: Likelihood, params: Params, x: Shaped[Array, "batch ..."]
) -> Float[Array, "rows param"]:
    r"""Return A with A^T A = F, the Fisher of the mean log-likelihood over ``x``.

    With J_n the Jacobian of the outputs on example n and B_n B_n^T their output Fisher,

        F = (1/N) sum_n J_n^T B_n B_n^T J_n ,    A = N^{-1/2} [B_1^T J_1; ...; B_N^T J_N] .

    The labels never enter: this is the Fisher, not the "empirical Fisher", which differs
    from it by more than noise (Kunstner et al., 2019).

    Args:
        apply_fn: Pure ``(params, x) -> outputs`` for any number of examples; must treat them
            independently (no batch normalization in training mode).
        likelihood: Observation model, see :mod:`signdyn.likelihoods`.
        params: Point at which to evaluate F; any pytree of float arrays.
        x: The N inputs over which the expectation is taken.

    Returns:
        Array [N * rank, P] in the dtype of ``params``, columns in the order of
        ``ravel_pytree``; needs N * rank * P * itemsize bytes, else use
        :func:`fisher_vector_product`. F is in nats / parameter^2, independent of N.

    Raises:
        ValueError: If ``x`` holds no examples, ``params`` holds anything but floats,
            ``apply_fn`` does not return float outputs [N, K], or it mixes examples; the message
            names the layer.

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> A = fisher_factor(lambda w, x: x @ w, gaussian(), jnp.zeros((2, 1)), x)
        >>> print(A.T @ A)  # linear-Gaussian: F = E[x x^T]
        [[0.5 0. ]
         [0.  2. ]]
    """
    _check_model("fisher_factor", apply_fn, params, x)
    return _factor(apply_fn, params, x, _exact(likelihood), None)


@checked
def monte_carlo_fisher_factor(
    apply_fn: ApplyFn,
    likelihood: Likelihood,
    params: Params,
    x: Shaped[Array, "batch ..."],
    key: PRNGKeyArray,
    num_samples: int,
) -> Float[Array, "rows param"]:
    r"""Return A with A^T A an unbiased estimate of the Fisher, from labels the model draws.

    With S = ``num_samples`` labels an example and g_ns the gradient of the nll of the s-th,

        F_MC = (1/(N S)) sum_n sum_s g_ns g_ns^T ,    E[F_MC] = F of :func:`fisher_factor` .

    The error falls as 1/sqrt(N S). The rank is at most N S: at one label an example many directions
    of F are missing altogether, and eigenvalues are biased although entries are not.

    Args:
        apply_fn: As in :func:`fisher_factor`.
        likelihood: Observation model; its ``sample`` draws the labels.
        params: Point at which to evaluate F; any pytree of float arrays.
        x: The N inputs over which the expectation is taken.
        key: Decides the labels: set s is ``likelihood.sample(jax.random.split(key, S)[s],
            outputs)``. The same key gives the same labels to
            :func:`monte_carlo_fisher_vector_product`.
        num_samples: Labels an example, S; static.

    Returns:
        Array [N * S, P], rows example-major, otherwise as :func:`fisher_factor`.

    Raises:
        ValueError: As :func:`fisher_factor`; if ``likelihood`` has no ``sample`` or ``num_samples``
            is below 1.

    Example:
        >>> from signdyn.likelihoods import bernoulli
        >>> w, x, key = jnp.zeros((1, 1)), jnp.ones((2, 1)), jax.random.key(0)
        >>> A = monte_carlo_fisher_factor(lambda w, x: x @ w, bernoulli(), w, x, key, 3)
        >>> print(A.shape, A.T @ A)  # p = 1/2: (p - y)^2 = 1/4 for either label
        (6, 1) [[0.25]]
    """
    name = "monte_carlo_fisher_factor"
    sample = sampler_of(name, likelihood, num_samples)
    _check_model(name, apply_fn, params, x)
    with jax.default_matmul_precision("highest"):
        labels = draw_labels(sample, apply_fn(params, x), key, num_samples)
    return _factor(apply_fn, params, x, _of_labels(likelihood), labels)


@checked
def empirical_fisher_factor(
    apply_fn: ApplyFn,
    likelihood: Likelihood,
    params: Params,
    x: Shaped[Array, "batch ..."],
    y: Shaped[Array, "batch ..."],
) -> Float[Array, "rows param"]:
    r"""Return A with A^T A the empirical Fisher: the second moment of the data's gradients.

    With g_n the gradient of the nll of example n at its label y_n,

        F_emp = (1/N) sum_n g_n g_n^T ,    A = N^{-1/2} [g_1; ...; g_N] .

    Not the Fisher, nor an estimate of it, unless the labels are distributed as the model says: it
    vanishes where the model fits every label, and grows with residuals (Kunstner et al., 2019).

    Args:
        apply_fn: As in :func:`fisher_factor`.
        likelihood: Observation model; only its ``nll`` is used.
        params: Point at which to evaluate the matrix; any pytree of float arrays.
        x: The N inputs.
        y: Their labels, as ``likelihood.nll`` takes them.

    Returns:
        Array [N, P], sqrt(N) times a row being that example's gradient, otherwise as
        :func:`fisher_factor`. NaN in the rows of examples whose nll is NaN.

    Raises:
        ValueError: As :func:`fisher_factor`; if ``y`` does not hold N labels.

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> w, x, y = jnp.zeros((1, 1)), jnp.ones((2, 1)), jnp.array([[3.0], [-1.0]])
        >>> A = empirical_fisher_factor(lambda w, x: x @ w, gaussian(), w, x, y)
        >>> print(A.T @ A)  # mean of residual^2 x^2; the Fisher is mean x^2 = 1
        [[5.]]
    """
    name = "empirical_fisher_factor"
    _check_model(name, apply_fn, params, x)
    return _factor(apply_fn, params, x, _of_labels(likelihood), y[:, None])


@checked
def fisher_vector_product(
    apply_fn: ApplyFn, likelihood: Likelihood, params: Params, x: Shaped[Array, "batch ..."]
) -> Product:
    r"""Return v -> F v, for the F of :func:`fisher_factor`, without forming a matrix.

    F v = (1/N) sum_n J_n^T B_n B_n^T J_n v: one forward and one reverse derivative of ``apply_fn``
    a product, at the cost of one or two gradients. The model is linearized once, here; keep the
    returned function inside the ``jit`` or ``vmap`` that called this one.

    Args:
        apply_fn: As in :func:`fisher_factor`, and differentiable in forward mode.
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
    name = "fisher_vector_product"
    _check_model(name, apply_fn, params, x)
    return _product(name, apply_fn, params, x, _exact(likelihood), lambda outputs: None)


@checked
def monte_carlo_fisher_vector_product(
    apply_fn: ApplyFn,
    likelihood: Likelihood,
    params: Params,
    x: Shaped[Array, "batch ..."],
    key: PRNGKeyArray,
    num_samples: int,
) -> Product:
    r"""Return v -> F_MC v, for the F_MC of :func:`monte_carlo_fisher_factor` with the same key.

    The labels are drawn once, here: all products are with one matrix.

    Args:
        apply_fn: As in :func:`fisher_vector_product`.
        likelihood: Observation model; its ``sample`` draws the labels.
        params: Point at which to evaluate F; any pytree of float arrays.
        x: The N inputs over which the expectation is taken.
        key: Decides the labels.
        num_samples: Labels an example; static.

    Returns:
        As :func:`fisher_vector_product`.

    Raises:
        ValueError: As :func:`monte_carlo_fisher_factor`; the product, if its vector is not of
            shape [P].

    Example:
        >>> from signdyn.likelihoods import bernoulli
        >>> w, x, key = jnp.zeros((1, 1)), jnp.ones((2, 1)), jax.random.key(0)
        >>> F = monte_carlo_fisher_vector_product(lambda w, x: x @ w, bernoulli(), w, x, key, 3)
        >>> print(F(jnp.array([2.0])))  # (p - y)^2 = 1/4
        [0.5]
    """
    name = "monte_carlo_fisher_vector_product"
    sample = sampler_of(name, likelihood, num_samples)
    _check_model(name, apply_fn, params, x)

    def draw(outputs: Array) -> Array:
        return draw_labels(sample, outputs, key, num_samples)

    return _product(name, apply_fn, params, x, _of_labels(likelihood), draw)


@checked
def empirical_fisher_vector_product(
    apply_fn: ApplyFn,
    likelihood: Likelihood,
    params: Params,
    x: Shaped[Array, "batch ..."],
    y: Shaped[Array, "batch ..."],
) -> Product:
    r"""Return v -> F_emp v, for the F_emp of :func:`empirical_fisher_factor`.

    Args:
        apply_fn: As in :func:`fisher_vector_product`.
        likelihood: Observation model; only its ``nll`` is used.
        params: Point at which to evaluate the matrix; any pytree of float arrays.
        x: The N inputs.
        y: Their labels, as ``likelihood.nll`` takes them.

    Returns:
        As :func:`fisher_vector_product`.

    Raises:
        ValueError: As :func:`empirical_fisher_factor`; the product, if its vector is not of
            shape [P].

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> w, x, y = jnp.zeros((1, 1)), jnp.ones((2, 1)), jnp.array([[3.0], [-1.0]])
        >>> F = empirical_fisher_vector_product(lambda w, x: x @ w, gaussian(), w, x, y)
        >>> print(F(jnp.array([2.0])))  # mean of residual^2 is 5
        [10.]
    """
    name = "empirical_fisher_vector_product"
    _check_model(name, apply_fn, params, x)
    return _product(name, apply_fn, params, x, _of_labels(likelihood), lambda outputs: y[:, None])


@checked
def fisher_diagonal(A: Float[Array, "rows param"]) -> Float[Array, " param"]:
    r"""Return the diagonal of A^T A: the mean square of each coordinate of the score.

    Args:
        A: Factor of any of the three matrices.

    Returns:
        Array [P], in nats / parameter^2 as F itself; never negative.

    Example:
        >>> print(fisher_diagonal(jnp.array([[1.0, 2.0], [3.0, 0.0]])))
        [10.  4.]
    """
    return jnp.sum(A**2, axis=0)


@checked
def fisher_blocks(
    A: Float[Array, "rows param"], params: Params, *, by: Literal["leaf", "layer"]
) -> dict[str, Float[Array, "rows _"]]:
    r"""Return the columns of A that belong to each leaf or layer: factors of diagonal blocks.

    A layer is what holds a leaf: "dense_0" for "dense_0/kernel" and "dense_0/bias". Of two parts,
    ``blocks[a].T @ blocks[b]`` is the block of F off the diagonal.

    Args:
        A: Factor of any of the three matrices, columns in the order of ``ravel_pytree(params)``.
        params: The pytree it was computed at, or one of the same structure and shapes.
        by: "leaf" or "layer".

    Returns:
        Dict from the path in ``params``, joined by "/", to [rows, size], in the order of
        ``ravel_pytree``. The path of ``params`` itself is "".

    Raises:
        ValueError: If A has not one column a parameter, ``by`` is neither, or two paths read alike.

    Example:
        >>> params = {"dense_0": {"bias": jnp.zeros(1), "kernel": jnp.zeros((2, 1))}}
        >>> A = jnp.array([[1.0, 2.0, 3.0]])
        >>> for name, block in fisher_blocks(A, params, by="leaf").items():
        ...     print(name, block)
        dense_0/bias [[1.]]
        dense_0/kernel [[2. 3.]]
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    sizes = [jnp.size(leaf) for _, leaf in leaves]
    if A.shape[1] != sum(sizes):
        raise ValueError(
            f"fisher_blocks: expected a column for each of the {sum(sizes)} parameters, got "
            f"{A.shape=}; pass the params that A was computed at."
        )
    columns: dict[tuple, list[Array]] = {}
    start = 0
    for (path, _), size in zip(leaves, sizes, strict=True):
        owner = tuple(path) if by == "leaf" else tuple(path[:-1])
        columns.setdefault(owner, []).append(A[:, start : start + size])
        start += size
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path in columns]
    if len(set(names)) != len(names):
        raise ValueError(f"fisher_blocks: expected paths that differ, got {names}; rename a key.")
    joined = (parts[0] if len(parts) == 1 else jnp.hstack(parts) for parts in columns.values())
    return dict(zip(names, joined, strict=True))


def _exact(likelihood: Likelihood) -> OutputFactor:
    return lambda outputs, labels: output_fisher_factor(likelihood, outputs)


def _of_labels(likelihood: Likelihood) -> OutputFactor:
    return lambda outputs, labels: label_factor(likelihood, outputs, labels)


def _check_model(name: str, apply_fn: ApplyFn, params: Params, x: Array) -> None:
    flatten(name, params)
    check_outputs(name, apply_fn, params, x)
    check_independent(name, apply_fn, params, x)


def _factor(
    apply_fn: ApplyFn, params: Params, x: Array, factor_of: OutputFactor, labels: Array | None
) -> Float[Array, "rows param"]:
    """Return N^{-1/2} [S_1^T J_1; ...; S_N^T J_N], rows example-major."""
    theta, unravel = ravel_pytree(params)

    def rows_of(example: Array, own: Array | None) -> Array:
        outputs, pull = jax.vjp(lambda t: apply_fn(unravel(t), example[None]), theta)
        own = None if own is None else own[None]
        factor = factor_of(outputs, own).astype(outputs.dtype)
        (rows,) = jax.vmap(pull)(jnp.moveaxis(factor, -1, 0))
        return rows

    with jax.default_matmul_precision("highest"):
        rows = jax.vmap(rows_of)(x, labels)
    return rows.reshape(-1, theta.size) / math.sqrt(x.shape[0])


def _product(
    name: str,
    apply_fn: ApplyFn,
    params: Params,
    x: Array,
    factor_of: OutputFactor,
    labels_of: Callable[[Array], Array | None],
) -> Product:
    """Return v -> (1/N) sum_n J_n^T S_n S_n^T J_n v."""
    theta, unravel = ravel_pytree(params)
    with jax.default_matmul_precision("highest"):
        outputs, push = jax.linearize(lambda t: apply_fn(unravel(t), x), theta)
        pull = jax.linear_transpose(push, theta)
        factor = factor_of(outputs, labels_of(outputs)).astype(outputs.dtype)

    def product(v: Float[Array, "..."]) -> Float[Array, "..."]:
        if v.shape != theta.shape:
            raise ValueError(
                f"{name}: expected a vector of shape {theta.shape}, got {v.shape=}; "
                "flatten a pytree with jax.flatten_util.ravel_pytree."
            )
        with jax.default_matmul_precision("highest"):
            scores = jnp.einsum("nkr,nk->nr", factor, push(v.astype(theta.dtype)))
            (result,) = pull(jnp.einsum("nkr,nr->nk", factor, scores))
        return result / x.shape[0]

    return product
