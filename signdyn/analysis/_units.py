r"""The Fisher of one unit, its weights and its bias, and the natural gradient it alone defines.

A unit's pre-activation is w . a + w_0 with a the layer's inputs; delta = d nll / d pre-activation.
The score of (w, w_0) is the sum over positions of delta (a, 1), and its second moment over
examples is the unit's block of the Fisher,

    [[A, b], [b^T, c]] ,    A = E[delta^2 a a^T],  b = E[delta^2 a],  c = E[delta^2]

for a layer without weight sharing. What the deltas are derivatives of decides which matrix this
is: columns of the output factor, as in :func:`signdyn.analysis.layers.fisher_layers`, give the
Fisher; the nll of data labels gives the empirical one.

Source: the appendix of Clevert, Unterthiner & Hochreiter (2016), "Fast and accurate deep network
learning by exponential linear units", theorems 1 and 2. Private to signdyn.analysis, which
re-exports all of it; may import JAX.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float

from signdyn.analysis._numbers import power_of_two
from signdyn.checks import checked

Inputs = Float[Array, "batch *position fan_in"]
Deltas = Float[Array, "batch *rank_position unit"]


@checked
def unit_fisher(inputs: Inputs, deltas: Deltas) -> Float[Array, "unit row column"]:
    r"""Return every unit's own block of the Fisher, E[s s^T] for its score s.

    s = sum_t delta_t (a_t, 1) is the unit's part of one column of the score; the mean is over
    examples, the rank is summed. With one position a block is E[delta^2 (a, 1)(a, 1)^T].

    Args:
        inputs: The layer's inputs a, [N, fan_in], or [N, T, fan_in] with T positions.
        deltas: d nll / d pre-activation, example by example and not divided by N: [N, units], or
            [N, R, T, units] with R columns whose outer products are summed.

    Returns:
        Array [units, fan_in + 1, fan_in + 1], the bias last, in nats / parameter^2; the blocks
        on the diagonal of ``layer_factor(layer).T @ layer_factor(layer)``.

    Raises:
        ValueError: If shapes disagree, or there is no example.

    Example:
        >>> inputs, deltas = jnp.array([[1.0], [3.0]]), jnp.array([[2.0], [0.0]])
        >>> print(unit_fisher(inputs, deltas)[0])  # E[delta^2] = (4 + 0) / 2, a = 1 where it counts
        [[2. 2.]
         [2. 2.]]
    """
    with jax.default_matmul_precision("highest"):
        weighted, weights = _scores(*layer_arrays("unit_fisher", inputs, deltas))
        scores = jnp.concatenate([weighted, weights[..., None]], axis=-1)
        return jnp.einsum("usf,usg->ufg", scores, scores)


@checked
def unit_natural_gradient(
    inputs: Inputs,
    deltas: Deltas,
    grad: Float[Array, "parameter unit"] | None = None,
    *,
    damping: float | Float[Array, ""],
) -> Float[Array, "parameter unit"]:
    r"""Return (F_j + damping I)^{-1} grad_j for every unit j, with F_j its block of the Fisher.

    By block elimination of the bias, which is theorem 1 of Clevert et al. (2016) where the damping
    is 0. With g, g_0 the gradient's parts and lambda the damping,

        m = b / (c + lambda),    dw = S^{-1} (g - g_0 m),    dw_0 = g_0 / (c + lambda) - m . dw,
        S = E[delta^2 (a - m)(a - m)^T] + lambda (I + m m^T) .

    Inputs enter S centered by m, the mean E_q[a] under q ~ delta^2, so with lambda = 0 a constant
    added to the inputs changes dw not at all, and the unit's function by the same amount. S is
    never formed: it is R^T R by QR of its factor, so errors grow with the root of its condition.
    With T > 1 positions the same elimination holds for the score's parts sum_t delta_t a_t in the
    place of delta a, and sum_t delta_t in that of delta.

    Args:
        inputs: The layer's inputs, [N, fan_in] or [N, T, fan_in].
        deltas: Those of the Fisher, [N, units] or [N, R, T, units]; see :func:`unit_fisher`.
        grad: Gradient of the mean nll, [fan_in + 1, units], bias last; or [fan_in, units] for a
            layer without bias. None takes E[sum_t delta_t (a_t, 1)], which is that gradient where
            the deltas are those of the data's labels, with R = 1.
        damping: Absolute, in units of the Fisher, nats / parameter^2; a non-negative scalar, may
            be traced. 0 asks for the inverse.

    Returns:
        Array of the shape of ``grad``, in units of parameter: grad's sign, so an update subtracts
        it. NaN for a unit whose F_j + damping I is singular to working precision, as it is without
        damping for an input that is constant, or a unit that is never active. Needs
        units * N * R * fan_in * itemsize bytes (R = 1 where T = 1).

    Raises:
        ValueError: If shapes disagree, a Python ``damping`` is negative, or ``grad`` is None
            although R > 1.

    Example:
        >>> inputs, deltas = jnp.array([[1.0], [3.0]]), jnp.array([[1.0], [-1.0]])
        >>> print(unit_natural_gradient(inputs, deltas, damping=0.0))  # F^{-1} (-1, 0)
        [[-1.]
         [ 2.]]
    """
    name = "unit_natural_gradient"
    inputs, deltas = layer_arrays(name, inputs, deltas)
    check_damping(name, damping)
    damping = jnp.asarray(damping, deltas.dtype)
    with jax.default_matmul_precision("highest"):
        weighted, weights, scale = _scaled_scores(inputs, deltas, at_least=jnp.sqrt(damping))
        # The Fisher of the scaled scores is F / scale^2: so is the damping, and the step that is
        # solved for is scale (F + damping I)^{-1} grad.
        inverse = 1 / scale
        damping = damping * inverse * inverse
        grad = _gradient(name, inputs, deltas, grad) * inverse[None]
        if grad.shape[0] == inputs.shape[2]:
            steps = _over_units(_solve, weighted, damping, grad.T)
        else:
            steps = _over_units(
                lambda *own: jnp.concatenate(_eliminate(*own)),
                *(weighted, weights, grad[:-1].T, grad[-1], damping),
            )
        return steps.T * inverse[None]


@checked
def weighted_input_mean(inputs: Inputs, deltas: Deltas) -> Float[Array, "unit fan_in"]:
    r"""Return E_q[a] of every unit, the mean input under q ~ delta^2.

    Centered by it, a unit's weights and its bias do not meet in the Fisher: b = 0. The plain mean
    does that only where delta^2 does not depend on a. With T > 1 positions it is
    E[u v] / E[v^2] for u = sum_t delta_t a_t and v = sum_t delta_t, which does the same but need
    not lie among the inputs.

    Args:
        inputs: The layer's inputs, [N, fan_in] or [N, T, fan_in].
        deltas: [N, units] or [N, R, T, units]; see :func:`unit_fisher`.

    Returns:
        Array [units, fan_in], in units of the inputs; NaN for a unit without delta.

    Raises:
        ValueError: If shapes disagree, or there is no example.

    Example:
        >>> inputs, deltas = jnp.array([[1.0], [3.0]]), jnp.array([[1.0], [-2.0]])
        >>> print(weighted_input_mean(inputs, deltas))  # (1 * 1 + 4 * 3) / (1 + 4)
        [[2.6]]
    """
    with jax.default_matmul_precision("highest"):
        u, v, _ = _scaled_scores(*layer_arrays("weighted_input_mean", inputs, deltas))
        return jax.vmap(lambda u, v: (v @ u) / (v @ v))(u, v)


@checked
def unit_bias_factor(
    inputs: Inputs, deltas: Deltas, grad: Float[Array, "parameter unit"] | None = None
) -> Float[Array, " unit"]:
    r"""Return k of every unit: its undamped natural bias step is (g_0 / c) k.

    Theorem 2 of Clevert et al. (2016), with q ~ delta^2 p,

        k = 1 + (E_q[a] - E_p[delta a] / E_p[delta])^T Var_q(a)^{-1} E_q[a] .

    1 says that the weights leave the bias alone; it is exactly 1 for inputs centered by
    :func:`weighted_input_mean`. The larger the mean of the inputs, the further k is from 1.

    Args:
        inputs: The layer's inputs, [N, fan_in] or [N, T, fan_in].
        deltas: [N, units] or [N, R, T, units]; see :func:`unit_fisher`.
        grad: Gradient of the mean nll, [fan_in + 1, units], bias last: E_p[delta a] and
            E_p[delta]. None takes it from the deltas, as in :func:`unit_natural_gradient`.

    Returns:
        Array [units], a pure number of either sign. Not finite where the bias has no gradient;
        NaN where Var_q(a) is singular.

    Raises:
        ValueError: If shapes disagree, ``grad`` has no row for the bias, or is None with R > 1.

    Example:
        >>> inputs, deltas = jnp.array([[1.0], [2.0]]), jnp.array([[1.0], [1.0]])
        >>> print(unit_bias_factor(inputs, deltas))  # delta constant: E_q a = E[d a] / E[d]
        [1.]
    """
    name = "unit_bias_factor"
    inputs, deltas = layer_arrays(name, inputs, deltas)
    with jax.default_matmul_precision("highest"):
        grad = _gradient(name, inputs, deltas, grad)
        if grad.shape[0] == inputs.shape[2]:
            raise ValueError(
                f"{name}: expected a gradient with a row for the bias, [fan_in + 1, units], got "
                f"{grad.shape=} for {inputs.shape[2]} inputs; append d loss / d bias."
            )
        u, v, _ = _scaled_scores(inputs, deltas)
        return _over_units(_bias_factor, u, v, (grad[:-1] / grad[-1:]).T)


def layer_arrays(
    name: str, inputs: Array, deltas: Array
) -> tuple[Float[Array, "batch position fan_in"], Float[Array, "batch rank position unit"]]:
    """Return inputs as [N, T, fan_in] and deltas as [N, R, T, units], or raise ValueError."""
    ranks = (inputs.ndim, deltas.ndim)
    if ranks == (2, 2):
        fits = inputs.shape[0] == deltas.shape[0]
    else:
        fits = ranks == (3, 4) and inputs.shape[:2] == (deltas.shape[0], deltas.shape[2])
    if not fits or inputs.size == 0 or deltas.size == 0:
        raise ValueError(
            f"{name}: expected inputs [N, fan_in] with deltas [N, units], or inputs "
            f"[N, T, fan_in] with deltas [N, R, T, units], none of them empty, got "
            f"{inputs.shape=}, {deltas.shape=}; pass the arrays of one Layer."
        )
    return (inputs[:, None], deltas[:, None, None]) if ranks == (2, 2) else (inputs, deltas)


def check_damping(name: str, damping: float | Array) -> None:
    """Raise ValueError where ``damping`` is a Python number below 0, or NaN."""
    if isinstance(damping, (int, float, np.generic)) and not damping >= 0.0:
        raise ValueError(f"{name}: expected damping >= 0, got {damping=}.")


def _over_units(of_unit: Callable[..., Array], *rows: Array) -> Array:
    """Return ``of_unit`` of every unit's rows; on CPU one unit after the other.

    There jaxlib (0.10.2) hands a batch of factorizations to the threads it runs on and waits for
    them: two host devices that do so at one time were seen to wait forever.
    """
    return jax.lax.platform_dependent(
        *rows,
        cpu=lambda *own: jax.lax.map(lambda one: of_unit(*one), own),
        default=jax.vmap(of_unit),
    )


def _scores(
    inputs: Float[Array, "batch position fan_in"],
    deltas: Float[Array, "batch rank position unit"],
) -> tuple[Float[Array, "unit score fan_in"], Float[Array, "unit score"]]:
    """Return the scores' weight and bias parts (u, v), divided by sqrt N: F_j = sum (u,v)(u,v)^T.

    A single position's columns are parallel, delta_r (a, 1), and make one row an example.
    """
    num_examples = deltas.shape[0]
    if deltas.shape[2] == 1:
        weights = jnp.sqrt(jnp.sum(deltas[:, :, 0] ** 2, axis=1) / num_examples).T
        return weights[..., None] * inputs[None, :, 0], weights
    deltas = deltas / math.sqrt(num_examples)
    weighted = jnp.einsum("nrtu,ntf->unrf", deltas, inputs)
    units, fan_in = deltas.shape[3], inputs.shape[2]
    weights = jnp.moveaxis(jnp.sum(deltas, axis=2), -1, 0)
    return weighted.reshape(units, -1, fan_in), weights.reshape(units, -1)


def _scaled_scores(
    inputs: Float[Array, "batch position fan_in"],
    deltas: Float[Array, "batch rank position unit"],
    at_least: float | Float[Array, ""] = 0.0,
) -> tuple[Float[Array, "unit score fan_in"], Float[Array, "unit score"], Float[Array, " unit"]]:
    """Return the scores of deltas / scale, and every unit's scale, which keeps squares in range."""
    largest = jnp.max(jnp.abs(deltas), axis=(0, 1, 2))
    scale = power_of_two(jnp.maximum(largest, at_least))
    return *_scores(inputs, deltas / scale[None, None, None]), scale


def _gradient(
    name: str, inputs: Array, deltas: Array, grad: Array | None
) -> Float[Array, "parameter unit"]:
    """Return ``grad``, checked, or the mean of the only column of the deltas times (a, 1)."""
    fan_in, units = inputs.shape[2], deltas.shape[3]
    if grad is None:
        if deltas.shape[1] != 1:
            raise ValueError(
                f"{name}: expected a gradient where the deltas have {deltas.shape[1]} columns, as "
                f"these are no derivatives of one nll, got grad=None; pass the data's gradient."
            )
        weights = jnp.einsum("ntf,ntu->fu", inputs, deltas[:, 0])
        biases = jnp.sum(deltas[:, 0], axis=(0, 1))[None]
        return jnp.concatenate([weights, biases]) / inputs.shape[0]
    if grad.shape not in ((fan_in + 1, units), (fan_in, units)):
        raise ValueError(
            f"{name}: expected grad [{fan_in + 1}, {units}], bias last, or [{fan_in}, {units}] "
            f"without bias, got {grad.shape=}; layer_matrix makes it of a layer's gradient."
        )
    return grad.astype(deltas.dtype)


def _eliminate(
    u: Float[Array, "score fan_in"],
    v: Float[Array, " score"],
    g: Float[Array, " fan_in"],
    g_0: Float[Array, ""],
    damping: Float[Array, ""],
) -> tuple[Float[Array, " fan_in"], Float[Array, " 1"]]:
    """Return (dw, dw_0) of one unit, as the docstring of unit_natural_gradient has it."""
    c = v @ v + damping
    m = (v @ u) / c
    centered = jnp.concatenate([u - v[:, None] * m[None], jnp.sqrt(damping) * m[None]])
    dw = _solve(centered, damping, g - g_0 * m)
    return dw, (g_0 / c - m @ dw)[None]


def _bias_factor(
    u: Float[Array, "score fan_in"], v: Float[Array, " score"], ratio: Float[Array, " fan_in"]
) -> Float[Array, ""]:
    """Return theorem 2's k of one unit, ratio = g / g_0; the rows' Gram matrix is c Var_q(a)."""
    c = v @ v
    m = (v @ u) / c
    centered = u - v[:, None] * m[None]
    return 1.0 + (m - ratio) @ (c * _solve(centered, jnp.zeros_like(c), m))


def _solve(
    rows: Float[Array, "row n"], damping: Float[Array, ""], g: Float[Array, " n"]
) -> Float[Array, " n"]:
    """Return (rows^T rows + damping I)^{-1} g, NaN if singular to working precision."""
    n = g.shape[0]
    root = jnp.sqrt(damping) * jnp.eye(n, dtype=rows.dtype)
    R = jnp.linalg.qr(jnp.concatenate([rows, root]), mode="r")
    pivots = jnp.abs(jnp.diag(R))
    regular = jnp.min(pivots) > n**0.5 * jnp.finfo(rows.dtype).eps * jnp.max(pivots)
    solution = solve_triangular(R, solve_triangular(R, g, trans=1))
    return jnp.where(regular, solution, jnp.nan)
