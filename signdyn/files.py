"""Files that are whole or absent, whatever happens to the process that writes them.

A file is written under a temporary name, synced and renamed. May import: nothing.
"""

import json
import math
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

WRITING = threading.RLock()
"""Held during a write; what ends the process on purpose takes it first, so that no write is cut."""


class RecordsError(ValueError):
    """A results folder cannot be used; the message says why and what to do."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole or absent.

    Its folder is made if missing, the folders above it are not: a run's folder that was removed
    while the run worked in it must not come back half empty.

    Raises:
        RecordsError: If it cannot be written; an older file of that name is then unchanged.
    """
    write_file(path, lambda file: file.write(content))


def write_file(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Let ``write`` write a file that is then either whole or absent, as by `write_bytes`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with WRITING:
        try:
            path.parent.mkdir(exist_ok=True)
            with open(temporary, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            raise cannot_write(path, error) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file and sync it.

    A line that an earlier kill left half written ends where it stops, and swallows nothing.

    Raises:
        RecordsError: If it cannot be written.
    """
    with WRITING:
        try:
            there = path.read_bytes() if path.exists() else b""
            torn = there and not there.endswith(b"\n")
            with open(path, "a") as file:
                file.write(("\n" if torn else "") + line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> RecordsError:
    """Return the error that tells why a file or folder cannot be written."""
    return RecordsError(f"cannot write to {path}: {error.strerror or error}.")


def remove_leftovers(*folders: Path) -> None:
    """Remove what killed processes left under temporary names; nobody may be writing there."""
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            with suppress(OSError):
                path.unlink()


def is_leftover(path: Path) -> bool:
    """Return whether a file was on its way when its writer was killed."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def write_json(path: Path, content: Any) -> None:
    """Write strict, sorted-as-given JSON; numbers that are not finite become null."""
    text = json.dumps(jsonable(content), indent=1, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path | str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        RecordsError: If the file is missing, damaged, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(), parse_int=_integer)
        json.dumps(content, ensure_ascii=False).encode()  # half a character could not be written
    except (OSError, ValueError, RecursionError) as error:
        raise RecordsError(f"{path} cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict):
        raise RecordsError(f"{path} should hold a JSON object, not a {type(content).__name__}.")
    return content


def _integer(text: str) -> int:
    if len(text) > 300:
        raise ValueError("a number of more than 300 digits")
    return int(text)


def jsonable(content: Any) -> Any:
    """Return ``content`` in JSON's types, NaN and infinities as None.

    Example:
        >>> jsonable({"a": (np.float32(0.5), float("nan"))})
        {'a': [0.5, None]}
    """
    if isinstance(content, Mapping):
        return {str(key): jsonable(value) for key, value in content.items()}
    if isinstance(content, np.ndarray):
        return jsonable(content.tolist())
    if isinstance(content, list | tuple):
        return [jsonable(value) for value in content]
    if isinstance(content, np.generic):
        return jsonable(content.item())
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
