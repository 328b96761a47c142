"""Data sets by TensorFlow Datasets' names: the known ones, and ``tfds:<name>`` for the rest.

A known one is read from its original files if they are found, else from what TFDS has prepared,
in the same order, so that it is bitwise the same on every machine; the files are read faster.
Nothing is downloaded unless that is asked for. May import NumPy and nothing of signdyn above types.
"""

import os
import types
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from signdyn.data import cifar
from signdyn.data.arrays import first_line
from signdyn.data.checksums import known_to_tfds, registered
from signdyn.data.dataset import Dataset
from signdyn.data.fetching import fetch_files, prepare_with_tfds
from signdyn.data.idx_sets import idx_folders, load_idx_set, restore_idx_set
from signdyn.data.idx_table import IDX_SETS, STEMS
from signdyn.data.near import did_you_mean
from signdyn.data.places import data_folders, default_data_dir, listed
from signdyn.data.prepared import Prepared, load_prepared, open_prepared
from signdyn.data.wanted import Wanted, find_prepared, parse_wanted


class Known(NamedTuple):
    """A data set whose original files can be read.

    Attributes:
        files: Their names.
        read: data_dir -> the data set, or None if there are no files.
        restore: What TFDS has prepared -> the data set as `read` gives it.
        folders: data_dir -> where they are looked for.
        package: Debian's package that installs them; None if there is none.
    """

    files: tuple[str, ...]
    read: Callable[[Path | None], Dataset | None]
    restore: Callable[[Prepared], Dataset]
    folders: Callable[[Path | None], tuple[Path, ...]]
    package: str | None = None


KNOWN: Mapping[str, Known] = types.MappingProxyType(
    {
        **{
            name: Known(
                tuple(f"{stem}.gz" for stem in STEMS),
                partial(load_idx_set, name),
                partial(restore_idx_set, name),
                partial(idx_folders, name),
                one.package,
            )
            for name, one in IDX_SETS.items()
        },
        cifar.NAME: Known(
            (cifar.ARCHIVE,), cifar.load_cifar, cifar.restore_cifar, cifar.cifar_folders
        ),
    }
)
"""The known data sets by name."""


def load_known(name: str, data_dir: Path | None, *, download: bool) -> Dataset:
    """Return a known data set, with pixels of uint8.

    Args:
        name: In `KNOWN`.
        data_dir: Folder to look in before all others, and to download to.
        download: Whether TFDS is to fetch its files if they are found nowhere.

    Raises:
        ValueError: With one sentence, if it is not there or not what it should be.
    """
    known = KNOWN[name]
    dataset = known.read(data_dir)
    if dataset is None:
        dataset = _restored(name, data_dir)
    if dataset is None and download:
        folder = default_data_dir() if data_dir is None else data_dir
        fetch_files(name, known.files, folder / name)
        dataset = known.read(data_dir)
    if dataset is not None:
        return dataset
    install = f"install them (Debian: apt install {known.package}), " if known.package else ""
    url = registered(name)[known.files[0]].url.rpartition("/")[0]
    places = dict.fromkeys((*known.folders(data_dir), *data_folders(data_dir)))
    looked = tuple(place for place in places if os.path.isdir(place) or place == data_dir)
    raise ValueError(
        f"{name}: its files are not there; {install}put {', '.join(known.files)} of {url} into "
        "a folder and name that with data_dir, or ask for a download (looked in "
        f"{listed(looked) or 'no folder, for there is none'})."
    )


def load_tfds(text: str, data_dir: Path | None, *, download: bool) -> Dataset:
    """Return any classification of images or vectors that TFDS has prepared.

    Args:
        text: TFDS's name for it: name[/config][:version].
        data_dir: Folder to look in before all others, and to prepare it in.
        download: Whether TFDS is to download and prepare it if it is found nowhere.

    Raises:
        ValueError: With one sentence, if it is not there or not what it should be.
    """
    wanted = parse_wanted(text)
    folders = data_folders(data_dir)
    folder = find_prepared(wanted, folders)
    if folder is None and download:
        root = default_data_dir() if data_dir is None else data_dir
        prepare_with_tfds(wanted, root)
        folder = find_prepared(wanted, (root,))
    if folder is None:
        known = known_to_tfds()
        hint = "" if wanted.name in known else did_you_mean(wanted.name, known, "tfds:")
        raise ValueError(
            f"tfds:{wanted}: it is not prepared in any of {listed(folders)}{hint}; prepare it with "
            "TensorFlow Datasets, file_format='array_record', and name its folder with data_dir, "
            "or ask for a download."
        )
    return load_prepared(wanted, folder)


def _restored(name: str, data_dir: Path | None) -> Dataset | None:
    folder = find_prepared(Wanted(name), data_folders(data_dir))
    if folder is None:
        return None
    try:
        return KNOWN[name].restore(open_prepared(folder))
    except Exception as error:  # what damaged files raise depends on where they are damaged
        raise ValueError(f"{name}: cannot use {str(folder)!r}: {first_line(error)}.") from error
