"""The values of seeds as text that can be read, by people and by the page's script."""

import re

import pytest

from signdyn.report.seeds import seed_values


def text(values, num_seeds=None, **changes):
    finding = {"values": values, "low": 1.0, "high": 3.0, "effect": 2.0, "bounds": [None, 1.5]}
    return str(seed_values({**finding, "kind": "mean", **changes}, num_seeds))


def shown(page: str) -> list[str]:
    return re.findall(r">([^<]*)<", page)[0].split()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.5, None, 4.25], ["3.5", "undefined", "4.25"]),
        ([1.0, 1.0 + 1e-9, 1.0 - 1e-9], ["1", "1.000000001", "0.999999999"]),
        ([0.0, float("inf"), -2e-9], ["0", "inf", "-2e-9"]),
        ([1e300, -1e300], ["1e300", "-1e300"]),
    ],
)
def test_every_seed_is_written_with_the_digits_that_tell_it_from_others(values, expected):
    assert shown(text(values)) == expected


def test_seeds_that_agree_are_said_to_and_seeds_that_nearly_do_are_not():
    assert text([1.0] * 16) == "1 in every one of 16"
    assert len(shown(text([1.0] * 15 + [1.0 + 1e-15]))) == 16


def test_values_are_called_seeds_only_if_there_is_one_for_each_seed_of_the_run():
    assert "data-seeds" in text([1.0, 2.0], num_seeds=2)
    assert "data-seeds" not in text([1.0, 2.0], num_seeds=3)
    assert "data-seeds" not in text([1.0, 2.0])


def test_the_script_is_told_interval_and_bounds():
    page = text([1.0, 2.0])
    assert 'data-interval="1 2 3"' in page
    assert 'data-bounds="nan 1.5"' in page
    assert "data-bounds" not in text([1.0, 2.0], bounds=[None, None])
    assert text([]) == ""
    assert "and 44 more in claims.json" in text([float(n) for n in range(300)])
