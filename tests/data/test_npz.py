"""npz files: what is accepted arrives unchanged, and all else is one clear sentence."""

import re
import zipfile
from typing import Any

import numpy as np
import pytest

from signdyn.data import load


def arrays(**changes: Any) -> dict[str, Any]:
    """A well-formed data set of 6 training and 3 test examples, three classes, with changes."""
    rng = np.random.default_rng(0)
    good = {
        "x_train": rng.normal(size=(6, 2, 2)),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": rng.normal(size=(3, 2, 2)),
        "y_test": np.array([0, 1, 2]),
    }
    changed = good | changes
    return {key: array for key, array in changed.items() if array is not None}


@pytest.fixture
def save(tmp_path):
    """Return a function that writes arrays to a file and gives the name to load it by."""

    def write(**contents):
        np.savez(tmp_path / "mine.npz", **contents)
        return f"npz:{tmp_path / 'mine.npz'}"

    return write


def with_value(array, index, value):
    changed = np.array(array)
    changed[index] = value
    return changed


def refusal(name):
    """Return the message with which loading fails, after checking that it is one sentence."""
    with pytest.raises(ValueError, match=re.escape(name)) as caught:
        load(name)
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    said = message.removeprefix(f"{name}: ")
    assert "\n" not in said
    assert said.endswith(".")
    assert ". " not in said
    return said


def test_arrays_arrive_flattened_and_otherwise_unchanged(save):
    given = arrays()
    data = load(save(**given))
    np.testing.assert_array_equal(data.x_train, given["x_train"].reshape(6, 4).astype(np.float32))
    np.testing.assert_array_equal(data.x_test, given["x_test"].reshape(3, 4).astype(np.float32))
    np.testing.assert_array_equal(data.y_train, given["y_train"])
    assert (data.num_classes, data.input_shape) == (3, (2, 2))
    assert data.x_train.dtype == np.float32
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    assert data.description == "mine.npz: inputs of shape 2x2, 3 classes (npz file)"


def test_bytes_are_pixels_and_become_zero_to_one(save):
    given = arrays(
        x_train=np.arange(24, dtype=np.uint8).reshape(6, 4) * 11,
        x_test=np.full((3, 4), 255, np.uint8),
    )
    data = load(save(**given))
    np.testing.assert_array_equal(data.x_train, given["x_train"] / np.float32(255))
    np.testing.assert_array_equal(data.x_test, np.ones((3, 4)))


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float16, np.float64])
def test_other_types_are_not_scaled(save, dtype):
    x = np.arange(24).reshape(6, 4).astype(dtype)
    np.testing.assert_array_equal(load(save(**arrays(x_train=x, x_test=x[:3]))).x_train, x)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64, np.float32])
def test_labels_may_have_any_type_that_holds_whole_numbers(save, dtype):
    given = arrays(y_train=np.array([0, 1, 2, 0, 1, 2], dtype))
    np.testing.assert_array_equal(load(save(**given)).y_train, [0, 1, 2, 0, 1, 2])


def test_two_classes_may_be_booleans(save):
    given = arrays(y_train=np.arange(6) % 2 == 1, y_test=np.array([True, False, True]))
    assert load(save(**given)).num_classes == 2


def test_the_fingerprint_is_of_the_content_and_not_of_the_path(save, tmp_path):
    first = load(save(**arrays()))
    np.savez_compressed(tmp_path / "other.npz", **arrays(), extra=np.zeros(2))
    second = load(f"npz:{tmp_path / 'other.npz'}")
    assert first.fingerprint == second.fingerprint
    changed = load(save(**arrays(y_test=np.array([0, 1, 1]))))
    assert changed.fingerprint != first.fingerprint


def test_the_same_numbers_in_another_shape_have_another_fingerprint(save):
    flat = {key: array.reshape(len(array), -1) for key, array in arrays().items() if "x" in key}
    assert load(save(**arrays())).fingerprint != load(save(**arrays(**flat))).fingerprint


def test_a_home_directory_is_expanded(save, tmp_path, monkeypatch):
    save(**arrays())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("npz:~/mine.npz").num_classes == 3


GOOD = arrays()
MALFORMED = {
    "a missing array": ({"y_test": None}, "y_test missing, it holds 'x_train', 'y_train'"),
    "a misspelled array": (
        {"x_train": None, "X_train": GOOD["x_train"]},
        "is 'X_train' meant to be x_train",
    ),
    "NaN": (
        {"x_train": with_value(GOOD["x_train"], (2, 0, 1), np.nan)},
        "x_train holds 1 NaN and 0 infinite values, the first at [2, 0, 1]",
    ),
    "infinity": (
        {"x_test": with_value(GOOD["x_test"], 1, np.inf)},
        "x_test holds 0 NaN and 4 infinite values, the first at [1, 0, 0]",
    ),
    "too large": ({"x_train": with_value(GOOD["x_train"], 0, 1e300)}, "too large for float32"),
    "complex inputs": ({"x_train": GOOD["x_train"] * 1j}, "x_train has dtype complex128"),
    "strings": ({"x_train": np.full((6, 2, 2), "a")}, "x_train has dtype <U1"),
    "objects": ({"x_train": np.full((6, 2, 2), None)}, "pickled Python objects are not"),
    "inputs without features": ({"x_train": np.arange(6.0)}, "x_train has shape (6,)"),
    "a number": ({"x_train": np.array(1.0)}, "x_train has shape ()"),
    "no training examples": ({"x_train": np.zeros((0, 2, 2))}, "x_train is empty"),
    "no features": ({"x_train": np.zeros((6, 0))}, "x_train is empty"),
    "no test examples": ({"x_test": np.zeros((0, 2, 2))}, "x_test is empty"),
    "no labels": ({"y_train": np.zeros(0, int)}, "y_train is empty"),
    "one-hot labels": ({"y_train": np.eye(6)}, "y_train has shape (6, 6)"),
    "string labels": ({"y_train": np.array(list("abcabc"))}, "y_train has dtype <U1"),
    "fractional labels": (
        {"y_train": np.array([0, 1, 0.5, 0, 1, 2])},
        "y_train holds 0.5 at [2]",
    ),
    "NaN labels": ({"y_test": np.array([0, np.nan, 1])}, "y_test holds 1 NaN"),
    "negative labels": (
        {"y_train": np.array([1, -1, 1, -1, 1, 1])},
        "y_train holds the negative label -1 at [1]",
    ),
    "one class": ({"y_train": np.ones(6, int)}, "at least two classes are needed"),
    "labels beyond the examples": (
        {"y_train": np.array([0, 1, 2, 0, 1, 1000])},
        "y_train reaches label 1000 with 6 examples",
    ),
    "an unseen test class": (
        {"y_test": np.array([0, 1, 3])},
        "y_test holds the label 3, but y_train reaches 2 only",
    ),
    "more inputs than labels": (
        {"y_train": np.array([0, 1, 2, 0, 1])},
        "x_train has 6 examples and y_train has 5",
    ),
    "more test labels than inputs": (
        {"y_test": np.array([0, 1, 2, 0])},
        "x_test has 3 examples and y_test has 4",
    ),
    "other test features": (
        {"x_test": np.zeros((3, 4))},
        "shape (2, 2) in x_train and (4,) in x_test",
    ),
    "bytes in one split only": (
        {"x_test": np.zeros((3, 2, 2), np.uint8)},
        "x_train is float64 and x_test is uint8",
    ),
    "constant inputs": ({"x_train": np.ones((6, 2, 2))}, "all examples of x_train are the same"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_refused_in_one_sentence(save, case):
    changes, expected = MALFORMED[case]
    assert expected in refusal(save(**arrays(**changes)))


def test_a_missing_file_is_refused(tmp_path):
    assert "no such file" in refusal(f"npz:{tmp_path / 'absent.npz'}")


def test_a_folder_is_refused(tmp_path):
    assert "a folder" in refusal(f"npz:{tmp_path}")


def test_a_missing_path_is_refused():
    assert "the path is missing" in refusal("npz:")


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    refusal(f"npz:{tmp_path / 'file' / 'mine.npz'}")


def test_a_path_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match=r"npz:a{60}: cannot be read") as caught:
        load("npz:" + "a" * 5000)
    assert len(str(caught.value)) < 200


def test_a_path_that_cannot_be_printed_is_shown_escaped():
    with pytest.raises(ValueError, match=r"^npz:a\\x00\\u202e: there is no such file"):
        load("npz:a\0\u202e")


def test_a_single_array_is_refused(tmp_path):
    np.save(tmp_path / "mine.npy", np.zeros(3))
    assert "not a complete .npz file" in refusal(f"npz:{tmp_path / 'mine.npy'}")


def test_text_is_refused(tmp_path):
    (tmp_path / "mine.npz").write_text("x_train = 1")
    assert "not a complete .npz file" in refusal(f"npz:{tmp_path / 'mine.npz'}")


@pytest.mark.parametrize("kept", [0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(save, tmp_path, kept):
    name, path = save(**arrays()), tmp_path / "mine.npz"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    assert "not a complete .npz file" in refusal(name)


def test_flipped_bytes_are_noticed(save, tmp_path):
    name, path = save(**arrays()), tmp_path / "mine.npz"
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF  # within the data of x_train, guarded by the archive's checksum
    path.write_bytes(content)
    assert "x_train cannot be read" in refusal(name)


def test_an_archive_of_other_files_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as archive:
        for key in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(key, "text")
    assert "x_train is not an array" in refusal(f"npz:{tmp_path / 'mine.npz'}")


def test_an_empty_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.npz", "w"):
        pass
    assert "it is empty" in refusal(f"npz:{tmp_path / 'mine.npz'}")
