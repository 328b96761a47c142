"""Shared aliases: what a model and a number are to the analysis functions. Knows no framework."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jax.typing import ArrayLike
from jaxtyping import Array, Float

Real = Float[ArrayLike, "..."]
"""A number or an array of them; several broadcast against each other."""

Reals = Float[Array, "..."]
"""An array of the shape that the arguments broadcast to."""

Params = Any
"""Any pytree of float arrays."""

ApplyFn = Callable[[Params, Array], Array]
"""Pure ``(params, x) -> outputs``, examples along axis 0 of both ``x`` and ``outputs``."""

Tap = Callable[[str, Array, Array], Array]
"""``(name, inputs, preactivations) -> preactivations``: what a layer hands out, see TappedFn."""

TappedFn = Callable[[Params, Array, Tap], Array]
"""``(params, x, tap) -> outputs``: a model that calls ``z = tap(name, h, z)`` in every layer that
is to be seen, with h [batch, fan_in] or [batch, ..., fan_in] and z [batch, ..., units]."""


@dataclasses.dataclass(frozen=True)
class Tapped:
    """A model that shows its layers on demand: an ApplyFn and a TappedFn in one object.

    Functions of a model that know what to do with layers take the short way for it, and say so.

    Attributes:
        tapped_fn: The model as ``(params, x, tap) -> outputs``.

    Example:
        >>> import jax.numpy as jnp
        >>> model = Tapped(lambda w, x, tap: tap("dense", x, x @ w))
        >>> w, x = jnp.ones((2, 1)), jnp.array([[1.0, 2.0]])
        >>> print(model(w, x), model(w, x, lambda name, inputs, z: 10 * z))
        [[3.]] [[30.]]
    """

    tapped_fn: TappedFn

    def __call__(self, params: Params, x: Array, tap: Tap | None = None) -> Array:
        """Return the outputs; without ``tap`` no layer is shown."""
        return self.tapped_fn(params, x, _hide if tap is None else tap)


def _hide(_name: str, _inputs: Array, z: Array) -> Array:
    return z
