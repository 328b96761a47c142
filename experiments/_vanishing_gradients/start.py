"""What is measured before the first step, and again after a few: the same function in every arm."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from experiments._vanishing_gradients.network import (
    Form,
    Traces,
    Weights,
    delta_rms,
    lambda_max,
    plain,
    predicted_grads,
    reparametrized,
    rewritten,
    stacked,
    started,
    trace,
)
from experiments._vanishing_gradients.problem import Draw
from signdyn.centering import CENTERINGS, Centering
from signdyn.diagnostics.activity import mean_energy
from signdyn.records import Variable

LEVEL, FALLING = 1.0, 0.4
"""Factors by which chosen slopes make deltas fall, a layer: not at all; like a sigmoid's."""


class Arm(NamedTuple):
    """Coordinates of a network: centering of the hidden units, and the fall of deltas."""

    centering: Centering
    fall: float = 0.0


ARMS: Mapping[str, Arm] = {
    "raw": Arm(CENTERINGS["none"]),
    "centered": Arm(CENTERINGS["hidden"]),
    "flipped": Arm(CENTERINGS["flip"]),
    "raw, level": Arm(CENTERINGS["none"], LEVEL),
    "centered, level": Arm(CENTERINGS["hidden"], LEVEL),
    "raw, falling": Arm(CENTERINGS["none"], FALLING),
    "centered, falling": Arm(CENTERINGS["hidden"], FALLING),
}
"""All are one function; the record has them in this order along its dimension ``arm``."""

PAIR = tuple(ARMS)[:2]
"""Arms whose lambda_max is measured; descents measure that of others."""

LATER, STRIDE = 8, 0.25
"""Updates of the raw network after which the arms are compared again, and the share of the loss
that each takes to first order: a size that suits every depth."""


class Point(NamedTuple):
    """A point of the sweep: activation, by its number, and number of hidden layers."""

    activation: Float[Array, ""] | float
    depth: Float[Array, ""] | float


def measure(draw: Draw, point: Point) -> dict[str, Array]:
    """Return the statistics described in `TEXTS` of one network in the coordinates of all arms."""
    raw = started(draw.normal, point.activation)
    form = plain(point.activation, point.depth, raw)
    first, later = _descended(raw, form, draw)
    arms = [reparametrized(raw, form, first, draw.signs, *arm) for arm in ARMS.values()]
    weights, forms = stacked(*arms)
    pair = jax.tree.map(lambda leaf: leaf[: len(PAIR)], (weights, forms))
    # one after the other: the branches of `network` are then taken, not masked
    eigenvalues = lax.map(lambda arm: lambda_max(arm[0], draw.batch.x, arm[1]), pair)

    def traced(form: Form) -> Traces:
        own = stacked(rewritten(raw, form), rewritten(later, form))
        return lax.map(lambda weights: trace(weights, draw.batch, form), own)

    traces = lax.map(traced, forms)  # [arm, time, ...]
    at_start = jax.tree.map(lambda leaf: leaf[:, 0], traces)
    energies = jax.vmap(jax.vmap(mean_energy))(at_start.inputs)
    return {
        "loss": traces.loss,
        "lambda_max": eigenvalues,
        "delta_rms": jax.vmap(lambda t: delta_rms(t, form.depth))(at_start),
        "kernel_gradient": _read(
            jnp.linalg.norm(at_start.grads.kernels, axis=(-2, -1)),
            jnp.linalg.norm(at_start.grads.readout_kernel, axis=(-2, -1)),
            form.depth,
        ),
        "mean_energy": _read(energies[:, :-1], energies[:, -1], form.depth),
        "slope": forms.slopes,
        **_gaps(traces, forms),
    }


def _descended(raw: Weights, form: Form, draw: Draw) -> tuple[Traces, Weights]:
    """Return the raw network's first traces, and its weights after `LATER` steps."""

    def step(weights: Weights, _: None) -> tuple[Weights, Traces]:
        traces = trace(weights, draw.batch, form)
        square = sum(jnp.sum(leaf**2) for leaf in traces.grads)
        rate = STRIDE * traces.loss / square
        return jax.tree.map(lambda w, g: w - rate * g, weights, traces.grads), traces

    later, traces = lax.scan(step, raw, length=LATER)
    return jax.tree.map(lambda leaf: leaf[0], traces), later


def _gaps(traces: Traces, forms: Form) -> dict[str, Array]:
    """Return how far the arms' deltas and gradients are from what the raw network's say."""
    raw = jax.tree.map(lambda leaf: leaf[0], traces)

    def of_arm(own: Traces, form: Form) -> dict[str, Array]:
        return jax.vmap(lambda own, raw: _gap(own, raw, form))(own, raw)

    return jax.vmap(of_arm)(traces, forms)


def _gap(own: Traces, raw: Traces, form: Form) -> dict[str, Array]:
    expected = predicted_grads(raw.grads, form)
    # centering makes some gradients much smaller: errors are shares of the raw network's
    uncentered = form._replace(sites=form.sites._replace(shift=0.0 * form.sites.shift))
    scale = predicted_grads(raw.grads, uncentered)
    deltas = form.slopes[:, None, None] * raw.deltas
    biases = _share((own.grads.biases - expected.biases)[..., None], scale.biases[..., None])
    kernels, readout = (
        _share(getattr(own.grads, name) - getattr(expected, name), getattr(scale, name))
        for name in ("kernels", "readout_kernel")
    )
    return {
        "delta_gap": _within(_share(own.deltas - deltas, deltas), form.depth),
        "kernel_gap": _read(kernels, readout, form.depth),
        "bias_gap": _within(biases, form.depth),
    }


def _share(differences: Array, values: Array) -> Array:
    """Return the largest difference over the largest value, over the last two axes.

    No difference at all is 0, also where all values are 0: a layer of dead units has no deltas.
    """
    most, scale = (jnp.max(jnp.abs(array), axis=(-2, -1)) for array in (differences, values))
    return jnp.where(most == 0.0, 0.0, most / scale)


def _within(values: Float[Array, "... layer"], depth: Array) -> Float[Array, "... layer"]:
    """Return the hidden layers' values, NaN beyond the depth."""
    return jnp.where(jnp.arange(values.shape[-1]) < depth, values, jnp.nan)


def _read(hidden: Array, readout: Array, depth: Array) -> Float[Array, "... site"]:
    """Return the hidden layers' values, NaN beyond the depth, and the readout's."""
    return jnp.concatenate([_within(hidden, depth), readout[..., None]], axis=-1)


TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "loss": (("arm", "time"), "nat", "mean nll"),
    "lambda_max": (("pair",), "nat / parameter^2", "largest eigenvalue of the Fisher"),
    "delta_rms": (("arm", "layer"), "nat / preactivation", "root mean square delta"),
    "kernel_gradient": (("arm", "site"), "nat / parameter", "norm of the kernel's gradient"),
    "mean_energy": (("arm", "site"), "1", "|E h|^2 / E|h|^2 of what the kernel reads"),
    "slope": (("arm", "layer"), "1", "how many times the activation's slope"),
    "delta_gap": (
        ("arm", "time", "layer"),
        "1",
        "largest |delta - slope x raw's| over the largest of the latter",
    ),
    "kernel_gap": (
        ("arm", "time", "site"),
        "1",
        "largest |gradient of the kernel - what raw's gradients say| over the largest of raw's",
    ),
    "bias_gap": (
        ("arm", "time", "layer"),
        "1",
        "largest |gradient of the bias - slope x raw's| over the largest of the latter",
    ),
}
"""Variables of the record.

``arm`` in the order of `ARMS`, and ``pair`` of its first two; ``layer`` hidden layers, and ``site``
those and the readout; ``time`` before the first step, and after `LATER` steps of the raw network.
"""


def tabulate(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays."""
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in TEXTS.items()}
