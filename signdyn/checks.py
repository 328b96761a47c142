"""`checked`: a function refuses arguments that are not what its annotations say, in one sentence.

Shapes and types are what a caller gets wrong most often, and an array of another rank often gives
a number, not an error. The annotations say what is right, so nothing is declared twice; they are
read once, when the function is defined, and a call costs some microseconds. Ranges of numbers are
each function's own to check. May import JAX, and nothing of signdyn.
"""

import dataclasses
import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

_KINDS: Mapping[str, tuple[Any, str]] = {
    "Float": (jnp.floating, "floats"),
    "Int": (jnp.integer, "integers"),
    "UInt32": (jnp.uint32, "uint32 words"),
    "Bool": (jnp.bool_, "truth values"),
    "Key": (jax.dtypes.prng_key, "keys, as jax.random.key makes"),
}
"""jaxtyping's name of a kind of numbers -> what its dtypes are, in code and in words."""


class _Arrays(NamedTuple):
    """Arrays of one form.

    Attributes:
        kind: jaxtyping's name of the dtypes.
        dims: Names of the axes, as jaxtyping writes them.
        rest: Place of the axes of any number among them; None without.
    """

    kind: str
    dims: tuple[str, ...]
    rest: int | None


class _Plain(NamedTuple):
    """Python objects of a type, and the words for them."""

    type: Any
    words: str


_Form = _Arrays | _Plain


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, which raises ValueError for arguments not as they are annotated.

    Of annotations with jaxtyping, dtype and shape are checked, and that axes of one name are as
    long in all arguments; NumPy's arrays are as good as JAX's. Integers, numbers, text, truth
    values, functions, named choices, and tuples of this package are checked by their type.
    Anything else is left to the function.

    Example:
        >>> from jaxtyping import Array, Float
        >>> @checked
        ... def total(x: Float[Array, "row column"], axis: int = 0):
        ...     return x.sum(axis)
        >>> total(jnp.ones(2, jnp.float32))
        Traceback (most recent call last):
            ...
        ValueError: total: expected x to be floats [row, column], got float32[2].
    """
    signature = inspect.signature(function, eval_str=True)
    forms = {
        name: found
        for name, parameter in signature.parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and (found := _forms(parameter.annotation)) is not None
    }

    @functools.wraps(function)
    def checking(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return function(*args, **kwargs)  # Python says it better
        lengths: dict[str, tuple[int, str]] = {}
        for name, value in given.items():
            if name in forms:
                _check(function.__name__, name, value, forms[name], lengths)
        return function(*args, **kwargs)

    return checking


def check_fields(instance: Any) -> None:
    """Raise ValueError for the first field of a dataclass that is not as it is annotated."""
    kind = type(instance)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(instance):
        forms = _forms(hints[field.name])
        if forms is not None:
            _check(kind.__name__, field.name, getattr(instance, field.name), forms, {})


def _forms(annotation: Any) -> tuple[_Form, ...] | None:
    """Return the forms that an annotation allows, or None if one of them is not understood."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        found = [_forms(part) for part in typing.get_args(annotation)]
        if any(part is None for part in found):
            return None
        return tuple(form for part in found for form in part or ())
    if typing.get_origin(annotation) is typing.Literal:
        choices = typing.get_args(annotation)
        return (_Plain(choices, f"one of {', '.join(map(repr, choices))}"),)
    if hasattr(annotation, "dim_str"):
        dims = tuple(annotation.dim_str.split())
        rest = [place for place, dim in enumerate(dims) if dim == "..." or dim[0] == "*"]
        if annotation.dtype.__name__ in (*_KINDS, "Shaped", "Real") and len(rest) < 2:
            return (_Arrays(annotation.dtype.__name__, dims, rest[0] if rest else None),)
        return None
    if annotation is np.ndarray:
        return (_Arrays("Shaped", ("...",), 0),)
    if annotation in _PLAIN:
        return (_PLAIN[annotation],)
    if typing.get_origin(annotation) is tuple:
        return (_Plain(tuple, "a tuple"),)
    if inspect.isclass(annotation) and issubclass(annotation, np.generic | complex):
        return (_Plain(annotation, "a number"),)
    if typing.get_origin(annotation) is Callable:
        return (_Plain(Callable, "a function"),)
    if inspect.isclass(annotation) and annotation.__module__.split(".")[0] == "signdyn":
        article = "an" if annotation.__name__[0] in "AEIOU" else "a"
        words = f"{article} {annotation.__name__} of {annotation.__module__}"
        return (_Plain(annotation, words),)
    return None


_PLAIN: Mapping[Any, _Plain] = {
    int: _Plain(numbers.Integral, "an integer"),
    float: _Plain(numbers.Real, "a number"),
    bool: _Plain(bool | np.bool_, "True or False"),
    str: _Plain(str, "text"),
    type(None): _Plain(type(None), "None"),
    np.random.RandomState: _Plain(np.random.RandomState, "a RandomState"),
}


def _check(
    function: str,
    name: str,
    value: Any,
    forms: Sequence[_Form],
    lengths: dict[str, tuple[int, str]],
) -> None:
    """Raise ValueError unless the value has one of the forms; enter its axes in ``lengths``."""
    for form in forms:
        if isinstance(form, _Plain):
            if _is_plain(value, form.type):
                return
        elif _fits(value, form):
            _check_lengths(function, name, value, form, lengths)
            return
    words = " or ".join(dict.fromkeys(_words(form) for form in forms))
    raise ValueError(f"{function}: expected {name} to be {words}, got {_told(value)}.")


def _is_plain(value: Any, kind: Any) -> bool:
    if isinstance(kind, tuple):
        return any(type(value) is type(choice) and value == choice for choice in kind)
    if kind is Callable:
        return callable(value)
    if kind in (numbers.Integral, numbers.Real) and isinstance(value, bool | np.bool_):
        return False
    return isinstance(value, kind)


def _fits(value: Any, form: _Arrays) -> bool:
    """Tell whether a value is an array of the dtype and the number of axes."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is None or not isinstance(shape, tuple):
        return False
    if form.kind == "Real":
        good = jax.dtypes.issubdtype(dtype, jnp.number) and not jax.dtypes.issubdtype(
            dtype, jnp.complexfloating
        )
    else:
        good = form.kind == "Shaped" or jax.dtypes.issubdtype(dtype, _KINDS[form.kind][0])
    fewest = len(form.dims) - (form.rest is not None)
    return good and (len(shape) == fewest if form.rest is None else len(shape) >= fewest)


def _check_lengths(
    function: str, name: str, value: Any, form: _Arrays, lengths: dict[str, tuple[int, str]]
) -> None:
    rest = len(form.dims) if form.rest is None else form.rest
    ends = len(form.dims) - rest - 1  # axes after those of any number
    places = [*range(rest), *range(len(value.shape) - ends, len(value.shape))]
    dims = [*form.dims[:rest], *form.dims[rest + 1 :]]
    for dim, place in zip(dims, places, strict=True):
        length = value.shape[place]
        if dim.isdigit():
            known, owner = int(dim), ""
        elif dim[0] == "_" or not dim.isidentifier():
            continue
        else:
            known, owner = lengths.setdefault(dim, (length, name))
        if length != known:
            told = f"{dim} = {known}, as in {owner}" if owner else f"axis {place} of length {dim}"
            told = f"{dim} twice" if owner == name else told
            raise ValueError(
                f"{function}: expected {name} to be {_words(form)} with {told}, got {_told(value)}."
            )


def _words(form: _Form) -> str:
    if isinstance(form, _Plain):
        return form.words
    kind = {"Shaped": "an array", "Real": "numbers"}.get(form.kind) or _KINDS[form.kind][1]
    if not form.dims:
        return f"a scalar of {kind}"
    dims = (dim if dim == "..." else dim.lstrip("_*") or "any" for dim in form.dims)
    stars = ("..." if dim[0] == "*" else "" for dim in form.dims)
    return f"{kind} [{', '.join(map(''.join, zip(stars, dims, strict=True)))}]"


def _told(value: Any) -> str:
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and isinstance(shape, tuple):
        return f"{dtype}[{','.join(map(str, shape))}]"
    if value is None or isinstance(value, str | int | float | complex):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"a {type(value).__name__}"
