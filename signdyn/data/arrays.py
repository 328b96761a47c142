"""Arrays of anybody's, checked before they become a data set that something is trained on.

Whatever is wrong is one ValueError, part of a sentence that says what was found and what is
accepted; the caller says where. May import NumPy and nothing of signdyn above types.
"""

from collections.abc import Mapping

import numpy as np

from signdyn.data.dataset import Dataset

KEYS = ("x_train", "y_train", "x_test", "y_test")
"""Names of the arrays of a data set."""


def dataset_of(
    name: str,
    source: str,
    kind: str,
    arrays: Mapping[str, np.ndarray],
    *,
    num_classes: int | None = None,
) -> Dataset:
    """Return the data set that four arrays are.

    Args:
        name: Of the data set.
        source: What it comes from, for its description.
        kind: Of that source.
        arrays: Inputs [example, ...features] and labels [example] under `KEYS`; inputs of uint8
            are pixels and stay so.
        num_classes: Number of classes; by default one more than the largest training label.

    Raises:
        ValueError: If they are not that.
    """
    x_train, x_test = (_inputs(key, arrays[key]) for key in ("x_train", "x_test"))
    y_train, y_test = (_labels(key, arrays[key]) for key in ("y_train", "y_test"))
    _check_lengths(arrays)
    _check_same_features(arrays)
    classes = _num_classes(y_train, y_test, num_classes)
    if (x_train == x_train[0]).all():
        raise ValueError("all examples of x_train are the same, and nothing tells them apart")
    shape = arrays["x_train"].shape[1:]
    size = "x".join(map(str, shape))
    description = f"{source}: inputs of shape {size}, {classes} classes ({kind})"
    y_train, y_test = y_train.astype(np.int32), y_test.astype(np.int32)
    return Dataset(name, description, x_train, y_train, x_test, y_test, classes, shape)


def _inputs(key: str, array: np.ndarray) -> np.ndarray:
    """Return inputs [examples, features]: pixels of uint8 as they are, others in float32."""
    if array.dtype.kind not in "buif":
        raise ValueError(f"{key} has dtype {array.dtype}; real numbers are accepted")
    if array.ndim < 2:
        raise ValueError(f"{key} has shape {array.shape}; [examples, ...features] is accepted")
    if array.size == 0:
        raise ValueError(f"{key} is empty, its shape is {array.shape}; at least one is needed")
    if array.dtype == np.uint8:
        return array.reshape(len(array), -1)
    with np.errstate(over="ignore"):
        flat = array.reshape(len(array), -1).astype(np.float32)
    _check_finite(key, array, "finite numbers are accepted")
    if not np.isfinite(flat).all():
        raise ValueError(f"{key} holds numbers too large for float32; rescale it")
    return flat


def _labels(key: str, array: np.ndarray) -> np.ndarray:
    """Return labels as they came, sure to be non-negative whole numbers [examples]."""
    accepted = "integers from 0 to the number of classes - 1 are accepted"
    if array.ndim != 1:
        raise ValueError(
            f"{key} has shape {array.shape}; one label an example is accepted, of shape [examples]"
        )
    if array.dtype.kind not in "buif":
        raise ValueError(f"{key} has dtype {array.dtype}; {accepted}")
    if array.size == 0:
        raise ValueError(f"{key} is empty; at least one label is needed")
    _check_finite(key, array, accepted)
    if array.dtype.kind == "f" and (broken := np.flatnonzero(array % 1)).size:
        raise ValueError(f"{key} holds {array[broken[0]]!s} at [{broken[0]}]; {accepted}")
    if array.min() < 0:
        where = int(np.argmin(array))
        raise ValueError(
            f"{key} holds the negative label {array[where]!s} at [{where}]; {accepted}"
        )
    return array


def _check_finite(key: str, array: np.ndarray, accepted: str) -> None:
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    bad = np.argwhere(~np.isfinite(array))
    num_nan = int(np.isnan(array).sum())
    raise ValueError(
        f"{key} holds {num_nan} NaN and {len(bad) - num_nan} infinite values, the first at "
        f"{bad[0].tolist()}; {accepted}"
    )


def _check_lengths(arrays: Mapping[str, np.ndarray]) -> None:
    for split in ("train", "test"):
        num_inputs, num_labels = len(arrays[f"x_{split}"]), len(arrays[f"y_{split}"])
        if num_inputs != num_labels:
            raise ValueError(
                f"x_{split} has {num_inputs} examples and y_{split} has {num_labels}; they must "
                "have equally many"
            )


def _check_same_features(arrays: Mapping[str, np.ndarray]) -> None:
    train, test = arrays["x_train"], arrays["x_test"]
    if train.shape[1:] != test.shape[1:]:
        raise ValueError(
            f"examples have shape {train.shape[1:]} in x_train and {test.shape[1:]} in x_test; "
            "they must have the same"
        )
    if (train.dtype == np.uint8) != (test.dtype == np.uint8):
        raise ValueError(
            f"x_train is {train.dtype} and x_test is {test.dtype}; uint8 is divided by 255, so "
            "both must be uint8 or neither"
        )


def _num_classes(y_train: np.ndarray, y_test: np.ndarray, known: int | None) -> int:
    if known is not None:
        for key, labels in (("y_train", y_train), ("y_test", y_test)):
            if labels.max() >= known:
                raise ValueError(
                    f"{key} holds the label {labels.max()!s}, but there are {known} classes"
                )
        return known
    largest = y_train.max()
    if (y_train == y_train[0]).all():
        raise ValueError(
            f"y_train holds the label {largest!s} only; at least two classes are needed"
        )
    if largest >= len(y_train):
        raise ValueError(
            f"y_train reaches label {largest!s} with {len(y_train)} examples, too few for so many "
            "classes; number the classes 0, 1, 2, ..."
        )
    if y_test.max() > largest:
        raise ValueError(
            f"y_test holds the label {y_test.max()!s}, but y_train reaches {largest!s} only; "
            "every test class must occur in training"
        )
    return int(largest) + 1


def first_line(error: BaseException) -> str:
    """Return what an error tells, without its full stop, or its kind if it tells nothing."""
    text = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
