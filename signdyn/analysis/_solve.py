r"""Solves with a damped positive semidefinite matrix by products: to working precision, or not.

Private to signdyn.analysis. May import JAX.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Vector = Float[Array, " param"]
Map = Callable[[Vector], Vector]

ROUNDINGS = 64
"""Machine epsilons of the solution that its error may have, beside the products' own rounding."""


class Found(NamedTuple):
    """A direction, whether it is the solution to working precision, and what was learned.

    Attributes:
        direction: The vector.
        solved: Whether it is to be believed.
        largest: Largest curvature met, a lower bound on the largest eigenvalue that is close to
            it where nothing was preconditioned.
    """

    direction: Vector
    solved: Bool[Array, ""]
    largest: Float[Array, ""]


def unless(done: Bool[Array, ""], compute: Callable[[], Found], otherwise: Found) -> Found:
    """Return ``otherwise`` where ``done``, without computing; else what ``compute`` returns.

    A loop of one turn and no ``lax.cond``, both sides of which ``vmap`` computes: this one it
    computes only if some element needs it.
    """
    _, found = jax.lax.while_loop(
        lambda state: ~state[0],
        lambda state: (done | True, compute()),  # under shard_map as much the device's own as done
        (done, otherwise),
    )
    return found


def holds(
    residual: Vector,
    v: Vector,
    damping: Float[Array, ""],
    largest: Float[Array, ""],
) -> Bool[Array, ""]:
    """Return whether a true residual, target - damped(v), is what rounding leaves."""
    eps = jnp.finfo(v.dtype).eps
    allowed = eps * (2 * ROUNDINGS * damping + 8 * largest)
    return jnp.linalg.norm(residual) <= allowed * jnp.linalg.norm(v)


class _State(NamedTuple):
    v: Vector
    residual: Vector
    search: Vector
    inner: Float[Array, ""]  # residual . preconditioned residual
    largest: Float[Array, ""]  # Rayleigh quotient so far
    products: Int[Array, ""]
    solved: Bool[Array, ""]


def solve(
    damped: Map,
    precondition: Map,
    target: Vector,
    damping: Float[Array, ""],
    budget: int,
    largest: Float[Array, ""],
) -> Found:
    """Return v with damped(v) = target, by preconditioned conjugate gradients.

    No eigenvalue is below the damping, so the error is at most ||residual|| / damping: the
    recursion stops where that is `ROUNDINGS` machine epsilons of ||v||. Then the true residual is
    asked, which may differ from the recursion's by the rounding of a product and no more, in units
    of the largest eigenvalue, of which ``largest`` is a lower bound known before.
    ``solved`` is False where it does, or ``budget`` products were not enough.
    """
    eps = jnp.finfo(target.dtype).eps
    accuracy = ROUNDINGS * eps * damping

    def going(state: _State) -> Bool[Array, ""]:
        # Also over where a NaN is met, or nothing is left to be divided by.
        return ~state.solved & (state.products < budget) & (state.inner > 0.0)

    def once(state: _State) -> _State:
        image = damped(state.search)
        curvature = jnp.vdot(state.search, image)
        length = state.inner / curvature
        v = state.v + length * state.search
        residual = state.residual - length * image
        preconditioned = precondition(residual)
        inner = jnp.vdot(residual, preconditioned)
        return _State(
            v,
            residual,
            preconditioned + (inner / state.inner) * state.search,
            inner,
            jnp.maximum(state.largest, curvature / jnp.vdot(state.search, state.search)),
            state.products + 1,
            jnp.vdot(residual, residual) <= accuracy**2 * jnp.vdot(v, v),
        )

    search = precondition(target)
    start = _State(
        jnp.where(False, target, 0.0),  # zeros, under shard_map the device's own as target is
        target,
        search,
        jnp.vdot(target, search),
        largest,
        jnp.zeros((), jnp.int32),
        jnp.all(target == 0.0),
    )
    state = jax.lax.while_loop(going, once, start)
    true = holds(target - damped(state.v), state.v, damping, state.largest)
    return Found(state.v, state.solved & true, state.largest)
