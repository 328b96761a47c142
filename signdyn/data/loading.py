"""``load``: a data set by its name.

May import NumPy and nothing of signdyn above types. What a loader needs beyond NumPy is imported
when it is called.
"""

import difflib
import os
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from signdyn.checks import checked
from signdyn.data.dataset import Dataset
from signdyn.data.digits import load_digits
from signdyn.data.npz import load_npz
from signdyn.data.toys import TOYS, load_toy


class Request(NamedTuple):
    """What :func:`load` was asked for, as a loader gets it."""

    name: str
    argument: str
    data_dir: Path | None
    noise: float
    seed: int


def _load_toy(request: Request) -> Dataset:
    return load_toy(request.name, noise=request.noise, seed=request.seed)


DATASETS: Mapping[str, Callable[[Request], Dataset]] = types.MappingProxyType(
    {
        "digits": lambda request: load_digits(request.data_dir),
        "npz:": lambda request: load_npz(request.argument),
        **dict.fromkeys(TOYS, _load_toy),
    }
)
"""Loaders by name; what follows a name that ends with a colon is the loader's argument."""


@checked
def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    num_train: int | None = None,
    noise: float | None = None,
    seed: int | None = None,
) -> Dataset:
    """Return a data set as NumPy arrays.

    ======================================  ==========================================
    ``digits``                              8x8 images, 10 classes; prepared once
    ``npz:<path>``                          the user's own file, see :mod:`signdyn.data.npz`
    ``two_gaussians xor circle spiral``     TensorFlow Playground's toy problems
    ======================================  ==========================================

    Args:
        name: One of the above.
        data_dir: Folder for prepared files; by default $SIGNDYN_DATA_DIR, else signdyn/ in the
            user's cache folder. Used by ``digits`` alone.
        num_train: Keep the first so many training examples; all of them by default.
        noise: For the toy problems, from 0 (the default) to .5.
        seed: For the toy problems; 0 by default.

    Returns:
        The data set; loading it again gives the same bits.

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
    )
    dataset = DATASETS[key](request)
    if num_train is None:
        return dataset
    available = len(dataset.x_train)
    if not 1 <= num_train <= available:
        raise ValueError(f"load: {name!r} has num_train from 1 to {available}, got {num_train}.")
    return dataset._replace(
        x_train=dataset.x_train[:num_train], y_train=dataset.y_train[:num_train]
    )


def _unknown(name: str) -> str:
    shown = {key.rstrip(":"): key + "<path>" if key.endswith(":") else key for key in DATASETS}
    near = [f"npz:{name}"] if name.endswith(".npz") else []
    near += [shown[match] for match in difflib.get_close_matches(name, shown, n=1)]
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"load: no data set is called {name!r}{hint}; known are {', '.join(shown.values())}."
