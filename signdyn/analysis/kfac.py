r"""Kronecker-factored approximation of a layer's Fisher block: factors, spectrum, natural gradient.

F of a layer is E[(a a^T) (x) (delta delta^T)]; K-FAC takes the product of the expectations,
A (x) G. That is exact where the inputs' products are independent of the deltas', as in a
linear-Gaussian layer, and on a single example with one position; and it is an approximation
elsewhere. Sources: Martens & Grosse (2015) for dense layers, Grosse & Martens (2016), "A
Kronecker-factored approximate Fisher matrix for convolution layers" (KFC), for convolutions.
Blocks between layers are taken to be zero. May import JAX and signdyn.analysis.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

from signdyn.analysis._units import Deltas, Inputs, check_damping, layer_arrays
from signdyn.checks import checked


class KfacFactors(NamedTuple):
    """A and G, with A (x) G in the place of the layer's Fisher block.

    Attributes:
        inputs: A, [fan_in + 1, fan_in + 1], bias last; or [fan_in, fan_in] without bias.
        deltas: G, [units, units], in nats / pre-activation^2.
    """

    inputs: Float[Array, "parameter parameter"]
    deltas: Float[Array, "unit unit"]


@checked
def kfac_factors(inputs: Inputs, deltas: Deltas, *, bias: bool = True) -> KfacFactors:
    r"""Return A and G: F of the layer is approximately ``jnp.kron(A, G)``.

    With a homogeneous, a <- (a, 1),

        A = E_n sum_t a_t a_t^T ,    G = E_n mean_t sum_r delta_rt delta_rt^T ,

    a mean over examples n, a sum over the rank r; the positions' sum stands in A and their mean in
    G, so that the product has one sum over positions, as KFC does under its assumptions that
    deltas are uncorrelated between positions and both moments do not depend on the position.
    Exact for one example of one position and rank 1, and where inputs and deltas are independent.

    Args:
        inputs: The layer's inputs, [N, fan_in], or [N, T, fan_in] with T positions.
        deltas: [N, units] or [N, R, T, units], not divided by N, see
            :class:`signdyn.analysis.layers.Layer`; they decide whether the Fisher is
            approximated, or the empirical one.
        bias: Whether the layer has one.

    Returns:
        The two factors. ``jnp.kron(A, G)`` is in the order of
        :func:`signdyn.analysis.layers.layer_factor`'s columns.

    Raises:
        ValueError: If shapes disagree, or there is no example.

    Example:
        >>> A, G = kfac_factors(jnp.array([[1.0], [3.0]]), jnp.array([[2.0], [0.0]]))
        >>> print(A, G)  # E[(a, 1)(a, 1)^T] and E[delta^2]
        [[5. 2.]
         [2. 1.]] [[2.]]
    """
    X, D = _rows(*layer_arrays("kfac_factors", inputs, deltas), bias)
    with jax.default_matmul_precision("highest"):
        return KfacFactors(X.T @ X, D.T @ D)


@checked
def kfac_spectrum(inputs: Inputs, deltas: Deltas, *, bias: bool = True) -> Float[Array, " param"]:
    r"""Return all eigenvalues of A (x) G, descending: products of one of A's and one of G's.

    The eigenvalues of A and of G are squared singular values of their factors, the rows of inputs
    and of deltas, so small ones are as right as the data. Exact for the layer's Fisher wherever
    :func:`kfac_factors` is; the largest eigenvalue is lambda_max(A) lambda_max(G) in any case.

    Args:
        inputs: The layer's inputs, [N, fan_in] or [N, T, fan_in].
        deltas: [N, units] or [N, R, T, units].
        bias: Whether the layer has one.

    Returns:
        Array [(fan_in + bias) * units], zeros included, in nats / parameter^2.

    Raises:
        ValueError: If shapes disagree, or there is no example.

    Example:
        >>> inputs, deltas = jnp.array([[1.0, 0.0], [0.0, 3.0]]), jnp.array([[2.0], [2.0]])
        >>> print(kfac_spectrum(inputs, deltas, bias=False))  # E[a a^T] = diag(1/2, 9/2), G = 4
        [18.  2.]
    """
    X, D = _rows(*layer_arrays("kfac_spectrum", inputs, deltas), bias)
    with jax.default_matmul_precision("highest"):
        roots = jnp.outer(_all_singular_values(X), _all_singular_values(D))
    return jnp.flip(jnp.sort(jnp.ravel(roots**2)))


@checked
def kfac_natural_gradient(
    inputs: Inputs,
    deltas: Deltas,
    grad: Float[Array, "parameter unit"],
    *,
    damping: float | Float[Array, ""],
) -> Float[Array, "parameter unit"]:
    r"""Return (A (x) G + damping I)^{-1} grad exactly, without forming the Kronecker product.

    With A = U_A diag(s_A) U_A^T and G = U_G diag(s_G) U_G^T,

        v = U_A [ (U_A^T grad U_G) / (s_A s_G^T + damping) ] U_G^T ,

    eigenvectors and the roots of eigenvalues from singular value decompositions of the rows of
    inputs and of deltas. The damping is that of the whole product, not split between the factors.
    It is the exact natural gradient of the layer wherever :func:`kfac_factors` is exact.

    Args:
        inputs: The layer's inputs, [N, fan_in] or [N, T, fan_in].
        deltas: Those of the Fisher, [N, units] or [N, R, T, units].
        grad: Gradient of the mean nll, [fan_in + 1, units], bias last; or [fan_in, units] for a
            layer without bias. :func:`signdyn.analysis.layers.layer_matrix` makes it.
        damping: Absolute, in units of the Fisher; a non-negative scalar, may be traced.

    Returns:
        Array of the shape of ``grad``, in units of parameter: grad's sign, so an update subtracts
        it. NaN throughout where A (x) G + damping I is singular to working precision, as without
        damping it is where rows are fewer than columns, or for softmax outputs.

    Raises:
        ValueError: If shapes disagree, or a Python ``damping`` is negative.

    Example:
        >>> inputs, deltas = jnp.array([[1.0, 0.0], [0.0, 3.0]]), jnp.array([[2.0], [2.0]])
        >>> grad = jnp.array([[1.0], [9.0]])
        >>> print(kfac_natural_gradient(inputs, deltas, grad, damping=0.0))  # A (x) G = diag(2, 18)
        [[0.5]
         [0.5]]
    """
    name = "kfac_natural_gradient"
    inputs, deltas = layer_arrays(name, inputs, deltas)
    check_damping(name, damping)
    fan_in, units = inputs.shape[2], deltas.shape[3]
    _check_grad(name, inputs, deltas, grad)
    X, D = _rows(inputs, deltas, bias=grad.shape[0] == fan_in + 1)
    grad, damping = grad.astype(X.dtype), jnp.asarray(damping, X.dtype)
    with jax.default_matmul_precision("highest"):
        (s_A, U_A), (s_G, U_G) = _right_singular(X), _right_singular(D)
        inside = U_A.T @ grad @ U_G
        solution = U_A @ (inside / ((s_A[:, None] * s_G[None]) ** 2 + damping)) @ U_G.T
        full = U_A.shape[0] == U_A.shape[1] and U_G.shape[0] == U_G.shape[1]
        if not full:
            outside = grad - U_A @ inside @ U_G.T
            # Twice: what rounding left inside the span would be divided by the damping.
            outside = outside - U_A @ (U_A.T @ outside @ U_G) @ U_G.T
            solution = solution + outside / damping
    eps = jnp.finfo(X.dtype).eps
    regular = (jnp.min(s_A) > eps * fan_in**0.5 * jnp.max(s_A)) & (
        jnp.min(s_G) > eps * units**0.5 * jnp.max(s_G)
    )
    # Else every eigenvalue is the damping's only if this is above the rounding of the largest.
    damped = jnp.sqrt(damping) > eps * grad.size**0.5 * jnp.max(s_A) * jnp.max(s_G)
    return jnp.where((regular & full) | damped, solution, jnp.nan)


@checked
def kfac_factored_inverses(
    factors: KfacFactors, *, damping: float | Float[Array, ""]
) -> KfacFactors:
    r"""Return (A + pi sqrt(damping) I)^{-1} and (G + sqrt(damping) / pi I)^{-1}.

    Factored Tikhonov damping (Martens & Grosse, 2015, section 6.3), the field's usual one, with
    pi^2 = (tr A / dim A) / (tr G / dim G). The product of the damped factors is

        A (x) G + sqrt(damping) (A (x) I / pi + pi I (x) G) + damping I ,

    more than A (x) G + damping I by the middle term, which is largest where one factor is large
    and the other small: another direction than :func:`kfac_natural_gradient`'s, for two Cholesky
    factors in the place of two singular value decompositions. The two are equal where both
    factors are multiples of the identity and the damping is 0, and for damping -> infinity.

    Args:
        factors: Of :func:`kfac_factors`.
        damping: Absolute, in units of the Fisher; a non-negative scalar, may be traced.

    Returns:
        The inverses, symmetric up to rounding; NaN where a damped factor is singular to working
        precision, or a factor is zero, as then pi is.

    Raises:
        ValueError: If a Python ``damping`` is negative.

    Example:
        >>> factors = KfacFactors(4.0 * jnp.eye(2), jnp.eye(1))  # pi = 2
        >>> print(*kfac_factored_inverses(factors, damping=1.0))  # 1 / (4 + 2), 1 / (1 + 1 / 2)
        [[0.16666667 0.        ]
         [0.         0.16666667]] [[0.6666667]]
    """
    check_damping("kfac_factored_inverses", damping)
    return KfacFactors(*map(_inverse, _damped(factors, damping)))


@checked
def kfac_factored_natural_gradient(
    inputs: Inputs,
    deltas: Deltas,
    grad: Float[Array, "parameter unit"],
    *,
    damping: float | Float[Array, ""],
) -> Float[Array, "parameter unit"]:
    r"""Return (A + pi sqrt(damping) I)^{-1} grad (G + sqrt(damping) / pi I)^{-1}.

    K-FAC as it is used: see :func:`kfac_factored_inverses` for how its damping differs from that
    of :func:`kfac_natural_gradient`, which is accurate at any condition of the factors where this
    loses twice as many digits.

    Args:
        inputs: The layer's inputs, [N, fan_in] or [N, T, fan_in].
        deltas: [N, units] or [N, R, T, units]; they decide which Fisher is approximated.
        grad: As in :func:`kfac_natural_gradient`.
        damping: As there.

    Returns:
        Array of the shape of ``grad``, in units of parameter: grad's sign. NaN throughout where
        a damped factor is singular to working precision, or a factor is zero.

    Raises:
        ValueError: If shapes disagree, or a Python ``damping`` is negative.

    Example:
        >>> inputs, deltas = jnp.array([[2.0]]), jnp.array([[1.0]])  # A = 4, G = 1, pi = 2
        >>> grad = jnp.array([[9.0]])
        >>> print(kfac_factored_natural_gradient(inputs, deltas, grad, damping=1.0).round(5))
        [[1.]]
    """
    name = "kfac_factored_natural_gradient"
    inputs, deltas = layer_arrays(name, inputs, deltas)
    _check_grad(name, inputs, deltas, grad)
    check_damping(name, damping)
    factors = kfac_factors(inputs, deltas, bias=grad.shape[0] == inputs.shape[2] + 1)
    A, G = _damped(factors, damping)
    # Right-hand sides are fewer than columns: solving is cheaper than inverting.
    (L_A, one_A), (L_G, one_G) = _cholesky(A), _cholesky(G)
    half = cho_solve((L_A, True), grad.astype(A.dtype) * (one_A * one_G))
    return cho_solve((L_G, True), half.T).T


def _damped(factors: KfacFactors, damping: float | Array) -> KfacFactors:
    A, G = factors
    root = jnp.sqrt(jnp.asarray(damping, A.dtype))
    pi = jnp.sqrt(jnp.trace(A) / len(A) / (jnp.trace(G) / len(G)))
    return KfacFactors(
        A + pi * root * jnp.eye(len(A), dtype=A.dtype),
        G + root / pi * jnp.eye(len(G), dtype=G.dtype),
    )


def _cholesky(matrix: Float[Array, "n n"]) -> tuple[Float[Array, "n n"], Float[Array, ""]]:
    """Return the Cholesky factor, and 1, or NaN where the matrix is singular to working precision.

    That is where elimination has left of some diagonal entry no more than rounding leaves: a few
    epsilons of it. Units of measurement do not matter, as each entry is compared with itself.
    """
    L = jax.lax.linalg.cholesky(matrix, symmetrize_input=False)
    least = (8.0 + len(matrix) ** 0.5) * jnp.finfo(matrix.dtype).eps
    regular = jnp.all(jnp.diag(L) ** 2 > least * jnp.diag(matrix))
    return L, jnp.where(regular, jnp.ones((), matrix.dtype), jnp.nan)


def _inverse(matrix: Float[Array, "n n"]) -> Float[Array, "n n"]:
    """Return the inverse by the Cholesky factor, NaN if there is none."""
    L, one = _cholesky(matrix)
    half = solve_triangular(L, one * jnp.eye(len(matrix), dtype=matrix.dtype), lower=True)
    with jax.default_matmul_precision("highest"):
        return half.T @ half


def _check_grad(name: str, inputs: Array, deltas: Array, grad: Array) -> None:
    fan_in, units = inputs.shape[2], deltas.shape[3]
    if grad.shape not in ((fan_in + 1, units), (fan_in, units)):
        raise ValueError(
            f"{name}: expected grad [{fan_in + 1}, {units}], bias last, or [{fan_in}, {units}] "
            f"without bias, got {grad.shape=}; layer_matrix makes it of a layer's gradient."
        )


def _rows(
    inputs: Float[Array, "batch position fan_in"],
    deltas: Float[Array, "batch rank position unit"],
    bias: bool,
) -> tuple[Float[Array, "row parameter"], Float[Array, "row_ unit"]]:
    """Return X and D with A = X^T X and G = D^T D."""
    num_examples, positions, fan_in = inputs.shape
    X = inputs.reshape(-1, fan_in)
    X = jnp.concatenate([X, jnp.ones_like(X[:, :1])], axis=1) if bias else X
    D = deltas.reshape(-1, deltas.shape[-1])
    return X / math.sqrt(num_examples), D / math.sqrt(num_examples * positions)


def _all_singular_values(rows: Float[Array, "row n"]) -> Float[Array, " n"]:
    """Return all n singular values, those that rows are too few for as zeros."""
    tall = rows.shape[0] >= rows.shape[1]
    R = jnp.linalg.qr(rows, mode="r") if tall else rows
    values = jnp.linalg.svd(R, compute_uv=False)
    return jnp.pad(values, (0, rows.shape[1] - values.shape[0]))


def _right_singular(
    rows: Float[Array, "row n"],
) -> tuple[Float[Array, " k"], Float[Array, "n k"]]:
    """Return singular values and right singular vectors, k = min(row, n); the QR is the cost."""
    if rows.shape[0] >= rows.shape[1]:
        _, values, Vt = jnp.linalg.svd(jnp.linalg.qr(rows, mode="r"))
        return values, Vt.T
    Q, R = jnp.linalg.qr(rows.T)
    U, values, _ = jnp.linalg.svd(R)
    return values, Q @ U
