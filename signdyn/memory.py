"""How much memory a program will need, read from what was traced, before it is compiled.

May import JAX, and nothing of signdyn.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import psutil
from jax.extend.core import ClosedJaxpr, Jaxpr, Var


def peak_bytes(traced: ClosedJaxpr, calls: int = 1) -> int:
    """Return the bytes that are needed at once if every array is made and freed in its turn.

    Arguments and results are there all the time. A loop's body is counted once, with another copy
    of what it carries. XLA fuses, so that it needs less as a rule; what it pads or lays out anew is
    not seen here.

    Args:
        traced: The program, as ``jax.jit(f).trace(...).jaxpr`` or `jax.make_jaxpr` give it.
        calls: How many of it run at once in the same memory; what is compiled in is there once.

    Example:
        >>> import jax.numpy as jnp
        >>> def product_of_squares(x):  # 4 kB in, 4 kB of squares, 4 kB out
        ...     return (x * x) @ (x * x)
        >>> peak_bytes(jax.make_jaxpr(product_of_squares)(jnp.zeros((32, 32), jnp.float32)))
        16384
    """
    constants = sum(getattr(constant, "nbytes", 0) for constant in traced.consts)
    return constants + calls * _peak(traced.jaxpr)


def calls_in_flight(traced: ClosedJaxpr, free: int | None, most: int, calls: int = 1) -> int:
    """Return how many calls of a program fit at once: of all but one, arguments and results only.

    Args:
        traced: As for `peak_bytes`.
        free: Bytes, see `free_bytes`; None if not known, when two have to fit.
        most: More are of no use.
        calls: How many run at once in the same memory; each has so many in flight.
    """
    if free is None:
        return min(2, most)
    jaxpr = traced.jaxpr
    results = (variable for variable in jaxpr.outvars if isinstance(variable, Var))
    held = calls * sum(_size(variable) for variable in {*jaxpr.invars, *results})
    return max(1, min(most, 1 + (free - peak_bytes(traced, calls)) // max(held, 1)))


def free_bytes(device: Any) -> int | None:
    """Return the memory that is free for a device, None where the backend does not tell.

    Of an accelerator it is its own; of a CPU the machine's, or what its control group allows.
    """
    if device.platform != "cpu":
        told = device.memory_stats() or {}
        limit = told.get("bytes_limit")
        return None if limit is None else limit - told.get("bytes_in_use", 0)
    return min([psutil.virtual_memory().available, *_group_limits()])


def _group_limits() -> Iterator[int]:
    """Yield what the control group of this process leaves, if it has one with a limit."""
    root = Path("/sys/fs/cgroup")
    for most, used in (
        (root / "memory.max", root / "memory.current"),
        (root / "memory/memory.limit_in_bytes", root / "memory/memory.usage_in_bytes"),
    ):
        try:
            yield int(most.read_text()) - int(used.read_text())
        except (OSError, ValueError):  # no such group, or no limit ("max")
            continue


def _peak(jaxpr: Jaxpr) -> int:
    last: dict[Var, int] = {}
    for place, equation in enumerate(jaxpr.eqns):
        last.update((v, place) for v in equation.invars if isinstance(v, Var))
    kept = {*jaxpr.invars, *jaxpr.constvars, *(v for v in jaxpr.outvars if isinstance(v, Var))}
    live = sum(_size(v) for v in {*jaxpr.invars, *jaxpr.constvars})
    peak = live
    for place, equation in enumerate(jaxpr.eqns):
        live += sum(_size(v) for v in equation.outvars)
        peak = max(peak, live + _inside(equation))
        ends = {v for v in equation.invars if isinstance(v, Var) and last[v] == place}
        ends |= {v for v in equation.outvars if v not in last}
        live -= sum(_size(v) for v in ends - kept)
    return peak


def _inside(equation: Any) -> int:
    """Return what an equation needs beyond its own arguments and results."""
    bodies = list(_bodies(equation.params))
    if not bodies:
        return 0
    most = 0
    for body in bodies:
        own = {*body.invars, *body.constvars, *(v for v in body.outvars if isinstance(v, Var))}
        needed = _peak(body) - sum(_size(v) for v in own)
        if equation.primitive.name == "scan":
            carried = equation.params["num_carry"]
            first = equation.params["num_consts"]
            needed += 2 * sum(_size(v) for v in body.invars[first : first + carried])
            needed += sum(_size(v) for v in body.invars[first + carried :])
        most = max(most, needed)
    return most


def _bodies(params: Any) -> Iterator[Jaxpr]:
    for value in params.values():
        for one in value if isinstance(value, list | tuple) else (value,):
            if isinstance(one, ClosedJaxpr):
                yield one.jaxpr
            elif isinstance(one, Jaxpr):
                yield one


def _size(variable: Any) -> int:
    aval = variable.aval
    shape, dtype = getattr(aval, "shape", None), getattr(aval, "dtype", None)
    if shape is None or dtype is None:
        return 0
    itemsize = 8 if jax.dtypes.issubdtype(dtype, jax.dtypes.extended) else dtype.itemsize
    size = itemsize
    for length in shape:
        size *= length
    return size
