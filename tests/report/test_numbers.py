"""Numbers with the digits that their interval supports."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signdyn.report.numbers import format_interval, format_number, format_p

finite = st.floats(-1e12, 1e12, allow_nan=False).filter(lambda x: x == 0 or abs(x) > 1e-12)


@given(finite)
def test_a_number_reads_back_to_its_four_digits(value):
    assert float(format_number(value)) == pytest.approx(value, rel=5.1e-4, abs=0)


@given(finite, st.floats(1e-9, 1e9), st.floats(1e-9, 1e9))
def test_an_interval_reads_back_to_a_tenth_of_its_width(effect, below, above):
    low, high = effect - below, effect + above
    if not low < high:
        return
    text = format_interval(effect, low, high)
    numbers = [float(part) for part in re.findall(r"-?[\d.]+(?:e-?\d+)?", text)]
    slack = 0.051 * (high - low) + 1e-12 * abs(effect)
    for shown, true in zip(numbers, (effect, low, high), strict=True):
        assert abs(shown - true) <= slack


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.0, 0.0, 0.0), "0 (exact)"),
        ((-0.0, 0.0, 0.0), "0 (exact)"),
        ((1.0, 1.0, 1.0), "1 [1, 1]"),
        ((0.0, -0.21, 0.13), "0.00 [-0.21, 0.13]"),
        ((1234.0, 1100.0, 1350.0), "1230 [1100, 1350]"),
        ((2e-7, 1e-7, 3.5e-7), "2.0e-7 [1.0e-7, 3.5e-7]"),
        ((math.nan, 0.0, 1.0), "undefined"),
        ((None, None, None), "undefined"),
        ((0.0, math.nan, math.nan), "0 [undefined]"),
        ((1.0, 0.5, math.inf), "1 [0.5, inf]"),
    ],
)
def test_an_interval_is_written_as(numbers, text):
    assert format_interval(*numbers) == text


def test_zero_is_exact_only_with_an_interval_that_is_zero():
    assert "exact" not in format_interval(0.0, -1e-300, 1e-300)
    assert "exact" not in format_interval(0.0, None, None)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0499, "0.05"), (0.00096, "9.6e-4"), (0.001, "0.001"), (0.0, "0"), (math.nan, "-")],
)
def test_a_p_value_is_written_as(p, text):
    assert format_p(p) == text
