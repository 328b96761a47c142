"""Result files: one netCDF file a block of replicas, a ledger of them, JSON beside.

The only module that writes results. Every file is written under a temporary name, synced, and
renamed, so a file that exists is whole; the ledger holds its checksum, so damage shows. Seeds
are never averaged on disk. A folder looks like this:

    run.json          configuration and environment
    cells/*.nc        one a block, named <part>-<id>.nc
    ledger.jsonl      one line a finished cell: id, part, file, sha256, seconds
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import xarray as xr


class RecordsError(ValueError):
    """A results folder cannot be used; the message says why and what to do."""


class Variable(NamedTuple):
    """A named array of a cell: dimensions after ``replica``, values, unit, description."""

    dims: tuple[str, ...]
    values: Any  # anything that np.asarray takes
    units: str
    long_name: str


class Replica(NamedTuple):
    """What a row of a cell is: its seed and its variant's labels."""

    seed: int
    labels: Mapping[str, str | float]


class Ledger(NamedTuple):
    """The cells of a folder: ``good`` id -> line; ``damaged`` names with what is wrong."""

    good: dict[str, dict[str, Any]]
    damaged: list[str]


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file so that it is either whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write strict, sorted-as-given JSON; numbers that are not finite become null."""
    text = json.dumps(jsonable(content), indent=1, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


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


def content_id(description: Mapping[str, Any]) -> str:
    """Return 16 hex digits that name a configuration; the order of keys does not matter.

    Example:
        >>> content_id({"a": 1, "b": 2}) == content_id({"b": 2, "a": 1})
        True
    """
    text = json.dumps(jsonable(description), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def open_run(folder: Path, config: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
    """Make ``folder`` ready for a run, or check that it holds one of the same configuration.

    The environment on record is that of the first cell: where there is none yet, it is this one.

    Raises:
        RecordsError: If the folder holds another configuration or is not a results folder.
            Nothing is changed then.
    """
    path = folder / "run.json"
    config = jsonable(config)
    try:
        if path.exists():
            _check_same_config(folder, read_json(path).get("config"), config)
            if not (folder / "ledger.jsonl").exists():
                write_json(path, {"config": config, "environment": environment})
        elif folder.exists() and any(folder.iterdir()):
            raise RecordsError(
                f"the folder {folder} is not empty and holds no run.json; "
                "name an empty or new one with --out."
            )
        else:
            write_json(path, {"config": config, "environment": environment})
        (folder / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordsError(f"cannot write to {folder}: {error.strerror}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object; one sentence if it is damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise RecordsError(f"{path} cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict):
        raise RecordsError(f"{path} should hold a JSON object, not a {type(content).__name__}.")
    return content


def read_ledger(folder: Path) -> Ledger:
    """Return which cells are finished and whole; every file's checksum is recomputed."""
    path = folder / "ledger.jsonl"
    good: dict[str, dict[str, Any]] = {}
    damaged = []
    lines = path.read_bytes().splitlines() if path.exists() else []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            name, cell, checksum, _ = (entry[key] for key in ("file", "id", "sha256", "part"))
        except (ValueError, TypeError, KeyError):
            damaged.append(f"ledger line {number} (cut off or garbled)")
            continue
        file = folder / "cells" / name
        if not file.exists():
            damaged.append(f"{name} (missing)")
        elif hashlib.sha256(file.read_bytes()).hexdigest() != checksum:
            damaged.append(f"{name} (checksum differs)")
        else:
            good[cell] = entry
    return Ledger(good, [name for name in damaged if name.split(" ")[0] not in _files(good)])


def mend_ledger(folder: Path) -> Ledger:
    """Return the ledger, and rewrite it without its damaged lines: their cells are to be redone."""
    ledger = read_ledger(folder)
    if ledger.damaged:
        lines = [json.dumps(entry) + "\n" for entry in ledger.good.values()]
        write_bytes(folder / "ledger.jsonl", "".join(lines).encode())
    return ledger


def write_cell(
    folder: Path,
    part: str,
    cell: str,
    replicas: Sequence[Replica],
    variables: Mapping[str, Variable],
    seconds: float,
) -> None:
    """Write one block's results and enter it in the ledger.

    Args:
        folder: The run's folder.
        part: Which of the run's tables it belongs to: one set of dimensions.
        cell: Its id, see `content_id`.
        replicas: What each row is.
        variables: Arrays [replica, *dims].
        seconds: Wall time of the computation.
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
    write_bytes(folder / "cells" / name, content)
    line = {
        "id": cell,
        "part": part,
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "seconds": round(seconds, 3),
    }
    _append_line(folder / "ledger.jsonl", json.dumps(line))


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
        RecordsError: If there is no such run or part, a cell is damaged, or some variant lacks
            a seed that another one has (an unfinished run).
    """
    folder = Path(run_dir)
    ledger = read_ledger(folder)
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
        place[position[name], np.searchsorted(seeds, seed)] = row
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


def _label(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _files(good: Mapping[str, Mapping[str, Any]]) -> set[str]:
    return {entry["file"] for entry in good.values()}


def _append_line(path: Path, line: str) -> None:
    # a kill may have left half a line, which must not swallow this one
    torn = path.exists() and not path.read_bytes().endswith(b"\n")
    with open(path, "a") as file:
        file.write("\n" * torn + line + "\n")
        file.flush()
        os.fsync(file.fileno())


def _check_same_config(folder: Path, old: Any, new: Mapping[str, Any]) -> None:
    if old == new:
        return
    old = old if isinstance(old, Mapping) else {}
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    changes = ", ".join(f"{name}={old.get(name)!r} there, {new.get(name)!r} here" for name in names)
    changes = changes or "other options"
    raise RecordsError(
        f"the folder {folder} holds a run of another configuration ({changes}); "
        "name another folder with --out, or remove that one."
    )
