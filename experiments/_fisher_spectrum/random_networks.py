r"""Random networks of any width in one program, and what their activations' means do to the Fisher.

Three layers of weights, M - M - M - 1, on M standard normal examples, as in Karakida, Akaho &
Amari (2019): weights N(0, sigma_w2 / M), biases N(0, sigma_b2), one output. There are as many
examples as units, since the part of lambda_max that is left without a mean depends on the ratio
of the two; at a fixed number of examples it would grow with the width for that reason alone.

The width is data: units and examples beyond it are masked. Nothing is trained, so the centered
arm needs no function matching: pre-activations and deltas are the raw network's, and every hidden
unit that the weights read has its mean over the examples subtracted. Biases stay parameters.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from experiments._fisher_spectrum.activation import NAMES, chosen
from signdyn.analysis.layers import Layer, fisher_layers, gram_of_layers
from signdyn.analysis.theory import MeanFieldFisher, mean_field_fisher
from signdyn.likelihoods import gaussian
from signdyn.records import Variable
from signdyn.types import Params, Tap, TappedFn


class Ensemble(NamedTuple):
    """A point of the sweep: which random networks; every leaf a float.

    Attributes:
        activation: Its number in `NAMES`.
        width: Units of every hidden layer, inputs, and examples.
        sigma_w2: Variance of the weights times fan_in.
        sigma_b2: Variance of the biases.
    """

    activation: Float[Array, ""] | float
    width: Float[Array, ""] | float
    sigma_w2: Float[Array, ""] | float
    sigma_b2: Float[Array, ""] | float


SETTINGS: Mapping[str, tuple[str, float, float]] = {
    "relu": ("relu", 2.0, 0.1),
    "tanh": ("tanh", 3.0, 0.64),
    "tanh without biases": ("tanh", 3.0, 0.0),
}
"""Setting -> activation, sigma_w2, sigma_b2."""

LAYERS = ("dense_0", "dense_1", "dense_2")


def ensemble(setting: str, width: int) -> Ensemble:
    """Return the point of the sweep for one of `SETTINGS`."""
    activation, sigma_w2, sigma_b2 = SETTINGS[setting]
    return Ensemble(float(NAMES.index(activation)), float(width), sigma_w2, sigma_b2)


@lru_cache(maxsize=256)
def prediction(setting: str, width: int) -> MeanFieldFisher:
    """Return what mean-field theory says of the raw networks."""
    activation, sigma_w2, sigma_b2 = SETTINGS[setting]
    return mean_field_fisher(activation, (width, width, width, 1), width, sigma_w2, sigma_b2)


def draw(key: PRNGKeyArray) -> UInt32[Array, " word"]:
    """Return the key itself: the numbers it stands for would be megabytes a replica."""
    return jax.random.key_data(key)


def measure(key_data: UInt32[Array, " word"], point: Ensemble, *, largest: int) -> dict[str, Array]:
    """Return the statistics described in `TEXTS` of one network, raw and centered.

    Args:
        key_data: Of the replica's key. A narrower network is a corner of a wider one.
        point: Which network.
        largest: Units that arrays have room for.
    """
    params, x = _network(jax.random.wrap_key_data(key_data), point, largest)
    on = jnp.arange(largest) < point.width
    width = jnp.asarray(point.width, x.dtype)
    layers = fisher_layers(_tapped_fn(point, on), gaussian(), params, x)
    layers = {name: _masked(layer, on) for name, layer in layers.items()}
    input_overlaps = jnp.stack([_overlap(layers[name].inputs, width) for name in LAYERS])
    delta_overlaps = jnp.stack([_overlap(layers[name].deltas, width) for name in LAYERS])
    arms = (layers, {name: _centered(layer, name, on, width) for name, layer in layers.items()})
    num_params = 2.0 * width * (width + 1.0) + width + 1.0
    # gram_of_layers takes the mean over all rows, masked ones too
    grams = [largest / width * gram_of_layers(arm) for arm in arms]
    return {
        "lambda_max": jnp.stack([jnp.linalg.eigvalsh(gram)[-1] for gram in grams]),
        "mean_eigenvalue": jnp.stack([jnp.trace(gram) for gram in grams]) / num_params,
        "mean_square_eigenvalue": jnp.stack([jnp.sum(gram**2) for gram in grams]) / num_params,
        "input_overlap": input_overlaps / width,
        "delta_overlap": delta_overlaps,
        # two hidden matrices of width^2 weights each: alpha = 2
        "kappa_2": jnp.sum(input_overlaps / width * delta_overlaps) / 2.0,
    }


def _network(key: PRNGKeyArray, point: Ensemble, largest: int) -> tuple[Params, Array]:
    # one call for all, since every call compiles a generator of its own
    rows = 3 * largest + 4
    # float32 numbers are as random, and half the work; all that follows is in float64
    normal = jax.random.normal(key, (rows, largest), jnp.float32).astype(float)
    x, first, second, rest = jnp.split(normal, [largest, 2 * largest, 3 * largest])
    weight_sd, bias_sd = jnp.sqrt(point.sigma_w2 / point.width), jnp.sqrt(point.sigma_b2)
    kernels = (first, second, rest[0][:, None])
    biases = (rest[1], rest[2], rest[3, :1])
    params = {
        name: {"kernel": weight_sd * kernel, "bias": bias_sd * bias}
        for name, kernel, bias in zip(LAYERS, kernels, biases, strict=True)
    }
    return params, x


def _tapped_fn(point: Ensemble, on: Array) -> TappedFn:
    phi = chosen(point.activation)

    def tapped_fn(params: Params, x: Array, tap: Tap) -> Array:
        h = jnp.where(on, x, 0.0)
        for name in LAYERS[:-1]:
            z = tap(name, h, h @ params[name]["kernel"] + params[name]["bias"])
            h = jnp.where(on, phi(z), 0.0)
        last = params[LAYERS[-1]]
        return tap(LAYERS[-1], h, h @ last["kernel"] + last["bias"])

    return tapped_fn


def _masked(layer: Layer, on: Array) -> Layer:
    """Return the layer with zeros for the examples beyond the width."""
    shown = on[:, None, None]
    inputs = jnp.where(shown, layer.inputs, 0.0)
    return Layer(inputs, jnp.where(shown[..., None], layer.deltas, 0.0))


def _centered(layer: Layer, name: str, on: Array, width: Array) -> Layer:
    if name == LAYERS[0]:
        return layer
    mean = jnp.sum(layer.inputs, axis=0) / width
    return layer._replace(inputs=jnp.where(on[:, None, None], layer.inputs - mean, 0.0))


def _overlap(values: Float[Array, "batch *rest"], width: Array) -> Float[Array, ""]:
    """Return the mean of v_s . v_t over all pairs of different examples within the width."""
    rows = values.reshape(values.shape[0], -1)
    pairs = jnp.sum(jnp.sum(rows, axis=0) ** 2) - jnp.sum(rows**2)
    return pairs / (width * (width - 1.0))


_FISHER = "nat / parameter^2"
TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "lambda_max": (("arm",), _FISHER, "largest eigenvalue of the Fisher, raw and centered"),
    "mean_eigenvalue": (("arm",), _FISHER, "mean of its eigenvalues, trace / P"),
    "mean_square_eigenvalue": (("arm",), f"({_FISHER})^2", "mean square of its eigenvalues"),
    "input_overlap": (
        ("layer",),
        "1",
        "mean product of what a unit is on two examples, raw, over the units a layer reads",
    ),
    "delta_overlap": (("layer",), "1", "delta . delta' of two examples"),
    "kappa_2": ((), "1", "the overlaps' coefficient of lambda_max, from the two rows above"),
}
"""Variables of the record: dimensions, unit, meaning."""


def tabulate(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays."""
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in TEXTS.items()}
