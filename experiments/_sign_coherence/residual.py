"""What sets the sign of deltas: the residual, and the weights on the way down from it.

A network with one output tells even digits from odd ones, so that an example has one residual,
p - y. Its hidden deltas are sums over the paths that lead up to it of products of weights and
slopes. With increasing activations and positive weights all of these are positive.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from experiments._sign_coherence.networks import Draw, Point, network
from experiments._sign_coherence.readings import padded
from experiments._sign_coherence.scopes import outer_counts, unanimity
from signdyn.diagnostics.signs import share, sign_agreement
from signdyn.likelihoods import bernoulli
from signdyn.models.traces import trace_batch


def tied_signs(
    draw: Draw,
    point: Point,
    activations: Sequence[str],
    x: Float[Array, "example feature"],
    y: Array,
) -> dict[str, Array]:
    """Return how many deltas have the residual's sign, weights as drawn, and all positive.

    Args:
        draw: Of which the readout's first column is used.
        point: Activation and width.
        activations: Names by number.
        x: Inputs.
        y: Classes; their parity is the label.

    Returns:
        Arrays with a leading axis of two: weights as drawn, and at their absolute values.
    """
    one_output = draw._replace(kernels=(*draw.kernels[:-1], draw.kernels[-1][:, :1]))
    model, params = network(one_output, point, activations)
    labels = (y % 2).astype(x.dtype)

    def of_weights(positive: Array) -> dict[str, Array]:
        weights = jax.tree.map(lambda p: jnp.where(positive, jnp.abs(p), p), params)
        traces = trace_batch(model, bernoulli(), weights, x, labels)
        *hidden, residual = traces.deltas
        counts = outer_counts(padded(traces.inputs), padded(traces.deltas))
        ties = [sign_agreement(d, jnp.broadcast_to(residual, d.shape)) for d in hidden]
        return {
            "tied": jnp.stack(ties),
            "parity_network_unanimity": share(unanimity(jnp.sum(counts, axis=1))),
            "positive_residuals": jnp.mean(residual > 0, dtype=x.dtype),
        }

    return lax.map(of_weights, jnp.array([False, True]))
