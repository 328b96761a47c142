"""What TensorFlow Playground lets one set, and the points that it trains on.

Source: ``state.ts``, ``playground.ts`` and ``dataset.ts`` of github.com/tensorflow/playground.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from signdyn.data.toys import load_toy

NUM_DRAWS = 32
"""Times that each data set is drawn; a seed picks one of them."""

FEATURES: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "x": lambda x, y: x,
    "y": lambda x, y: y,
    "xSquared": lambda x, y: x * x,
    "ySquared": lambda x, y: y * y,
    "xTimesY": lambda x, y: x * y,
    "sinX": lambda x, y: np.sin(x),
    "sinY": lambda x, y: np.sin(y),
}
"""Inputs by the playground's names, in its order."""


class Setting(NamedTuple):
    """One setting of the playground; the defaults are its own.

    Attributes:
        datasets: Names in `signdyn.data.toys.TOYS`.
        noise: Share, from 0 to .5.
        percent_train: Of the 500 points; the playground holds back the rest.
        batch_size: Examples of an update.
        activation: Of the hidden units, by the playground's name.
        widths: Units of each hidden layer.
        features: Names in `FEATURES`.
        learning_rate: Of every weight and bias.
        regularization: "none", "L1" or "L2"; of weights, not of biases.
        regularization_rate: Its factor.
        init_zero: Whether all weights and biases start at zero.
    """

    datasets: tuple[str, ...] = ("circle",)
    noise: float = 0.0
    percent_train: float = 50.0
    batch_size: int = 10
    activation: str = "tanh"
    widths: tuple[int, ...] = (4, 2)
    features: tuple[str, ...] = ("x", "y")
    learning_rate: float = 0.03
    regularization: str = "none"
    regularization_rate: float = 0.0
    init_zero: bool = False

    @property
    def units(self) -> tuple[int, ...]:
        """Units of every layer, inputs and output included."""
        return (len(self.features), *self.widths, 1)


class Points(NamedTuple):
    """Training sets, each drawn `NUM_DRAWS` times.

    Attributes:
        x: [data set, draw, feature, example], in the order in which the playground reads them.
        y: [data set, draw, example], -1 or 1.
    """

    x: np.ndarray
    y: np.ndarray

    @property
    def fingerprint(self) -> str:
        """Of all numbers."""
        return hashlib.sha256(self.x.tobytes() + self.y.tobytes()).hexdigest()[:16]


def draw_points(setting: Setting) -> Points:
    """Return the training sets of a setting, in float64."""
    drawn = [
        [_training_set(setting, name, i) for i in range(NUM_DRAWS)] for name in setting.datasets
    ]
    x, y = (np.array([[one[i] for one in row] for row in drawn]) for i in (0, 1))
    return Points(x, y)


def _training_set(setting: Setting, name: str, seed: int) -> Sequence[np.ndarray]:
    toy = load_toy(name, noise=setting.noise, seed=seed)
    points = np.concatenate([toy.x_train, toy.x_test]).astype(np.float64)
    labels = np.concatenate([toy.y_train, toy.y_test])
    kept = int(len(points) * setting.percent_train / 100)
    x = np.stack([FEATURES[feature](*points[:kept].T) for feature in setting.features])
    return x, 2.0 * labels[:kept] - 1.0
