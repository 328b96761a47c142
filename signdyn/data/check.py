"""``check_data``: what is trained on holds examples, finite numbers, and labels of its classes.

May import NumPy and nothing of signdyn above types.
"""

from typing import Any

import numpy as np


def check_data(caller: str, data: Any) -> None:
    """Raise unless ``data`` can be trained on.

    Features that do not vary and labels of one class are no mistake here: they have a loss.

    Args:
        caller: Function that was given the data; the message starts with it.
        data: Arrays x_train, y_train, x_test, y_test and the int num_classes, such as a
            :class:`signdyn.data.Dataset`.

    Raises:
        ValueError: With one sentence on the first thing that is wrong.

    Example:
        >>> from signdyn.data.toys import load_toy
        >>> check_data("f", load_toy("xor", noise=0.0, seed=0))
        >>> check_data("f", load_toy("xor", noise=0.0, seed=0)._replace(num_classes=1))
        Traceback (most recent call last):
            ...
        ValueError: f: expected labels from 0 to num_classes - 1 = 0, got 1 in y_train.
    """
    num_classes = getattr(data, "num_classes", None)
    if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer):
        raise ValueError(
            f"{caller}: expected data with an integer num_classes, as signdyn.data.load returns, "
            f"got num_classes={num_classes!r} in a {type(data).__name__}."
        )
    for split in ("train", "test"):
        x, y = (_array(caller, data, f"{part}_{split}") for part in "xy")
        if x.ndim != 2 or y.ndim == 0 or len(y) != len(x):
            raise ValueError(
                f"{caller}: x_{split} must be [examples, features] and y_{split} have a "
                f"label for every example, got {x.shape=} and {y.shape=}; flatten inputs."
            )
        if x.size == 0:
            raise ValueError(f"{caller}: expected examples with features in x_{split}, got none.")
        if x.dtype.name == "uint8":
            pass  # pixels, none of which is wrong
        elif x.dtype.kind == "f" or x.dtype.name == "bfloat16":
            _check_finite(caller, f"x_{split}", x)
        else:
            raise ValueError(
                f"{caller}: expected floats in x_{split}, got {x.dtype}; convert with "
                "astype(np.float32), or pixels from 0 to 255 with astype(np.uint8)."
            )
        _check_labels(caller, f"y_{split}", y, int(num_classes))
    if "uint8" in {data.x_train.dtype.name, data.x_test.dtype.name} and (
        data.x_train.dtype != data.x_test.dtype
    ):
        raise ValueError(
            f"{caller}: expected pixels of uint8, which are divided by 255, in both of x_train and "
            f"x_test or in neither, got {data.x_train.dtype} and {data.x_test.dtype}."
        )
    if data.x_train.shape[1] != data.x_test.shape[1]:
        raise ValueError(
            f"{caller}: expected x_train and x_test to have the same features, got "
            f"{data.x_train.shape=} and {data.x_test.shape=}."
        )


def _array(caller: str, data: Any, name: str) -> Any:
    array = getattr(data, name, None)
    if not hasattr(array, "dtype") or not hasattr(array, "shape"):
        raise ValueError(f"{caller}: expected {name} to be an array, got a {type(array).__name__}.")
    return array


def _check_labels(caller: str, name: str, y: Any, num_classes: int) -> None:
    if y.dtype.kind == "f":
        _check_finite(caller, name, y)
    elif y.dtype.kind not in "iu":
        raise ValueError(f"{caller}: expected integers or floats in {name}, got {y.dtype}.")
    else:
        labels = _values(y)
        odd = [end for end in (labels.min(), labels.max()) if not 0 <= end < num_classes]
        if odd:
            raise ValueError(
                f"{caller}: expected labels from 0 to num_classes - 1 = {num_classes - 1}, got "
                f"{odd[0]} in {name}."
            )


def _values(array: Any) -> np.ndarray:
    """Return the numbers; of an array that JAX traces, none of which is wrong, a zero."""
    try:
        return np.asarray(array)
    except TypeError:
        return np.zeros(1)


def _check_finite(caller: str, name: str, array: Any) -> None:
    values = _values(array)
    # a sum in float64 is finite if and only if every float32 is, and takes a third of the time
    with np.errstate(all="ignore"):
        if np.isfinite(values.sum(dtype=np.float64)) or np.isfinite(values).all():
            return
    first = [int(place) for place in np.argwhere(~np.isfinite(values))[0]]
    raise ValueError(
        f"{caller}: expected finite numbers in {name}, got {values[tuple(first)]} at {first}."
    )
