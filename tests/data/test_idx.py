"""The idx format: round trips, and whatever is not it is told."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from signdyn.data.idx import idx_bytes, parse_idx, unpacked


@given(arrays(np.uint8, array_shapes(max_dims=4, max_side=4)))
def test_an_array_comes_back(array):
    found = parse_idx(idx_bytes(array))
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


@given(arrays(np.uint8, (3, 2, 2)))
def test_packed_or_not_is_the_same(array):
    content = idx_bytes(array)
    assert unpacked(gzip.compress(content)) == unpacked(content) == content


GOOD = idx_bytes(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no idx file of unsigned bytes"),
        (b"\0\0", "no idx file of unsigned bytes"),
        (b"<html>not found</html>", "no idx file of unsigned bytes"),
        (GOOD[:2] + b"\x0d" + GOOD[3:], "no idx file of unsigned bytes"),  # floats
        (GOOD[:7], "no idx file of unsigned bytes"),
        (GOOD[:-1], r"says 6 bytes of shape \(2, 3\), but it holds 5"),
        (GOOD + b"\0", "but it holds 7"),
    ],
)
def test_what_is_no_idx_file_is_told(content, said):
    with pytest.raises(ValueError, match=said):
        parse_idx(content)


@pytest.mark.parametrize("spoil", [lambda b: b[:-9], lambda b: b[:12], lambda b: b[:20] + b"x" * 9])
def test_a_damaged_gzip_file_is_told(spoil):
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpacked(spoil(gzip.compress(GOOD * 99)))
