"""Large arrays that a program reads are handed to it, not compiled into it.

What a traced function closes over becomes a part of its program. XLA copies that several times
while it compiles, and every program keeps its own. A data set of many images is therefore made an
argument here, which lies on every device once, whatever number of programs reads it. Small arrays
stay where they are, and so do the last bits of what is computed with them.

May import: lanes.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from signdyn.lanes import on_each

LARGE = 2**22
"""Bytes from which on an array is handed over."""


class Shelf:
    """The large arrays of a run, each on all devices once.

    Args:
        devices: Those that its programs run on, one a lane.
    """

    def __init__(self, devices: Sequence[Any]):
        """Put nothing on a device yet."""
        self._devices = list(devices)
        self._placed: dict[tuple[Any, ...], tuple[Any, jax.Array]] = {}
        self._lock = threading.Lock()  # programs are compiled by several threads

    def place(self, array: Any, device: Any) -> jax.Array:
        """Return the array on a device; the same one for the same memory."""
        held = np.asarray(array)
        key = (device, held.ctypes.data, held.shape, held.strides, held.dtype.str)
        with self._lock:
            if key not in self._placed:  # the array is held, too: its memory is nobody else's
                self._placed[key] = held, jax.device_put(held, device)
            return self._placed[key][1]

    def compiled(self, traced: Any, options: dict[str, Any] | None) -> Callable[..., Any]:
        """Return a traced program compiled for each device, its large constants as arguments.

        A call runs on the default device of its thread.

        Args:
            traced: As ``jax.jit(f).trace(...)`` gives it, for positional arguments.
            options: Of XLA.
        """
        closed = traced.jaxpr
        large = [getattr(constant, "nbytes", 0) >= LARGE for constant in closed.consts]
        if not any(large):
            return on_each(self._devices, lambda _: traced.lower().compile(options))
        few = [None if big else one for one, big in zip(closed.consts, large, strict=True)]
        many = [one for one, big in zip(closed.consts, large, strict=True) if big]
        infos = jax.tree.leaves(traced.args_info)

        def program(handed: list[Any], *flat: Any) -> list[Any]:
            rest = iter(handed)
            constants = [next(rest) if big else c for c, big in zip(few, large, strict=True)]
            return jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, constants))(*flat)

        donated = tuple(1 + place for place, info in enumerate(infos) if info.donated)
        shapes = [jax.ShapeDtypeStruct(info.shape, info.dtype) for info in infos]
        jitted = jax.jit(program, donate_argnums=donated)

        def compiled(device: Any) -> Callable[..., Any]:
            handed = [self.place(one, device) for one in many]
            ready = jitted.lower(handed, *shapes).compile(options)

            def call(*arguments: Any) -> Any:
                return jax.tree.unflatten(
                    traced.out_tree, ready(handed, *jax.tree.leaves(arguments))
                )

            return call

        return on_each(self._devices, compiled)
