"""What is counted of networks before the first step: signs by batch, by scope, and of deltas."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from experiments._sign_coherence.networks import Draw, Point, network, replica, units_on
from experiments._sign_coherence.readings import (
    Batches,
    batches,
    doublings,
    mean_by_size,
    padded,
    plateau,
)
from experiments._sign_coherence.residual import tied_signs
from experiments._sign_coherence.scopes import scope_readings
from signdyn.diagnostics.activity import mean_energy
from signdyn.diagnostics.signs import (
    example_sign_unanimity,
    pair_sign_agreement,
    positive_fraction,
    share,
    sign_agreement,
    sign_unanimity,
)
from signdyn.inputs import as_inputs
from signdyn.likelihoods import categorical
from signdyn.models.traces import Traces, trace_batch
from signdyn.records import Variable
from signdyn.replicas import Structure, start_replica
from signdyn.types import Params

ACTIVATIONS = ("relu", "elu", "softplus", "sigmoid", "tanh")
"""By their number."""

MAX_BATCHES = 4
"""Batches of one size that are averaged over."""

TOO_SMALL = 0.01
"""Share of a layer's largest value below which a sum's sign may be that of rounding.

On accelerators, whose products may hold three digits.
"""


def measure_fn(data: Any) -> Callable[[Draw, Point], dict[str, Array]]:
    """Return the measurement on a training set."""
    num_examples = len(data.x_train)
    shown = batches(num_examples, doublings(num_examples), MAX_BATCHES)

    def measure(draw: Draw, point: Point) -> dict[str, Array]:
        model, params = network(draw, point, ACTIVATIONS)
        structure = Structure(model, categorical(), steps=1)
        start = start_replica(structure, data, *replica(draw, point, params))
        x, y = as_inputs(jnp.asarray(data.x_train)[draw.order]), start.labels[draw.order]
        traces = trace_batch(model, structure.likelihood, start.params, x, y, start.sites)
        inputs = padded(_without_others(traces.inputs, point))
        deltas = padded(traces.deltas)
        by_layer = lax.map(lambda hd: _of_layer(hd[0], hd[1], draw.deltas, shown), (inputs, deltas))
        return {
            "start_loss": traces.loss,
            **by_layer,
            **scope_readings(inputs, deltas),
            "signs_from_above": _signs_from_above(traces, start.params, model.layer_names),
            **tied_signs(draw, point, ACTIVATIONS, x, y),
        }

    return measure


def _without_others(inputs: Sequence[Array], point: Point) -> list[Array]:
    """Return the inputs with zeros for units beyond the width, whose weights do not exist."""
    first, *rest = inputs
    return [first, *(h * units_on(h.shape[1], point) for h in rest)]


def _of_layer(h: Array, d: Array, random_deltas: Array, shown: Batches) -> dict[str, Array]:
    signs = jnp.where(jnp.mean(h, axis=0) < 0, -1.0, 1.0)
    units = d.shape[1]
    both = jnp.concatenate([d, random_deltas], axis=1)

    def of_batch(mask: Array) -> dict[str, Array]:
        grad = (h * mask[:, None]).T @ both
        equal = pair_sign_agreement(grad)
        return {
            "agreement": share(equal[:units]),
            "random_agreement": share(equal[units:]),
            "aligned_agreement": share(pair_sign_agreement(grad[:, :units] * signs[:, None])),
            "unanimity": share(sign_unanimity(grad[:, :units])),
        }

    read = lax.map(of_batch, jnp.asarray(shown.masks))
    return {
        **{name: mean_by_size(shown, values) for name, values in read.items()},
        "plateau": plateau(h),
        "aligned_plateau": plateau(h * signs),
        "mean_energy": mean_energy(h),
        "unit_unanimity": share(example_sign_unanimity(h, d)),
        "positive_deltas": positive_fraction(d),
    }


def _signs_from_above(
    traces: Traces, params: Params, names: Sequence[str]
) -> Float[Array, " hidden"]:
    """Return how often a hidden delta has the sign of what its weights hand down to it."""
    shares = []
    for index, name in enumerate(names[1:]):
        handed = traces.deltas[index + 1] @ params[name]["kernel"].T
        certain = jnp.abs(handed) > TOO_SMALL * jnp.max(jnp.abs(handed))
        shares.append(sign_agreement(jnp.where(certain, handed, 0.0), traces.deltas[index]))
    return jnp.stack(shares)


_SIZES = ("layer", "batch_size")
TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "start_loss": ((), "nat", "mean nll on the training set before the first step"),
    "agreement": (
        _SIZES,
        "1",
        "share of pairs of a unit's weights whose batch gradients have one sign",
    ),
    "aligned_agreement": (
        _SIZES,
        "1",
        "the same if every input had the sign that makes its mean positive",
    ),
    "unanimity": (_SIZES, "1", "share of units whose batch gradients all have one sign"),
    "random_agreement": (_SIZES, "1", "the same as agreement, with deltas drawn N(0, 1)"),
    "plateau": (("layer",), "1", "what theory says of it, large batches, deltas of mean zero"),
    "aligned_plateau": (("layer",), "1", "the same if all inputs' means were positive"),
    "mean_energy": (("layer",), "1", "|E h|^2 / E|h|^2 of the layer's inputs"),
    "unit_unanimity": (
        ("layer",),
        "1",
        "share of (example, unit) whose gradients all have one sign",
    ),
    "layer_unanimity": (
        ("layer",),
        "1",
        "share of examples on which all of the layer's gradients have one sign",
    ),
    "layer_coherence": (
        ("layer",),
        "1",
        "|sum of signs| / number of signs of all of a layer's gradients on one example",
    ),
    "layer_chance": (
        ("layer",),
        "1",
        "the same if each unit with a delta had a random sign, and its weights all that",
    ),
    "network_unanimity": (
        (),
        "1",
        "share of examples on which all of the network's gradients have one sign",
    ),
    "network_coherence": ((), "1", "the same as layer_coherence, of all layers together"),
    "positive_deltas": (("layer",), "1", "share of positive deltas"),
    "signs_from_above": (
        ("hidden",),
        "1",
        "share of deltas with the sign of the next layer's deltas times its weights",
    ),
    "tied": (
        ("weights", "hidden"),
        "1",
        "even against odd, one output: share of hidden deltas with the sign of the residual; "
        "weights as drawn, and at their absolute values",
    ),
    "parity_network_unanimity": (
        ("weights",),
        "1",
        "that network's share of examples on which all gradients have one sign",
    ),
    "positive_residuals": (("weights",), "1", "its share of examples with a positive residual"),
}
"""Variables of the record: dimensions, unit, meaning."""


def tabulate(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays."""
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in TEXTS.items()}
