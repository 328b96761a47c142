"""Other versions of Python and JAX, and other widths of a block, give the same numbers, nearly."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from scripts.bench import versions

RECORD = Path(__file__).parents[1] / "docs" / "record" / "versions"
FILES = sorted(RECORD.glob("*.json"))

numbers = cache(versions.numbers)


def assert_near(found, expected):
    for name, tolerance in versions.TOLERANCE.items():
        one, other = np.asarray(found[name]), np.asarray(expected[name])
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=tolerance, err_msg=name)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_numbers_are_those_of_another_version(path):
    assert_near(numbers(1), json.loads(path.read_text()))


def test_numbers_are_those_of_another_width():
    assert_near(numbers(8), numbers(1))


def test_the_record_holds_two_versions_of_jax_and_of_python():
    about = [json.loads(path.read_text()) for path in FILES]
    assert len({one["jax"] for one in about}) > 1
    assert len({one["python"].rsplit(".", 1)[0] for one in about}) > 1


def test_a_seed_that_is_another_is_further_away_than_the_tolerance():
    losses = np.asarray(numbers(1)["loss"])
    assert not np.allclose(losses[0], losses[1], rtol=100 * versions.TOLERANCE["loss"])
