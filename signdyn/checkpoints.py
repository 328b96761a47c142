"""States of long computations on disk, so that a kill loses minutes of them and not hours.

NumPy writes the arrays; a small JSON file beside them, renamed into place after, says which of
them are in force, of which computation and with what checksum:

    <name>.json           number of the part, shapes, dtypes and sha256 of all arrays
    <name>-<part>.npz     the arrays

So a kill while a state is written leaves the one before it in force, and a state that was
damaged, or is another computation's, is told of and not gone on with. Not by Orbax: of several
processes each keeps its own blocks' states, and Orbax writes NumPy's arrays in process 0 alone
and refuses arrays of one process's devices. May import: files.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from signdyn.files import WRITING, RecordsError, read_json, write_file, write_json


class Saved(NamedTuple):
    """A state as it was saved: the number of finished parts, and its arrays in their order."""

    part: int
    arrays: list[np.ndarray]


def digest(arrays: Sequence[np.ndarray], told: str = "") -> str:
    """Return 64 hex digits that name arrays: their bytes, shapes, dtypes and order.

    Args:
        arrays: The arrays.
        told: Anything else that is to make a difference.

    Example:
        >>> a = np.zeros(4, np.float32)
        >>> digest([a]) == digest([a.reshape(2, 2)])
        False
    """
    total = hashlib.sha256(told.encode())
    for array in arrays:
        total.update(f"{array.shape} {array.dtype}\n".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def save_state(folder: Path, name: str, part: int, arrays: Sequence[np.ndarray]) -> None:
    """Write a state in place of the one of that name; the older one stays until this is whole.

    Args:
        folder: Where; made if missing, its parent is not.
        name: Of the computation.
        part: How many of its parts are finished.
        arrays: The state.

    Raises:
        RecordsError: If it cannot be written; the older state is then still there.
    """
    data = _data_file(folder, name, part)
    write_file(data, lambda file: np.savez(file, *arrays))
    write_json(folder / f"{name}.json", {"part": part, **_facts(arrays)})
    for older in folder.glob(f"{name}-*.npz"):
        if older != data:
            older.unlink(missing_ok=True)


def load_state(
    folder: Path,
    name: str,
    expected: Callable[[int], Sequence[Any]],
    on_damage: Callable[[str], None] = lambda what: None,
) -> Saved | None:
    """Return the state of that name, or None where there is none that can be gone on with.

    Args:
        folder: As for `save_state`.
        name: As for `save_state`.
        expected: Number of finished parts -> arrays, or what has shape and dtype, of such a state.
        on_damage: Called with what is wrong with a state that is there.
    """
    about = folder / f"{name}.json"
    if not about.exists():
        return None
    try:
        facts = read_json(about)
        part = facts.get("part")
        if not isinstance(part, int) or part < 1:
            raise RecordsError("without the number of its part")
        like = [[list(a.shape), str(a.dtype)] for a in expected(part)]
        if facts.get("arrays") != like:
            raise RecordsError("of another computation")
        with (
            _data_file(folder, name, part).open("rb") as file,
            np.load(file, allow_pickle=False) as found,
        ):
            arrays = [found[f"arr_{place}"] for place in range(len(like))]
        if _facts(arrays) != {key: facts.get(key) for key in ("arrays", "sha256")}:
            raise RecordsError("checksum differs")
    except Exception as error:  # noqa: BLE001 - NumPy raises whatever damage makes it raise
        on_damage(f"checkpoint {name} ({_short(error)})")
        return None
    return Saved(part, arrays)


def remove_states(folder: Path, prefix: str = "") -> None:
    """Remove the states whose names begin so, and the folder if those were the last."""
    with WRITING:
        for path in folder.glob(f"{prefix}*"):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def _data_file(folder: Path, name: str, part: int) -> Path:
    return folder / f"{name}-{part}.npz"


def _facts(arrays: Sequence[np.ndarray]) -> Mapping[str, Any]:
    forms = [[list(array.shape), str(array.dtype)] for array in arrays]
    return {"arrays": forms, "sha256": digest(arrays)}


def _short(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:160].rstrip(".")
