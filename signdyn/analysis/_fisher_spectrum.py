r"""All eigenvalues of a model's Fisher, by the cheapest way that is right and fits in memory.

Private to signdyn.analysis, re-exported by spectrum. May import JAX, signdyn.types,
signdyn.likelihoods, signdyn.analysis.fisher, layers and layer_algebra, and the private modules.
"""

import functools
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Shaped

from signdyn.analysis import _tsqr, _whole, _wide
from signdyn.analysis._independence import check_independent
from signdyn.analysis._params import check_outputs, flatten
from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.layer_algebra import fisher_of_layers
from signdyn.analysis.layers import gram_of_layers
from signdyn.checks import checked
from signdyn.likelihoods import Likelihood
from signdyn.types import ApplyFn, Params

GIB = 2**30
WORDS = {
    "tall": "R of the factor A = QR, chunk by chunk",
    "dual": "R of A^T = QR, for the factor A",
    "pairs": "F from inputs and deltas by pairs of layers, in float64",
    "gram": "A A^T from inputs and deltas of layers, in float64",
}


class FisherSpectrum(NamedTuple):
    """All eigenvalues of a Fisher, and how they were computed; ``str()`` of it says so.

    Attributes:
        eigenvalues: Array [P], descending, in nats / parameter^2, independent of N.
        method: "tall", "dual", "pairs" or "gram".
        peak_bytes: What it was estimated to need at its peak, see :func:`fisher_spectrum`.
    """

    eigenvalues: Float[Array, " param"]
    method: str
    peak_bytes: int

    def __str__(self) -> str:
        """Return a line on how many eigenvalues, the method and its memory."""
        count = self.eigenvalues.shape[-1]
        size = f"{self.peak_bytes / GIB:.3g} GiB"
        return f"{count} eigenvalues by {self.method!r}: {WORDS[self.method]}; {size}"


@checked
def fisher_spectrum(
    apply_fn: ApplyFn,
    likelihood: Likelihood,
    params: Params,
    x: Shaped[Array, "batch ..."],
    *,
    method: Literal["auto", "tall", "dual", "pairs", "gram"] = "auto",
    max_bytes: int = 4 * GIB,
    chunk: int | None = None,
) -> FisherSpectrum:
    r"""Return all P eigenvalues of the Fisher of a model, at the accuracy of its factor.

    The factor A [rows, P], rows = N R, is that of :func:`signdyn.analysis.fisher.fisher_factor`.
    For any model:

    * "tall", the cheaper one for rows >= P: R of A = QR, from one chunk of examples after the
      other. A is never held; memory is 3 P^2 numbers and two chunks.
    * "dual", the cheaper one for rows < P: R of A^T = QR. Memory is 2 rows P + rows^2 numbers.

    For a :class:`signdyn.types.Tapped` model whose layers hold all parameters, of a narrower float
    than float64, where float64 is to be had (not on TPUs), many times faster:

    * "pairs" for rows >= P: F of :func:`signdyn.analysis.layer_algebra.fisher_of_layers`.
    * "gram" for rows < P: A A^T of :func:`signdyn.analysis.layers.gram_of_layers`.

    Both are formed in float64 from inputs and deltas of the model's own dtype; rounding those is
    a relative perturbation of the factor's entries by machine epsilon. All four reach the accuracy
    of :func:`spectrum_of_gram`, which tells what float32 resolves, and agree to it.

    Args:
        apply_fn: Pure ``(params, x) -> outputs``, or a Tapped; must treat examples independently
            (no batch normalization in training mode).
        likelihood: Observation model, see :mod:`signdyn.likelihoods`.
        params: Point at which to evaluate F; any pytree of float arrays.
        x: The N inputs over which the expectation is taken.
        method: One of the above, or "auto": the fastest one that fits.
        max_bytes: Most that the arrays may take at the peak, estimated before anything runs: the
            factor's parts and what QR needs, or the matrices of "pairs" and "gram", not the
            network's own activations. Under ``vmap`` every seed of the batch takes as much.
        chunk: Examples whose rows are formed together by "tall" and "dual", at most N; by default
            as many as make about P rows, and no fewer than 1024.

    Returns:
        The :class:`FisherSpectrum`. Where rows < P, the last P - rows eigenvalues are the exact
        zeros that F must have. A name is no array: under ``jit`` and ``vmap`` return its
        ``eigenvalues``.

    Raises:
        ValueError: If no method asked for fits in ``max_bytes``, ``method`` or ``chunk`` is not
            one of the above, "pairs" or "gram" is asked for where layers or float64 are missing,
            or as :func:`signdyn.analysis.fisher.fisher_factor`.

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> spectrum = fisher_spectrum(lambda w, x: x @ w, gaussian(), jnp.zeros((2, 1)), x)
        >>> print(spectrum.eigenvalues, spectrum.method)  # E[x x^T] = diag(1/2, 2)
        [2.  0.5] tall
    """
    flatten("fisher_spectrum", params)
    check_outputs("fisher_spectrum", apply_fn, params, x)
    check_independent("fisher_spectrum", apply_fn, params, x)
    ways = _by_factor(apply_fn, likelihood, params, x, chunk)
    ways = _by_layers(apply_fn, likelihood, params, x) | ways
    chosen = _choose_method(method, ways, max_bytes)
    with jax.default_matmul_precision("highest"):
        return FisherSpectrum(ways[chosen].run(), chosen, ways[chosen].num_bytes)


class _Way(NamedTuple):
    """What a method needs, and what runs it."""

    num_bytes: int
    run: Callable[[], Float[Array, " param"]]


def _by_factor(
    apply_fn: ApplyFn, likelihood: Likelihood, params: Params, x: Array, chunk: int | None
) -> dict[str, _Way]:
    """Return the methods that any model has, the cheaper one first."""
    num_examples = x.shape[0]

    def factor(params: Params, x: Array) -> Float[Array, "rows param"]:
        return fisher_factor(apply_fn, likelihood, params, x)

    one = jax.eval_shape(factor, params, jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype))
    (rank, dim), rows = one.shape, one.shape[0] * num_examples
    if chunk is None:
        # Shorter chunks than 1024 rows would be all overhead.
        chunk = _tsqr.even_chunk(num_examples, -(-max(dim, 1024) // rank))
    if not 1 <= chunk <= num_examples:
        raise ValueError(
            f"fisher_spectrum: expected 1 <= chunk <= the {num_examples} examples, got {chunk=}; "
            "leave it out for chunks of about as many rows as there are parameters."
        )

    def window(start: int | Array) -> Float[Array, "chunk rank param"]:
        A = factor(params, lax.dynamic_slice_in_dim(x, start, chunk))
        return A.reshape(chunk, rank, dim) * (chunk / num_examples) ** 0.5

    def tall() -> Float[Array, " param"]:
        R = _tsqr.triangular_factor(window, num_examples, chunk)
        return _tsqr.squared_singular_values(R, min(rows, dim), dim)

    def dual() -> Float[Array, " param"]:
        R = jnp.linalg.qr(_tsqr.collect(window, num_examples, chunk).T, mode="r")
        return _tsqr.squared_singular_values(R, min(rows, dim), dim)

    size, num_chunks = one.dtype.itemsize, -(-num_examples // chunk)
    ways = {
        "tall": _Way(_tsqr.tall_bytes(dim, chunk * rank, num_chunks, size), tall),
        "dual": _Way(_tsqr.dual_bytes(dim, rows, size), dual),
    }
    return ways if rows >= dim else dict(reversed(ways.items()))


def _by_layers(
    apply_fn: ApplyFn, likelihood: Likelihood, params: Params, x: Array
) -> dict[str, _Way]:
    """Return the methods of a model whose layers are known, the cheaper one first."""
    whole = _whole.layers_of_whole(apply_fn, likelihood, params, x)
    if whole is None or not _wide.can_widen(whole.dtype):
        return {}

    def eigenvalues(matrix_of_layers: Callable) -> Float[Array, " param"]:
        matrix_of = functools.partial(matrix_of_layers, bias=whole.bias)
        return _wide.wide_eigenvalues(matrix_of, whole.find(), rank, whole.num_params)

    rank = min(whole.num_rows, whole.num_params)
    ways = {
        "pairs": _Way(_wide.num_bytes(whole.num_params), lambda: eigenvalues(fisher_of_layers)),
        "gram": _Way(_wide.num_bytes(whole.num_rows), lambda: eigenvalues(gram_of_layers)),
    }
    return ways if whole.num_rows >= whole.num_params else dict(reversed(ways.items()))


def _choose_method(method: str, ways: dict[str, _Way], max_bytes: int) -> str:
    """Return the first that fits of the methods asked for, or raise."""
    if method not in ("auto", *WORDS):
        raise ValueError(
            f"fisher_spectrum: expected method 'auto', 'tall', 'dual', 'pairs' or 'gram', got "
            f"{method!r}."
        )
    if method not in ("auto", *ways):
        raise ValueError(
            f"fisher_spectrum: {method=} expects a Tapped whose layers hold all parameters, of "
            "narrower floats than float64, and not a TPU; use 'auto', 'tall' or 'dual'."
        )
    for name in ways if method == "auto" else (method,):
        if ways[name].num_bytes <= max_bytes:
            return name
    needs = ", ".join(f"{way.num_bytes / GIB:.3g} GiB {name}" for name, way in ways.items())
    raise ValueError(
        f"fisher_spectrum: {method=} needs {needs}, has {max_bytes / GIB:.3g} GiB: raise "
        "max_bytes, use fewer examples, or top_eigenpairs / spectral_density, which are "
        "matrix-free."
    )
