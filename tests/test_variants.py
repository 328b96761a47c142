"""A variant is picked by its labels, and the message helps where they do not fit."""

import numpy as np
import pytest
import xarray as xr

from signdyn.files import RecordsError
from signdyn.variants import select

ARMS, RATES = ("raw", "raw", "centered", "centered"), (0.1, 0.5, 0.1, 0.5)
RESULTS = xr.Dataset(
    {"loss": (("variant", "seed"), np.arange(8.0).reshape(4, 2), {"units": "nat"})},
    {
        "variant": [f"{arm}/{rate}" for arm, rate in zip(ARMS, RATES, strict=True)],
        "arm": ("variant", list(ARMS)),
        "rate": ("variant", list(RATES)),
        "optimizer": ("variant", ["sgd"] * 4),
        "seed": [3, 4],
    },
)


@pytest.mark.parametrize("place", range(4))
def test_the_variant_is_the_one_with_the_labels(place):
    found = select(RESULTS, arm=ARMS[place], rate=RATES[place])
    assert found.loss.dims == ("seed",)
    assert found.loss.attrs == {"units": "nat"}
    np.testing.assert_array_equal(found.loss, [2 * place, 2 * place + 1])
    np.testing.assert_array_equal(found.seed, [3, 4])


def test_one_variant_needs_no_labels():
    only = RESULTS.isel(variant=[2])
    assert select(only).identical(only.squeeze("variant"))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"arms": "raw"}, "no label is called 'arms'; there are variant, arm, rate, optimizer"),
        ({"arm": "flipped"}, "no variant has arm='flipped'; it may be centered, raw"),
        ({"arm": "raw", "rate": 1.0}, "no variant of those has rate=1.0; it may be 0.1, 0.5"),
        ({"arm": "raw"}, r"2 variants have these labels; choose by rate \(0.1, 0.5\) too"),
        ({}, r"4 variants .*; choose by arm \(centered, raw\) and rate"),
    ],
)
def test_labels_that_do_not_fit_are_told_with_what_would(labels, message):
    with pytest.raises(RecordsError, match=message):
        select(RESULTS, **labels)
