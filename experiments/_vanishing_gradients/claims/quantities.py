"""The numbers of the record that claims and figures are made of, [seed] each."""

import numpy as np

from experiments._fisher_spectrum.activation import NAMES
from experiments._vanishing_gradients.plan import Race
from experiments._vanishing_gradients.results import Results
from experiments._vanishing_gradients.start import PAIR
from signdyn.activations import get_activation


def deepest(results: Results) -> int:
    """Return the largest depth that is measured at the start."""
    return results.depths[-1]


def trained(results: Results) -> int:
    """Return the largest depth that is trained."""
    return results.trained_depths[-1]


def best_steps(
    results: Results, activation: str, arm: str, slopes: str = "own", depth: int | None = None
) -> np.ndarray:
    """Return [seed] steps to the target at the best rate, at the largest depth if not told."""
    race = Race(activation, trained(results) if depth is None else depth, slopes, arm)
    return results.at_best(race)


def steps_ratio(results: Results, activation: str, slopes: str, depth: int | None = None) -> tuple:
    """Return numerator and denominator [seed] of steps to the target, raw / centered."""
    raw, centered = (best_steps(results, activation, arm, slopes, depth) for arm in PAIR)
    return raw, centered


def lambda_ratio(results: Results, activation: str, depth: int) -> np.ndarray:
    """Return [seed] lambda_max of the Fisher at the start, raw / centered."""
    raw, centered = (results.start("lambda_max", activation, depth, arm) for arm in PAIR)
    return raw / centered


def predicted_fall(activation: str) -> float:
    """Return the factor a layer, backward, of the rms delta at the start, by mean-field theory.

    Weights keep the second moment of pre-activations at 1, sigma_w^2 = 1 / E[phi(z)^2], so that
    deltas are multiplied by (E[phi'(z)^2] / E[phi(z)^2])^(1/2), z ~ N(0, 1).
    """
    known = get_activation(activation)
    return (known.gaussian_derivative_second_moment / known.gaussian_second_moment) ** 0.5


def first_and_last(results: Results, activation: str, depth: int, arm: str = "raw") -> tuple:
    """Return [seed] the first hidden layer's rms delta at the start, and the last one's."""
    rms = results.start("delta_rms", activation, depth, arm)
    return rms[:, 0], rms[:, -1]


def mean_energy_behind(results: Results, activation: str, depth: int, arm: str) -> np.ndarray:
    """Return [seed] the mean energy of what reads hidden units, averaged over layers."""
    return results.start("mean_energy", activation, depth, arm)[:, 1:].mean(axis=1)


def worst(results: Results, name: str, *arms: str) -> np.ndarray:
    """Return [seed] the largest of a measurement over activations, depths, arms and layers."""
    values = [
        results.start(name, activation, depth, arm).reshape(results.num_seeds, -1).max(axis=1)
        for activation in NAMES
        for depth in results.depths
        for arm in arms
    ]
    return np.max(values, axis=0)
