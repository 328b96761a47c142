"""Shared aliases: what a model is to the analysis functions. Knows no framework."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Array

Params = Any
"""Any pytree of float arrays."""

ApplyFn = Callable[[Params, Array], Array]
"""Pure ``(params, x) -> outputs``, examples along axis 0 of both ``x`` and ``outputs``."""
