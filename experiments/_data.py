"""The data set that an experiment's flags ask for."""

from pathlib import Path
from typing import Any, Protocol

from experiments._cli import UsageError, option
from signdyn import data as datasets
from signdyn.data import Dataset


def dataset_option() -> Any:
    """Return the option that names a data set."""
    return option("digits", "Name of a data set, as docs/data_sets.md lists them.")


def data_dir_option() -> Any:
    """Return the option that names a folder for data sets."""
    return option(
        "",
        "Folder to look for data sets in first, and to prepare or download them in; default: the "
        "user's cache folder.",
        folder="kept",
    )


def download_option() -> Any:
    """Return the option that permits a download."""
    return option(False, "Let TensorFlow Datasets download the data set if it is found nowhere.")


class DigitsOptions(Protocol):
    """The options of an experiment on digits."""

    @property
    def data_dir(self) -> str:
        """Folder to look for data sets in first; empty for the user's cache folder."""
        ...


class DataOptions(DigitsOptions, Protocol):
    """The options of an experiment that lets one choose its data."""

    @property
    def dataset(self) -> str:
        """Name of a data set."""
        ...

    @property
    def download(self) -> bool:
        """Whether it may be downloaded."""
        ...

    @property
    def num_train(self) -> int:
        """Training examples at most; 0 means all."""
        ...


def load_digits(config: DigitsOptions) -> Dataset:
    """Return the digits.

    Raises:
        UsageError: If they can be prepared nowhere.
    """
    try:
        return datasets.load("digits", data_dir=config.data_dir or None)
    except ValueError as error:
        raise UsageError(f"{str(error).rstrip('.')}, or name one with --data_dir") from error


def load_whole(config: DataOptions) -> Dataset:
    """Return the data set, with all its examples.

    Pixels of uint8 stay so: `signdyn.training` scales them in the step.

    Raises:
        UsageError: If there is no such data set.
    """
    if config.dataset == "digits":
        return load_digits(config)
    try:
        return datasets.load(
            config.dataset,
            data_dir=config.data_dir or None,
            download=config.download,
            keep_uint8=True,
        )
    except ValueError as error:
        raise UsageError(f"--dataset: {_with_flags(str(error))}") from error


def load_data(config: DataOptions, *, batch_size: int) -> Dataset:
    """Return the data set, with no more than ``num_train`` training examples.

    Args:
        config: The options.
        batch_size: Examples of a minibatch.

    Raises:
        UsageError: If there is no such data set, or too little of it is left.
    """
    data = first_examples(load_whole(config), config.num_train)
    if batch_size > len(data.x_train):
        raise UsageError(
            f"--batch_size must be at most the {len(data.x_train)} training examples, "
            f"got {batch_size}"
        )
    return data


def first_examples(data: Dataset, num_train: int) -> Dataset:
    """Return the data set with its first ``num_train`` training examples, or all of them for 0.

    Raises:
        UsageError: If they are all of one class.
    """
    if 0 < num_train < len(data.x_train):
        keep = slice(num_train)
        data = data._replace(x_train=data.x_train[keep], y_train=data.y_train[keep])
    if (data.y_train == data.y_train[0]).all():
        raise UsageError(
            f"--num_train must keep examples of two classes or more, but the first "
            f"{num_train} of {data.name} are all of class {data.y_train[0]}"
        )
    return data


def check_images(data: Dataset) -> None:
    """Raise `UsageError` unless a convolution can read the data."""
    if len(data.input_shape) not in (2, 3):
        raise UsageError(
            "--dataset must hold images, of shape (height, width) or (height, width, channels), "
            f"but inputs of {data.name} have shape {data.input_shape}"
        )


def spoken_name(dataset: str) -> str:
    """Return a data set's name as sentences and captions have it: of a path, the file's.

    Example:
        >>> spoken_name("digits"), spoken_name("npz:~/data/mine.npz")
        ('digits', 'mine.npz')
    """
    kind, _, argument = dataset.partition(":")
    return Path(argument).name if kind == "npz" else argument or kind


def _with_flags(sentence: str) -> str:
    """Return what `signdyn.data.load` says, with the flags for its arguments."""
    return sentence.replace("with data_dir", "with --data_dir").replace(
        "ask for a download", "add --download"
    )
