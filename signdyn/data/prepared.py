"""``tfds:<name>``: what TensorFlow Datasets has prepared, read without TensorFlow.

TFDS puts a prepared set into <folder>/<name>[/<config>]/<version>. Sets in the array_record format
are read with ``as_data_source``; those in tfrecord, its default, need TensorFlow. Of the examples
one feature is the input, an image or a tensor of a fixed shape, and one the class; a set's
``supervised_keys`` say which, else they are called image and label. May import NumPy;
TensorFlow Datasets only when a function is called.
"""

import contextlib
import io
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from signdyn.data.arrays import dataset_of, first_line
from signdyn.data.dataset import Dataset
from signdyn.data.wanted import Wanted

SPLITS = ("train", "test")
"""Those that a data set must have."""

AT_ONCE = 1000
"""Examples that are read at once."""


class Prepared(NamedTuple):
    """A prepared set, open.

    Attributes:
        examples: Split -> its examples, by number, each a dictionary of features.
        features: TFDS's description of them.
        input: Name of the feature that is the input.
        label: Name of the one that is the class.
    """

    examples: Mapping[str, Any]
    features: Mapping[str, Any]
    input: str
    label: str

    def read_all(self) -> list[np.ndarray]:
        """Return inputs and labels of the training set, and of the test set."""
        with quiet():
            return [array for split in SPLITS for array in self.read(split)[:2]]

    def read(self, split: str, other: str = "") -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """Return inputs, labels and another feature of a split, in the order they are stored in."""
        source = self.examples[split]
        shape = self.features[self.input].shape
        x = np.empty((len(source), *shape), self.features[self.input].np_dtype)
        y, others = np.empty(len(source), np.int64), []
        for start in range(0, len(source), AT_ONCE):
            places = range(start, min(start + AT_ONCE, len(source)))
            for place, example in zip(places, source.__getitems__(list(places)), strict=True):
                x[place], y[place] = example[self.input], example[self.label]
                others.append(example.get(other))
        return x, y, others


def load_prepared(wanted: Wanted, folder: Path) -> Dataset:
    """Return the data set that is prepared in a folder, in the order in which it is stored.

    Raises:
        ValueError: If it cannot be read without TensorFlow, or is no classification of inputs of
            one shape with a training and a test split.
    """
    try:
        prepared = open_prepared(folder)
        arrays = prepared.read_all()
        return dataset_of(
            f"tfds:{wanted}",
            f"{wanted.name} {folder.name}",
            "TensorFlow Datasets",
            dict(zip(("x_train", "y_train", "x_test", "y_test"), arrays, strict=True)),
            num_classes=getattr(prepared.features[prepared.label], "num_classes", None),
        )
    except Exception as error:  # what damaged files raise depends on where they are damaged
        raise ValueError(
            f"tfds:{wanted}: cannot read {str(folder)!r}: {first_line(error)}."
        ) from error


def open_prepared(folder: Path) -> Prepared:
    """Return the set that is prepared in a folder, without reading its examples.

    Raises:
        ValueError: If it cannot be used.
    """
    file_format = json.loads((folder / "dataset_info.json").read_text("utf-8")).get("fileFormat")
    if file_format != "array_record":
        raise ValueError(
            f"it is in the format {file_format or 'tfrecord'}, which needs TensorFlow; prepare it "
            "with file_format='array_record'"
        )
    import tensorflow_datasets as tfds

    with quiet():
        builder: Any = tfds.builder_from_directory(folder)
        if missing := [split for split in SPLITS if split not in builder.info.splits]:
            raise ValueError(
                f"the splits train and test are needed, and {' and '.join(missing)} is not among "
                f"{', '.join(sorted(builder.info.splits)) or 'none'}"
            )
        features = builder.info.features
        keys = builder.info.supervised_keys or ("image", "label")
        if len(keys) != 2 or not all(isinstance(k, str) and k in features for k in keys):
            raise ValueError(
                "an input and a class are needed, called image and label or named by "
                f"supervised_keys, and its features are {', '.join(sorted(features))}"
            )
        _check_input(tfds, keys[0], features[keys[0]])
        _check_label(tfds, keys[1], features[keys[1]])
        return Prepared(builder.as_data_source(), features, *keys)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence TFDS's advice to install OpenCV, which decodes images faster.

    By a filter of its own, for several threads may read at once.
    """
    logger = logging.getLogger("absl")

    def is_grave(record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR

    logger.addFilter(is_grave)
    try:
        yield
    finally:
        logger.removeFilter(is_grave)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Silence TFDS's progress bars and announcements as well; for one thread at a time."""
    nowhere = io.StringIO()
    with quiet(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def _check_input(tfds: Any, name: str, feature: Any) -> None:
    kinds = (tfds.features.Image, tfds.features.Tensor)
    if not isinstance(feature, kinds) or isinstance(feature, tfds.features.ClassLabel):
        raise ValueError(f"its input {name} must be an Image or a Tensor, got {feature}")
    if not feature.shape or None in feature.shape:
        raise ValueError(f"its inputs must have one shape, got {name} of shape {feature.shape}")


def _check_label(tfds: Any, name: str, feature: Any) -> None:
    is_class = isinstance(feature, tfds.features.ClassLabel)
    is_whole = getattr(feature, "shape", None) == () and np.issubdtype(feature.np_dtype, np.integer)
    if not is_class and not is_whole:
        raise ValueError(f"its label {name} must be a class or one integer, got {feature}")
