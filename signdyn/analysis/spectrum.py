r"""Eigenvalues of a Fisher or Gram matrix: all of them, the top ones, or their density.

Eigenvalues of A^T A are squared singular values of A; a float32 ``eigh`` of the product returns
negative ones. All eigenvalues need the factor A, the rest only products with a vector:

======================================  ==============================  ========================
what                                    from                            memory, in numbers
======================================  ==============================  ========================
:func:`spectrum_of_gram`                a factor A [rows, P]            2 rows P
:func:`fisher_spectrum`                 a model and its inputs          5 P^2, or 3 rows P
:func:`top_eigenpairs`                  products v -> F v               4 num_iterations P
:func:`spectral_density`                products v -> F v               4 num_steps P batch_size
======================================  ==============================  ========================

May import JAX, signdyn.types, signdyn.likelihoods, signdyn.analysis.fisher and the private modules
of signdyn.analysis.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key

from signdyn.analysis import _tsqr
from signdyn.analysis._fisher_spectrum import FisherSpectrum as FisherSpectrum
from signdyn.analysis._fisher_spectrum import fisher_spectrum as fisher_spectrum
from signdyn.analysis._lanczos import MatVec, dtype_of, norm_of_rows, quadrature, ritz_pairs
from signdyn.checks import checked


@checked
def spectrum_of_gram(A: Float[Array, "rows param"]) -> Float[Array, " param"]:
    r"""Return all P eigenvalues of A^T A, largest first, as squared singular values of A.

    Tall A are reduced to the R of their QR decomposition, wide ones to that of their transpose.
    The condition number is never squared in floating point: eigenvalues carry an absolute error of
    about machine epsilon * sqrt(lambda_max * lambda), so float32 resolves ratios
    lambda_max / lambda of 1e10 where ``eigh`` of A^T A ends at 1e7.

    Args:
        A: Factor, such as :func:`signdyn.analysis.fisher.fisher_factor` returns.

    Returns:
        Array [P], descending, never negative; where A has fewer rows than columns the last
        P - rows entries are the exact zeros that A^T A must have. Units are those of A, squared.
        NaN throughout if A holds a NaN.

    Raises:
        ValueError: If A has no rows or no columns, or is of half precision, which no
            factorization takes.

    Example:
        >>> print(spectrum_of_gram(jnp.array([[1.0, 0.0], [0.0, 3.0]])))
        [9. 1.]
        >>> print(spectrum_of_gram(jnp.array([[3.0, 4.0, 0.0]])))  # one row: rank one
        [25.  0.  0.]
    """
    rows, params = A.shape
    if rows == 0 or params == 0:
        raise ValueError(f"spectrum_of_gram: expected at least one row and column, got {A.shape=}.")
    if jnp.finfo(A.dtype).bits < 32:
        raise ValueError(
            f"spectrum_of_gram: expected A in float32 or float64, got {A.dtype}; A.astype(float)."
        )
    with jax.default_matmul_precision("highest"):
        R = jnp.linalg.qr(A if rows >= params else A.T, mode="r")
        return _tsqr.squared_singular_values(R, min(rows, params), params)


class Conditioning(NamedTuple):
    """What a spectrum says about the speed of gradient descent; scalars, NaN where undefined.

    Attributes:
        condition_number: lambda_max / lambda_min_kept.
        rank: Number of eigenvalues kept, those above rcond * lambda_max; a float, to hold NaN.
        lambda_max: The largest eigenvalue; gradient descent diverges above step 2 / lambda_max.
        lambda_min_kept: The smallest eigenvalue kept.
        trace: Sum of all eigenvalues, kept or not.
        effective_rank: The participation ratio trace^2 / sum lambda^2, between 1 and P.
        trace_over_lambda_max: The intrinsic dimension, between 1 and P.
    """

    condition_number: Float[Array, ""]
    rank: Float[Array, ""]
    lambda_max: Float[Array, ""]
    lambda_min_kept: Float[Array, ""]
    trace: Float[Array, ""]
    effective_rank: Float[Array, ""]
    trace_over_lambda_max: Float[Array, ""]


@checked
def conditioning(
    eigenvalues: Float[Array, " param"], *, rcond: float | Float[Array, ""]
) -> Conditioning:
    r"""Return condition number, ranks and extremes of a positive semi-definite spectrum.

    Args:
        eigenvalues: All of them, in any order, as :func:`spectrum_of_gram` returns; of a part of
            the spectrum, condition number, rank and trace are lower bounds.
        rcond: Relative cutoff in [0, 1), in units of lambda_max: eigenvalues at or below
            rcond * lambda_max count as zero. A reported condition number means nothing without it.

    Returns:
        The :class:`Conditioning`. Of a zero spectrum, rank and trace are 0 and the ratios NaN;
        all is NaN if an eigenvalue is.

    Raises:
        ValueError: If there are no eigenvalues, or a Python ``rcond`` is outside [0, 1).

    Example:
        >>> c = conditioning(jnp.array([4.0, 2.0, 2.0, 0.0]), rcond=1e-6)
        >>> print(c.condition_number, c.rank, c.trace_over_lambda_max)
        2.0 3.0 2.0
        >>> print(c.effective_rank)  # (4 + 2 + 2)^2 / (16 + 4 + 4)
        2.6667
    """
    if eigenvalues.size == 0:
        raise ValueError("conditioning: expected at least one eigenvalue, got none.")
    if isinstance(rcond, (int, float, np.generic)) and not 0.0 <= rcond < 1.0:
        raise ValueError(
            f"conditioning: expected 0 <= rcond < 1, a fraction of lambda_max, got {rcond=}."
        )
    lambda_max, trace = jnp.max(eigenvalues), jnp.sum(eigenvalues)
    kept = eigenvalues > rcond * lambda_max
    rank = jnp.where(jnp.isnan(lambda_max), jnp.nan, jnp.sum(kept).astype(eigenvalues.dtype))
    smallest = jnp.min(jnp.where(kept, eigenvalues, jnp.inf))
    smallest = jnp.where(rank > 0.0, smallest, jnp.nan)
    # Ratios to lambda_max first: squares of eigenvalues leave the range of float32 early.
    ratios = eigenvalues / lambda_max
    return Conditioning(
        condition_number=lambda_max / smallest,
        rank=rank,
        lambda_max=lambda_max,
        lambda_min_kept=smallest,
        trace=trace,
        effective_rank=jnp.sum(ratios) ** 2 / jnp.sum(ratios**2),
        trace_over_lambda_max=jnp.sum(ratios),
    )


class Eigenpairs(NamedTuple):
    """The k largest eigenvalues found, with their vectors and how well each pair fits.

    Attributes:
        eigenvalues: Array [k], descending.
        eigenvectors: Array [k, dim], one unit vector a row, each up to its sign.
        residuals: Array [k], ||F v - lambda v||, in units of the eigenvalues; an eigenvalue of F
            lies within that distance.
    """

    eigenvalues: Float[Array, " k"]
    eigenvectors: Float[Array, "k dim"]
    residuals: Float[Array, " k"]


@checked
def top_eigenpairs(
    matvec: MatVec, dim: int, k: int, key: Key[Array, ""], *, num_iterations: int = 24
) -> Eigenpairs:
    r"""Return the k largest eigenpairs of a symmetric matrix by Lanczos from a random start.

    ``num_iterations`` products: Lanczos with full reorthogonalization. Residuals are the true ones,
    from the products that were made, F being linear. Eigenvalues are Rayleigh quotients, so they
    approach the largest from below, with an error below residual^2 / (gap to the rest of the
    spectrum).

    Args:
        matvec: v -> F v for vectors [dim], F symmetric, such as
            :func:`signdyn.analysis.fisher.fisher_vector_product` returns.
        dim: Length P of the vectors.
        k: Number of pairs, at most ``num_iterations``.
        key: Draws the start; converged pairs depend on it in their rounding and signs alone.
        num_iterations: Depth of the Krylov space, at most ``dim``; judge it by the residuals.
            On sigmoid, tanh and ReLU networks (P = 3,834, 512 digits), raw or centered, 12 gave the
            largest eigenvalue to 2e-6, 8 to 3e-2.

    Returns:
        The :class:`Eigenpairs`, in the dtype that ``matvec`` returns. A Krylov space holds one
        vector of an eigenvalue, whatever its multiplicity, and ends early where F has few distinct
        eigenvalues; pairs beyond its end are NaN. Everything is NaN if F holds a NaN.

    Raises:
        ValueError: If ``k`` is not in 1 .. min(num_iterations, dim), or ``matvec`` does not map
            [dim] to [dim].

    Example:
        >>> F = jnp.diag(jnp.array([1.0, 5.0, 2.0]))
        >>> top = top_eigenpairs(lambda v: F @ v, 3, 2, jax.random.key(0))
        >>> print(top.eigenvalues.round(6))
        [5. 2.]
        >>> print(abs(top.eigenvectors[0]).round(6))
        [0. 1. 0.]
    """
    depth = min(num_iterations, dim)
    if not 1 <= k <= depth:
        raise ValueError(
            f"top_eigenpairs: expected 1 <= k <= min(num_iterations, dim), got {k=}, "
            f"{num_iterations=}, {dim=}; raise num_iterations to a few times k."
        )
    start = jax.random.normal(key, (dim,), dtype_of("top_eigenpairs", matvec, dim))
    with jax.default_matmul_precision("highest"):
        pairs = ritz_pairs(matvec, start, depth)
        eigenvalues, coefficients = pairs.values[:k], pairs.coefficients[:k]
        eigenvectors = jnp.where(pairs.found[:k, None], coefficients @ pairs.basis, jnp.nan)
        errors = coefficients @ pairs.images - eigenvalues[:, None] * eigenvectors
    return Eigenpairs(eigenvalues, eigenvectors, norm_of_rows(errors))


class SpectralDensity(NamedTuple):
    r"""Gauss quadratures of the distribution of the eigenvalues, one for each random probe.

    Of each probe, sum_j weights_j f(nodes_j) is an unbiased estimate of (1/dim) sum_i f(lambda_i),
    for polynomials f of degree below 2 num_steps. Probes are independent: their mean is the
    estimate, their standard deviation over sqrt(num_probes) its standard error.

    Attributes:
        nodes: Array [num_probes, num_steps], descending, in units of the eigenvalues.
        weights: Array [num_probes, num_steps]; each probe's sum to 1.
    """

    nodes: Float[Array, "probe step"]
    weights: Float[Array, "probe step"]


@checked
def spectral_density(
    matvec: MatVec,
    dim: int,
    key: Key[Array, ""],
    *,
    num_probes: int,
    num_steps: int,
    batch_size: int = 1,
) -> SpectralDensity:
    r"""Return the density of the eigenvalues of a symmetric matrix by Lanczos quadrature.

    Stochastic Lanczos quadrature (Ubaru, Chen and Saad, 2017): from each of ``num_probes``
    directions u, uniform on the sphere, so that nothing depends on the choice of coordinates,
    ``num_steps`` of Lanczos with full reorthogonalization. The nodes are Ritz values;
    the weights are squared overlaps of Ritz vectors with u. Far from the bulk a node is an
    eigenvalue; inside it, resolution is about (lambda_max - lambda_min) / num_steps.

    Args:
        matvec: v -> F v for vectors [dim], F symmetric, such as
            :func:`signdyn.analysis.fisher.fisher_vector_product` returns.
        dim: Length P of the vectors.
        key: Draws the probes.
        num_probes: Independent probes. The variance of the estimated (1/dim) tr f(F) is
            2 / (dim + 2) times the variance of f over the spectrum, divided by ``num_probes``.
        num_steps: Products a probe, at most ``dim``.
        batch_size: Probes that run together, under ``vmap``, each holding about 4 num_steps dim
            numbers. ``num_probes`` is the fastest where memory allows: their products with a
            dense F, see :func:`signdyn.analysis.matrix.fisher_matrix`, are then one product of
            matrices. It changes nothing but rounding.

    Returns:
        The :class:`SpectralDensity`, in the dtype that ``matvec`` returns. F with fewer than
        ``num_steps`` distinct eigenvalues exhausts the Krylov space: nodes beyond are NaN, with
        weight 0, or an eigenvalue found again by rounding, with a weight near 0. All nodes and
        weights are NaN if F holds a NaN.

    Raises:
        ValueError: If there is no probe, ``num_steps`` is not in 1 .. dim, ``batch_size`` is below
            1, or ``matvec`` does not map [dim] to [dim].

    Example:
        >>> F = jnp.diag(jnp.array([4.0, 1.0]))
        >>> density = spectral_density(
        ...     lambda v: F @ v, 2, jax.random.key(0), num_probes=1, num_steps=2
        ... )
        >>> print(density.nodes.round(6), density.weights.sum().round(6))
        [[4. 1.]] 1.0
    """
    if min(num_probes, batch_size) < 1 or not 1 <= num_steps <= dim:
        raise ValueError(
            f"spectral_density: expected num_probes >= 1, batch_size >= 1 and 1 <= num_steps <= "
            f"dim, got {num_probes=}, {batch_size=}, {num_steps=}, {dim=}."
        )
    dtype = dtype_of("spectral_density", matvec, dim)

    def probe(key: Key[Array, ""]) -> tuple[Array, Array]:
        return quadrature(matvec, jax.random.normal(key, (dim,), dtype), num_steps)

    with jax.default_matmul_precision("highest"):
        keys = jax.random.split(key, num_probes)
        together = None if batch_size == 1 else min(batch_size, num_probes)
        return SpectralDensity(*lax.map(probe, keys, batch_size=together))


@checked
def moment(density: SpectralDensity, k: int) -> Float[Array, " probe"]:
    """Return each probe's estimate of (1/dim) tr F^k = mean_i lambda_i^k.

    Args:
        density: Of F, as :func:`spectral_density` returns.
        k: Power, at least 0. Unbiased for k < 2 num_steps; ``dim * moment(density, 1)`` is the
            trace.

    Returns:
        Array [num_probes], in units of the eigenvalues to the power k.

    Raises:
        ValueError: If ``k`` is negative.

    Example:
        >>> two = SpectralDensity(jnp.array([[4.0, 1.0]]), jnp.array([[0.25, 0.75]]))
        >>> print(moment(two, 2))  # 16 / 4 + 3 / 4
        [4.75]
    """
    if k < 0:
        raise ValueError(f"moment: expected a power k >= 0, got {k=}.")
    return _weighted_sum(density.weights, density.nodes**k)


@checked
def cumulative(density: SpectralDensity, grid: Float[Array, " grid"]) -> Float[Array, "probe grid"]:
    """Return each probe's estimate of the share of eigenvalues <= each point of ``grid``.

    A step of a node's weight at every node, which itself has a rounding error of about machine
    epsilon * lambda_max: ask for the share of zeros a little above zero.

    Args:
        density: As :func:`spectral_density` returns.
        grid: Points, in units of the eigenvalues.

    Returns:
        Array [num_probes, grid] in [0, 1].

    Example:
        >>> two = SpectralDensity(jnp.array([[4.0, 1.0]]), jnp.array([[0.25, 0.75]]))
        >>> print(cumulative(two, jnp.array([0.0, 1.0, 5.0])))
        [[0.   0.75 1.  ]]
    """
    below = density.nodes[:, None, :] <= grid[:, None]
    return _weighted_sum(density.weights[:, None, :], below.astype(density.weights.dtype))


@checked
def density_on_grid(
    density: SpectralDensity, grid: Float[Array, " grid"], *, bandwidth: float | Float[Array, ""]
) -> Float[Array, "probe grid"]:
    """Return each probe's density of eigenvalues on ``grid``, smoothed by a normal distribution.

    For a density of log10 lambda, pass ``density._replace(nodes=jnp.log10(nodes))`` with nodes
    clipped at a floor, and a grid and bandwidth in decades.

    Args:
        density: As :func:`spectral_density` returns.
        grid: Points, in units of the eigenvalues.
        bandwidth: Standard deviation of the smoothing, in the same units; positive.

    Returns:
        Array [num_probes, grid], in 1 / eigenvalue; integrates to 1 over the real line.

    Raises:
        ValueError: If a Python ``bandwidth`` is not positive and finite.

    Example:
        >>> one = SpectralDensity(jnp.array([[2.0]]), jnp.array([[1.0]]))
        >>> print(density_on_grid(one, jnp.array([2.0, 3.0]), bandwidth=1.0).round(4))
        [[0.3989 0.242 ]]
    """
    if isinstance(bandwidth, (int, float, np.generic)) and not 0.0 < bandwidth < float("inf"):
        raise ValueError(
            f"density_on_grid: expected a positive, finite bandwidth, got {bandwidth=}."
        )
    smoothed = jax.scipy.stats.norm.pdf(grid[:, None], density.nodes[:, None, :], bandwidth)
    return _weighted_sum(density.weights[:, None, :], smoothed)


def _weighted_sum(weights: Array, values: Array) -> Array:
    """Return the sum over the last axis; a node of weight 0 adds nothing, whatever its value."""
    return jnp.sum(jnp.where(weights == 0.0, 0.0, weights * values), axis=-1)
