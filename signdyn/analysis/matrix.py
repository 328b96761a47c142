"""The Fisher of a whole model as one dense matrix, by layers where they are known.

May import JAX, signdyn.types, signdyn.likelihoods and signdyn.analysis.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from signdyn.analysis import _whole
from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.layer_algebra import fisher_of_layers
from signdyn.analysis.layers import columns_of_layers
from signdyn.checks import checked
from signdyn.likelihoods import Likelihood
from signdyn.types import ApplyFn, Params


class FisherMatrix(NamedTuple):
    """A dense Fisher, and how it was computed.

    Attributes:
        matrix: Array [P, P], columns in the order of ``ravel_pytree``, in nats / parameter^2.
        method: "pairs" of layers, or "factor".
    """

    matrix: Float[Array, "param param"]
    method: str

    def __str__(self) -> str:
        """Return a line on the size and the method."""
        words = {"pairs": "pairs of layers", "factor": "its factor, F = A^T A"}
        return f"Fisher of {self.matrix.shape[-1]} parameters by {words[self.method]}"


@checked
def fisher_matrix(
    apply_fn: ApplyFn, likelihood: Likelihood, params: Params, x: Shaped[Array, "batch ..."]
) -> FisherMatrix:
    r"""Return the Fisher F [P, P] of the mean log-likelihood over ``x``.

    F is that of :func:`signdyn.analysis.fisher.fisher_factor`. Of a
    :class:`signdyn.types.Tapped` model whose layers hold all parameters it comes from inputs and
    deltas, see :func:`signdyn.analysis.layer_algebra.fisher_of_layers`: an inner dimension of N
    instead of N R, and half of every symmetric part. Of any other model it is A^T A. Both agree to
    rounding; small eigenvalues of either are lost in it, see
    :func:`signdyn.analysis.spectrum.fisher_spectrum`.

    Args:
        apply_fn: Pure ``(params, x) -> outputs``, or a Tapped; must treat examples independently.
        likelihood: Observation model, see :mod:`signdyn.likelihoods`.
        params: Point at which to evaluate F; any pytree of float arrays.
        x: The N inputs over which the expectation is taken.

    Returns:
        The :class:`FisherMatrix`. A name is no array: under ``jit`` and ``vmap`` return its
        ``matrix``.

    Raises:
        ValueError: As :func:`signdyn.analysis.fisher.fisher_factor`.

    Example:
        >>> from signdyn.likelihoods import gaussian
        >>> x = jnp.array([[1.0, 0.0], [0.0, 2.0]])
        >>> found = fisher_matrix(lambda w, x: x @ w, gaussian(), jnp.zeros((2, 1)), x)
        >>> print(found)
        Fisher of 2 parameters by its factor, F = A^T A
        >>> print(found.matrix)  # E[x x^T]
        [[0.5 0. ]
         [0.  2. ]]
    """
    whole = _whole.layers_of_whole(apply_fn, likelihood, params, x)
    if whole is None:
        A = fisher_factor(apply_fn, likelihood, params, x)
        with jax.default_matmul_precision("highest"):
            return FisherMatrix(A.T @ A, "factor")
    layers = whole.find()
    places = np.argsort(columns_of_layers(params, layers))
    F = fisher_of_layers(layers, bias=whole.bias)
    # Leaves lie in one piece in either order: slices, which are copied faster than gathered.
    ends = np.flatnonzero(np.diff(places) != 1) + 1
    pieces = [slice(piece[0], piece[-1] + 1) for piece in np.split(places, ends)]
    rows = [jnp.concatenate([F[row, column] for column in pieces], axis=1) for row in pieces]
    return FisherMatrix(jnp.concatenate(rows), "pairs")
