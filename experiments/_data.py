"""The data set that an experiment's flags ask for."""

from typing import Protocol

from experiments._cli import UsageError
from signdyn import data as datasets
from signdyn.data import Dataset


class DigitsOptions(Protocol):
    """The options of an experiment on digits."""

    @property
    def data_dir(self) -> str:
        """Where data sets are prepared; empty for the user's cache folder."""
        ...


class DataOptions(DigitsOptions, Protocol):
    """The options of an experiment that lets one choose its data."""

    @property
    def dataset(self) -> str:
        """Name of a data set, or npz:<path>."""
        ...

    @property
    def num_train(self) -> int:
        """Training examples at most; 0 means all."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples of a minibatch."""
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


def load_data(config: DataOptions) -> Dataset:
    """Return the data set, with no more than ``num_train`` training examples.

    Raises:
        UsageError: If there is no such data set, or too little of it is left.
    """
    if config.dataset == "digits":
        data = load_digits(config)
    else:
        try:
            data = datasets.load(config.dataset)
        except ValueError as error:
            raise UsageError(f"--dataset: {error}") from error
    if 0 < config.num_train < len(data.x_train):
        keep = slice(config.num_train)
        data = data._replace(x_train=data.x_train[keep], y_train=data.y_train[keep])
    if (data.y_train == data.y_train[0]).all():
        raise UsageError(
            f"--num_train must keep examples of two classes or more, but the first "
            f"{config.num_train} of {data.name} are all of class {data.y_train[0]}"
        )
    if config.batch_size > len(data.x_train):
        raise UsageError(
            f"--batch_size must be at most the {len(data.x_train)} training examples, "
            f"got {config.batch_size}"
        )
    return data
