"""Digits: the same bits everywhere, a true split, and a preparation that survives anything."""

import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from signdyn.data import digits, load, preparing

FILES = Path("digits") / "1.0.0"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A data folder in which digits are prepared."""
    folder = tmp_path_factory.mktemp("data")
    load("digits", data_dir=folder)
    return folder


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def run_python(code, *args):
    """Start a Python process that runs ``code`` with ``args`` in ``sys.argv[1:]``."""
    return subprocess.Popen([sys.executable, "-c", code, *map(str, args)])


def test_shapes_types_and_classes_are_as_described(prepared):
    data = load("digits", data_dir=prepared)
    assert (data.x_train.shape, data.x_test.shape) == ((1437, 64), (360, 64))
    assert (data.y_train.shape, data.y_test.shape) == ((1437,), (360,))
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    assert (data.num_classes, data.input_shape) == (10, (8, 8))
    assert "\n" not in data.description


def test_pixels_are_sixteenths_from_zero_to_one(prepared):
    data = load("digits", data_dir=prepared)
    levels = np.unique(np.concatenate([data.x_train, data.x_test]) * 16)
    np.testing.assert_array_equal(levels, np.arange(17))


def test_the_test_split_holds_each_class_equally_often(prepared):
    data = load("digits", data_dir=prepared)
    np.testing.assert_array_equal(np.bincount(data.y_test), np.full(10, 36))


@pytest.mark.parametrize("num_train", [10, 512, 1380])
def test_the_first_training_examples_are_balanced(prepared, num_train):
    counts = np.bincount(load("digits", data_dir=prepared, num_train=num_train).y_train)
    assert counts.max() - counts.min() <= 1


def test_the_splits_partition_the_images_of_scikit_learn(prepared):
    # The public function, which the builder does not call because its import takes seconds.
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    data = load("digits", data_dir=prepared)
    x = np.concatenate([data.x_train, data.x_test]) * 16
    y = np.concatenate([data.y_train, data.y_test])
    ours = np.column_stack([x, y])
    theirs = np.column_stack([pixels, labels])
    assert len(np.unique(theirs, axis=0)) == len(theirs) == 1797
    np.testing.assert_array_equal(np.unique(ours, axis=0), np.unique(theirs, axis=0))


def test_two_preparations_give_the_same_bits(prepared, tmp_path):
    first, second = load("digits", data_dir=prepared), load("digits", data_dir=tmp_path)
    assert first.x_train.tobytes() == second.x_train.tobytes()
    assert first.fingerprint == second.fingerprint


def test_a_second_load_prepares_nothing(prepared, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in sorted(prepared.rglob("*"))}
    monkeypatch.setattr(digits, "_prepare", lambda root: pytest.fail("prepared again"))
    load("digits", data_dir=prepared)
    assert before == {path: path.stat().st_mtime_ns for path in sorted(prepared.rglob("*"))}


def test_preparing_needs_no_network_and_prints_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("went to the network"))
    load("digits", data_dir=tmp_path)
    assert capfd.readouterr() == ("", "")


def test_preparing_leaves_nothing_but_the_prepared_files(prepared):
    assert names_in(prepared) == ["digits"]
    assert names_in(prepared / "digits") == ["1.0.0"]


def test_two_processes_that_finish_preparing_at_once_both_load(prepared, tmp_path):
    code = """
import pathlib, sys, time
from signdyn.data import load, preparing
root, mine, other = map(pathlib.Path, sys.argv[1:4])
flush = preparing.flush_to_disk
def meet(folder):
    flush(folder)
    mine.touch()
    while not other.exists():
        time.sleep(0.01)
preparing.flush_to_disk = meet
load("digits", data_dir=root)
"""
    root, one, two = (tmp_path / name for name in ("root", "one", "two"))
    processes = [run_python(code, root, one, two), run_python(code, root, two, one)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert names_in(root) == ["digits"]
    assert load("digits", data_dir=root).fingerprint == digits.FINGERPRINT


def test_a_preparation_that_was_killed_does_not_poison_the_next(tmp_path):
    code = """
import os, signal, sys
from signdyn.data import load, preparing
preparing.flush_to_disk = lambda folder: os.kill(os.getpid(), signal.SIGKILL)
load("digits", data_dir=sys.argv[1])
"""
    assert run_python(code, tmp_path).wait(timeout=120) == -signal.SIGKILL
    assert not (tmp_path / FILES).exists()
    assert load("digits", data_dir=tmp_path).fingerprint == digits.FINGERPRINT


def test_an_interrupted_preparation_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(preparing, "flush_to_disk", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load("digits", data_dir=tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [Path.unlink, halve])
@pytest.mark.parametrize("pattern", ["*train*", "dataset_info.json"])
def test_damaged_files_are_prepared_again(tmp_path, prepared, pattern, damage):
    shutil.copytree(prepared / FILES, tmp_path / FILES)
    for path in (tmp_path / FILES).glob(pattern):
        damage(path)
    assert load("digits", data_dir=tmp_path).fingerprint == digits.FINGERPRINT
    assert names_in(tmp_path) == ["digits"]


def test_other_digits_than_the_known_ones_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(digits, "FINGERPRINT", "0" * 64)
    with pytest.raises(ValueError, match="not the known data set"):
        load("digits", data_dir=tmp_path)


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("a file, so that nothing can be made in it")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("SIGNDYN_DATA_DIR", raising=False)
    with pytest.raises(ValueError, match="set SIGNDYN_DATA_DIR to a folder") as caught:
        load("digits")
    assert str(tmp_path / "home") in str(caught.value)


def test_the_data_folder_is_the_variable_else_the_cache_else_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SIGNDYN_DATA_DIR", "~/data")
    assert digits.default_data_dir() == tmp_path / "data"
    monkeypatch.setenv("SIGNDYN_DATA_DIR", "")
    assert digits.default_data_dir() == tmp_path / "cache" / "signdyn"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert digits.default_data_dir() == tmp_path / ".cache" / "signdyn"


def test_an_explicit_folder_needs_no_home(prepared, monkeypatch):
    monkeypatch.setenv("HOME", "/dev/null")
    assert load("digits", data_dir=str(prepared)).fingerprint == digits.FINGERPRINT
