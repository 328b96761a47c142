"""The two problems: a regression whose Fisher is invertible, and digits.

Whether a method is blind to a change of coordinates is an exact question, and needs a Fisher that
has an inverse: more outputs than parameters, a smooth activation, outputs without a gauge freedom
(softmax has one). `regression` is made for that: noisy outputs of a network of the same form, on
inputs with a mean of 1. On real images a network of any size has directions that no example
feels, and natural gradient must be damped: that is `digits`, even against odd, by the mean ink of
sixteen squares of two by two pixels.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np

from signdyn.data import Dataset
from signdyn.likelihoods import Likelihood, bernoulli, gaussian
from signdyn.models.mlp import MLP

INPUTS, UNITS, OUTPUTS = 4, 3, 6
"""Of the regression: 39 parameters."""

INPUT_MEAN, NOISE = 1.0, 0.3
"""Mean of inputs of variance 1, and standard deviation of the labels' noise."""

SQUARE = 2
"""Pixels along a side of the squares whose mean ink is an input."""


class Data(NamedTuple):
    """Arrays as `signdyn.training.make_train_fn` takes them."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int


class Problem(NamedTuple):
    """Data, a network and a likelihood."""

    name: str
    data: Data
    model: Any
    likelihood: Likelihood

    @property
    def num_params(self) -> int:
        """Number of parameters."""
        sizes = (self.data.x_train.shape[1], *self.model.widths, self.model.num_outputs)
        return sum((n + 1) * m for n, m in itertools.pairwise(sizes))


def regression(num_examples: int, activation: str) -> Problem:
    """Return the regression; the same data for every seed, which draws its own start."""
    rng = np.random.default_rng(0)
    x = INPUT_MEAN + rng.normal(size=(num_examples, INPUTS))
    first, second = rng.normal(size=(INPUTS, UNITS)), rng.normal(size=(UNITS, OUTPUTS))
    noise = NOISE * rng.normal(size=(num_examples, OUTPUTS))
    y = np.tanh((x - INPUT_MEAN) @ first) @ second + noise
    data = Data(x, y, x[:1], y[:1], 0)
    return Problem("regression", data, MLP((UNITS,), OUTPUTS, activation), gaussian())


def digits(data: Dataset, num_examples: int, width: int, activation: str) -> Problem:
    """Return even against odd digits."""
    cut = slice(num_examples)
    x_train, x_test = (_squares(x, data.input_shape) for x in (data.x_train[cut], data.x_test))
    own = Data(x_train, data.y_train[cut] % 2, x_test, data.y_test % 2, 2)
    return Problem("digits", own, MLP((width,), 1, activation), bernoulli())


def _squares(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    height, width = shape[0] // SQUARE, shape[1] // SQUARE
    squares = x.reshape(-1, height, SQUARE, width, SQUARE).mean(axis=(2, 4), dtype=np.float64)
    return squares.reshape(len(x), -1)
