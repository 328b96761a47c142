"""One variant of a run's results, by its labels.

May import: files.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from signdyn.files import RecordsError


def select(results: xr.Dataset, **labels: str | float) -> xr.Dataset:
    """Return the one variant that has these labels, with dims (seed, ...).

    Args:
        results: From `signdyn.records.load`.
        labels: Coordinates along ``variant`` and their values, as many as it takes.

    Raises:
        RecordsError: If there is no such label, or not exactly one such variant; the message has
            the values there are, or the labels that tell the variants apart.

    Example:
        >>> results = xr.Dataset(
        ...     {"loss": (("variant", "seed"), [[1.0, 2.0], [3.0, 4.0]])},
        ...     {"arm": ("variant", ["raw", "centered"])},
        ... )
        >>> select(results, arm="centered").loss.values
        array([3., 4.])
    """
    known = [name for name, one in results.coords.items() if one.dims == ("variant",)]
    unknown = [name for name in labels if name not in known]
    if unknown:
        raise RecordsError(f"select: no label is called {unknown[0]!r}; there are {_told(known)}.")
    chosen = np.full(results.sizes["variant"], True)
    for name, value in labels.items():
        there = results[name].values
        before, chosen = chosen, chosen & (there == value)
        if not chosen.any():
            raise RecordsError(
                f"select: no variant{' of those' if not before.all() else ''} has "
                f"{name}={value!r}; it may be {_told(np.unique(there[before]).tolist())}."
            )
    rows = results.isel(variant=chosen)
    if rows.sizes["variant"] > 1:
        apart = [
            f"{name} ({_told(values)})"
            for name in known
            if name != "variant" and len(values := np.unique(rows[name].values).tolist()) > 1
        ]
        raise RecordsError(
            f"select: {rows.sizes['variant']} variants have these labels; choose by "
            f"{' and '.join(apart)} too."
        )
    return rows.squeeze("variant")


def _told(values: Sequence[Any]) -> str:
    return ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
