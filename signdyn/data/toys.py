"""The four classification problems in the plane of TensorFlow Playground, redrawn.

500 points of two classes, in [-6, 6] or so, shuffled and cut into a training and a test half, as
the playground does by default. Its labels -1 and 1 are 0 and 1 here. Source: ``dataset.ts`` of
github.com/tensorflow/playground. May import NumPy and nothing of signdyn above types.
"""

import math
import types
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from signdyn.data.dataset import Dataset

NUM_POINTS = 500
"""Points of a data set, half of them for training."""
MAX_NOISE = 0.5
"""The most that `load` takes, as in the playground."""

Draw = Callable[[np.random.RandomState, float], tuple[np.ndarray, np.ndarray]]
"""``(rng, noise) -> points [500, 2], labels [500]``."""


class Toy(NamedTuple):
    """A toy problem: what it is in one line, and how it is drawn."""

    description: str
    draw: Draw


def two_gaussians(rng: np.random.RandomState, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return points around (2, 2), labelled 1, and around (-2, -2), labelled 0.

    Each coordinate has the variance .5 + 7 ``noise``, from .5 to 4.
    """
    labels = _halves()
    centers = np.where(labels == 1, 2.0, -2.0)[:, None]
    return centers + np.sqrt(0.5 + 7 * noise) * rng.standard_normal((NUM_POINTS, 2)), labels


def xor(rng: np.random.RandomState, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return uniform points off the axes by .3 at least, labelled 1 where x y >= 0.

    The label is that of the point moved by up to 5 ``noise``, the point itself stays.
    """
    points = rng.uniform(-5, 5, (NUM_POINTS, 2))
    points += np.where(points > 0, 0.3, -0.3)
    moved = points + noise * rng.uniform(-5, 5, points.shape)
    return points, np.where(moved[:, 0] * moved[:, 1] >= 0, 1, 0)


def circle(rng: np.random.RandomState, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a disk of radius 2.5, labelled 1, and a ring from 3.5 to 5, labelled 0.

    The label is that of the point moved by up to 5 ``noise``: 1 within 2.5 of the center.
    """
    inside = _halves() == 1
    radius = np.where(inside, rng.uniform(0, 2.5, NUM_POINTS), rng.uniform(3.5, 5, NUM_POINTS))
    angle = rng.uniform(0, 2 * math.pi, NUM_POINTS)
    points = radius[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    moved = points + noise * rng.uniform(-5, 5, points.shape)
    return points, np.where(np.hypot(*moved.T) < 2.5, 1, 0)


def spiral(rng: np.random.RandomState, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return two arms of 1.75 turns, out to radius 5; the second is the first turned by pi.

    Each coordinate is moved by up to ``noise``. Both arms start in the origin.
    """
    along = np.arange(NUM_POINTS // 2) / (NUM_POINTS // 2)
    angle = 1.75 * 2 * math.pi * along
    arm = 5 * along[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return np.concatenate([arm, -arm]) + noise * rng.uniform(-1, 1, (NUM_POINTS, 2)), _halves()


def _halves() -> np.ndarray:
    return np.repeat([1, 0], NUM_POINTS // 2)


TOYS: Mapping[str, Toy] = types.MappingProxyType(
    {
        "two_gaussians": Toy("points in the plane, one Gaussian cloud a class", two_gaussians),
        "xor": Toy("points in the plane, opposite quadrants share a class", xor),
        "circle": Toy("points in the plane, a disk within a ring", circle),
        "spiral": Toy("points in the plane, two intertwined spiral arms", spiral),
    }
)
"""The toy problems by name."""


def load_toy(name: str, *, noise: float, seed: int) -> Dataset:
    """Return 250 training and 250 test points of a toy problem.

    Args:
        name: A name in :data:`TOYS`.
        noise: From 0 to .5, the playground's slider from 0 to 50 per cent.
        seed: Seed of the draw and of the shuffle, from 0 to 2^32 - 1.

    Returns:
        Inputs [250, 2] and labels 0 or 1, bitwise the same for the same noise and seed.

    Raises:
        ValueError: If the noise or the seed is out of range.

    Example:
        >>> print(load_toy("xor", noise=0.0, seed=0).x_train.shape)
        (250, 2)
    """
    if not 0 <= noise <= MAX_NOISE:
        raise ValueError(f"{name}: noise is from 0 to {MAX_NOISE} (a share), got {noise}.")
    if not 0 <= seed < 2**32:
        raise ValueError(f"{name}: seed is from 0 to 2^32 - 1, got {seed}.")
    # The legacy generator, because NumPy promises that its stream never changes.
    rng = np.random.RandomState(seed)
    points, labels = TOYS[name].draw(rng, noise)
    order = rng.permutation(NUM_POINTS)
    x, y = points[order].astype(np.float32), labels[order].astype(np.int32)
    half = NUM_POINTS // 2
    return Dataset(
        name,
        f"{TOYS[name].description}, noise {noise:g}, seed {seed} (TensorFlow Playground)",
        *(x[:half], y[:half], x[half:], y[half:]),
        num_classes=2,
        input_shape=(2,),
    )
