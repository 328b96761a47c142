"""``npz:<path>``: a user's own data, checked before anything is trained on it.

Whatever is wrong with the file is one ValueError of one sentence that says what was found and
what is accepted. May import NumPy and nothing of signdyn above types.
"""

import difflib
import zipfile
from pathlib import Path

import numpy as np

from signdyn.data.arrays import KEYS, dataset_of, first_line
from signdyn.data.dataset import Dataset


def load_npz(path: str) -> Dataset:
    """Return the data set in an ``.npz`` file with arrays x_train, y_train, x_test and y_test.

    Inputs are numbers of shape [examples, ...features], flattened to [examples, features]. Inputs
    of dtype uint8 are taken for pixels and kept as they are, to be divided by 255; all other dtypes
    become float32. Labels are integers (or floats that are whole) from 0 to K - 1, with K one more
    than the largest training label. All four arrays are required, and further ones ignored.

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
        return dataset_of(name, Path(path).name, "npz file", _read(path))
    except ValueError as error:
        raise ValueError(f"{name}: {error}.") from error


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
            missing = [key for key in KEYS if key not in archive.files]
            if missing:
                raise ValueError(_describe_missing(missing, archive.files))
            return {key: _member(archive, key) for key in KEYS}
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise ValueError(f"cannot be read ({first_line(error)})") from error


def _member(archive: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    try:
        array = archive[key]
    except Exception as error:  # What a damaged array raises depends on where it is damaged.
        raise ValueError(
            f"{key} cannot be read ({first_line(error)}); arrays of numbers are accepted, pickled "
            "Python objects are not"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{key} is not an array; numpy.savez writes one")
    return array


def _describe_missing(missing: list[str], found: list[str]) -> str:
    others = [key for key in found if key not in KEYS]
    near = {key: difflib.get_close_matches(key, others, n=1) for key in missing}
    hints = [f"is {match[0]!r} meant to be {key}?" for key, match in near.items() if match]
    what = f"it holds {', '.join(map(repr, found))}" if found else "it is empty"
    hint = f" ({' '.join(hints)})" if hints else ""
    return f"{' and '.join(missing)} missing, {what}{hint}; all of {', '.join(KEYS)} are needed"
