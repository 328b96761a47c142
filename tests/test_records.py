"""Result files: whole or absent, the same bytes for the same numbers, and damage is named."""

import errno
import itertools
import json
import math
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from signdyn.locks import LOCK_NAME
from signdyn.records import (
    RecordsError,
    Replica,
    Variable,
    content_id,
    jsonable,
    load,
    mend_ledger,
    order_ledger,
    read_json,
    read_ledger,
    write_bytes,
    write_cell,
    write_json,
)
from signdyn.run_folder import open_run

ROOT = Path(__file__).resolve().parents[1]


def replicas_of(*rows):
    """Return replicas (arm, learning rate, seed)."""
    return [Replica(seed, {"arm": arm, "learning_rate": rate}) for arm, rate, seed in rows]


def number(replica):
    """Return a number that tells every replica from every other."""
    return len(replica.labels["arm"]) + 10 * replica.labels["learning_rate"] + 100 * replica.seed


def variables_of(replicas):
    base = np.array([number(replica) for replica in replicas])
    return {
        "loss": Variable(
            ("step",), (base[:, None] + [0.25, 0.5, 0.75]).astype(np.float32), "nat", "mean nll"
        ),
        "coherence": Variable(
            ("record", "layer"), base[:, None, None] + np.zeros((2, 4)), "1", "c"
        ),
        "diverged_at": Variable((), np.arange(len(base), dtype=np.int32), "step", "first bad step"),
        "reached": Variable((), base % 2 == 0, "1", "whether the target was reached"),
    }


def write(folder, replicas, cell, part="descent", variables=None):
    write_cell(folder, part, cell, replicas, variables or variables_of(replicas), 1.23456)


VARIANTS = [("raw", 0.1), ("raw", 0.2), ("flipped", 0.1)]
BLOCKS = [  # three variants of three seeds, in blocks of four
    replicas_of(("raw", 0.1, 0), ("raw", 0.1, 1), ("raw", 0.1, 7), ("raw", 0.2, 0)),
    replicas_of(("raw", 0.2, 1), ("raw", 0.2, 7), ("flipped", 0.1, 0), ("flipped", 0.1, 1)),
    replicas_of(("flipped", 0.1, 7)),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    for index, replicas in enumerate(BLOCKS):
        write(folder, replicas, f"cell{index}")
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """Return the folder of a finished run of one part, a copy of one's own."""
    return shutil.copytree(finished, tmp_path, dirs_exist_ok=True)


def files(folder):
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_NAME)
    return {path.name: path.read_bytes() for path in paths}


# --- round trip -------------------------------------------------------------------------------


def assert_holds_every_replica(dataset):
    for arm, rate in VARIANTS:
        place = ((dataset.arm == arm) & (dataset.learning_rate == rate)).values
        assert place.sum() == 1
        for seed in (0, 1, 7):
            row = dataset.isel(variant=int(place.argmax())).sel(seed=seed)
            expected = number(Replica(seed, {"arm": arm, "learning_rate": rate}))
            np.testing.assert_allclose(row.loss, expected + np.array([0.25, 0.5, 0.75]), rtol=1e-6)
            np.testing.assert_array_equal(row.coherence, np.full((2, 4), expected))
            assert row.reached == (expected % 2 == 0)


def test_what_was_written_is_loaded_by_variant_and_seed(run):
    dataset = load(run)
    assert dict(dataset.sizes) == {"variant": 3, "seed": 3, "step": 3, "record": 2, "layer": 4}
    assert dataset.loss.dims == ("variant", "seed", "step")
    assert dataset.coherence.dims == ("variant", "seed", "record", "layer")
    assert dataset.diverged_at.dims == ("variant", "seed")
    assert dataset.seed.values.tolist() == [0, 1, 7]
    assert dataset.variant.values.tolist() == ["raw/0.1", "raw/0.2", "flipped/0.1"]
    assert dataset.arm.values.tolist() == ["raw", "raw", "flipped"]
    assert dataset.learning_rate.values.tolist() == [0.1, 0.2, 0.1]
    assert dataset.arm.dims == dataset.learning_rate.dims == ("variant",)
    assert_holds_every_replica(dataset)
    assert dataset.sel(variant="flipped/0.1", seed=7).diverged_at == 0


@pytest.mark.parametrize(
    "blocks", [BLOCKS, [[*BLOCKS[0], *BLOCKS[1], *BLOCKS[2]]]], ids=["three cells", "one cell"]
)
def test_types_units_and_long_names_are_kept(tmp_path, blocks):
    for index, replicas in enumerate(blocks):
        write(tmp_path, replicas, f"cell{index}")
    dataset = load(tmp_path)
    assert dataset.loss.attrs == {"units": "nat", "long_name": "mean nll"}
    assert dataset.coherence.attrs == {"units": "1", "long_name": "c"}
    assert dataset.diverged_at.attrs == {"units": "step", "long_name": "first bad step"}
    dtypes = {name: str(dataset[name].dtype) for name in dataset.data_vars}
    assert dtypes == {
        "loss": "float32",
        "coherence": "float64",
        "diverged_at": "int32",
        "reached": "bool",
    }
    assert dataset.attrs == {}


def test_blocks_written_in_any_order_load_alike(tmp_path):
    for index in (2, 0, 1):
        write(tmp_path, BLOCKS[index][::-1], f"cell{index}")
    dataset = load(tmp_path)
    assert_holds_every_replica(dataset)
    assert set(dataset.variant.values) == {"raw/0.1", "raw/0.2", "flipped/0.1"}
    assert dataset.seed.values.tolist() == [0, 1, 7]


def test_undefined_numbers_stay_undefined(tmp_path):
    replicas = replicas_of(("raw", 0.1, 0), ("raw", 0.1, 1))
    values = np.array([[1.0, math.nan], [math.inf, -math.inf]], np.float32)
    write(tmp_path, replicas, "a", variables={"loss": Variable(("step",), values, "nat", "loss")})
    np.testing.assert_array_equal(load(tmp_path).loss.values[0], values)


@pytest.mark.parametrize("units", ["seconds", "days", "days since 2000-01-01"])
def test_numbers_in_units_of_time_stay_numbers(tmp_path, units):
    variables = {"time": Variable((), np.array([1.5]), units, "wall time")}
    write(tmp_path, replicas_of(("raw", 0.1, 0)), "a", variables=variables)
    dataset = load(tmp_path)
    assert dataset.time.values.tolist() == [[1.5]]
    assert dataset.time.attrs["units"] == units


def test_variants_whose_labels_differ_in_the_last_digit_are_not_mixed_up(tmp_path):
    rates = (0.1, np.nextafter(0.1, 1.0))
    write(tmp_path, replicas_of(*(("raw", rate, seed) for rate in rates for seed in (0, 1))), "a")
    dataset = load(tmp_path)
    assert dict(dataset.sizes)["variant"] == 2
    assert dataset.learning_rate.values.tolist() == list(rates)
    assert len(set(dataset.variant.values)) == 2


def test_labels_may_be_text_and_numbers_and_none_at_all(tmp_path):
    variables = {"loss": Variable((), np.arange(2.0), "nat", "loss")}
    write(tmp_path, [Replica(0, {}), Replica(3, {})], "a", variables=variables)
    dataset = load(tmp_path)
    assert dataset.loss.values.tolist() == [[0.0, 1.0]]
    assert dataset.seed.values.tolist() == [0, 3]


def test_a_cell_opens_alone_with_rows_that_say_what_they_are(run):
    cell = xr.load_dataset(run / "cells" / "descent-cell1.nc", engine="h5netcdf")
    assert cell.arm.values.tolist() == ["raw", "raw", "flipped", "flipped"]
    assert cell.seed.values.tolist() == [1, 7, 0, 1]
    assert (cell.attrs["part"], cell.attrs["id"]) == ("descent", "cell1")


# --- parts ------------------------------------------------------------------------------------


def test_a_run_of_two_parts_asks_which(run):
    replicas = replicas_of(("raw", 0.1, 0))
    write(run, replicas, "s", "start", {"gap": Variable((), np.array([5.0]), "1", "gap")})
    with pytest.raises(RecordsError, match=r"has the parts descent, start; choose one with part="):
        load(run)
    assert load(run, part="start").gap.values.tolist() == [[5.0]]
    assert_holds_every_replica(load(run, part="descent"))
    with pytest.raises(RecordsError, match=r"descent, start.*got 'middle'"):
        load(run, part="middle")


def test_a_folder_without_results_says_so(tmp_path):
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RecordsError, match="there are no results in"):
            load(folder)


# --- unfinished and damaged -------------------------------------------------------------------


def test_an_unfinished_run_is_refused_with_the_number_of_missing_replicas(tmp_path):
    write(tmp_path, BLOCKS[0], "cell0")  # two variants begun, one of three seeds of the second
    with pytest.raises(RecordsError, match="unfinished: 2 of 6 replicas are missing; rerun"):
        load(tmp_path)
    write(tmp_path, BLOCKS[1], "cell1")
    with pytest.raises(RecordsError, match="unfinished: 1 of 9 replicas"):
        load(tmp_path)


DAMAGES = {
    "missing": (lambda path: path.unlink(), "missing"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-7]), "checksum differs"),
    "one bit": (
        lambda path: path.write_bytes(
            (content := path.read_bytes())[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        ),
        "checksum differs",
    ),
    "empty": (lambda path: path.write_bytes(b""), "checksum differs"),
}


@pytest.mark.parametrize(("damage", "words"), DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_cell_is_named_and_nothing_is_loaded(run, damage, words):
    damage(run / "cells" / "descent-cell1.nc")
    ledger = read_ledger(run)
    assert ledger.damaged == [f"descent-cell1.nc ({words})"]
    assert set(ledger.good) == {"cell0", "cell2"}
    with pytest.raises(
        RecordsError, match=rf"damaged cells \(descent-cell1.nc \({words}\)\); rerun"
    ):
        load(run)


def test_a_damaged_cell_that_was_redone_is_good_again(run):
    before = read_ledger(run)
    (run / "cells" / "descent-cell1.nc").write_bytes(b"junk")
    write(run, BLOCKS[1], "cell1")
    after = read_ledger(run)
    assert after.damaged == []
    assert after.good == before.good
    assert_holds_every_replica(load(run))


@pytest.mark.parametrize("kept", [0, 1, 20, -1])
def test_half_a_line_at_the_ledgers_end_swallows_no_later_line(run, kept):
    # A kill while the last line was written leaves the first bytes of it.
    path = run / "ledger.jsonl"
    *lines, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + last[:-1][: len(last) - 1 if kept < 0 else kept])
    whole_but_for_its_end = kept < 0
    assert set(read_ledger(run).good) == {"cell0", "cell1"} | ({"cell2"} if kept < 0 else set())
    write(run, BLOCKS[2], "cell2")
    ledger = read_ledger(run)
    assert set(ledger.good) == {"cell0", "cell1", "cell2"}
    assert len(ledger.damaged) == (0 if whole_but_for_its_end or kept == 0 else 1)
    mend_ledger(run)
    assert read_ledger(run) == (ledger.good, [], [])
    assert_holds_every_replica(load(run))


@pytest.mark.parametrize(
    "line", [b'{"id": "x"', b"\xff\xfe\x00", b"[1, 2]", b"3", b"{}", b'{"file": "a", "id": "b"}']
)
def test_a_garbled_line_is_named_by_its_number_and_mended_away(run, line):
    path = run / "ledger.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, *lines[1:]]) + b"\n")
    with pytest.raises(
        RecordsError, match=r"damaged cells \(ledger line 2 \(cut off or garbled\)\)"
    ):
        load(run)
    mended = mend_ledger(run)
    assert mended.damaged == ["ledger line 2 (cut off or garbled)"]
    assert path.read_bytes().splitlines() == lines
    assert_holds_every_replica(load(run))


def test_mending_a_whole_ledger_writes_nothing(run):
    before = (run / "ledger.jsonl").stat()
    assert mend_ledger(run).damaged == []
    after = (run / "ledger.jsonl").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_the_order_of_variants_is_that_of_a_run_without_damage(run, finished):
    cells = ["cell0", "cell1", "cell2"]
    lines = (run / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (run / "ledger.jsonl").write_bytes(b"".join(lines[::-1]).rstrip(b"\n"))
    assert load(run).variant.values.tolist() != load(finished).variant.values.tolist()
    order_ledger(run, cells)
    assert files(run) == files(finished)
    before = (run / "ledger.jsonl").stat()
    order_ledger(run, cells)  # it is in order
    order_ledger(run, ["cell0"])
    assert (run / "ledger.jsonl").stat().st_ino == before.st_ino


def test_two_results_of_one_replica_must_agree_bitwise(run):
    again = replicas_of(("raw", 0.2, 1))
    write(run, again, "other")  # another plan cuts the same replicas into other blocks
    assert_holds_every_replica(load(run))
    variables = variables_of(again)
    variables["coherence"] = variables["coherence"]._replace(values=np.full((1, 2, 4), 7.0))
    write(run, again, "third", variables=variables)
    with pytest.raises(RecordsError, match=r"two different results of variant raw/0\.2, seed 1"):
        load(run)


@pytest.mark.parametrize(
    "change",
    [
        lambda variables: variables.pop("reached"),
        lambda variables: variables.update(
            loss=variables["loss"]._replace(values=variables["loss"].values[:, :2])
        ),
    ],
)
def test_a_cell_without_what_the_others_have_is_named_not_filled_with_nan(tmp_path, change):
    write(tmp_path, BLOCKS[0], "cell0")
    variables = variables_of(BLOCKS[1])
    change(variables)
    write(tmp_path, BLOCKS[1], "cell1", variables=variables)
    with pytest.raises(RecordsError, match=r"descent-cell1\.nc has no (reached|loss) of the form"):
        load(tmp_path)


@pytest.mark.parametrize(("call", "nth"), [("fsync", 1), ("replace", 1), ("fsync", 2)])
def test_a_disk_that_fills_up_spoils_nothing_that_is_there(run, finished, monkeypatch, call, nth):
    original, calls = getattr(os, call), itertools.count(1)

    def full(*arguments):
        if next(calls) >= nth:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(*arguments)

    monkeypatch.setattr(os, call, full)
    replicas = replicas_of(("centered", 0.1, 0), ("centered", 0.1, 1), ("centered", 0.1, 7))
    with pytest.raises(RecordsError, match=r"cannot write to .*: No space left on device\.$"):
        write(run, replicas, "cell3")
    monkeypatch.undo()
    assert not list(run.rglob("*.tmp"))
    assert set(mend_ledger(run).good) >= {"cell0", "cell1", "cell2"}
    write(run, replicas, "cell3")
    assert set(read_ledger(run).good) == {"cell0", "cell1", "cell2", "cell3"}
    assert load(run).sizes["variant"] == 4


# --- the same bytes ---------------------------------------------------------------------------

WRITE_ELSEWHERE = """
import sys
from pathlib import Path
import numpy as np
from signdyn.records import Replica, Variable, write_cell
replicas = [Replica(seed, {"arm": "raw", "learning_rate": 0.1}) for seed in (0, 1)]
values = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
variables = {"loss": Variable(("step",), values, "nat", "mean nll")}
write_cell(Path(sys.argv[1]), "descent", "cell", replicas, variables, 0.5)
"""


def test_the_same_numbers_give_the_same_bytes_in_another_process_too(tmp_path):
    for name in ("here", "again", "there"):
        (tmp_path / name).mkdir()
    for name in ("here", "again"):
        replicas = replicas_of(("raw", 0.1, 0), ("raw", 0.1, 1))
        values = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
        variables = {"loss": Variable(("step",), values, "nat", "mean nll")}
        write_cell(tmp_path / name, "descent", "cell", replicas, variables, 0.5)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "77"}
    command = [sys.executable, "-c", WRITE_ELSEWHERE, str(tmp_path / "there")]
    subprocess.run(command, check=True, env=environment)
    assert files(tmp_path / "here") == files(tmp_path / "again") == files(tmp_path / "there")
    assert set(files(tmp_path / "here")) == {"descent-cell.nc", "ledger.jsonl"}


def test_another_number_gives_other_bytes(run, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    variables = variables_of(BLOCKS[0])
    variables["loss"].values[0, 0] = np.nextafter(
        variables["loss"].values[0, 0], np.float32(np.inf)
    )
    write(other, BLOCKS[0], "cell0", variables=variables)
    assert files(other)["descent-cell0.nc"] != files(run)["descent-cell0.nc"]


def test_the_ledger_says_where_each_cell_lies_and_how_long_it_took(run):
    lines = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ["cell0", "cell1", "cell2"]
    assert {line["part"] for line in lines} == {"descent"}
    assert {line["seconds"] for line in lines} == {1.235}
    assert [line["file"] for line in lines] == [f"descent-cell{i}.nc" for i in range(3)]
    assert all(len(line["sha256"]) == 64 for line in lines)


# --- files and JSON ---------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file.json"
    write_bytes(path, b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordsError, match=r"file\.json: No space left on device\.$"):
        write_bytes(path, b"new content")
    assert files(tmp_path) == {"file.json": b"old"}


def test_a_folder_that_was_removed_does_not_come_back_half_empty(tmp_path):
    with pytest.raises(RecordsError, match="No such file or directory"):
        write_bytes(tmp_path / "gone" / "cells" / "a.nc", b"x")
    assert list(tmp_path.iterdir()) == []


def test_json_is_strict_and_keeps_the_order_of_keys(tmp_path):
    path = tmp_path / "a.json"
    content = {
        "z": math.nan,
        "a": [np.float32(0.5), np.int64(3), np.bool_(True), math.inf],
        "m": {"tuple": (1, None), "array": np.array([[1.0, math.nan]])},
    }
    write_json(path, content)
    text = path.read_text()

    def refuse(constant):
        raise AssertionError(constant)

    parsed = json.loads(text, parse_constant=refuse)
    assert parsed == {
        "z": None,
        "a": [0.5, 3, True, None],
        "m": {"tuple": [1, None], "array": [[1.0, None]]},
    }
    assert list(parsed) == ["z", "a", "m"]
    assert text.endswith("}\n")
    assert read_json(path) == parsed


@pytest.mark.parametrize("content", [{"a": object()}, {"a": {1, 2}}, {"a": 1j}, {"a": b"bytes"}])
def test_what_json_has_no_word_for_is_refused_and_nothing_is_written(tmp_path, content):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", content)
    assert files(tmp_path) == {}


def test_floats_survive_json_to_the_last_bit(tmp_path):
    numbers = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0]
    write_json(tmp_path / "a.json", {"numbers": numbers})
    read = read_json(tmp_path / "a.json")["numbers"]
    assert [math.copysign(1, x) for x in read] == [math.copysign(1, x) for x in numbers]
    assert read == numbers


@pytest.mark.parametrize("content", [b"{", b"", b"\xff", b"[1]", b"3", b"null"])
def test_a_damaged_json_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(
        RecordsError, match=r"run\.json (cannot be read as JSON|should hold a JSON)"
    ):
        read_json(path)


def test_ids_depend_on_content_and_not_on_the_order_of_keys():
    one = {"a": 1, "b": [1.5, {"c": "x", "d": None}]}
    same = {"b": (np.float64(1.5), {"d": None, "c": "x"}), "a": np.int32(1)}
    assert content_id(one) == content_id(same)
    assert len(content_id(one)) == 16
    assert int(content_id(one), 16) >= 0
    others = [
        {**one, "a": 2},
        {**one, "e": 0},
        {"a": 1, "b": [{"c": "x", "d": None}, 1.5]},
        {"a": 1},
    ]
    assert len({content_id(other) for other in [one, *others]}) == 5


def test_json_types_are_left_as_they_are():
    content = {"a": [1, 2.5, "x", None, True]}
    assert jsonable(content) == content
    assert jsonable({1: 2}) == {"1": 2}


# --- opening a run ----------------------------------------------------------------------------

CONFIG = {"seeds": 16, "rates": (0.1, 0.2), "target": math.nan}


def test_a_new_run_holds_its_configuration_and_environment(tmp_path):
    open_run(tmp_path / "new", CONFIG, {"device": "cpu"})
    found = read_json(tmp_path / "new" / "run.json")
    config = {"seeds": 16, "rates": [0.1, 0.2], "target": None}
    assert found == {"config": config, "environment": {"device": "cpu"}}
    assert (tmp_path / "new" / "cells").is_dir()


def test_the_same_configuration_may_go_on_in_another_environment(tmp_path):
    (tmp_path / "empty").mkdir()
    open_run(tmp_path / "empty", CONFIG, {"device": "cpu"})
    (tmp_path / "empty" / "ledger.jsonl").write_text("")
    before = files(tmp_path)
    open_run(tmp_path / "empty", {**CONFIG, "rates": [0.1, 0.2]}, {"device": "gpu"})
    assert files(tmp_path) == before


def test_the_environment_on_record_is_that_of_the_cells(tmp_path):
    open_run(tmp_path, CONFIG, {"device": "cpu"})
    open_run(tmp_path, CONFIG, {"device": "gpu"})
    assert read_json(tmp_path / "run.json")["environment"] == {"device": "gpu"}
    (tmp_path / "ledger.jsonl").write_text("")
    open_run(tmp_path, CONFIG, {"device": "tpu"})
    assert read_json(tmp_path / "run.json")["environment"] == {"device": "gpu"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": 8}, ["seeds=16 there, 8 here"]),
        (
            {"seeds": 8, "rates": (0.1,)},
            ["seeds=16 there, 8 here", "rates=[0.1, 0.2] there, [0.1] here"],
        ),
        ({"new": "x"}, ["new=None there, 'x' here"]),
    ],
)
def test_another_configuration_is_refused_by_name_and_nothing_is_changed(tmp_path, changes, words):
    open_run(tmp_path, CONFIG, {"device": "cpu"})
    before = files(tmp_path)
    with pytest.raises(RecordsError, match=r"another configuration.*--out") as caught:
        open_run(tmp_path, {**CONFIG, **changes}, {"device": "cpu"})
    assert all(word in str(caught.value) for word in words)
    assert "target" not in str(caught.value)  # undefined there and here
    assert files(tmp_path) == before


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RecordsError, match=r"not empty and holds no run\.json.*--out"):
        open_run(tmp_path, CONFIG, {})
    assert files(tmp_path) == {"thesis.tex": b"mine"}
    assert not (tmp_path / "cells").exists()


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"config": 3}', b"{}"])
def test_a_folder_whose_run_json_is_no_runs_is_left_alone(tmp_path, content):
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RecordsError, match=r"run\.json|another configuration"):
        open_run(tmp_path, CONFIG, {})
    assert files(tmp_path) == {"run.json": content}


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RecordsError, match=r"file is a file; name another"):
        open_run(tmp_path / "file", CONFIG, {})
    with pytest.raises(RecordsError, match=r"cannot write to .*: Not a directory"):
        open_run(tmp_path / "file" / "below", CONFIG, {})
    assert files(tmp_path) == {"file": b"in the way"}


@pytest.mark.parametrize("leftover", [".run.json.7.tmp", ".lock"])
def test_a_kill_while_run_json_was_written_is_forgotten(tmp_path, leftover):
    (tmp_path / leftover).write_text("half")
    open_run(tmp_path, CONFIG, {})
    assert set(files(tmp_path)) == {"run.json"}


def test_what_kills_left_under_temporary_names_is_removed(tmp_path):
    open_run(tmp_path, CONFIG, {})
    before = files(tmp_path)
    (tmp_path / "figures").mkdir()
    for name in (".run.json.7.tmp", "cells/.a.nc.7.tmp", "figures/.a.svg.7.tmp"):
        (tmp_path / name).write_text("half")
    open_run(tmp_path, CONFIG, {})
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"packages": {"jax": "0.2"}}, r"another JAX \(0\.1 there, 0\.2 here\)"),
        ({"platform": "gpu"}, r"another platform \(cpu there, gpu here\)"),
    ],
)
def test_cells_of_another_jax_or_platform_are_not_mixed_with_new_ones(tmp_path, change, words):
    environment = {"packages": {"jax": "0.1"}, "platform": "cpu", "devices": 2}
    open_run(tmp_path, CONFIG, environment)
    open_run(tmp_path, CONFIG, {**environment, **change})  # there are none yet
    open_run(tmp_path, CONFIG, environment)
    (tmp_path / "ledger.jsonl").write_text("")
    before = files(tmp_path)
    with pytest.raises(RecordsError, match=words):
        open_run(tmp_path, CONFIG, {**environment, **change})
    assert files(tmp_path) == before
    open_run(tmp_path, CONFIG, {**environment, "devices": 1})  # which rounds alike


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_one_sentence(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        for folder in (tmp_path, tmp_path / "below"):
            with pytest.raises(RecordsError, match=r"cannot write to .*: Permission denied"):
                open_run(folder, CONFIG, {})
    finally:
        tmp_path.chmod(stat.S_IRWXU)
