"""``npz:<path>``: a user's own data, checked before anything is trained on it.

Whatever is wrong with the file is one ValueError of one sentence that says what was found and
what is accepted. May import NumPy and nothing of signdyn above types.
"""

import difflib
import zipfile
from pathlib import Path

import numpy as np

from signdyn.data.dataset import Dataset

_KEYS = ("x_train", "y_train", "x_test", "y_test")


def load_npz(path: str) -> Dataset:
    """Return the data set in an ``.npz`` file with arrays x_train, y_train, x_test and y_test.

    Inputs are numbers of shape [examples, ...features], flattened to [examples, features] in
    float32. Inputs of dtype uint8 are taken for pixels and divided by 255; all other dtypes are
    kept as they are. Labels are integers (or floats that are whole) from 0 to K - 1, with K one
    more than the largest training label. All four arrays are required, and further ones ignored.

    Args:
        path: Where the file lies; a leading ``~`` stands for the home directory.

    Returns:
        The data set, in the order of the file.

    Raises:
        ValueError: If the file cannot be read, or holds anything but that.
    """
    name = f"npz:{path if len(path) < 200 else path[:60]}"
    name = name if name.isprintable() else ascii(name)[1:-1]
    try:
        arrays = _read(path)
        x_train, x_test = (_inputs(key, arrays[key]) for key in ("x_train", "x_test"))
        y_train, y_test = (_labels(key, arrays[key]) for key in ("y_train", "y_test"))
        _check_lengths(arrays)
        _check_same_features(arrays)
        num_classes = _num_classes(y_train, y_test)
        if (x_train == x_train[0]).all():
            raise ValueError("all examples of x_train are the same, and nothing tells them apart")
    except ValueError as error:
        raise ValueError(f"{name}: {error}.") from error
    shape = arrays["x_train"].shape[1:]
    size = "x".join(map(str, shape))
    description = f"{Path(path).name}: inputs of shape {size}, {num_classes} classes (npz file)"
    y_train, y_test = y_train.astype(np.int32), y_test.astype(np.int32)
    return Dataset(name, description, x_train, y_train, x_test, y_test, num_classes, shape)


def _read(path: str) -> dict[str, np.ndarray]:
    """Return the four arrays of the file."""
    if not path:
        raise ValueError("the path is missing; write npz:<path>, such as npz:my_data.npz")
    try:
        file = Path(path).expanduser()
        if not file.exists():
            raise ValueError(f"there is no such file (looked in {str(file.absolute().parent)!r})")
        if not file.is_file():
            raise ValueError("this is a folder or a device, and not an .npz file")
        with file.open("rb") as stream:
            if not zipfile.is_zipfile(stream):
                raise ValueError("this is not a complete .npz file; numpy.savez writes one")
        with np.load(file, allow_pickle=False) as archive:
            missing = [key for key in _KEYS if key not in archive.files]
            if missing:
                raise ValueError(_describe_missing(missing, archive.files))
            return {key: _member(archive, key) for key in _KEYS}
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"cannot be read ({_first_line(error)})") from error


def _member(archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    try:
        array = archive[key]
    except Exception as error:  # What a damaged array raises depends on where it is damaged.
        raise ValueError(
            f"{key} cannot be read ({_first_line(error)}); arrays of numbers are accepted, pickled "
            "Python objects are not"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{key} is not an array; numpy.savez writes one")
    return array


def _inputs(key: str, array: np.ndarray) -> np.ndarray:
    """Return inputs as float32 [examples, features]."""
    if array.dtype.kind not in "buif":
        raise ValueError(f"{key} has dtype {array.dtype}; real numbers are accepted")
    if array.ndim < 2:
        raise ValueError(f"{key} has shape {array.shape}; [examples, ...features] is accepted")
    if array.size == 0:
        raise ValueError(f"{key} is empty, its shape is {array.shape}; at least one is needed")
    with np.errstate(over="ignore"):
        flat = array.reshape(len(array), -1).astype(np.float32)
    _check_finite(key, array, "finite numbers are accepted")
    if not np.isfinite(flat).all():
        raise ValueError(f"{key} holds numbers too large for float32; rescale it")
    return flat / np.float32(255) if array.dtype == np.uint8 else flat


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


def _check_lengths(arrays: dict[str, np.ndarray]) -> None:
    for split in ("train", "test"):
        num_inputs, num_labels = len(arrays[f"x_{split}"]), len(arrays[f"y_{split}"])
        if num_inputs != num_labels:
            raise ValueError(
                f"x_{split} has {num_inputs} examples and y_{split} has {num_labels}; they must "
                "have equally many"
            )


def _check_same_features(arrays: dict[str, np.ndarray]) -> None:
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


def _num_classes(y_train: np.ndarray, y_test: np.ndarray) -> int:
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


def _describe_missing(missing: list[str], found: list[str]) -> str:
    others = [key for key in found if key not in _KEYS]
    near = {key: difflib.get_close_matches(key, others, n=1) for key in missing}
    hints = [f"is {match[0]!r} meant to be {key}?" for key, match in near.items() if match]
    what = f"it holds {', '.join(map(repr, found))}" if found else "it is empty"
    hint = f" ({' '.join(hints)})" if hints else ""
    return f"{' and '.join(missing)} missing, {what}{hint}; all of {', '.join(_KEYS)} are needed"


def _first_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0].rstrip(".")
