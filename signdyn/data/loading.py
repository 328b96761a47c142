"""``load``: a data set by its name.

May import NumPy and nothing of signdyn above types. What a loader needs beyond NumPy is imported
when it is called.
"""

import os
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from signdyn.checks import checked
from signdyn.data.checksums import known_to_tfds
from signdyn.data.dataset import Dataset
from signdyn.data.digits import load_digits
from signdyn.data.known import KNOWN, load_known, load_tfds
from signdyn.data.near import did_you_mean
from signdyn.data.npz import load_npz
from signdyn.data.toys import TOYS, load_toy


class Request(NamedTuple):
    """What :func:`load` was asked for, as a loader gets it.

    Attributes:
        name: Up to the colon, if there is one.
        argument: What follows it: a path, or the name in a catalog.
        data_dir: Where to look first; None for nowhere else.
        noise: Of a toy set.
        seed: Of a toy set.
        download: Whether it may be downloaded.
    """

    name: str
    argument: str
    data_dir: Path | None
    noise: float
    seed: int
    download: bool


def _load_known(request: Request) -> Dataset:
    return load_known(request.name, request.data_dir, download=request.download)


def _load_toy(request: Request) -> Dataset:
    return load_toy(request.name, noise=request.noise, seed=request.seed)


DATASETS: Mapping[str, Callable[[Request], Dataset]] = types.MappingProxyType(
    {
        "digits": lambda request: load_digits(request.data_dir),
        **dict.fromkeys(KNOWN, _load_known),
        "tfds:": lambda request: load_tfds(
            request.argument, request.data_dir, download=request.download
        ),
        "npz:": lambda request: load_npz(request.argument),
        **dict.fromkeys(TOYS, _load_toy),
    }
)
"""Loaders by name; what follows a name that ends with a colon is the loader's argument."""

_ARGUMENTS = {"npz:": "npz:<path>", "tfds:": "tfds:<name>"}


@checked
def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    num_train: int | None = None,
    noise: float | None = None,
    seed: int | None = None,
    download: bool = False,
    keep_uint8: bool = False,
) -> Dataset:
    """Return a data set as NumPy arrays.

    ======================================  ==========================================
    ``digits``                              8x8 images, 10 classes; prepared once
    ``fashion_mnist mnist``                 28x28 images, 10 classes; 60,000 and 10,000
    ``cifar10``                             32x32x3 images, 10 classes; 50,000 and 10,000
    ``tfds:<name>``                         whatever else TensorFlow Datasets has prepared
    ``npz:<path>``                          the user's own file, see :mod:`signdyn.data.npz`
    ``two_gaussians xor circle spiral``     TensorFlow Playground's toy problems
    ======================================  ==========================================

    Where their files are looked for, and what to do if there are none, says docs/data_sets.md.

    Args:
        name: One of the above.
        data_dir: Folder to look in before all others, and to prepare or download data sets in; by
            default $SIGNDYN_DATA_DIR, else signdyn/ in the user's cache folder.
        num_train: Keep the first so many training examples; all of them by default.
        noise: For the toy problems, from 0 (the default) to .5.
        seed: For the toy problems; 0 by default.
        download: Whether TensorFlow Datasets is to fetch what is found nowhere.
        keep_uint8: Whether pixels of uint8 stay so, in a quarter of the memory;
            `signdyn.training` scales them in the step. By default they are divided by 255.

    Returns:
        The data set; loading it again gives the same bits, wherever it was found.

    Raises:
        ValueError: If the name is unknown, an argument is out of range or not for this data set,
            a file is not what it should be, or the folder cannot be written.

    Example:
        >>> data = load("spiral", num_train=100)
        >>> print(data.x_train.shape, data.x_test.shape, data.num_classes)
        (100, 2) (250, 2) 2
    """
    kind, colon, argument = name.partition(":")
    key = kind + colon
    if key not in DATASETS:
        raise ValueError(_unknown(name))
    if key not in TOYS and (noise is not None or seed is not None):
        raise ValueError(
            f"load: noise and seed are for {', '.join(TOYS)}, and {name!r} takes neither."
        )
    request = Request(
        name,
        argument,
        data_dir=None if data_dir is None else Path(data_dir).expanduser(),
        noise=0.0 if noise is None else noise,
        seed=0 if seed is None else seed,
        download=download,
    )
    dataset = DATASETS[key](request)
    if not keep_uint8:
        dataset = dataset.in_float32()
    if num_train is None:
        return dataset
    available = len(dataset.x_train)
    if not 1 <= num_train <= available:
        raise ValueError(f"load: {name!r} has num_train from 1 to {available}, got {num_train}.")
    return dataset._replace(
        x_train=dataset.x_train[:num_train], y_train=dataset.y_train[:num_train]
    )


def _unknown(name: str) -> str:
    shown = {key.rstrip(":"): _ARGUMENTS.get(key, key) for key in DATASETS}
    if name.endswith(".npz"):
        hint = f" (did you mean {f'npz:{name}'!r}?)"
    elif name in known_to_tfds():
        hint = f" (did you mean {f'tfds:{name}'!r}?)"
    else:
        hint = did_you_mean(name, shown)
        for word, text in shown.items():
            hint = hint.replace(repr(word), repr(text))
    return f"load: no data set is called {name!r}{hint}; known are {', '.join(shown.values())}."
