"""What the record on disk says; claims, tables and figures are made from this alone."""

from pathlib import Path

import numpy as np
import xarray as xr

from experiments._fisher_spectrum.plan import DOSES
from experiments._fisher_spectrum.random_networks import prediction
from signdyn.analysis.theory import MeanFieldFisher
from signdyn.records import load
from signdyn.report.formats import Table

WIDTH_ARMS = ("raw", "centered")
"""Along the dimension ``arm`` of the random networks' record."""


class Results:
    """The record of a run: random networks by setting and width, digits' networks by arm."""

    def __init__(self, folder: Path):
        """Load both parts; raises `RecordsError` if one is unfinished or damaged."""
        self._width = load(folder, part="width")
        self._digits = load(folder, part="digits")

    @property
    def widths(self) -> np.ndarray:
        """The widths of the random networks, ascending."""
        return np.unique(self._width.width.values)

    @property
    def activations(self) -> list[str]:
        """The activations of the digits' networks."""
        return list(dict.fromkeys(self._digits.activation.values.tolist()))

    def random(
        self, setting: str, name: str, arm: str = "raw", *, draws: str = "first"
    ) -> np.ndarray:
        """Return a statistic of the random networks of one setting, [seed, width]."""
        rows = self._width
        rows = rows.isel(variant=(rows.setting == setting) & (rows.draws == draws)).sortby("width")
        values = rows[name].transpose("seed", "variant", ...)
        return (values.isel(arm=WIDTH_ARMS.index(arm)) if "arm" in values.dims else values).values

    def digits(self, activation: str, arm: str, dose: float = 0.0) -> xr.Dataset:
        """Return one variant of the digits' networks, with dims (seed, ...)."""
        rows = self._digits
        chosen = (rows.activation == activation) & (rows.arm == arm) & (rows.dose == dose)
        return rows.isel(variant=chosen).squeeze("variant").transpose("seed", ...)

    def doses(self, activation: str, name: str) -> np.ndarray:
        """Return a statistic [seed, dose, ...] of no offset, and of every one in `DOSES`."""
        rows = [self.digits(activation, "centered")]
        rows += [self.digits(activation, "offset", dose) for dose in DOSES]
        return np.stack([row[name].values for row in rows], axis=1)


def theory(setting: str, widths: np.ndarray) -> list[MeanFieldFisher]:
    """Return what mean-field theory says of the raw networks, one a width."""
    return [prediction(setting, int(width)) for width in widths]


def slopes(widths: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return [seed] the slope of log value over log width, by least squares.

    Example:
        >>> slopes(np.array([1, 2, 4]), np.array([[3.0, 12.0, 48.0]])).round(12)
        array([2.])
    """
    x = np.log(widths) - np.log(widths).mean()
    return np.log(values) @ x / (x @ x)


def parabola_misfit(doses: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return [seed] the largest relative residual of a + b dose^2, fitted to relative errors.

    Args:
        doses: [dose].
        values: [seed, dose], positive.

    Example:
        >>> doses = np.array([0.5, 1.0, 2.0])
        >>> parabola_misfit(doses, 3.0 + 2.0 * doses[None] ** 2).round(9)
        array([0.])
    """
    worst = []
    for row in values:
        design = np.stack([np.ones_like(doses), doses**2], axis=1) / row[:, None]
        fit, *_ = np.linalg.lstsq(design, np.ones(len(doses)), rcond=None)
        worst.append(np.abs(design @ fit - 1.0).max())
    return np.array(worst)


def spectrum_table(results: Results) -> Table:
    """Return one row an arm of the digits' networks: medians over seeds."""
    names = ("lambda_max", "condition_number", "rank", "effective_rank")
    rows = []
    for activation in results.activations:
        for arm in ("raw", "flipped", "centered"):
            row = results.digits(activation, arm)
            rows.append((activation, arm, *(float(row[name].median()) for name in names)))
    return Table(("activation", "arm", *names), rows)


def width_table(results: Results) -> Table:
    """Return one row a setting and width: geometric means over seeds beside the prediction."""
    rows = []
    for setting in dict.fromkeys(results._width.setting.values.tolist()):
        arms = [results.random(setting, "lambda_max", arm) for arm in WIDTH_ARMS]
        means = [np.exp(np.log(values).mean(axis=0)) for values in arms]
        predicted = theory(setting, results.widths)
        for place, width in enumerate(results.widths):
            own = [float(mean[place]) for mean in means]
            rows.append((setting, int(width), *own, predicted[place].lambda_max))
    return Table(("setting", "width", "raw", "centered", "mean_field_raw"), rows)
