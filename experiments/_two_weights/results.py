"""What the record on disk says; claims and the figure are made from this alone."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from experiments._best_rate import at_best_for_others, best_rate
from signdyn.records import load
from signdyn.report.formats import Table

PARTS = ("gradient", "single", "natural")


class Results:
    """The record of a run, by method, arm and rate."""

    def __init__(self, folder: Path):
        """Load every part; raises `RecordsError` if one is unfinished or damaged."""
        self._parts = {part: load(folder, part=part) for part in PARTS}

    def ladder(self, arm: str) -> xr.Dataset:
        """Return an arm's gradient descents, along ``variant`` by ascending rate."""
        rows = self._parts["gradient"]
        return rows.isel(variant=rows.arm == arm).sortby("rate").transpose("variant", "seed", ...)

    def variants(self, part: str, arm: str) -> Iterator[tuple[float, xr.Dataset]]:
        """Yield an arm's rates, ascending, with their rows."""
        rows = self._parts[part]
        for rate in np.sort(rows.rate.values[rows.arm.values == arm]):
            yield float(rate), self.rows(part, arm, rate)

    def rows(self, part: str, arm: str, rate: float | None = None) -> xr.Dataset:
        """Return one variant, with dims (seed, ...); a part with one rate needs none."""
        rows = self._parts[part]
        chosen = (rows.arm == arm) & (True if rate is None else rows.rate == rate)
        return rows.isel(variant=chosen).squeeze("variant").transpose("seed", ...)

    def best_rate(self, arm: str) -> float:
        """Return the rate with the fewest steps at the median seed.

        NaN if no rate arrives, or if the best lies on an edge of the ladder.
        """
        rows = self.ladder(arm)
        best = best_rate(rows.steps_to_target.values)
        if best in (None, 0, rows.sizes["variant"] - 1):
            return float("nan")
        return float(rows.rate.values[best])

    def at_best(self, arm: str, name: str) -> np.ndarray:
        """Return a quantity [seed] at the rate that is best for the *other* seeds.

        NaN where that does not arrive, and throughout if the best lies on the ladder's edge.
        """
        rows = self.ladder(arm)
        return at_best_for_others(rows[name].values, rows.steps_to_target.values)


def outputs_along(rows: xr.Dataset, data: xr.Dataset) -> np.ndarray:
    """Return the logits [seed, step, example] of every set of weights on a path.

    Args:
        rows: One variant, from :meth:`Results.rows`.
        data: The natural gradient's variant of the same arm, which holds the inputs.
    """
    inputs = data.inputs.transpose("seed", "example", "weight").values
    return np.einsum("snw,stw->stn", inputs, rows.weights.transpose("seed", "step", ...).values)


def descents_table(results: Results) -> Table:
    """Return one row a descent of all examples: medians, along paths over seeds that arrived."""
    always = ("learning_rate", "condition_number")
    arrived = ("steps_to_target", "reversal_fraction", "turning_cosine", "tortuosity")
    arrived += ("batches_of_one_sign",)
    rows = []
    for part, arm in (("gradient", "raw"), ("gradient", "centered"), ("natural", "raw")):
        for rate, row in results.variants(part, arm):
            there = np.isfinite(row.steps_to_target.values)
            medians = [float(row[name].median()) for name in always]
            medians += [float(row[name][there].median()) for name in arrived]
            rows.append((part, arm, rate, float(there.mean()), *medians))
    return Table(("method", "arm", "rate", "share_that_arrives", *always, *arrived), rows)
