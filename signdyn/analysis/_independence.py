"""Refuses a model that mixes examples: its Fisher would be silently wrong.

J_n, the Jacobian of the outputs on example n, means something only if those outputs depend on
example n alone. Batch normalization in training mode breaks that, and so does every other use of
a batch's own statistics. The check reads the model's jaxpr: no arithmetic, any framework.

Private to signdyn.analysis. May import JAX and signdyn.types.
"""

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import Literal
from jaxtyping import Array

from signdyn.types import ApplyFn, Params

# A size no dimension of a model is a multiple of shows where the batch axis goes. The second one
# is asked only if the first finds something: no model has a dimension that is a multiple of both.
BATCH_SIZES = (1009, 1013)
RANDOM = {"random_bits", "rng_bit_generator", "rng_uniform", "threefry2x32"}
SORTING = {"sort": "dimension", "rev": "dimensions"} | dict.fromkeys(
    ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"), "axis"
)


class Mixing(NamedTuple):
    """An equation that mixes examples: where it stands, its primitive, what it does."""

    layer: str
    primitive: str
    deed: str


def check_independent(name: str, apply_fn: ApplyFn, params: Params, x: Array) -> None:
    """Raise unless the outputs of each example depend on that example alone.

    ``apply_fn`` is traced, not run, on a batch of a prime number of examples; an equation that the
    outputs need, and that reduces, sorts, convolves, slices, compares, or multiplies or solves by a
    matrix along that dimension, mixes examples. Of a loop over ``x`` the body is judged, of a
    ``while_loop`` not the condition, so that ``jax.vmap`` of one is accepted. The check would
    rather refuse than overlook: examples picked by index (``h[jnp.arange(n), last]``) are refused,
    ``jnp.take_along_axis`` is not.
    A reshape that scatters an example over others is found only if it splits and joins no
    batch axis on its way.

    A model that takes no other batch size is traced at that of ``x``, if that has no divisor in
    common with a dimension of ``params`` or of an example; else it goes unchecked.

    Args:
        name: The public function, for the message.
        apply_fn: Pure ``(params, x) -> outputs``; may close over tracers.
        params: Any pytree of arrays.
        x: Examples along axis 0; only its shape and dtype are read.

    Raises:
        ValueError: If examples are mixed; names the layer, as the framework does.
    """
    found = None
    for size, jaxpr in _traces(apply_fn, params, x):
        reads_x = [False] * (len(jaxpr.invars) - 1) + [True]
        _, found = _walk(jaxpr, reads_x, [True] * len(jaxpr.outvars), size, "")
        if found is None:
            return
    if found is not None:
        raise ValueError(
            f"{name}: expected apply_fn to treat examples independently, got {found.primitive} in "
            f"{found.layer}, which {found.deed}; freeze the batch statistics "
            "(use_running_average=True, evaluation mode), pass them in as constants, or, if "
            "examples are apart all the same, write the model for one of them and jax.vmap it."
        )


def _traces(apply_fn: ApplyFn, params: Params, x: Array) -> Iterator[tuple[int, Any]]:
    """Yield telling batch sizes and the jaxprs of ``apply_fn`` there, one at a time."""

    def trace(size: int) -> Any:
        batch = jax.ShapeDtypeStruct((size, *x.shape[1:]), x.dtype)
        # A new function each time: JAX would return the trace of a model since put in eval mode.
        return jax.make_jaxpr(lambda params, x: apply_fn(params, x))(params, batch).jaxpr

    try:
        first = trace(BATCH_SIZES[0])
    except Exception:  # noqa: BLE001 - a model may object to a batch size in its own terms
        size, shapes = x.shape[0], [x.shape[1:], *map(jax.numpy.shape, jax.tree.leaves(params))]
        if size > 1 and all(math.gcd(size, dim) == 1 for shape in shapes for dim in shape):
            yield size, trace(size)
        return
    yield BATCH_SIZES[0], first
    for size in BATCH_SIZES[1:]:
        yield size, trace(size)


def _walk(
    jaxpr: Any, reads_x: Sequence[bool], live: Sequence[bool], size: int, scope: str
) -> tuple[list[bool], Mixing | None]:
    """Return which outputs depend on x, and the first live equation that mixes examples."""
    marked = {v for v, reads in zip(jaxpr.invars, reads_x, strict=True) if reads}
    for eqn, used in _live_equations(jaxpr, live):
        layer = "/".join(filter(None, (scope, str(eqn.source_info.name_stack))))
        flags = [_is_variable(v) and v in marked for v in eqn.invars]
        outs, found = _judge(eqn, flags, used, size, layer)
        if found is not None:
            return outs, found
        marked |= {v for v, reads in zip(eqn.outvars, outs, strict=True) if reads}
    return [_is_variable(v) and v in marked for v in jaxpr.outvars], None


def _live_equations(jaxpr: Any, live: Sequence[bool]) -> list[tuple[Any, list[bool]]]:
    """Return the equations that the live outputs need, each with which of its outputs they do.

    A model may compute a batch mean and use it only elsewhere, for example to record it.
    """
    needed = {v for v, on in zip(jaxpr.outvars, live, strict=True) if on and _is_variable(v)}
    kept = []
    for eqn in reversed(jaxpr.eqns):
        used = [v in needed for v in eqn.outvars]
        if any(used):
            kept.append((eqn, used))
            needed |= {v for v in _live_inputs(eqn, used) if _is_variable(v)}
    return kept[::-1]


def _live_inputs(eqn: Any, used: Sequence[bool]) -> Iterator[Any]:
    """Yield the inputs that the used outputs of ``eqn`` depend on."""
    inner = _called(eqn)
    if inner is None:
        yield from eqn.invars
        return
    needed = {v for v, on in zip(inner.outvars, used, strict=True) if on and _is_variable(v)}
    for each, outputs in _live_equations(inner, used):
        needed.update(v for v in _live_inputs(each, outputs) if _is_variable(v))
    yield from (v for v, own in zip(eqn.invars, inner.invars, strict=True) if own in needed)


def _is_variable(v: Any) -> bool:
    return not isinstance(v, Literal)


def _called(eqn: Any) -> Any | None:
    """Return the jaxpr that ``eqn`` calls once on its own inputs (jit, remat, custom rules)."""
    if eqn.primitive.name in ("scan", "while", "cond"):
        return None
    for value in eqn.params.values():
        inner = getattr(value, "jaxpr", value)
        if (
            hasattr(inner, "eqns")
            and len(inner.invars) == len(eqn.invars)
            and len(inner.outvars) == len(eqn.outvars)
        ):
            return inner
    return None


def _judge(
    eqn: Any, flags: list[bool], used: list[bool], size: int, layer: str
) -> tuple[list[bool], Mixing | None]:
    """Return which outputs of ``eqn`` depend on x, and how it mixes examples, if it does."""
    kind = eqn.primitive.name
    inner = _called(eqn)
    if inner is not None:
        return _walk(inner, flags, used, size, layer)
    if kind in ("scan", "while"):
        return _judge_loop(eqn, flags, size, layer)
    if kind == "cond":
        outs = [flags[0]] * len(eqn.outvars)
        for branch in eqn.params["branches"]:
            more, found = _walk(branch.jaxpr, flags[1:], used, size, layer)
            if found is not None:
                return outs, found
            outs = [a or b for a, b in zip(outs, more, strict=True)]
        return outs, None
    if kind == "custom_linear_solve":  # (constants of matvec, vecmat, solve, its transpose, b)
        *before, own, after = eqn.params["const_lengths"]
        start = sum(before)
        given = [*flags[start : start + own], *flags[start + own + after :]]
        return _walk(eqn.params["jaxprs"].solve.jaxpr, given, used, size, layer)
    if kind in ("optimization_barrier", "device_put"):
        return flags, None
    deed = _deed(eqn, flags, size)
    found = None if deed is None else Mixing(_where(eqn, layer), kind, deed)
    return [any(flags)] * len(eqn.outvars), found


def _judge_loop(
    eqn: Any, flags: list[bool], size: int, layer: str
) -> tuple[list[bool], Mixing | None]:
    """Judge the body of a scan or while loop, whose carry depends on x as soon as it ever does."""
    if eqn.primitive.name == "scan":
        body = eqn.params["jaxpr"].jaxpr
        # By their ranks, for JAX's own record of what is carried and what is scanned has changed.
        num_carry = _count_alike(eqn.outvars, body.outvars)
        num_consts = _count_alike(eqn.invars, body.invars) - num_carry
    else:
        body, num_consts = eqn.params["body_jaxpr"].jaxpr, eqn.params["body_nconsts"]
        flags = flags[eqn.params["cond_nconsts"] :]
        num_carry = len(flags) - num_consts
    end = num_consts + num_carry
    consts, carry, scanned = flags[:num_consts], flags[num_consts:end], flags[end:]
    while True:
        live = [True] * len(body.outvars)
        outs, found = _walk(body, [*consts, *carry, *scanned], live, size, layer)
        if found is not None:
            return outs, found
        grown = [a or b for a, b in zip(carry, outs[:num_carry], strict=True)]
        if grown == carry:
            break
        carry = grown
    # The scanned inputs are the last of the equation's; none of a while loop.
    inputs = eqn.invars[len(eqn.invars) - len(scanned) :]
    over_examples = any(
        reads and v.aval.shape[0] % size == 0 for v, reads in zip(inputs, scanned, strict=True)
    )
    if over_examples and any(carry):
        deed = "carries values of one example on to the next"
        return outs, Mixing(_where(eqn, layer), eqn.primitive.name, deed)
    return [*carry, *outs[num_carry:]], None


def _count_alike(outer: Sequence[Any], inner: Sequence[Any]) -> int:
    """Return how many variables of a loop are of the same rank in its body: all but the scanned."""
    return sum(len(a.aval.shape) == len(b.aval.shape) for a, b in zip(outer, inner, strict=True))


def _deed(eqn: Any, flags: Sequence[bool], size: int) -> str | None:
    """Return what ``eqn`` does to different examples, None if it keeps them apart."""
    outs = [_multiplicity(v, size) for v in eqn.outvars]
    if eqn.primitive.name in RANDOM and any(outs):
        return "draws other random numbers at every place in the batch"
    ins = [_multiplicity(v, size) for v, reads in zip(eqn.invars, flags, strict=True) if reads]
    most = max(ins, default=0)
    if most == 0:
        return None
    if min(outs, default=most) < most:
        return "reduces over the batch axis or picks from it"
    if max(outs, default=most) > most:
        return "pairs every example with every other one"
    return "mixes examples along the batch axis" if _mixes_along(eqn, flags, size) else None


def _mixes_along(eqn: Any, flags: Sequence[bool], size: int) -> bool:
    """Return whether an equation that keeps the batch axis moves values along it."""
    kind, params = eqn.primitive.name, eqn.params
    shape = eqn.invars[0].aval.shape
    axes = _batch_axes(shape, size)
    if kind == "dot_general":
        return any(
            reads and not _batch_axes(v.aval.shape, size).isdisjoint(contracted)
            for v, reads, contracted in zip(
                eqn.invars, flags, params["dimension_numbers"][0], strict=True
            )
        )
    if kind in ("triangular_solve", "tridiagonal_solve"):
        shape = eqn.outvars[0].aval.shape
        along = len(shape) - (2 if params.get("left_side", True) else 1)
        return along in _batch_axes(shape, size)
    if kind == "pad":
        return any(params["padding_config"][axis] != (0, 0, 0) for axis in axes)
    if kind in SORTING:
        along = params[SORTING[kind]]
        return not axes.isdisjoint([along] if isinstance(along, int) else along)
    if kind.startswith(("reduce_window", "select_and_")):
        return any(params["window_dimensions"][axis] != 1 for axis in axes)
    if kind == "fft":
        return any(axis >= len(shape) - len(params["fft_lengths"]) for axis in axes)
    if kind == "conv_general_dilated":
        _, feature, *spatial = params["dimension_numbers"].lhs_spec
        joined = feature in axes and params["feature_group_count"] % size != 0
        return joined or not axes.isdisjoint(spatial)
    if kind == "gather":
        apart = params["dimension_numbers"].operand_batching_dims
        return flags[0] and any(params["slice_sizes"][a] != shape[a] for a in axes - set(apart))
    if kind.startswith("scatter"):
        numbers = params["dimension_numbers"]
        placed = {*numbers.inserted_window_dims, *numbers.scatter_dims_to_operand_dims}
        return not axes.isdisjoint(placed - set(numbers.operand_batching_dims))
    if kind == "dynamic_update_slice":
        return any(eqn.invars[1].aval.shape[axis] != shape[axis] for axis in axes)
    if kind == "reshape":
        return _scrambles(shape, eqn.outvars[0].aval.shape, size)
    return False


def _batch_axes(shape: Sequence[int], size: int) -> set[int]:
    """Return the axes of a shape along which examples lie."""
    return {axis for axis, dim in enumerate(shape) if dim % size == 0 and dim > 0}


def _scrambles(old: Sequence[int], new: Sequence[int], size: int) -> bool:
    """Return whether a reshape, from an axis of just the examples, spreads one over the others."""
    if old.count(size) != 1:
        return False
    before = math.prod(old[: old.index(size)])
    axis = next(axis for axis, dim in enumerate(new) if dim % size == 0)
    outer, rest = math.prod(new[:axis]), new[axis] // size
    return before % outer != 0 or rest % (before // outer) != 0


def _multiplicity(v: Any, size: int) -> int:
    """Return how often the batch axis occurs in the shape of ``v``."""
    count = 0
    for dim in getattr(v.aval, "shape", ()):
        while dim and dim % size == 0:
            count, dim = count + 1, dim // size
    return count


def _where(eqn: Any, layer: str) -> str:
    """Return the layer's name, or, in a framework that gives none, the line of code."""
    if layer:
        return f"layer {layer!r}"
    library = os.path.dirname(jax.__file__)
    frames = getattr(eqn.source_info.traceback, "frames", ())
    frames = [frame for frame in frames if not frame.file_name.startswith(library)]
    calls = [frame for frame in frames if frame.function_name.endswith(".__call__")]
    for frame in calls[:1] or frames[:1]:
        return f"{frame.function_name} ({os.path.basename(frame.file_name)}:{frame.line_num})"
    return "a layer without a name"
