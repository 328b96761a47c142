"""A folder that is complete or absent, whoever prepares it, and whatever ends them.

What is prepared is made in a folder of its own, beside its place, and moved there when it is
complete and on disk. Hence it may be interrupted at any moment (at worst a folder ``.preparing-*``
stays behind), several processes may prepare at once (the first one wins, the others drop their
work), and no lock is needed, which network file systems may lack. May import nothing of signdyn.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def put_in_place(
    root: Path, place: Path, make: Callable[[Path], Path], is_whole: Callable[[], bool]
) -> None:
    """Make a folder beside its place and move it there, unless another process was faster.

    Args:
        root: Folder on the same file system, made if missing; scratch folders are made in it.
        place: Where the folder is to be, below ``root``.
        make: Scratch folder -> the complete folder, somewhere in it.
        is_whole: Whether what stands at ``place`` is what it should be; asked if something does.

    Raises:
        OSError: If the folder cannot be written to.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".preparing-", dir=root) as scratch:
        made = make(Path(scratch))
        flush_to_disk(made)
        try:
            made.rename(place)
        except OSError:  # something stands there: another process's work, or damaged files
            if not is_whole():
                place.rename(Path(scratch) / "damaged")
                made.rename(place)


def flush_to_disk(folder: Path) -> None:
    """Have a folder and the files in it written to disk."""
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
