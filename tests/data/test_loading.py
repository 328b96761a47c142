"""load: names, arguments, and what importing costs."""

import subprocess
import sys

import numpy as np
import pytest

from signdyn.data import DATASETS, load


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("digit", "digits"),
        ("digits:8", "digits"),
        ("spirals", "spiral"),
        ("npz", "npz:<path>"),
        ("mine.npz", "npz:mine.npz"),
    ],
)
def test_an_unknown_name_lists_all_and_suggests_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'") as caught:
        load(name)
    assert all(known in str(caught.value) for known in DATASETS)


def test_a_name_like_no_other_lists_all_without_a_guess():
    with pytest.raises(ValueError, match="no data set is called 'qqq'; known are digits, fash"):
        load("qqq")


def test_num_train_keeps_the_first_examples_and_the_whole_test_split():
    whole, part = load("circle"), load("circle", num_train=7)
    np.testing.assert_array_equal(part.x_train, whole.x_train[:7])
    np.testing.assert_array_equal(part.y_train, whole.y_train[:7])
    np.testing.assert_array_equal(part.x_test, whole.x_test)
    assert load("circle", num_train=250).fingerprint == whole.fingerprint


@pytest.mark.parametrize("num_train", [0, -1, 251])
def test_num_train_out_of_range_is_refused_with_the_range(num_train):
    with pytest.raises(ValueError, match="num_train from 1 to 250"):
        load("circle", num_train=num_train)


@pytest.mark.parametrize("options", [{"noise": 0.1}, {"seed": 0}])
def test_options_of_the_toys_are_refused_elsewhere(options):
    with pytest.raises(ValueError, match="noise and seed are for two_gaussians, xor"):
        load("digits", **options)


def test_the_table_of_data_sets_is_read_only():
    with pytest.raises(TypeError):
        DATASETS["mine"] = DATASETS["digits"]  # pyrefly: ignore


def test_importing_loads_neither_tfds_nor_scikit_learn():
    code = (
        "import sys, signdyn.data; "
        "assert not {'tensorflow_datasets', 'sklearn', 'tensorflow'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
