"""Compiled programs on disk, kept whole though JAX writes them in place.

A kill may leave half an entry. JAX then warns and compiles anew in every later run, for it never
replaces an entry. So a process leaves a mark while it may write, locked as long as it lives; the
next one that finds an unlocked mark checks what was written since.
"""

import atexit
import os
import platform
import zlib
from contextlib import suppress
from pathlib import Path

from signdyn.locks import lock

MARK = ".running-"

_guarded: set[Path] = set()


def guard_cache(folder: Path) -> list[str]:
    """Remove what killed processes left half written, and mark this process as one that writes.

    Returns:
        Names of the entries that were removed.
    """
    if folder in _guarded:
        return []
    _guarded.add(folder)
    removed: list[str] = []
    with suppress(OSError):  # a cache that cannot be written needs no guard
        folder.mkdir(parents=True, exist_ok=True)
        removed = _mend(folder)
        mark = folder / f"{MARK}{platform.node()}-{os.getpid()}"  # homes are shared by machines
        descriptor = os.open(mark, os.O_RDWR | os.O_CREAT, 0o666)  # open until the process ends
        lock(descriptor, wait=False)
        atexit.register(mark.unlink, missing_ok=True)
    return removed


def _mend(folder: Path) -> list[str]:
    dead = [mark for mark in folder.glob(f"{MARK}*") if not _is_locked(mark)]
    removed = []
    if dead:
        since = min(mark.stat().st_mtime for mark in dead)
        for entry in folder.glob("*-cache"):
            if entry.stat().st_mtime >= since and not _is_whole(entry):
                entry.unlink(missing_ok=True)
                removed.append(entry.name)
    for mark in dead:
        mark.unlink(missing_ok=True)
    return removed


def _is_locked(mark: Path) -> bool:
    """Return whether its process may be alive; where there are no locks nobody can know."""
    descriptor = os.open(mark, os.O_RDWR)
    try:
        return not lock(descriptor, wait=False)
    except OSError:
        return True
    finally:
        os.close(descriptor)


def _is_whole(entry: Path) -> bool:
    """Return whether an entry can be unpacked: JAX packs with zlib, which ends in a checksum."""
    try:
        zlib.decompress(entry.read_bytes())
    except zlib.error:
        return False
    return True
