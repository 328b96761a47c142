"""Data that cannot be trained on: told in one sentence, before anything is traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.data.check import check_data
from signdyn.data.toys import load_toy

GOOD = load_toy("xor", noise=0.1, seed=0)


def broken(name: str, value: object, place: tuple[int, ...]) -> np.ndarray:
    array = getattr(GOOD, name).copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x_train": broken("x_train", np.nan, (7, 1))}, r"x_train, got nan at \[7, 1\]"),
        ({"x_test": broken("x_test", -np.inf, (0, 0))}, r"x_test, got -inf at \[0, 0\]"),
        ({"x_train": GOOD.x_train.astype(int)}, "floats in x_train, got int64; convert"),
        ({"x_train": GOOD.x_train.astype(bool)}, "floats in x_train, got bool"),
        ({"x_train": abs(GOOD.x_train).astype(np.uint8)}, "or in neither, got uint8 and float32"),
        ({"x_train": GOOD.x_train.astype(str)}, "floats in x_train, got <U"),
        ({"x_train": GOOD.x_train.astype(object)}, "floats in x_train, got object"),
        ({"x_train": GOOD.x_train.tolist()}, "x_train to be an array, got a list"),
        ({"x_train": GOOD.x_train[:0], "y_train": GOOD.y_train[:0]}, "x_train, got none"),
        ({"x_test": GOOD.x_test[:0], "y_test": GOOD.y_test[:0]}, "x_test, got none"),
        ({"x_train": GOOD.x_train[:, :0]}, "features in x_train, got none"),
        ({"x_train": GOOD.x_train[:, :1]}, r"the same features.*\(250, 1\).*\(250, 2\)"),
        ({"x_train": GOOD.x_train[None]}, r"flatten inputs"),
        ({"x_train": GOOD.x_train[:-1]}, r"a label for every example.*\(249, 2\).*\(250,\)"),
        ({"y_train": broken("y_train", 2, (3,))}, "from 0 to num_classes - 1 = 1, got 2 in y_tr"),
        ({"y_test": broken("y_test", -1, (3,))}, "got -1 in y_test"),
        ({"y_train": GOOD.y_train.astype(str)}, "integers or floats in y_train, got <U"),
        ({"y_train": np.where(GOOD.y_train, np.nan, 0.0)}, "finite numbers in y_train, got nan"),
        ({"y_train": GOOD.y_train[0]}, "a label for every example"),
        ({"num_classes": 2.0}, "an integer num_classes.*got num_classes=2.0 in a Dataset"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(changes, said):
    with pytest.raises(ValueError, match=rf"^f: [^\n]*{said}[^\n]*\.$"):
        check_data("f", GOOD._replace(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_classes": np.int64(7)},
        {"x_train": np.uint8(abs(GOOD.x_train)), "x_test": np.uint8(abs(GOOD.x_test))},  # pixels
        {"x_train": jnp.asarray(GOOD.x_train, jnp.bfloat16)},
        {"x_train": np.zeros_like(GOOD.x_train)},  # features that do not vary
        {"y_train": np.zeros_like(GOOD.y_train)},  # one class
        {"y_train": np.float32(GOOD.y_train[:, None])},
        {"x_train": np.full_like(GOOD.x_train, np.finfo(np.float32).max)},  # finite, its sum too
        {"x_train": np.full((250, 2), np.finfo(np.float64).max)},  # its sum is not
    ],
)
def test_what_has_a_loss_is_accepted(changes):
    check_data("f", GOOD._replace(**changes))


def test_data_without_arrays_are_refused():
    with pytest.raises(ValueError, match="num_classes=None in a dict"):
        check_data("f", {"x_train": GOOD.x_train})


def test_traced_data_are_checked_by_shape_alone():
    @jax.jit
    def total(x):
        check_data("f", GOOD._replace(x_train=x))
        return x.sum()

    total(GOOD.x_train)
    with pytest.raises(ValueError, match="flatten inputs"):
        total(GOOD.x_train[None])
