"""``cifar10`` from the archive that TensorFlow Datasets downloads, verified each time it is read.

May import NumPy and nothing of signdyn above types.
"""

import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np

from signdyn.data.arrays import KEYS, dataset_of, first_line
from signdyn.data.checksums import registered
from signdyn.data.dataset import Dataset
from signdyn.data.places import data_folders
from signdyn.data.prepared import SPLITS, Prepared

NAME, ARCHIVE = "cifar10", "cifar-10-binary.tar.gz"

_MEMBERS = (
    *(f"cifar-10-batches-bin/data_batch_{number}.bin" for number in range(1, 6)),
    "cifar-10-batches-bin/test_batch.bin",
)


def load_cifar(data_dir: Path | None) -> Dataset | None:
    """Return the data set if its archive lies in one of the folders it is looked for in, else None.

    Args:
        data_dir: Folder to look in before all others.

    Raises:
        ValueError: If the archive is damaged, or another one.
    """
    for folder in cifar_folders(data_dir):
        path = folder / ARCHIVE
        if not os.path.isfile(path):
            continue
        try:
            packed = path.read_bytes()
            if hashlib.sha256(packed).hexdigest() != registered(NAME)[ARCHIVE].sha256:
                raise ValueError("its checksum is another than that of the original")
            with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
                parts = [_examples(archive, member) for member in _MEMBERS]
        except (OSError, ValueError, tarfile.TarError, EOFError) as error:
            raise ValueError(
                f"{NAME}: {str(path)!r} cannot be used ({first_line(error)}); put the original "
                "there, or remove it to have the data set looked for elsewhere."
            ) from error
        train = tuple(np.concatenate(arrays) for arrays in zip(*parts[:-1], strict=True))
        return _dataset([*train, *parts[-1]])
    return None


def cifar_folders(data_dir: Path | None) -> tuple[Path, ...]:
    """Return the folders in which the archive is looked for, in this order."""
    own = () if data_dir is None else (data_dir,)
    return (*own, *(folder / NAME for folder in data_folders(data_dir)))


def restore_cifar(prepared: Prepared) -> Dataset:
    """Return the data set that TFDS has prepared, in the order of the archive.

    Its examples carry their number: train_00000, test_00000.

    Raises:
        ValueError: If numbers are missing.
    """
    if "id" not in prepared.features:
        found = ", ".join(sorted(prepared.features))
        raise ValueError(f"its features lack the id, they are {found}")
    arrays = []
    for split in SPLITS:
        x, y, found = prepared.read(split, "id")
        ids = [one.decode() if isinstance(one, bytes) else str(one) for one in found]
        order = np.argsort(ids)
        expected = [f"{split}_{number:05d}" for number in range(len(ids))]
        if [ids[place] for place in order] != expected:
            raise ValueError(f"its examples of {split} are not numbered from {expected[0]} on")
        arrays += [x[order], y[order]]
    return _dataset(arrays)


def _examples(archive: tarfile.TarFile, member: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images [example, row, column, color] and labels of one file of the archive."""
    file = archive.extractfile(member)
    if file is None:
        raise ValueError(f"it lacks {member}")
    rows = np.frombuffer(file.read(), np.uint8).reshape(-1, 1 + 32 * 32 * 3)
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0]


def _dataset(arrays: list[np.ndarray]) -> Dataset:
    parts = dict(zip(KEYS, arrays, strict=True))
    return dataset_of(NAME, "CIFAR-10", "TensorFlow Datasets", parts, num_classes=10)
