"""Result files: one netCDF file a block of replicas, a ledger of them, JSON beside.

The only module that writes result files. Every file is written under a temporary name, synced, and
renamed, so a file that exists is whole; the ledger holds its checksum, so damage shows. Seeds
are never averaged on disk. A folder looks like this:

    run.json          configuration and environment
    cells/*.nc        one a block, named <part>-<id>.nc
    ledger.jsonl      one line a finished cell: id, part, file, sha256, seconds
    ledger-1.jsonl    the same of process 1, while a run of several processes works
    .lock             who works in it

May import: files.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import xarray as xr

from signdyn.files import WRITING, RecordsError, append_line, jsonable, write_bytes
from signdyn.files import read_json as read_json
from signdyn.files import write_json as write_json


class Variable(NamedTuple):
    """A named array of a cell.

    Attributes:
        dims: Names of its dimensions after ``replica``.
        values: Anything that ``np.asarray`` takes, one row a replica.
        units: ``"1"`` for none.
        long_name: What it is.
    """

    dims: tuple[str, ...]
    values: Any  # anything that np.asarray takes
    units: str
    long_name: str


class Replica(NamedTuple):
    """What a row of a cell is: its seed and its variant's labels."""

    seed: int
    labels: Mapping[str, str | float]


class Ledger(NamedTuple):
    """The cells of a folder.

    Attributes:
        good: Id -> line of the ledger.
        damaged: Names of what cannot be used, each with what is wrong.
        spare: Names of what is there in vain: lines that repeat a cell, files without a line.
    """

    good: dict[str, dict[str, Any]]
    damaged: list[str]
    spare: list[str]


def content_id(description: Mapping[str, Any]) -> str:
    """Return 16 hex digits that name a configuration; the order of keys does not matter.

    Example:
        >>> content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1})
        True
    """
    text = json.dumps(jsonable(description), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_ledger(folder: Path) -> Ledger:
    """Return which cells are finished and whole.

    A cell is good if its file has the checksum, the name and, inside, the id and the part that
    the ledger tells.
    """
    good: dict[str, dict[str, Any]] = {}
    bad: dict[str, str] = {}  # of files: what is wrong
    damaged, spare = [], []
    for name, line in _lines(folder):
        entry = _entry(line)
        if entry is None:
            damaged.append(f"{name} (cut off or garbled)")
        elif entry["id"] in good:
            # ledgers that became one just before a kill are there twice, which is no damage
            if " of process " not in name or entry != good[entry["id"]]:
                spare.append(f"{name} (repeats {entry['file']})")
        elif wrong := _what_is_wrong(folder / "cells" / entry["file"], entry):
            bad[entry["file"]] = wrong
        else:
            good[entry["id"]] = entry
    known = {entry["file"] for entry in good.values()}
    damaged += [f"{name} ({wrong})" for name, wrong in bad.items() if name not in known]
    spare += [f"{name} (its line is wrong)" for name in bad if name in known]
    strays = sorted(file.name for file in folder.glob("cells/*.nc"))
    spare += [f"{name} (not in the ledger)" for name in strays if name not in {*known, *bad}]
    return Ledger(good, damaged, spare)


def _lines(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the ledgers' lines, process 0's first, each with a name to tell it by."""
    for path in (folder / ledger_name(0), *_ledgers_of_others(folder)):
        process = path.stem.removeprefix("ledger").replace("-", " of process ")
        lines = path.read_bytes().splitlines() if path.exists() else []
        for number, line in enumerate(lines, start=1):
            yield f"ledger line {number}{process}", line


def entered(folder: Path) -> set[str]:
    """Return the ids of the cells that the ledgers tell of and whose files are there, unread."""
    entries = filter(None, (_entry(line) for _, line in _lines(folder)))
    return {entry["id"] for entry in entries if (folder / "cells" / entry["file"]).exists()}


def ledger_name(process: int) -> str:
    """Return the file in which a process enters its cells; that of process 0 stays.

    Example:
        >>> ledger_name(0), ledger_name(2)
        ('ledger.jsonl', 'ledger-2.jsonl')
    """
    return f"ledger-{process}.jsonl" if process else "ledger.jsonl"


def _ledgers_of_others(folder: Path) -> list[Path]:
    return sorted(folder.glob("ledger-*.jsonl"))


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return a line of the ledger; None if it is none."""
    try:
        entry = json.loads(line)
        name, cell, part = (entry[key] for key in ("file", "id", "part"))
        is_whole = all(isinstance(entry[key], str) for key in ("file", "id", "part", "sha256"))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    # a name with a path in it would lead out of the folder
    fits = name == f"{part}-{cell}.nc" and Path(str(name)).name == name
    return entry if is_whole and fits else None


def _what_is_wrong(file: Path, entry: Mapping[str, Any]) -> str:
    """Return why a cell's file is not what its line tells; nothing if it is."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        return "checksum differs"
    try:
        with h5py.File(io.BytesIO(content), "r") as cell:
            found = {name: cell.attrs[name] for name in ("part", "id")}
            if any(_leads_out(cell, name) for name in cell):
                return "it refers to other files"
    except (OSError, KeyError):
        return "not a cell"
    if found["part"] != entry["part"] or found["id"] != entry["id"]:
        return f"it holds the cell {found['part']}-{found['id']}"
    return ""


def _leads_out(cell: h5py.File, name: str) -> bool:
    """Tell whether an entry of a cell would be read from elsewhere: HDF5 can name any file."""
    if not isinstance(cell.get(name, getlink=True), h5py.HardLink):
        return True
    entry = cell[name]
    if not isinstance(entry, h5py.Dataset):
        return True  # a cell has no groups
    return entry.is_virtual or entry.external is not None


def mend_ledger(folder: Path) -> Ledger:
    """Return the good cells and, as damaged, all else that was found.

    A ledger with wrong lines is rewritten without them: their cells are to be redone. Those of
    other processes become part of the first one's; nobody may be writing them.
    """
    others = _ledgers_of_others(folder)
    good, damaged, spare = read_ledger(folder)
    if others or damaged or any(not name.endswith("(not in the ledger)") for name in spare):
        lines = [json.dumps(entry) + "\n" for entry in good.values()]
        write_bytes(folder / "ledger.jsonl", "".join(lines).encode())
    for path in others:
        path.unlink(missing_ok=True)
    return Ledger(good, damaged + spare, [])


def order_ledger(folder: Path, cells: Sequence[str]) -> None:
    """Put the lines of some cells first, in their order, as a run without damage writes them.

    A cell that was redone has its line at the end, and `load` gives variants in lines' order.
    """
    path = folder / "ledger.jsonl"
    lines = path.read_bytes().splitlines() if path.exists() else []
    place = {cell: number for number, cell in enumerate(cells)}

    def key(line: bytes) -> int:
        entry = _entry(line)
        return place.get(entry["id"], len(place)) if entry else len(place)

    ordered = sorted(lines, key=key)
    if ordered != lines:
        write_bytes(path, b"".join(line + b"\n" for line in ordered))


def write_cell(
    folder: Path,
    part: str,
    cell: str,
    replicas: Sequence[Replica],
    variables: Mapping[str, Variable],
    seconds: float,
    *,
    process: int = 0,
) -> None:
    """Write one block's results and enter it in the ledger.

    Args:
        folder: The run's folder.
        part: Which of the run's tables it belongs to: one set of dimensions.
        cell: Its id, see `content_id`.
        replicas: What each row is.
        variables: Arrays [replica, *dims].
        seconds: Wall time of the computation.
        process: Which of the run's processes writes.
    """
    labels = list(replicas[0].labels)
    coordinates: dict[str, Any] = {
        "seed": ("replica", np.array([replica.seed for replica in replicas], np.int64)),
    }
    for name in labels:
        values = np.array([replica.labels[name] for replica in replicas])
        coordinates[name] = ("replica", values)
    dataset = xr.Dataset(
        {
            name: (
                ("replica", *variable.dims),
                np.asarray(variable.values),
                {"units": variable.units, "long_name": variable.long_name},
            )
            for name, variable in variables.items()
        },
        coords=coordinates,
        attrs={"labels": json.dumps(labels), "part": part, "id": cell},
    )
    name = f"{part}-{cell}.nc"
    content = bytes(dataset.to_netcdf(engine="h5netcdf"))
    line = {
        "id": cell,
        "part": part,
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "seconds": round(seconds, 3),
    }
    with WRITING:
        write_bytes(folder / "cells" / name, content)
        append_line(folder / ledger_name(process), json.dumps(line))


def load(run_dir: str | os.PathLike, *, part: str | None = None) -> xr.Dataset:
    """Return a run's results as one labelled array a quantity.

    Args:
        run_dir: Folder of one experiment's run.
        part: Which of its tables; may be left out where there is one.

    Returns:
        Dataset with dims (variant, seed, ...). The variants' labels (activation, arm,
        learning_rate, ...) are coordinates along ``variant``; every variable has the
        attributes units and long_name. NaN means undefined or diverged, never missing.

    Raises:
        RecordsError: If there is no such run or part, a cell is damaged, some variant lacks a seed
            that another one has (an unfinished run), or has two results for one.
    """
    if not isinstance(run_dir, str | os.PathLike):
        raise RecordsError(f"load: expected a run's folder, got a {type(run_dir).__name__}.")
    folder = Path(run_dir)
    try:
        ledger = read_ledger(folder)
    except OSError as error:
        raise RecordsError(f"load: the folder cannot be read: {error.strerror}.") from error
    if not (ledger.good or ledger.damaged):
        raise RecordsError(f"load: there are no results in {folder}; it should be a run's folder.")
    if ledger.damaged:
        raise RecordsError(
            f"load: {folder} has damaged cells ({'; '.join(ledger.damaged[:3])}); "
            "rerun its command, which redoes them."
        )
    parts = sorted({entry["part"] for entry in ledger.good.values()})
    if part is None and len(parts) == 1:
        part = parts[0]
    if part not in parts:
        raise RecordsError(
            f"load: {folder} has the parts {', '.join(parts)}; choose one with part=, got {part!r}."
        )
    files = [
        folder / "cells" / entry["file"] for entry in ledger.good.values() if entry["part"] == part
    ]
    rows = _read_cells(files)
    labels = json.loads(rows.attrs["labels"])
    return _by_variant_and_seed(rows.drop_attrs(deep=False), labels, folder)


def _read_cells(files: Sequence[Path]) -> xr.Dataset:
    """Return the rows of all cells, one after the other, with the first one's attributes."""
    # times are not decoded: a unit of "seconds" would turn numbers into intervals
    first = xr.load_dataset(files[0], engine="h5netcdf", decode_times=False)
    values = {name: [variable.values] for name, variable in first.variables.items()}
    for file in files[1:]:
        # plain HDF5 is 20 times faster to read than a second full decoding
        with h5py.File(file, "r") as cell:
            for name, parts in values.items():
                if name not in cell or cell[name].shape[1:] != parts[0].shape[1:]:
                    raise RecordsError(
                        f"load: {file} has no {name} of the form that {files[0].name} has; "
                        "they are of two versions of the code: remove the folder of one."
                    )
                stored = cell[name]
                is_text = h5py.check_string_dtype(stored.dtype) is not None
                column = stored.asstr()[...].astype(str) if is_text else stored[...]
                # a truth value is stored as a small integer
                parts.append(column.astype(bool) if parts[0].dtype == bool else column)
    joined = {
        name: (variable.dims, np.concatenate(values[name]), variable.attrs)
        for name, variable in first.variables.items()
    }
    return xr.Dataset(
        {name: joined[name] for name in first.data_vars},
        coords={name: joined[name] for name in first.coords},
        attrs=first.attrs,
    )


def _by_variant_and_seed(rows: xr.Dataset, labels: list[str], folder: Path) -> xr.Dataset:
    points = [rows[label].values.tolist() for label in labels]
    names = ["/".join(str(point[i]) for point in points) for i in range(rows.replica.size)]
    variants = list(dict.fromkeys(names))
    seeds = np.unique(rows.seed.values)
    place = np.full((len(variants), len(seeds)), -1)
    position = {name: i for i, name in enumerate(variants)}
    for row, (name, seed) in enumerate(zip(names, rows.seed.values, strict=True)):
        at = position[name], np.searchsorted(seeds, seed)
        # another plan cuts the same replicas into other blocks, whose numbers must be the same
        if place[at] >= 0 and not _rows_are_equal(rows, int(place[at]), row):
            raise RecordsError(
                f"load: {folder} holds two different results of variant {name}, seed {seed}; "
                "remove the folder and rerun its command."
            )
        place[at] = row
    if (place < 0).any():
        missing = int((place < 0).sum())
        raise RecordsError(
            f"load: {folder} is unfinished: {missing} of {place.size} replicas are missing; "
            "rerun its command, which goes on where it stopped."
        )
    index = xr.DataArray(place, dims=("variant", "seed"))
    table = rows.drop_vars([*labels, "seed"]).isel(replica=index)
    first = place[:, 0]
    short = ["/".join(_label(point[i]) for point in points) for i in first]
    unique = len(set(short)) == len(short)
    coordinates: dict[str, Any] = {"variant": short if unique else variants, "seed": seeds}
    for label in labels:
        coordinates[label] = ("variant", rows[label].values[first])
    return table.assign_coords(coordinates)


def _rows_are_equal(rows: xr.Dataset, one: int, other: int) -> bool:
    columns = (variable.values for variable in rows.data_vars.values())
    return all(column[one].tobytes() == column[other].tobytes() for column in columns)


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
