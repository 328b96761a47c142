"""``fashion_mnist`` and ``mnist`` from their four idx files, verified each time they are read.

They are read anew each time, and not prepared: unpacking four files is much faster than decoding
every image of a prepared set, and what counts is the checksum. A file is accepted

* as TensorFlow Datasets downloads it, by the checksum that TFDS has registered;
* if its gzip header alone differs, as that of Debian's package, by the same checksum;
* unpacked, or packed by someone else, by the checksum of what it holds.

So all of them are bitwise the same data, as is what TFDS has prepared, put in the files' order.
May import NumPy and nothing of signdyn above types; TFDS only when a function is called.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from signdyn.data.checksums import registered
from signdyn.data.dataset import Dataset
from signdyn.data.idx import GZIP, idx_bytes, parse_idx, unpacked
from signdyn.data.idx_table import IDX_SETS, STEMS
from signdyn.data.places import data_folders
from signdyn.data.prepared import SPLITS, Prepared


def load_idx_set(name: str, data_dir: Path | None) -> Dataset | None:
    """Return a data set whose files lie in one of the folders it is looked for in, else None.

    Args:
        name: In `IDX_SETS`.
        data_dir: Folder to look in before all others.

    Raises:
        ValueError: If a folder holds some of the four files only, or others than the known ones.
    """
    for folder in idx_folders(name, data_dir):
        files = [_find(folder, stem) for stem in STEMS]
        if not any(files):
            continue
        missing = [stem for stem, file in zip(STEMS, files, strict=True) if file is None]
        if missing:
            raise ValueError(
                f"{name}: {str(folder)!r} lacks {' and '.join(missing)}, packed (.gz) or not; put "
                "all four files there."
            )
        arrays = [
            _verified(name, place, file) for place, file in enumerate(files) if file is not None
        ]
        return idx_dataset(name, arrays)
    return None


def restore_idx_set(name: str, prepared: Prepared) -> Dataset:
    """Return the data set that TFDS has prepared, in the order of the idx files, and verified.

    TFDS stores examples in the order of a hash of their number, and of the split's name.

    Raises:
        ValueError: If it is not the known one.
    """
    from tensorflow_datasets.core.hashing import Hasher

    arrays = prepared.read_all()
    for place, split in enumerate(SPLITS):
        hasher, number = Hasher(split), len(arrays[2 * place])
        stored = sorted(range(number), key=hasher.hash_key)
        x, y = (np.empty(a.shape, np.uint8) for a in arrays[2 * place : 2 * place + 2])
        x[stored], y[stored] = arrays[2 * place : 2 * place + 2]
        arrays[2 * place : 2 * place + 2] = x[..., 0], y
    found = tuple(hashlib.sha256(idx_bytes(array)).hexdigest() for array in arrays)
    if found != IDX_SETS[name].contents:
        raise ValueError("these are not the known images and labels, in the order of TFDS")
    return idx_dataset(name, arrays)


def idx_dataset(name: str, arrays: list[np.ndarray]) -> Dataset:
    """Return the data set of verified arrays [example, row, column], [example], twice."""
    (x_train, x_test), (y_train, y_test) = (
        [array.reshape(len(array), -1) for array in arrays[::2]],
        [array.astype(np.int32) for array in arrays[1::2]],
    )
    shape = (*arrays[0].shape[1:], 1)
    description = IDX_SETS[name].description
    return Dataset(name, description, x_train, y_train, x_test, y_test, 10, shape)


def idx_folders(name: str, data_dir: Path | None) -> tuple[Path, ...]:
    """Return the folders in which the files are looked for, in this order."""
    known = IDX_SETS[name]

    def candidates() -> Iterator[Path]:
        for folder in data_folders(data_dir):
            if folder == data_dir:
                yield folder
            yield folder / name
            yield folder / known.subfolder
        if known.system is not None:
            yield known.system

    return tuple(candidates())


def _find(folder: Path, stem: str) -> Path | None:
    """Return the file, under one of the names that it goes by."""
    for name in (stem, stem.replace("-idx", ".idx")):
        for path in (folder / f"{name}.gz", folder / name):
            if os.path.isfile(path):  # and not Path's, which raises in a folder of somebody else
                return path
    return None


def _verified(name: str, place: int, path: Path) -> np.ndarray:
    """Return what the file holds, sure to be the known data."""
    known, stem = IDX_SETS[name], STEMS[place]
    try:
        packed = path.read_bytes()
        content = unpacked(packed)
        if not _is_registered(name, place, packed):
            found = hashlib.sha256(content).hexdigest()
            if found != known.contents[place]:
                others = {
                    sha256: f"{stem} of {other}"
                    for other, one in IDX_SETS.items()
                    for stem, sha256 in zip(STEMS, one.contents, strict=True)
                }
                told = f"it is {others[found]}" if found in others else "its checksum is another"
                raise ValueError(told)
        return parse_idx(content)
    except OSError as error:
        raise ValueError(
            f"{name}: {str(path)!r} cannot be read ({error.strerror or error})."
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{name}: {str(path)!r} is not the known {stem}: {error}; put the original there, or "
            "remove it to have the data set looked for elsewhere."
        ) from error


def _is_registered(name: str, place: int, packed: bytes) -> bool:
    """Return whether a file is the one that TFDS knows, or would be if its header told its name.

    Without a name and a time a gzip header is ten bytes long, the fourth is 0, and the data follow.
    """
    if not packed.startswith(GZIP):
        return False
    known, stem = IDX_SETS[name], STEMS[place]
    expected = registered(name)[f"{stem}.gz"]
    if len(packed) == expected.size:
        return hashlib.sha256(packed).hexdigest() == expected.sha256
    if packed[3] != 0:
        return False
    told = stem.replace("-idx", f"{known.mark}idx").encode() + b"\0"
    head = GZIP + b"\x08\x08" + known.times[place].to_bytes(4, "little") + packed[8:10] + told
    digest = hashlib.sha256(head)
    digest.update(memoryview(packed)[10:])
    return digest.hexdigest() == expected.sha256
