"""What can happen to a run's folder while nobody works in it, and what the next run must say.

A damage changes the folder of a finished run. The command is then given again: it must name the
damage, and either mend it or refuse with what to do.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


class Damage(NamedTuple):
    """One kind of damage.

    Attributes:
        inflict: Changes a run's folder.
        words: What the next run must say, in its output or on its page; none if it may be silent.
        is_refused: Whether the next run must refuse, changing nothing, instead of mending.
    """

    inflict: Callable[[Path], object]
    words: str = ""
    is_refused: bool = False


def cells(folder: Path) -> list[Path]:
    """Return the files of the cells by name."""
    return sorted((folder / "cells").glob("*.nc"))


def flip_bit(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def truncate(path: Path) -> None:
    """Cut a file in half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def replace_folder(path: Path) -> None:
    """Put a file where a folder was."""
    shutil.rmtree(path)
    path.write_bytes(b"")


def lines_of(folder: Path) -> list[bytes]:
    """Return the ledger's lines with their ends."""
    return (folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)


def change_lines(folder: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Replace the ledger's lines."""
    (folder / "ledger.jsonl").write_bytes(b"".join(change(lines_of(folder))))


def swap_contents(folder: Path) -> None:
    """Let two cells have each other's content."""
    one, other = cells(folder)[:2]
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def forge(folder: Path) -> None:
    """Put one cell's content in another's place, with a ledger whose checksum fits."""
    entries = [json.loads(line) for line in lines_of(folder)]
    by_part: dict[str, list[dict]] = {}
    for entry in entries:
        by_part.setdefault(entry["part"], []).append(entry)
    source, target = max(by_part.values(), key=len)[:2]
    content = (folder / "cells" / source["file"]).read_bytes()
    (folder / "cells" / target["file"]).write_bytes(content)
    target["sha256"] = hashlib.sha256(content).hexdigest()
    lines = (json.dumps(entry) + "\n" for entry in entries)
    (folder / "ledger.jsonl").write_text("".join(lines))


def lead_outside(folder: Path) -> None:
    """Let a line of the ledger name a file outside of the folder."""
    entry = json.loads(lines_of(folder)[0])
    outside = folder.parents[1] / "outside.nc"
    shutil.move(folder / "cells" / entry["file"], outside)
    line = json.dumps({**entry, "file": f"../../../{outside.name}"}) + "\n"
    change_lines(folder, lambda lines: [line.encode(), *lines[1:]])


def change_config(folder: Path) -> None:
    """Let run.json tell of another configuration."""
    path = folder / "run.json"
    content = json.loads(path.read_text())
    content["config"]["seeds"] += 1
    path.write_text(json.dumps(content))


def change_version(folder: Path) -> None:
    """Let run.json tell of another JAX."""
    path = folder / "run.json"
    content = json.loads(path.read_text())
    content["environment"]["packages"]["jax"] = "0.1"
    path.write_text(json.dumps(content))


def leave_lock(folder: Path) -> None:
    """Leave the lock file of a process that is gone."""
    (folder / ".lock").write_text(json.dumps({"pid": 2**22, "host": "x", "since": "1970"}))


def leave_leftovers(folder: Path) -> None:
    """Leave what kills leave: files under temporary names."""
    for path in (folder / ".run.json.7.tmp", folder / "cells" / ".a.nc.7.tmp"):
        path.write_bytes(b"half")


def last(paths: list[Path]) -> Path:
    """Return the last of some paths."""
    return paths[-1]


NOT_IN_LEDGER, CHECKSUM = "not in the ledger", "checksum differs"
RUN_JSON = "run.json cannot be read"

DAMAGES: Mapping[str, Damage] = {
    "a cell truncated": Damage(lambda folder: truncate(cells(folder)[0]), CHECKSUM),
    "a cell emptied": Damage(lambda folder: cells(folder)[1].write_bytes(b"") and None, CHECKSUM),
    "a cell with a bit flipped": Damage(lambda folder: flip_bit(cells(folder)[2]), CHECKSUM),
    "a cell deleted": Damage(lambda folder: cells(folder)[3].unlink(), "missing"),
    "two cells swapped": Damage(swap_contents, CHECKSUM),
    "a cell in another's place, its checksum in the ledger": Damage(forge, "it holds the cell"),
    "all cells deleted": Damage(lambda folder: shutil.rmtree(folder / "cells"), "missing"),
    "a ledger line cut in half": Damage(
        lambda folder: change_lines(folder, lambda lines: [*lines[:-1], lines[-1][:40]]),
        "cut off or garbled",
    ),
    "a ledger line garbled": Damage(
        lambda folder: change_lines(folder, lambda lines: [b"\xff\x00{]\n", *lines[1:]]),
        "cut off or garbled",
    ),
    "a ledger line twice": Damage(
        lambda folder: change_lines(folder, lambda lines: [*lines, lines[0]]), "repeats"
    ),
    "a ledger line missing": Damage(
        lambda folder: change_lines(folder, lambda lines: lines[1:]), NOT_IN_LEDGER
    ),
    "a ledger line that leads out of the folder": Damage(lead_outside, "cut off or garbled"),
    "the ledger missing": Damage(lambda folder: (folder / "ledger.jsonl").unlink(), NOT_IN_LEDGER),
    "the ledger emptied": Damage(
        lambda folder: change_lines(folder, lambda lines: []), NOT_IN_LEDGER
    ),
    "claims.json truncated": Damage(lambda folder: truncate(folder / "claims.json")),
    "a figure truncated": Damage(
        lambda folder: truncate(last(sorted((folder / "figures").glob("*.svg"))))
    ),
    "the tables deleted": Damage(lambda folder: shutil.rmtree(folder / "tables")),
    "report.html with a bit flipped": Damage(
        lambda folder: flip_bit(folder.parent / "report.html")
    ),
    "files under temporary names": Damage(leave_leftovers),
    "the lock file of a process that is gone": Damage(leave_lock),
    "run.json truncated": Damage(
        lambda folder: truncate(folder / "run.json"), RUN_JSON, is_refused=True
    ),
    "run.json missing": Damage(
        lambda folder: (folder / "run.json").unlink(), "holds no run.json", is_refused=True
    ),
    "run.json of another configuration": Damage(
        change_config, "another configuration", is_refused=True
    ),
    "cells of another version of JAX": Damage(change_version, "another JAX", is_refused=True),
    "a file in the folder's place": Damage(replace_folder, "is a file", is_refused=True),
}
"""Name -> damage to the folder of a finished run."""
