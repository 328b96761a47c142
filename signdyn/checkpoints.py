"""States of long computations on disk, so that a kill loses minutes of them and not hours.

Orbax writes the arrays, in a folder of their own; a small JSON file beside them, renamed into
place after, says which of the folders is whole, of which computation and with what checksum:

    <name>.json       number of the part, shapes, dtypes and sha256 of all arrays
    <name>/<part>/    Orbax's files

So a kill while a state is written leaves the one before it in force, and a state that was
damaged, or is another computation's, is told of and not gone on with. May import: files.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from signdyn.files import WRITING, RecordsError, cannot_write, read_json, write_json


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
    import orbax.checkpoint as ocp  # slow to import, and only long runs need it

    place = folder / name / str(part)
    with WRITING:
        try:
            folder.mkdir(exist_ok=True)
            shutil.rmtree(place, ignore_errors=True)  # of an attempt that was killed
            with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as writer:
                writer.save(place.absolute(), {f"{i:04d}": a for i, a in enumerate(arrays)})
        except (OSError, ValueError, RuntimeError) as error:
            shutil.rmtree(place, ignore_errors=True)
            raise cannot_write(
                folder, error if isinstance(error, OSError) else OSError(_short(error))
            ) from error
        write_json(folder / f"{name}.json", {"part": part, **_facts(arrays)})
        for older in (folder / name).iterdir():
            if older.name != str(part):
                shutil.rmtree(older, ignore_errors=True)


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
    import orbax.checkpoint as ocp

    try:
        facts = read_json(about)
        part = facts.get("part")
        if not isinstance(part, int) or part < 1:
            raise RecordsError("without the number of its part")
        like = [[list(a.shape), str(a.dtype)] for a in expected(part)]
        if facts.get("arrays") != like:
            raise RecordsError("of another computation")
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as reader:
            found = reader.restore((folder / name / str(part)).absolute())
        arrays = [np.asarray(found[key]) for key in sorted(found)]
        if _facts(arrays) != {key: facts.get(key) for key in ("arrays", "sha256")}:
            raise RecordsError("checksum differs")
    except Exception as error:  # noqa: BLE001 - Orbax raises whatever damage makes it raise
        on_damage(f"checkpoint {name} ({_short(error)})")
        return None
    return Saved(part, arrays)


def remove_states(folder: Path, prefix: str = "") -> None:
    """Remove the states whose names begin so, and the folder if those were the last."""
    with WRITING:
        for path in folder.glob(f"{prefix}*"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        with suppress(OSError):
            folder.rmdir()


def _facts(arrays: Sequence[np.ndarray]) -> Mapping[str, Any]:
    forms = [[list(array.shape), str(array.dtype)] for array in arrays]
    return {"arrays": forms, "sha256": digest(arrays)}


def _short(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0][:160].rstrip(".")
