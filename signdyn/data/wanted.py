"""TensorFlow Datasets' names, and the folders in which it prepares what they name.

They are <folder>/<name>[/<config>]/<version>. May import nothing of signdyn.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

_NAME = re.compile(
    r"(?P<name>\w+)(/(?P<config>[\w.\-+]+))?(:(?P<version>\d+\.\d+\.\d+))?", re.ASCII
)
_VERSION = re.compile(r"\d+\.\d+\.\d+", re.ASCII)


class Wanted(NamedTuple):
    """A data set of TFDS's, as it names them: name[/config][:version].

    Attributes:
        name: Of the data set.
        config: Which of its forms; None for the only one there is.
        version: Such as 3.0.1; None for the latest there is.
    """

    name: str
    config: str | None = None
    version: str | None = None

    def __str__(self) -> str:
        config = f"/{self.config}" if self.config else ""
        return f"{self.name}{config}" + (f":{self.version}" if self.version else "")


def parse_wanted(text: str) -> Wanted:
    """Return what a name of TFDS's asks for.

    Raises:
        ValueError: If it is none.

    Example:
        >>> parse_wanted("mnist_corrupted/fog:1.0.0")
        Wanted(name='mnist_corrupted', config='fog', version='1.0.0')
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise ValueError(
            f"tfds:{ascii(text[:60])[1:-1]}: a name is expected as TensorFlow Datasets writes it, "
            "name[/config][:version], such as tfds:mnist or tfds:mnist_corrupted/fog:1.0.0."
        )
    return Wanted(match["name"], match["config"], match["version"])


def find_prepared(wanted: Wanted, folders: tuple[Path, ...]) -> Path | None:
    """Return the folder of the latest version that is prepared, in the first folder with one.

    Raises:
        ValueError: If several configurations are prepared there, and none was asked for.
    """
    for folder in folders:
        root = folder / wanted.name
        found = _versions(root if wanted.config is None else root / wanted.config, wanted)
        if not found and wanted.config is None:
            configs = [path for path in _folders_in(root) if _versions(path, wanted)]
            if len(configs) > 1:
                names = ", ".join(sorted(path.name for path in configs))
                raise ValueError(
                    f"tfds:{wanted}: {str(root)!r} holds several configurations; name one as "
                    f"tfds:{wanted.name}/<config>, of {names}."
                )
            found = [version for path in configs for version in _versions(path, wanted)]
        if found:
            return max(found, key=lambda path: [int(part) for part in path.name.split(".")])
    return None


def _versions(folder: Path, wanted: Wanted) -> list[Path]:
    return [
        path
        for path in _folders_in(folder)
        if _VERSION.fullmatch(path.name)
        and wanted.version in (None, path.name)
        and os.path.isfile(path / "dataset_info.json")
    ]


def _folders_in(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []
