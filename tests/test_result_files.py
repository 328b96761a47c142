"""docs/result_files.md names the fields of the recorded run's files, all of them and no others."""

import json
import re
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from signdyn.records import Replica, Variable, write_cell

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "record" / "quick"
PAGE = (ROOT / "docs" / "result_files.md").read_text("utf-8")
SOMETIMES = {
    "run.json": {"planned_cells", "compiling"},  # later than some records
    "environment": {"processes"},  # of several
    "steps.json": {"absent"},
}


def documented(heading):
    """Return the fields that the first column of the table under such a heading names."""
    table = PAGE[PAGE.index(f"| {heading} |") :].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return set(chain.from_iterable(re.findall(r"`(\w+)`", cell) for cell in cells))


def under(heading):
    """Return the fields of the table below a section's heading."""
    section = PAGE[PAGE.index(f"\n## {heading}\n") :]
    table = section[section.index("| field |") :].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return set(chain.from_iterable(re.findall(r"`(\w+)`", cell) for cell in cells))


def recorded(name):
    return [json.loads(path.read_text()) for path in RECORD.glob(f"*/{name}")]


def keys(objects):
    return set(chain.from_iterable(objects))


CASES = {
    "run.json": (under("run.json"), keys(recorded("run.json"))),
    "environment": (
        documented("field of `environment`"),
        keys(run["environment"] for run in recorded("run.json")),
    ),
    "claims.json": (under("claims.json"), keys(recorded("claims.json"))),
    "finding": (
        documented("field of a finding"),
        keys(finding for told in recorded("claims.json") for finding in told["findings"]),
    ),
    "steps.json": (under("steps.json"), keys(recorded("steps.json"))),
}


@pytest.mark.parametrize("name", CASES)
def test_the_page_names_every_field_and_no_other(name):
    told, found = CASES[name]
    assert found
    assert found <= told
    assert told - found <= SOMETIMES.get(name, set())


def test_the_page_names_the_packages_and_the_parts_of_a_run():
    packages = keys(run["environment"]["packages"] for run in recorded("run.json"))
    (row,) = re.findall(r"^\| `packages` \|.*$", PAGE, flags=re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == packages | {"packages"}
    (row,) = re.findall(r"^\| `run` \|.*$", PAGE, flags=re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", row)) == {
        "run",
        *keys(t["run"] for t in recorded("claims.json")),
    }
    (row,) = re.findall(r"^\| `views` \|.*$", PAGE, flags=re.MULTILINE)
    views = keys(view for steps in recorded("steps.json") for view in steps["views"])
    assert set(re.findall(r"`(\w+)`", row)) == {"views", *views}


def test_the_page_names_every_file_and_folder_of_the_record():
    found = {path.name for path in RECORD.glob("*/[!.]*")}
    assert {"run.json", "figures", "tables"} < found
    for name in (*found, "cells", "ledger.jsonl"):  # the latter two may be missing in a clone
        assert f"results/<experiment>/{name}" in PAGE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a run's folder with one cell."""
    folder = tmp_path_factory.mktemp("run")
    replicas = [Replica(seed, {"arm": "raw", "learning_rate": 0.1}) for seed in range(2)]
    variables = {"loss": Variable(("step",), np.ones((2, 3)), "nat", "mean nll")}
    write_cell(folder, "descent", "0" * 16, replicas, variables, 1.0)
    return folder


def test_a_line_of_the_ledger_is_as_the_page_says(folder):
    (line,) = (folder / "ledger.jsonl").read_text().splitlines()
    assert set(json.loads(line)) == under("ledger.jsonl")


def test_a_cell_is_as_the_page_says(folder):
    (path,) = (folder / "cells").iterdir()
    with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as cell:
        assert set(cell.attrs) == {"labels", "part", "id"}
        assert path.name == f"{cell.attrs['part']}-{cell.attrs['id']}.nc"
        assert set(cell.coords) == {"seed", *json.loads(cell.attrs["labels"])}
        assert cell.loss.dims == ("replica", "step")
        assert cell.loss.attrs == {"units": "nat", "long_name": "mean nll"}
