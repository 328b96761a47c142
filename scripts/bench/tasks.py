"""The inputs that all contenders share, as NumPy arrays: digits, images, networks, batch orders.

A dense network is a list of (kernel [fan_in, units], bias [units]) pairs; its activation stands
between its layers and not after the last. Everything follows from a seed.
"""

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np

Dense = list[tuple[np.ndarray, np.ndarray]]


@cache
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's 1,797 digits: x [N, 64] float32 in [0, 1], labels [N] int32."""
    from sklearn.datasets import load_digits

    x, y = map(np.asarray, load_digits(return_X_y=True))
    return (x / 16).astype(np.float32), y.astype(np.int32)


def images(num_examples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return normal noise [N, 28, 28, 1] float32 and labels [N] int32 of ten classes."""
    random = np.random.default_rng([seed, 28])
    x = random.normal(size=(num_examples, 28, 28, 1)).astype(np.float32)
    return x, random.integers(0, 10, num_examples).astype(np.int32)


def dense_network(widths: Sequence[int], seed: int = 0) -> Dense:
    """Return kernels ~ N(0, 1 / fan_in) and biases ~ N(0, .01), float32.

    Args:
        widths: Features, units of each hidden layer, outputs.
        seed: Decides the draw.
    """
    random = np.random.default_rng([seed, *widths])
    return [
        (
            random.normal(0, fan_in**-0.5, (fan_in, units)).astype(np.float32),
            random.normal(0, 0.1, units).astype(np.float32),
        )
        for fan_in, units in itertools.pairwise(widths)
    ]


def num_params(widths: Sequence[int]) -> int:
    """Return the number of parameters of a dense network."""
    return sum((a + 1) * b for a, b in itertools.pairwise(widths))


def batch_orders(num_seeds: int, num_examples: int, batch_size: int, steps: int) -> np.ndarray:
    """Return [seeds, steps, batch] int32 rows, drawn with replacement for every seed."""
    # not of the number of seeds: the first ones have the same orders in a smaller sweep
    random = np.random.default_rng([batch_size, steps])
    return random.integers(0, num_examples, (num_seeds, steps, batch_size)).astype(np.int32)


def trace_and_norm(gram: np.ndarray) -> dict[str, np.ndarray]:
    """Return a Gram matrix's trace and norm; a float32 sum of all squares would lose digits."""
    squares = np.einsum("ij,ij->i", gram, gram)
    return {
        "trace": np.trace(gram, dtype=np.float64),
        "norm": np.sqrt(np.sum(squares, dtype=np.float64)),
    }


COMPARED_SEEDS = 2
"""Seeds whose answers are compared in a race of sweeps: the first ones."""

NUM_IMAGES = 256
"""Images that the convolutional races train on."""


def stacked_cnn(seeds: int, channels: Sequence[int]) -> dict[str, np.ndarray]:
    """Return networks of two 3 x 3 convolutions on 28 x 28 images, pooled twice, and a readout.

    Returns:
        "kernel_0" [seeds, 3, 3, 1, channels], "kernel_1" and "kernel_2" [seeds, features, 10],
        ~ N(0, 2 / fan_in), and their biases, zero.
    """
    first, second = channels
    shapes = [(3, 3, 1, first), (3, 3, first, second), (7 * 7 * second, 10)]
    networks: dict[str, list[np.ndarray]] = {}
    for seed in range(seeds):
        random = np.random.default_rng([seed, first, second])
        for index, shape in enumerate(shapes):
            scale = (2 / np.prod(shape[:-1])) ** 0.5
            kernel = random.normal(0, scale, shape).astype(np.float32)
            networks.setdefault(f"kernel_{index}", []).append(kernel)
            networks.setdefault(f"bias_{index}", []).append(np.zeros(shape[-1], np.float32))
    return {name: np.stack(leaves) for name, leaves in networks.items()}
