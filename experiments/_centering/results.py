"""The record on disk, asked for numbers by activation and arm; arrays are [seed] or [seed, ...]."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import xarray as xr

from experiments._best_rate import at_best_for_others
from experiments._centering.plan import (
    CENTERED,
    DOSE_ACTIVATION,
    DOSES,
    FRACTIONS,
    NORM_ACTIVATION,
    SCALED,
    dosed,
)
from experiments._ladder import Climb, climb
from experiments._path_probe import steps_to_target
from signdyn.analysis.spectrum import conditioning
from signdyn.records import load, read_json
from signdyn.report.formats import Table

RCOND = 1e-6
"""Eigenvalues of the inputs' moments at or below this share of the largest count as zero; none is
on pooled digits, and float32 moments resolve it."""

INPUT_ARMS = ("none", "scaled", "both", "standardized", "whitened")
"""Arms in which the first layer reads something else."""


class Results:
    """The record of a run; parts are read when they are asked for."""

    def __init__(self, folder: Path):
        """Remember the folder; it must hold all cells of the parts that are asked for."""
        config = read_json(folder / "run.json")["config"]
        self.target_loss = float(config["target_loss"])
        self.norms: tuple[str, ...] = tuple(config["norms"])
        self.part = cache(lambda name: load(folder, part=name))
        self.climb = cache(self._climb)

    @property
    def num_seeds(self) -> int:
        """Number of seeds."""
        return self.part("start").sizes["seed"]

    def start(self, name: str, activation: str, arm: str) -> np.ndarray:
        """Return a measurement before the first step, [seed, ...]."""
        rows = self.part("start")
        chosen = (rows.activation == activation) & (rows.arm == arm)
        row = rows[name].isel(variant=chosen.values).squeeze("variant")
        return row.transpose("seed", ...).values.astype(np.float64)

    def at_best(self, name: str, activation: str, arm: str, norm: str = "none") -> np.ndarray:
        """Return a quantity [seed, ...] at the best rate, see `experiments._ladder.Climb`."""
        return self.climb(activation, arm, norm).at_best(name)

    def best_rate(self, activation: str, arm: str) -> np.ndarray:
        """Return [seed] the rate that is best for the other seeds; NaN if it lies on an edge."""
        steps = self.climb(activation, arm).steps
        rates = np.broadcast_to(self.climb(activation, arm).rates[:, None], steps.shape)
        return at_best_for_others(rates, steps, np.ones(steps.shape, bool))

    def _climb(self, activation: str, arm: str, norm: str = "none") -> Climb:
        rows = self.part("race" if norm == "none" else "norms")
        own = rows.activation == activation if norm == "none" else rows.norm == norm
        rows = rows.isel(variant=((rows.arm == arm) & own).values)
        return climb(rows, self._steps, "rate")

    def _steps(self, rows: xr.Dataset) -> np.ndarray:
        losses = rows.train_loss.transpose("variant", "seed", "record").values
        return steps_to_target(losses, self.target_loss, 1)


def doses(family: str) -> tuple[np.ndarray, list[str]]:
    """Return ascending doses, from 0, and their arms; ``family`` is offset or fraction.

    Example:
        >>> doses("fraction")[1]
        ['both', 'fraction 0.25', 'fraction 0.5', 'hidden']
    """
    if family == "fraction":
        return np.array([0.0, *FRACTIONS, 1.0]), ["both", *map(dosed(family), FRACTIONS), "hidden"]
    rising = [dose for dose in DOSES if dose > 0.0]
    return np.array([0.0, *rising]), ["both", *map(dosed(family), rising)]


def of_doses(results: Results, family: str, name: str) -> np.ndarray:
    """Return [seed, dose] a quantity at the best rates, those, or ``lambda_max`` at the start."""

    def column(arm: str) -> np.ndarray:
        if name == "lambda_max":
            return results.start(name, DOSE_ACTIVATION, arm)
        if name == "best_rate":
            return results.best_rate(DOSE_ACTIVATION, arm)
        return results.at_best(name, DOSE_ACTIVATION, arm)

    return np.stack([column(arm) for arm in doses(family)[1]], axis=1)


def input_eigenvalues(results: Results, arm: str) -> np.ndarray:
    """Return [seed, eigenvalue], descending, of E[(h, 1)(h, 1)^T] of the first layer's inputs."""
    moments = results.start("input_moment", NORM_ACTIVATION, arm)
    return np.linalg.eigvalsh(moments)[:, ::-1]


def condition_numbers(results: Results, arm: str) -> np.ndarray:
    """Return [seed] the condition numbers of `input_eigenvalues`."""
    rows = jnp.asarray(input_eigenvalues(results, arm))
    return np.array([conditioning(row, rcond=RCOND).condition_number for row in rows], float)


def inputs_table(results: Results) -> Table:
    """Return what becomes of the inputs' spectrum and of the race; medians over seeds."""
    columns = ("lambda_max", "condition_number", "trace_over_lambda_max", "effective_rank")
    rows = []
    for arm in INPUT_ARMS:
        spectrum = jnp.asarray(np.median(input_eigenvalues(results, arm), axis=0))
        whole = conditioning(spectrum, rcond=RCOND)
        numbers = [float(getattr(whole, column)) for column in columns]
        fisher = _median(results.start("lambda_max", NORM_ACTIVATION, arm))
        steps = _median(results.at_best("steps", NORM_ACTIVATION, arm))
        rows.append((arm, *numbers, fisher, steps))
    return Table(("inputs", *columns, "network_lambda_max", "steps"), rows)


def arms_table(results: Results, activations: Sequence[str]) -> Table:
    """Return one row an activation and arm of `CENTERED` or `SCALED`; medians over seeds."""
    names = ("steps", "learning_rate", "tortuosity")
    rows = []
    for activation in activations:
        more = SCALED if activation == NORM_ACTIVATION else {}
        for arm in (*CENTERED, *more):
            start = _median(results.start("lambda_max", activation, arm))
            best = [results.at_best(name, activation, arm) for name in names]
            rows.append((activation, arm, start, *map(_median, best)))
    return Table(("activation", "arm", "lambda_max", *names), rows)


def _median(values: np.ndarray) -> float:
    """Return the median of the seeds that are known; NaN if none is."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
