"""Conjugate gradients in the space of rows: prescribed spectra, what subtraction loses, budgets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis import _sample_solve
from signdyn.analysis._sample_solve import Samples, solve_in_samples

EPS = float(jnp.finfo(jnp.float32).eps)


def draw(largest=2.0):
    """Return a factor [30, 80] with eigenvalues from ``largest`` down by .7 each, and its basis."""
    random = np.random.default_rng(0)
    U, _ = np.linalg.qr(random.normal(size=(30, 30)))
    V, _ = np.linalg.qr(random.normal(size=(80, 80)))
    A = (U * (largest * 0.7 ** np.arange(30)) ** 0.5) @ V[:, :30].T
    return np.float32(A), V


def solved(A, g, damping, budget=200):
    """Return the `Found`, and the error of its direction in machine epsilons of the answer."""
    wide = np.float64(A)
    exact = np.linalg.solve(wide.T @ wide + float(damping) * np.eye(80), np.float64(g))
    A, g, damping = jnp.asarray(A), jnp.asarray(g), jnp.float32(damping)

    def run(g):
        samples = Samples(lambda v: A @ v, lambda u: u @ A, lambda u: A @ (u @ A))
        return solve_in_samples(samples, lambda v: (A @ v) @ A + damping * v, g, damping, budget)

    found = jax.jit(run)(g)
    error = np.linalg.norm(np.float64(found.direction) - exact) / np.linalg.norm(exact)
    return found, error / EPS


@pytest.mark.parametrize("fraction", [1e-1, 1e-2, 1e-3])
def test_the_error_is_within_the_root_of_the_condition_number(fraction):
    A, _ = draw()
    g = np.float32(np.random.default_rng(1).normal(size=80))
    found, error = solved(A, g, 2.0 * fraction)
    assert bool(found.solved)
    assert error < 64 + 10 * fraction**-0.5
    assert 1.0 < float(found.largest) < 2.5  # a Rayleigh quotient with the damping


def test_where_the_difference_loses_too_many_digits_it_is_not_believed(monkeypatch):
    # Along the steepest direction v is g / lambda_max, the difference of two vectors g / damping.
    A, V = draw()
    g, fraction = np.float32(V[:, 0]), 1e-4
    assert not bool(solved(A, g, 2.0 * fraction)[0].solved)
    monkeypatch.setattr(_sample_solve, "LOSS", np.inf)
    found, error = solved(A, g, 2.0 * fraction)  # the true residual alone does not tell
    assert bool(found.solved)
    assert error > 64 + 10 * fraction**-0.5


def test_a_true_residual_that_is_more_than_rounding_is_solved_for_once_more(monkeypatch):
    A, V = draw()
    g, fraction = np.float32(V[:, :30] @ 0.9 ** np.arange(30)), 1e-3
    assert bool(solved(A, g, 2.0 * fraction)[0].solved)
    monkeypatch.setattr(_sample_solve, "CORRECTION", np.inf)  # enough before the first product
    assert not bool(solved(A, g, 2.0 * fraction)[0].solved)


def test_too_few_products_and_what_is_not_finite_are_not_solved():
    A, V = draw()
    assert not bool(solved(A, np.float32(V @ np.ones(80)), 1e-3, budget=3)[0].solved)
    assert not bool(solved(A * np.float32(np.nan), np.float32(V[:, 0]), 1e-1)[0].solved)


def test_a_gradient_outside_of_all_scores_is_divided_by_the_damping():
    A, V = draw()
    found, error = solved(A, np.float32(V[:, 50]), 0.5)
    assert bool(found.solved)
    assert error < 4
