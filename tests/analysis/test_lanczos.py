"""Lanczos with projections of what is there only: matfree's, orthonormal in both precisions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matfree import decomp

from signdyn.analysis._lanczos import ROWS, tridiagonal

DIM = 60
RNG = np.random.default_rng(5)
V, _ = np.linalg.qr(RNG.normal(size=(DIM, DIM)))
START = RNG.normal(size=DIM)


@functools.partial(jax.jit, static_argnums=2)
def ours(F, start, depth):
    found = tridiagonal(lambda v: F @ v, start, depth)
    return found.basis, found.diagonal, found.off_diagonal


@functools.partial(jax.jit, static_argnums=2)
def matfrees(F, start, depth):
    found = decomp.tridiag_sym(depth, materialize=False)(lambda v: F @ v, start)
    return found.Q_tall, *found.J_small


@pytest.mark.parametrize("depth", [1, 2, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_vectors_and_matrix_are_those_of_gram_schmidt_twice(depth):
    F = jnp.asarray((V * np.linspace(-1, 2, DIM)) @ V.T)
    for found, expected in zip(
        ours(F, jnp.asarray(START), depth), matfrees(F, jnp.asarray(START), depth), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 3e-6)])
def test_the_basis_is_orthonormal_where_eigenvalues_have_long_converged(dtype, tolerance):
    # The recurrence alone finds the largest eigenvalues again and again.
    eigenvalues = np.concatenate([[1e4, 3e3, 1e3], np.linspace(0.5, 2, DIM - 3)])
    F = jnp.asarray((V * eigenvalues) @ V.T, dtype)
    basis, diagonal, off_diagonal = ours(F, jnp.asarray(START, dtype), 48)
    np.testing.assert_allclose(basis @ basis.T, np.eye(48), atol=tolerance)
    T = np.diag(diagonal) + np.diag(off_diagonal, 1) + np.diag(off_diagonal, -1)
    np.testing.assert_allclose(basis @ F @ basis.T, T, atol=1e4 * tolerance)


def test_every_start_of_a_block_has_its_own_basis():
    F = jnp.asarray((V * np.linspace(1, 2, DIM)) @ V.T)
    starts = jnp.asarray(RNG.normal(size=(3, DIM)))
    block = jax.vmap(lambda start: ours(F, start, 11))(starts)
    for k, start in enumerate(starts):
        for found, expected in zip(block, ours(F, start, 11), strict=True):
            np.testing.assert_allclose(found[k], expected, atol=1e-12)


def test_the_images_are_the_matrix_times_the_basis():
    F = jnp.asarray((V * np.linspace(1, 2, DIM)) @ V.T)
    found = jax.jit(lambda start: tridiagonal(lambda v: F @ v, start, 11))(jnp.asarray(START))
    np.testing.assert_allclose(found.images, found.basis @ F, atol=1e-14)
