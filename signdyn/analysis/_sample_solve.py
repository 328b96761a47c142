r"""Solves with F + damping I, F = A^T A, by conjugate gradients in the space of A's rows.

(F + damping I)^{-1} g = (g - A^T u) / damping with (A A^T + damping I) u = A g: the Krylov space is
the one of F, but vectors have a number for every row instead of every parameter, and a product is
with the Gram matrix. The difference loses digits where the answer is much shorter than g / damping,
as it is along large eigenvalues alone: such an answer is not believed. Private to signdyn.analysis.
May import JAX.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from signdyn.analysis._solve import ROUNDINGS, Found, Map, Vector, holds

Rows = Float[Array, " row"]

CORRECTION = 0.1
"""Share of a true residual that a correction may leave: it is small already."""

LOSS = 32
"""Largest ||g / damping|| / ||v||: the roundings of v that one of g / damping may be."""


class Samples(NamedTuple):
    """A, and what follows from it.

    Attributes:
        scores: v -> A v.
        pullback: u -> A^T u.
        gram: u -> A A^T u.
    """

    scores: Callable[[Vector], Rows]
    pullback: Callable[[Rows], Vector]
    gram: Callable[[Rows], Rows]


class _State(NamedTuple):
    u: Rows
    residual: Rows
    search: Rows
    inner: Float[Array, ""]  # residual . residual
    carried: Float[Array, ""]  # what the next Rayleigh quotient has of the last search
    largest: Float[Array, ""]  # Rayleigh quotient of a residual so far
    products: Int[Array, ""]
    solved: Bool[Array, ""]


def solve_in_samples(
    samples: Samples, damped: Map, target: Vector, damping: Float[Array, ""], budget: int
) -> Found:
    """Return v with damped(v) = F v + damping v = target.

    With r the residual in rows, the error of v is at most ||r|| / (2 damping^(3/2)): the recursion
    stops where that is `ROUNDINGS` machine epsilons of ||v||. ``solved`` tells whether no more than
    `LOSS` was lost and the true residual is what rounding leaves, if need be after a correction.
    """

    def once(target: Vector, enough: Float[Array, ""]) -> tuple[Vector, _State]:
        state = _recursion(samples, target, damping, budget, enough)
        return (target - samples.pullback(state.u)) / damping, state

    v, state = once(target, jnp.zeros_like(damping))
    largest = state.largest
    kept = LOSS * damping * jnp.linalg.norm(v) >= jnp.linalg.norm(target)
    solved = state.solved & kept
    residual = target - damped(v)
    found = Found(v, solved & holds(residual, v, damping, largest), largest)

    def correct(_: tuple[Bool[Array, ""], Found]) -> tuple[Bool[Array, ""], Found]:
        # Residual r in rows makes one of A^T r / damping in parameters.
        enough = (CORRECTION * damping) ** 2 * jnp.vdot(residual, residual) / largest
        correction, state = once(residual, enough)
        both = v + correction
        true = holds(target - damped(both), both, damping, largest)
        return state.solved | True, Found(both, state.solved & true, largest)

    # Where the recursion has not come to its end there is nothing to correct.
    _, found = jax.lax.while_loop(lambda state: ~state[0], correct, (found.solved | ~solved, found))
    return found


def _recursion(
    samples: Samples,
    target: Vector,
    damping: Float[Array, ""],
    budget: int,
    enough: Float[Array, ""],
) -> _State:
    """Return the recursion's last state; it also stops at a squared residual of ``enough``."""
    start = samples.scores(target)
    square, first = jnp.vdot(target, target), jnp.vdot(start, start)
    # Over twice damping^(3/2), this many roundings of v.
    allowed = (2 * ROUNDINGS * jnp.finfo(target.dtype).eps) ** 2 * damping

    def going(state: _State) -> Bool[Array, ""]:
        # Also over where a NaN is met, or nothing is left to be divided by.
        return ~state.solved & (state.products < budget) & (state.inner > 0.0)

    def once(state: _State) -> _State:
        image = samples.gram(state.search) + damping * state.search
        length = state.inner / jnp.vdot(state.search, image)
        u = state.u + length * state.search
        residual = state.residual - length * image
        inner = jnp.vdot(residual, residual)
        ratio = inner / state.inner
        # damping^2 v . v, from A v = (A g - (A A^T) u) / damping = u + residual / damping
        length_of_v = square - jnp.vdot(u, start + residual + damping * u)
        return _State(
            u,
            residual,
            residual + ratio * state.search,
            inner,
            ratio / length,
            jnp.maximum(state.largest, 1.0 / length + state.carried),
            state.products + 1,
            inner <= jnp.maximum(allowed * length_of_v, enough),
        )

    zero = 0.0 * first
    state = _State(
        jnp.where(False, start, 0.0),  # zeros, under shard_map the device's own as start is
        start,
        start,
        first,
        zero,
        zero,
        jnp.zeros((), jnp.int32),
        first == 0.0,
    )
    return jax.lax.while_loop(going, once, state)
