"""Where data sets are looked for, and where they are kept.

May import NumPy and nothing of signdyn above types.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def default_data_dir() -> Path:
    """Return $SIGNDYN_DATA_DIR, else signdyn/ under $XDG_CACHE_HOME, else under ~/.cache.

    Raises:
        ValueError: If none of them is set and the user has no home directory.
    """
    try:
        if chosen := os.environ.get("SIGNDYN_DATA_DIR"):
            return Path(chosen).expanduser()
        if cache := os.environ.get("XDG_CACHE_HOME"):
            return Path(cache) / "signdyn"
        return Path.home() / ".cache" / "signdyn"
    except RuntimeError:  # A user without a home, as in some containers.
        raise ValueError(
            "data sets: found no home directory to keep them in; set SIGNDYN_DATA_DIR to a folder."
        ) from None


def data_folders(data_dir: Path | None) -> tuple[Path, ...]:
    """Return the folders in which data sets are looked for, each once, whether they exist or not.

    They are ``data_dir`` if it is given, `default_data_dir`, $TFDS_DATA_DIR, and
    ~/tensorflow_datasets, where TensorFlow Datasets keeps its own. A user without a home has fewer.
    """

    def candidates() -> Iterator[Path]:
        if data_dir is not None:
            yield data_dir
        with suppress(ValueError):
            yield default_data_dir()
        for name in (os.environ.get("TFDS_DATA_DIR"), "~/tensorflow_datasets"):
            with suppress(RuntimeError):
                if name:
                    yield Path(name).expanduser()

    return tuple(dict.fromkeys(candidates()))


def listed(folders: tuple[Path, ...]) -> str:
    """Return the folders as a sentence names them."""
    return ", ".join(repr(str(folder)) for folder in folders)
