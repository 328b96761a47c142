"""Quantities that rest on a choice which the same seeds made, such as a best learning rate.

Where two rates are nearly as good, other seeds would have chosen the other one, and all seeds would
have moved at once: their spread at the rate that was chosen says nothing of that. So a `Chosen`
array knows what it would be with resampled seeds and the choice made anew, and arithmetic keeps
that: intervals of what is computed from it hold the choice's own error.

May import NumPy, and nothing of signdyn.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

NUM_DRAWS = 1000
"""Resamples of the seeds in which the choice is made anew."""


@cache
def resamples(num_seeds: int) -> np.ndarray:
    """Return [draw, seed] places of seeds drawn with replacement, the same for all quantities.

    Example:
        >>> resamples(5).shape, bool((resamples(5) == resamples(5)).all())
        ((1000, 5), True)
    """
    drawn = np.random.default_rng(num_seeds).integers(0, num_seeds, (NUM_DRAWS, num_seeds))
    drawn.flags.writeable = False
    return drawn


class Chosen(np.ndarray):
    """An array [seed, ...] and, for each draw of `resamples`, what it is with those seeds.

    NumPy's functions and operators give a `Chosen` array again; arrays with as many rows as seeds
    that they are given beside are resampled alike. What picks single seeds, or `numpy.asarray`,
    gives a plain array. Read-only.

    Args:
        values: [seed, ...].
        draws: Returns [draw, seed, ...]; called when it is asked for first.

    Attributes:
        num_seeds: How many seeds chose; 0 where draws are not known.

    Example:
        >>> values = np.array([1.0, 2.0, 4.0])
        >>> chosen = Chosen(values, lambda: values[resamples(3)])
        >>> logs = np.log2(chosen) - 1.0
        >>> logs.tolist(), bool((logs.draws == np.log2(values)[resamples(3)] - 1.0).all())
        ([-1.0, 0.0, 1.0], True)
    """

    _make: Callable[[], np.ndarray] | None
    _made: np.ndarray | None
    num_seeds: int

    def __new__(cls, values: Any, draws: Callable[[], np.ndarray], num_seeds: int | None = None):
        """Return a read-only view of the values."""
        self = np.array(values).view(cls)
        self.flags.writeable = False
        self._make = draws
        self.num_seeds = len(self) if num_seeds is None else num_seeds
        return self

    def __array_finalize__(self, other: Any) -> None:
        """Let views of other kinds know no draws, until they are told."""
        self._make = self._made = None
        self.num_seeds = 0

    @property
    def draws(self) -> np.ndarray | None:
        """What the values are with resampled seeds [draw, ...]; None where that is not known."""
        if self._made is None and self._make is not None:
            self._made, self._make = self._make(), None
        return self._made

    def __getitem__(self, key: Any) -> Any:
        """Return a part of it: with all seeds a `Chosen` array, else a plain one."""
        part = np.asarray(self)[key]
        keys = key if isinstance(key, tuple) else (key,)
        if len(keys) > 1 and isinstance(keys[0], slice) and keys[0] == slice(None):
            return Chosen(
                part, lambda: np.asarray(self.draws)[(slice(None), *keys)], self.num_seeds
            )
        return part

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        """Apply an operator to the values, and to what they are in every draw."""
        call = getattr(ufunc, method)
        if options.get("out") is not None or method == "at":
            return call(*map(_plain, inputs), **_plain(options))
        if method == "__call__" and ufunc.nout == 1:
            return _elementwise(ufunc, inputs, options)
        return apply(lambda *given: call(*given, **options), *inputs)

    def mean(self, *args: Any, **kwargs: Any) -> Any:
        """Return the mean, with its draws where an axis is given that is not the seeds'."""
        return apply(np.mean, self, *args, **kwargs)

    def sum(self, *args: Any, **kwargs: Any) -> Any:
        """Return the sum, likewise."""
        return apply(np.sum, self, *args, **kwargs)

    def min(self, *args: Any, **kwargs: Any) -> Any:
        """Return the least, likewise."""
        return apply(np.min, self, *args, **kwargs)

    def max(self, *args: Any, **kwargs: Any) -> Any:
        """Return the largest, likewise."""
        return apply(np.max, self, *args, **kwargs)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """Return it as another type, likewise."""
        return apply(lambda values: values.astype(*args, **kwargs), self)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Apply a function of NumPy's likewise."""
        return apply(func, *args, **kwargs)


def apply(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return ``function`` of the arguments' values, with what it gives in every draw.

    Args:
        function: Of plain arrays; must return an array, or else what it returns is returned.
        args: `Chosen` arrays, alone or in lists, and whatever else the function takes.
        kwargs: Likewise.
    """
    values = function(*_plain(args), **_plain(kwargs))
    num_seeds = _num_seeds((args, kwargs))
    if not isinstance(values, np.ndarray) or not num_seeds:
        return values

    def draws() -> np.ndarray:
        places = resamples(num_seeds)
        given = _map((args, kwargs), lambda one: _draws_of(one, num_seeds))
        made = []
        for draw in range(len(places)):
            own, named = _map(given, lambda one, draw=draw: _one_draw(one, draw))
            made.append(function(*own, **named))
        return np.stack(made)

    return Chosen(values, draws, num_seeds)


class _Draws(np.ndarray):
    """Marks arrays whose first axis is the draw."""


def _elementwise(ufunc: Any, inputs: Any, options: Any) -> Any:
    values = ufunc(*map(_plain, inputs), **options)
    num_seeds = _num_seeds(inputs)
    if not isinstance(values, np.ndarray) or not num_seeds:
        return values

    def draws() -> np.ndarray:
        given = []
        for one in inputs:
            drawn = _draws_of(one, num_seeds)
            if isinstance(drawn, _Draws):  # the draw stays the first axis when ranks differ
                drawn = np.asarray(drawn)
                shape = drawn.shape[0], *[1] * (values.ndim + 1 - drawn.ndim), *drawn.shape[1:]
                drawn = drawn.reshape(shape)
            given.append(drawn)
        made = ufunc(*given, **options)
        return np.broadcast_to(made, (NUM_DRAWS, *values.shape))

    return Chosen(values, draws, num_seeds)


def _is_chosen(one: Any) -> bool:
    return isinstance(one, Chosen) and one.num_seeds > 0


def _draws_of(one: Any, num_seeds: int) -> Any:
    """Return an argument in every draw; what does not depend on the seeds as it is."""
    if _is_chosen(one):
        return np.asarray(one.draws).view(_Draws)
    if isinstance(one, np.ndarray) and one.ndim and len(one) == num_seeds:
        return one[resamples(num_seeds)].view(_Draws)
    return one


def _one_draw(one: Any, draw: int) -> Any:
    return np.asarray(one[draw]) if isinstance(one, _Draws) else one


def _map(tree: Any, function: Callable[[Any], Any]) -> Any:
    """Return lists, tuples and dicts of ``function`` of what they hold."""
    if isinstance(tree, list | tuple):
        return type(tree)(_map(one, function) for one in tree)
    if isinstance(tree, dict):
        return {name: _map(one, function) for name, one in tree.items()}
    return function(tree)


def _plain(tree: Any) -> Any:
    return _map(tree, lambda one: np.asarray(one) if isinstance(one, Chosen) else one)


def _num_seeds(tree: Any) -> int:
    """Return the number of seeds of the `Chosen` arrays in it, 0 if there are none."""
    found: set[int] = set()
    _map(tree, lambda one: found.add(one.num_seeds) if _is_chosen(one) else None)
    return found.pop() if len(found) == 1 else 0
