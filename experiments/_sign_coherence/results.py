"""What the record on disk says; claims and figures are made from this alone."""

import numpy as np
import xarray as xr

from experiments._data import spoken_name
from experiments._sign_coherence.convolution import num_positions
from experiments._sign_coherence.features import Point, cosine, moments
from experiments._sign_coherence.plan import NORMAL_MEAN, Plan
from experiments._sign_coherence.readings import doublings
from experiments._sign_coherence.training import recorded_steps
from signdyn.analysis import theory
from signdyn.records import load


class Results:
    """The record of a run; numbers are [seed, ...] in the order of every part's seeds.

    Attributes:
        dataset: Name of the data set, as --dataset has it.
        sizes: Of the batches of drawn features and of networks before their first step.
        batch_size: Of the minibatches in training.
        steps: Before which networks in training were read.
        positions: Numbers of positions that convolutions were summed over.
    """

    def __init__(self, plan: Plan):
        """Load every part; raises `RecordsError` if one is unfinished or damaged."""
        names = ("features", "start", "training", "convolution")
        self._parts = {name: load(plan.session.folder, part=name) for name in names}
        self.dataset = plan.config.dataset
        self.sizes = np.array(doublings(plan.config.num_train))
        self.batch_size = plan.config.batch_size
        self.steps = np.array(recorded_steps(plan.config.steps))
        self.positions = np.array(num_positions(plan.data))

    @property
    def data_name(self) -> str:
        """Name of the data set."""
        return spoken_name(self.dataset)

    @property
    def examples(self) -> str:
        """What its examples are called."""
        return "digits" if self.dataset == "digits" else f"examples of {self.data_name}"

    @property
    def num_seeds(self) -> int:
        """Number of seeds."""
        return self._parts["start"].sizes["seed"]

    def features(self, name: str, family: str, **more: float) -> np.ndarray:
        """Return a share [seed, batch size, ...] of drawn features; ``more`` as in `Point`."""
        rows = self._parts["features"]
        chosen = rows.family.values == family
        for key, default in Point._field_defaults.items():
            chosen &= np.isclose(rows[key].values, more.get(key, default), rtol=1e-6)
        return _only(rows, chosen, name)

    def start(self, name: str, activation: str, arm: str = "raw") -> np.ndarray:
        """Return a number [seed, ...] of a network before its first step."""
        return self._of_network("start", name, activation, arm)

    def training(self, name: str, activation: str, arm: str = "full") -> np.ndarray:
        """Return a number [seed, step, layer, ...] of a network in training.

        The last axis, where there is one more, is one example, a minibatch, all examples.
        """
        return self._of_network("training", name, activation, arm)

    def convolution(self, name: str) -> np.ndarray:
        """Return a number [seed, first or last step, convolution, ...]."""
        rows = self._parts["convolution"]
        return _only(rows, rows.arm.values == "raw", name)

    def _of_network(self, part: str, name: str, activation: str, arm: str) -> np.ndarray:
        rows = self._parts[part]
        return _only(rows, (rows.activation.values == activation) & (rows.arm.values == arm), name)


def predicted_agreement(family: str, shift: float = 0.0, correlation: float = 0.0) -> float:
    """Return what theory says of two weights, large batches and deltas of mean zero.

    Example:
        >>> round(predicted_agreement("normal", shift=1.0), 12)  # cosine 1/2
        0.666666666667
    """
    return float(theory.sign_agreement(cosine(family, shift, correlation)))


def predicted_bias_agreement(family: str, shift: float = 0.0) -> float:
    """Return what theory says of a weight and its bias, under the same conditions."""
    return float(theory.mean_sign_agreement(*moments(family, shift)))


def predicted_unanimity(family: str, num_weights: int) -> float:
    """Return what theory says of all weights of a unit, under the same conditions."""
    return float(theory.gaussian_unanimity(cosine(family), num_weights))


def predicted_delta_agreement(delta_mean: float, batch_size: int) -> float:
    """Return what theory says of a weight and its bias if deltas, of sd 1, have a mean.

    Normal features of mean `NORMAL_MEAN` and sd 1.
    """
    return float(theory.batch_sign_agreement(NORMAL_MEAN, 1.0, delta_mean, 1.0, batch_size))


def _only(rows: xr.Dataset, chosen: np.ndarray, name: str) -> np.ndarray:
    row = rows[name].isel(variant=chosen).squeeze("variant")
    return row.transpose("seed", ...).values.astype(np.float64)
