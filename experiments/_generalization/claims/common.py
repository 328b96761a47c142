"""What several modules of claims and the figures name alike."""

import numpy as np

from experiments._generalization.plan import regimes
from experiments._generalization.results import Results

LOSS, STEPS, ORTHANTS, SPECTRUM = "matched_loss", "matched_steps", "orthants", "spectrum"
"""Figures."""

ARMS = ("raw", "centered")


def cases(results: Results) -> list[tuple[str, str]]:
    """Return the pairs of a regime and an activation that were run, activation by activation."""
    activations = results.plan.activations
    return [(regime, a) for a in activations for regime in regimes(results.plan, a)]


def over_layers(values: np.ndarray) -> np.ndarray:
    """Return [seed] the geometric mean of [seed, layer]."""
    return np.exp(np.log(values).mean(axis=1))
