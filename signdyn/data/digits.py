"""``digits``: prepared once under a data folder, read from there ever after.

It may be interrupted at any moment, and several processes may prepare at once, see
:mod:`signdyn.data.preparing`. May import NumPy; TensorFlow Datasets only when a function is called.
"""

import contextlib
import io
import os
from pathlib import Path

import numpy as np

from signdyn.data.dataset import Dataset
from signdyn.data.places import default_data_dir
from signdyn.data.preparing import put_in_place

FINGERPRINT = "190ea487bd437d6f72bec338886fa57d431104d720452cb007778857dce5aa79"
"""Of the data set as it should be, see `signdyn.data.dataset.Dataset.fingerprint`."""
_DESCRIPTION = "8x8 images of handwritten digits, pixels in [0, 1], 10 classes (scikit-learn)"


def load_digits(data_dir: Path | None) -> Dataset:
    """Return the digits, prepared under ``data_dir`` if they are not yet, or are damaged there.

    Args:
        data_dir: Folder to keep the prepared files in; see
            :func:`signdyn.data.places.default_data_dir`.

    Returns:
        1,437 training and 360 test images (36 of each class), bitwise the same everywhere; how
        they are split and ordered says :func:`signdyn.data.digits_builder.split_rows`.

    Raises:
        ValueError: If the folder cannot be written, or scikit-learn's digits are not the known
            ones.
    """
    root = default_data_dir() if data_dir is None else data_dir
    dataset = _read(root)
    if dataset is None:
        try:
            _prepare(root)
        except OSError as error:
            raise ValueError(
                f"digits: cannot prepare it in {str(root)!r} ({error.strerror or error}); set "
                "SIGNDYN_DATA_DIR to a folder that can be written."
            ) from error
        dataset = _read(root)
    if dataset is None:
        raise ValueError(
            f"digits: what was prepared in {str(root)!r} is not the known data set; install "
            "scikit-learn >=1.9,<2 and see that nothing else writes there."
        )
    return dataset


def _read(root: Path) -> Dataset | None:
    """Return what is prepared under ``root``; None if that is nothing, or not what it should be."""
    if not _prepared(root).exists():
        return None
    from signdyn.data.digits_builder import Digits

    try:
        source = Digits(data_dir=os.fspath(root), file_format="array_record").as_data_source()
        arrays = [array for split in ("train", "test") for array in _arrays(source[split])]
    except Exception:  # noqa: BLE001 - what a damaged file raises depends on where it is damaged
        return None
    dataset = Dataset("digits", _DESCRIPTION, *arrays, num_classes=10, input_shape=(8, 8))
    return dataset if dataset.fingerprint == FINGERPRINT else None


def _arrays(source) -> tuple[np.ndarray, np.ndarray]:
    examples = list(source)
    images = np.stack([example["image"] for example in examples])
    labels = np.array([example["label"] for example in examples], np.int32)
    # Levels 0 to 16: the division is exact.
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(16), labels


def _prepare(root: Path) -> None:
    """Prepare the digits under ``root``."""
    import tensorflow_datasets as tfds

    from signdyn.data.digits_builder import Digits

    def make(scratch: Path) -> Path:
        builder = Digits(data_dir=os.fspath(scratch), file_format="array_record")
        # It announces a download of nothing, and draws progress bars for half a second.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
        return _prepared(scratch)

    put_in_place(root, _prepared(root), make, lambda: _read(root) is not None)


def _prepared(root: Path) -> Path:
    return root / "digits" / "1.0.0"  # Where TFDS puts version 1.0.0 of the builder.
