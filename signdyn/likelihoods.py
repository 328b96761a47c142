r"""Observation models: the negative log-likelihood of outputs and a factor of their Fisher.

A :class:`Likelihood` is a NamedTuple of pure functions, all per example; the loss of a data set is
the mean of ``nll``. Constructors return the same object for the same arguments, so that a
likelihood can be a static argument of ``jax.jit``. May import JAX and nothing of signdyn above
types.
"""

import difflib
import functools
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from signdyn.checks import checked


def _undefined(outputs: Array, labels: Array) -> Float[Array, " batch"]:
    """Return NaN for every example: nothing to be right or wrong about."""
    del labels
    return jnp.full(outputs.shape[:1], jnp.nan, outputs.dtype)


class Likelihood(NamedTuple):
    r"""p(label | outputs) of one example, as pure functions of a batch.

    A user's own likelihood is ``Likelihood(name, nll, fisher_factor)``, for Monte Carlo estimates
    with ``sample=`` too.

    Attributes:
        name: What figures, tables and command lines call it.
        nll: ``(outputs [N, K], labels) -> [N]``, -log p(label | outputs) in nats.
        fisher_factor: ``outputs [N, K] -> B [N, K, R]`` with B_n B_n^T the Fisher of the outputs
            of example n, E_{y ~ p}[s s^T] for the score s = d nll / d outputs. In nats / output^2.
        correct: ``(outputs, labels) -> [N]``, 1 where the likeliest label is the given one, 0
            where not, NaN where the question makes no sense (always, unless given) or the outputs
            are NaN; its mean is the accuracy.
        sample: ``(key, outputs [N, K]) -> labels``, one drawn from p(label | outputs) for every
            example, of a form that ``nll`` takes; None where labels cannot be drawn.
        thin_factor: ``outputs -> [N, K, R]`` with the product of ``fisher_factor`` and fewer
            columns, for those whose columns nobody reads; None if there is none.
    """

    name: str
    nll: Callable[[Array, Array], Array]
    fisher_factor: Callable[[Array], Array]
    correct: Callable[[Array, Array], Array] = _undefined
    sample: Callable[[PRNGKeyArray, Array], Array] | None = None
    thin_factor: Callable[[Array], Array] | None = None

    def thin(self) -> "Likelihood":
        """Return the likelihood whose factor is the thin one, where there is one.

        Example:
            >>> categorical().thin().fisher_factor(jnp.zeros((1, 3))).shape
            (1, 3, 2)
        """
        return self._replace(fisher_factor=self.thin_factor or self.fisher_factor)


def example_nll(likelihood: Likelihood, outputs: Array, labels: Array) -> Float[Array, " batch"]:
    """Return ``likelihood.nll(outputs, labels)``, which must be one value an example.

    Args:
        likelihood: Maybe a user's own.
        outputs: [N, K].
        labels: As the likelihood takes them.

    Raises:
        ValueError: If it is not: a mean, or one value an output, would give a wrong loss silently.
    """
    nll = likelihood.nll(outputs, labels)
    if nll.shape != outputs.shape[:1] or not jnp.issubdtype(nll.dtype, jnp.floating):
        raise ValueError(
            f"{likelihood.name}: expected nll to return floats [{outputs.shape[0]}], one for every "
            f"example, got {nll.shape=}, {nll.dtype=}; sum over an example's outputs, and take no "
            "mean."
        )
    return nll


def output_fisher_factor(
    likelihood: Likelihood, outputs: Float[Array, "batch output"]
) -> Float[Array, "batch output rank"]:
    """Return ``likelihood.fisher_factor(outputs)``, which must be a matrix [K, R] an example.

    Raises:
        ValueError: If it is not.
    """
    factor = likelihood.fisher_factor(outputs)
    is_matrices = factor.ndim == 3 and factor.shape[:2] == outputs.shape and factor.shape[2] > 0
    if not is_matrices or not jnp.issubdtype(factor.dtype, jnp.floating):
        raise ValueError(
            f"{likelihood.name}: expected fisher_factor to return floats [{outputs.shape[0]}, "
            f"{outputs.shape[1]}, R], B with B B^T the Fisher of an example's outputs, got "
            f"{factor.shape=}, {factor.dtype=}."
        )
    return factor


def categorical() -> Likelihood:
    r"""Return the softmax likelihood: logits [N, K], labels [N] of integers in 0..K-1.

    With p = softmax(f), nll = -log p_y, and B = diag(sqrt p) - p sqrt(p)^T, so that
    B B^T = diag(p) - p p^T. B is [K, K] of rank K - 1: adding one constant to all logits changes
    nothing (1^T B = 0), and B sqrt(p) = 0. Hence the Fisher of a network with K logits is singular.
    A label outside 0..K-1 has an nll of NaN. Ties go to the first of the largest logits.

    Returns:
        The likelihood; every call returns an equal one.

    Example:
        >>> logits = jnp.array([[0.0, 0.0], [2000.0, 0.0]])
        >>> print(categorical().nll(logits, jnp.array([1, 1])))  # log 2; saturated, not infinite
        [6.931e-01 2.000e+03]
        >>> B = categorical().fisher_factor(logits)[0]
        >>> print((B @ B.T).round(6))  # diag(p) - p p^T at p = (1/2, 1/2)
        [[ 0.25 -0.25]
         [-0.25  0.25]]
    """
    return Likelihood(
        "categorical",
        _categorical_nll,
        _categorical_fisher_factor,
        _categorical_correct,
        _categorical_sample,
        _categorical_thin_factor,
    )


def bernoulli() -> Likelihood:
    r"""Return the logistic likelihood: logits [N, 1] or [N], labels [N] or [N, 1] in [0, 1].

    With p = sigmoid(f), nll = -y log p - (1 - y) log(1 - p) and B = sqrt(p (1 - p)), R = 1.
    Labels are 0 or 1; values between, as label smoothing makes, give the cross-entropy. A label
    outside [0, 1], such as the -1 of a -1/+1 coding, has an nll of NaN. A logit of exactly 0
    counts as the label 0.

    Returns:
        The likelihood; every call returns an equal one.

    Example:
        >>> logits = jnp.array([[0.0], [-2000.0]])
        >>> print(bernoulli().nll(logits, jnp.array([1, 0])))  # log 2; certain and right
        [0.6931 0.    ]
        >>> print(bernoulli().fisher_factor(logits)[0])  # sqrt(1/2 * 1/2)
        [[0.5]]
    """
    return Likelihood(
        "bernoulli",
        _bernoulli_nll,
        _bernoulli_fisher_factor,
        _bernoulli_correct,
        _bernoulli_sample,
    )


@checked
def gaussian(variance: float = 1.0) -> Likelihood:
    r"""Return the normal likelihood of known variance: means [N, K], labels [N, K] (or [N], K = 1).

    nll = ||f - y||^2 / (2 variance), and B = I / sqrt(variance), R = K. The constant
    (K/2) log(2 pi variance) is left out: it depends on no parameter, and without it a perfect fit
    has an nll of 0 and ``variance=1`` is the convention MSE = 1/2 ||f - y||^2, summed over outputs.

    Args:
        variance: Of every output, in label^2; a positive Python number, static.

    Returns:
        The likelihood; equal arguments return the same object. ``correct`` is NaN.

    Raises:
        ValueError: If ``variance`` is not positive and finite.

    Example:
        >>> means = jnp.array([[1.0, 2.0]])
        >>> print(gaussian(variance=2.0).nll(means, jnp.array([[1.0, 5.0]])))  # 3^2 / (2 * 2)
        [2.25]
    """
    if not 0.0 < variance < math.inf:
        raise ValueError(
            f"gaussian: expected a positive, finite variance, got {variance=}; "
            "pass the variance of the labels around the outputs."
        )
    return _gaussian(float(variance))


@functools.cache  # equal variances give one object, so that jit does not trace twice
def _gaussian(variance: float) -> Likelihood:
    scale = 1.0 / math.sqrt(variance)

    def nll(outputs: Array, labels: Array) -> Float[Array, " batch"]:
        _check_outputs("gaussian", outputs)
        residuals = scale * (outputs - _like_outputs("gaussian", outputs, labels))
        return 0.5 * jnp.sum(residuals**2, axis=-1)

    def fisher_factor(outputs: Array) -> Float[Array, "batch output output"]:
        _check_outputs("gaussian", outputs)
        eye = scale * jnp.eye(outputs.shape[1], dtype=outputs.dtype)
        return jnp.broadcast_to(eye, (*outputs.shape, outputs.shape[1]))

    def sample(key: PRNGKeyArray, outputs: Array) -> Float[Array, "batch output"]:
        _check_outputs("gaussian", outputs)
        noise = jax.random.normal(key, outputs.shape, outputs.dtype)
        return outputs + math.sqrt(variance) * noise

    return Likelihood("gaussian", nll, fisher_factor, sample=sample)


def _categorical_nll(outputs: Array, labels: Array) -> Float[Array, " batch"]:
    # The label's entry is picked by a mask: its gradient needs no scatter, which is slow on CPU.
    mask = _categorical_mask(outputs, labels)
    # The largest logit is subtracted first, so that neither sum loses digits nor overflows.
    largest = jax.lax.stop_gradient(jnp.max(outputs, axis=-1, keepdims=True))
    shifted = outputs - largest
    normalizer = jnp.log(jnp.sum(jnp.exp(shifted), axis=-1))
    nll = normalizer - jnp.sum(jnp.where(mask, shifted, 0.0), axis=-1)
    return jnp.where(jnp.any(mask, axis=-1), nll, jnp.nan)


def _categorical_fisher_factor(outputs: Array) -> Float[Array, "batch output output"]:
    _check_outputs("categorical", outputs)
    log_p = jax.nn.log_softmax(outputs, axis=-1)
    # sqrt(p) from log p: finite, and with finite derivatives, where p itself underflows.
    p, root = jnp.exp(log_p), jnp.exp(0.5 * log_p)
    eye = jnp.eye(outputs.shape[1], dtype=outputs.dtype)
    return root[:, :, None] * eye[None] - p[:, :, None] * root[:, None, :]


def _categorical_thin_factor(outputs: Array) -> Float[Array, "batch output rank"]:
    r"""Return B' [N, K, K - 1] with B' B'^T = diag(p) - p p^T.

    With s = sqrt(p), B = diag(s)(I - s s^T). The reflection H = I - w w^T / (1 + s_K), w = s + e_K,
    takes s to -e_K, so that I - s s^T is the product of its other columns with themselves.
    """
    _check_outputs("categorical", outputs)
    if (count := outputs.shape[1]) == 1:
        return _categorical_fisher_factor(outputs)
    root = jnp.exp(0.5 * jax.nn.log_softmax(outputs, axis=-1))
    others, last = root[:, :-1], root[:, -1:]
    outer = root[:, :, None] * others[:, None, :] / (1.0 + last[:, :, None])
    outer = outer.at[:, -1].set(others)  # w_K = s_K + 1
    eye = jnp.eye(count, count - 1, dtype=outputs.dtype)
    return root[:, :, None] * (eye[None] - outer)


def _categorical_correct(outputs: Array, labels: Array) -> Float[Array, " batch"]:
    mask = _categorical_mask(outputs, labels)
    chosen = jnp.argmax(outputs, axis=-1, keepdims=True) == jnp.arange(outputs.shape[1])[None]
    right = jnp.any(chosen & mask, axis=-1).astype(outputs.dtype)
    valid = jnp.any(mask, axis=-1) & ~jnp.any(jnp.isnan(outputs), axis=-1)
    return jnp.where(valid, right, jnp.nan)


def _categorical_sample(key: PRNGKeyArray, outputs: Array) -> Int[Array, " batch"]:
    _check_outputs("categorical", outputs)
    return jax.random.categorical(key, outputs, axis=-1)


def _categorical_mask(outputs: Array, labels: Array) -> Bool[Array, "batch output"]:
    _check_outputs("categorical", outputs)
    if labels.shape != outputs.shape[:1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"categorical: expected integer labels of shape {outputs.shape[:1]} for "
            f"{outputs.shape=}, got {labels.shape=}, {labels.dtype=}; "
            "pass class numbers, for one-hot rows labels.argmax(-1)."
        )
    # A narrow dtype may not hold all classes: their numbers would wrap around in it.
    labels = labels if labels.dtype.itemsize >= 4 else labels.astype(jnp.int32)
    return labels[:, None] == jnp.arange(outputs.shape[1], dtype=labels.dtype)[None]


def _bernoulli_nll(outputs: Array, labels: Array) -> Float[Array, " batch"]:
    logits, labels = _bernoulli_pair(outputs, labels)
    # Both terms by softplus: softplus(f) - y f would cancel for a logit that is large and right.
    # What has no weight counts for nothing, also where it is infinite.
    if_one = jnp.where(labels == 0.0, 0.0, labels * jax.nn.softplus(-logits))
    if_zero = jnp.where(labels == 1.0, 0.0, (1.0 - labels) * jax.nn.softplus(logits))
    return jnp.where((labels >= 0.0) & (labels <= 1.0), if_one + if_zero, jnp.nan)


def _bernoulli_fisher_factor(outputs: Array) -> Float[Array, "batch 1 1"]:
    logits = _bernoulli_logits(outputs)
    root = jnp.exp(-0.5 * (jax.nn.softplus(logits) + jax.nn.softplus(-logits)))
    return root[:, None, None]


def _bernoulli_correct(outputs: Array, labels: Array) -> Float[Array, " batch"]:
    logits, labels = _bernoulli_pair(outputs, labels)
    right = ((logits > 0.0) == (labels > 0.5)).astype(logits.dtype)
    valid = (labels >= 0.0) & (labels <= 1.0) & ~jnp.isnan(logits)
    return jnp.where(valid, right, jnp.nan)


def _bernoulli_sample(key: PRNGKeyArray, outputs: Array) -> Int[Array, " batch"]:
    p = jax.nn.sigmoid(_bernoulli_logits(outputs))
    return jax.random.bernoulli(key, p).astype(jnp.int32)


def _bernoulli_logits(outputs: Array) -> Float[Array, " batch"]:
    outputs = outputs[:, None] if outputs.ndim == 1 else outputs
    _check_outputs("bernoulli", outputs)
    if outputs.shape[1] != 1:
        raise ValueError(
            f"bernoulli: expected one logit an example, outputs [N, 1] or [N], got "
            f"{outputs.shape=}; for K exclusive classes use categorical()."
        )
    return outputs[:, 0]


def _bernoulli_pair(
    outputs: Array, labels: Array
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    logits = _bernoulli_logits(outputs)
    return logits, _like_outputs("bernoulli", logits[:, None], labels)[:, 0]


def _check_outputs(name: str, outputs: Array) -> None:
    if outputs.ndim != 2 or not jnp.issubdtype(outputs.dtype, jnp.floating):
        raise ValueError(
            f"{name}: expected float outputs [N, K], got {outputs.shape=}, {outputs.dtype=}; "
            "give every example a row of outputs."
        )


def _like_outputs(name: str, outputs: Array, labels: Array) -> Float[Array, "batch output"]:
    if labels.ndim == 1 and outputs.shape[1] == 1:
        labels = labels[:, None]
    if labels.shape != outputs.shape:
        raise ValueError(
            f"{name}: expected a label for every output, shape {outputs.shape}, got "
            f"{labels.shape=}; for class numbers use categorical() or one-hot rows."
        )
    return labels.astype(outputs.dtype)


LIKELIHOODS: Mapping[str, Likelihood] = MappingProxyType(
    {"categorical": categorical(), "bernoulli": bernoulli(), "gaussian": gaussian()}
)
"""The shipped likelihoods by name, for command lines; ``gaussian`` has variance 1."""


@checked
def get_likelihood(name: str) -> Likelihood:
    """Return the likelihood called ``name``.

    Args:
        name: A key of :data:`LIKELIHOODS`.

    Returns:
        The likelihood.

    Raises:
        ValueError: If there is none of that name; the message lists all and the nearest.

    Example:
        >>> get_likelihood("bernoulli") == bernoulli()
        True
    """
    if name in LIKELIHOODS:
        return LIKELIHOODS[name]
    near = difflib.get_close_matches(name.lower(), LIKELIHOODS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(
        f"get_likelihood: expected one of {', '.join(LIKELIHOODS)}, got {name!r}{hint}"
    )
