"""The TensorFlow Datasets builder of ``digits``; needs no TensorFlow and no network.

Importing this module imports tensorflow_datasets, which takes two seconds, so nothing imports it
before ``digits`` is asked for. It must be a module of a package: TFDS looks for a builder's own
files beside it. May import NumPy, TFDS and nothing of signdyn.
"""

import gzip
import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

TEST_IMAGES_PER_CLASS = 36
"""Of each class; all others are for training."""


def bundled_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images [1797, 8, 8] (levels 0 to 16) and labels [1797] that scikit-learn ships.

    They are read from its data file: ``sklearn.datasets.load_digits`` returns the same, but
    importing it takes nine seconds of processor time, the file half a second.

    Raises:
        ValueError: If scikit-learn, or the file in it, is not there.
    """
    package = importlib.util.find_spec("sklearn")
    if package is None or package.origin is None:
        raise ValueError("digits: comes with scikit-learn, which is not installed; install it.")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise ValueError(f"digits: expected it at {path}; install scikit-learn >=1.9,<2.")
    with gzip.open(path, "rt") as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1]


def split_rows(labels: np.ndarray) -> dict[str, list[int]]:
    """Return the rows of each split, shuffled once and for all.

    The rows of each class are put in the order of the SHA-256 of their number, which depends on
    no generator of random numbers and on no library's version. The first 36 rows of each class
    are the test split (360 in all), the others the training split (1437). Both are dealt out in
    rounds, one row of each class a round, so that the first n training examples are a fair sample
    with equal classes, up to one example, for every n to 1,380.

    Args:
        labels: Class of every row.

    Returns:
        Row numbers under "train" and "test", in the order in which they are stored.
    """
    shuffled = sorted(range(len(labels)), key=lambda row: hashlib.sha256(b"%d" % row).digest())
    rounds: dict[int, list[int]] = {}
    seen: dict[int, int] = {}
    for row in shuffled:
        label = int(labels[row])
        rounds.setdefault(seen.get(label, 0), []).append(row)
        seen[label] = seen.get(label, 0) + 1
    dealt = [row for _, rows in sorted(rounds.items()) for row in rows]
    num_test = TEST_IMAGES_PER_CLASS * len(seen)
    return {"train": dealt[num_test:], "test": dealt[:num_test]}


class Digits(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Scikit-learn's bundled 8x8 digits: the 1,797 test images of UCI's optdigits."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # Nothing is downloaded; looking for checksums fails in editable installs.

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="8x8 images of handwritten digits, levels 0 to 16, as in scikit-learn.",
            # A raw Tensor: the Image feature is 15 times slower to read and needs pillow.
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Tensor(shape=(8, 8), dtype=np.uint8),
                    "label": tfds.features.Tensor(shape=(), dtype=np.int32),
                    "row": tfds.features.Tensor(shape=(), dtype=np.int32),
                }
            ),
            disable_shuffling=True,  # The order on disk is the one of split_rows.
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict]]]:
        del dl_manager  # Nothing is downloaded.
        images, labels = bundled_digits()
        return {
            split: self._generate_examples(images, labels, rows)
            for split, rows in split_rows(labels).items()
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, rows: list[int]
    ) -> Iterator[tuple[int, dict]]:
        for place, row in enumerate(rows):
            yield place, {"image": images[row], "label": int(labels[row]), "row": row}
