"""A run's folder: one configuration, one kind of numbers, one run at a time.

May import: files, locks, processes.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from signdyn.files import (
    RecordsError,
    cannot_write,
    is_leftover,
    jsonable,
    read_json,
    remove_leftovers,
    write_json,
)
from signdyn.locks import LOCK_NAME, Hold, hold_folder, is_of_this_machine, signature
from signdyn.processes import ALONE, Team

SECONDS_TO_APPEAR = 35.0
"""After which all machines see what one wrote: NFS asks anew for a folder's names after 30."""


def open_run(
    folder: Path,
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    *,
    team: Team = ALONE,
) -> Hold:
    """Make ``folder`` ready for a run, or check that it holds one of the same configuration.

    The environment on record is that of the first cell: where there is none yet, it is this one.
    All processes of a run come here together; the first makes the folder, which all must see.

    Args:
        folder: Made if missing.
        config: What decides the numbers, of JSON's types.
        environment: What they are made with.
        team: The run's processes.

    Returns:
        The hold on the folder: keep it as long as the run works there.

    Raises:
        RecordsError: If the folder holds another configuration, cells of another JAX or platform,
            or is not a results folder, or if another process works in it. Nothing is changed then.
    """
    if not team.is_first:
        return _join_run(folder, config, environment, team)
    try:
        check_run(folder, config, environment)
        folder.mkdir(parents=True, exist_ok=True)
        hold = hold_folder(folder)
        if hold.is_exclusive:
            remove_leftovers(folder, *(path for path in folder.iterdir() if path.is_dir()))
        is_new = check_run(folder, config, environment)  # another run may have been faster
        if is_new or not has_ledger(folder):
            write_json(folder / "run.json", {"config": config, "environment": environment})
        (folder / "cells").mkdir(exist_ok=True)
    except OSError as error:
        text = str(cannot_write(folder, error)).rstrip(".")
        raise RecordsError(f"{text}; name another folder with --out.") from error
    if team.count > 1:
        hold.share()
        team.share(lambda: signature(folder))
    return hold


def _join_run(
    folder: Path, config: Mapping[str, Any], environment: Mapping[str, Any], team: Team
) -> Hold:
    """Return another process's hold, once the first has made the folder."""
    signed = team.share(lambda: "")  # by process 0, in the folder that it works in
    begun = time.monotonic()
    while signature(folder) != signed or not (folder / "run.json").exists():
        if is_of_this_machine(signed) or time.monotonic() - begun > SECONDS_TO_APPEAR:
            raise RecordsError(
                f"{folder.absolute()}, where process 0 works, is not to be seen from process "
                f"{team.index}: --out must name a folder that all processes share."
            )
        time.sleep(0.1)
    check_run(folder, config, environment)
    # process 0 has written down what it runs on, and no cell yet
    _check_same_numerics(folder, read_json(folder / "run.json").get("environment"), environment)
    return hold_folder(folder, shared=True)


def has_ledger(folder: Path) -> bool:
    """Return whether a cell was finished in a run's folder, whichever process it was by."""
    return any(folder.glob("ledger*.jsonl"))


def forget_run(folder: Path) -> None:
    """Remove a folder in which no result was written yet, so that another run may have its name."""
    cells = folder / "cells"
    if has_ledger(folder) or (cells.is_dir() and any(cells.iterdir())):
        return
    with suppress(OSError):  # whatever else is there stays
        (folder / "run.json").unlink(missing_ok=True)
        (folder / LOCK_NAME).unlink(missing_ok=True)
        cells.rmdir()
        folder.rmdir()


def check_run(folder: Path, config: Mapping[str, Any], environment: Mapping[str, Any]) -> bool:
    """Return whether the folder is new; changes nothing.

    Args:
        folder: Of the run.
        config: What decides its numbers.
        environment: What they would be made with.

    Raises:
        RecordsError: If it holds another run, or is not a results folder.
    """
    config = jsonable(config)
    path = folder / "run.json"
    if path.exists():
        try:
            held = read_json(path)
        except RecordsError as error:
            raise RecordsError(
                f"{str(error).rstrip('.')}: restore it, or name another folder with --out."
            ) from error
        _check_same_config(folder, held.get("config"), config)
        if has_ledger(folder):
            _check_same_numerics(folder, held.get("environment"), environment)
        return False
    if folder.exists() and not folder.is_dir():
        raise RecordsError(f"{folder} is a file; name another folder with --out.")
    if folder.exists() and any(
        not is_leftover(file) and file.name != LOCK_NAME for file in folder.iterdir()
    ):
        raise RecordsError(
            f"the folder {folder} is not empty and holds no run.json; "
            "name an empty or new one with --out."
        )
    return True


def _check_same_numerics(folder: Path, old: Any, new: Mapping[str, Any]) -> None:
    """Refuse to mix cells whose last bits differ: none of the old could be used."""
    for what, of in (("JAX", _jax), ("platform", _platform)):
        there, here = of(old), of(new)
        if there != here and None not in (there, here):
            raise RecordsError(
                f"the folder {folder} holds a run of another {what} ({there} there, {here} here), "
                "which rounds differently; name another folder with --out, or remove that one."
            )


def _jax(environment: Any) -> Any:
    packages = environment.get("packages") if isinstance(environment, Mapping) else None
    return packages.get("jax") if isinstance(packages, Mapping) else None


def _platform(environment: Any) -> Any:
    return environment.get("platform") if isinstance(environment, Mapping) else None


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
