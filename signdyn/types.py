"""Shared aliases: what a model is to the analysis functions. Knows no framework."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array

Params = Any
"""Any pytree of float arrays."""

ApplyFn = Callable[[Params, Array], Array]
"""Pure ``(params, x) -> outputs``, examples along axis 0 of both ``x`` and ``outputs``."""

Tap = Callable[[str, Array, Array], Array]
"""``(name, inputs, preactivations) -> preactivations``: what a layer hands out, see TappedFn."""

TappedFn = Callable[[Params, Array, Tap], Array]
"""``(params, x, tap) -> outputs``: a model that calls ``z = tap(name, h, z)`` in every layer that
is to be seen, with h [batch, fan_in] or [batch, ..., fan_in] and z [batch, ..., units]."""
