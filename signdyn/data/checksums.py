"""The checksums under which TensorFlow Datasets knows the files that it downloads.

They are read from the files of the installed package, which is not imported: that takes longer than
reading a data set. May import NumPy and nothing of signdyn.
"""

import importlib.util
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Registered(NamedTuple):
    """A file that TFDS downloads.

    Attributes:
        url: Where from.
        name: Of the file.
        size: In bytes.
        sha256: In hex.
    """

    url: str
    name: str
    size: int
    sha256: str


def _folder() -> Path | None:
    package = importlib.util.find_spec("tensorflow_datasets")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "url_checksums"


@cache
def registered(name: str) -> dict[str, Registered]:
    """Return the files of a TFDS data set, by their names.

    Args:
        name: Of the data set, such as ``mnist``.

    Raises:
        ValueError: If TensorFlow Datasets, or its list, is not there.
    """
    folder = _folder()
    path = None if folder is None else folder / f"{name}.txt"
    if path is None or not path.is_file():
        raise ValueError(
            f"{name}: its checksums come with tensorflow-datasets, which is not installed or is "
            "another version; install what requirements.txt says."
        )
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines() if line.strip()]
    files = (Registered(url, file, int(size), sha256) for url, size, sha256, file in rows)
    return {one.name: one for one in files}


def known_to_tfds() -> tuple[str, ...]:
    """Return the names of TFDS's data sets that stand in its lists of checksums or folders."""
    folder = _folder()
    if folder is None:
        return ()
    files = {path.stem for path in folder.glob("*.txt")}
    return tuple(sorted(files | {path.parent.name for path in folder.parent.glob("*/*/TAGS.txt")}))
