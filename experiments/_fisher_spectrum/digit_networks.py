r"""The whole spectrum of a small network on real digits, and what centering takes out of it.

Digits are pooled to 4 x 4 pixels, so that the network has a few hundred parameters and every
eigenvalue is cheap and certain: squared singular values of the factor of all layers together, in
float64. A seed draws digits with replacement, weights as `signdyn.models.mlp.MLP` does, and
signs. Arms are coefficients of `Centering`, function-matched, so that all of a seed's arms with
one activation are the same function at the same weights; and the activation is a number, so that
all arms and activations are one program.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Float, PRNGKeyArray

from experiments._fisher_spectrum.activation import NAMES, chosen
from signdyn.activations import get_activation
from signdyn.analysis.fisher import mean_covariance_split
from signdyn.analysis.kfac import kfac_spectrum
from signdyn.analysis.layers import Layer, fisher_layers, layer_factor
from signdyn.analysis.spectrum import conditioning, spectrum_of_gram
from signdyn.analysis.theory import spiked_covariance
from signdyn.centering import Centering, resolve_sites
from signdyn.data import Dataset
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.models.taps import linen_tapped
from signdyn.models.traces import site_means
from signdyn.records import Variable

RCOND = 1e-24
"""Eigenvalues at or below this share of lambda_max count as zero.

Squared singular values in float64 resolve that; exact zeros come out as 1e-30 or less.
"""


class Point(NamedTuple):
    """A point of the sweep: activation, by its number in `NAMES`, and centering."""

    activation: Float[Array, ""] | float
    centering: Centering


class Draw(NamedTuple):
    """What is random about a replica.

    Attributes:
        x: [example, pixel] digits drawn with replacement.
        kernels: One [fan_in, units] a layer, standard normal.
        signs: One [fan_in] a layer, +1 or -1, for the arm that flips.
    """

    x: Float[Array, "example pixel"]
    kernels: tuple[Float[Array, "_ _"], ...]
    signs: tuple[Float[Array, " _"], ...]


def pooled(data: Dataset) -> np.ndarray:
    """Return the training digits [digit, 16] as means of 2 x 2 pixels, in float64.

    They are divided by their root mean square, one number for all: the weights' scale presumes
    inputs of second moment one.
    """
    images = data.x_train.reshape(-1, 4, 2, 4, 2)
    pixels = images.mean(axis=(2, 4), dtype=np.float64).reshape(-1, 16)
    return pixels / np.sqrt(np.mean(pixels**2))


def draw_fn(
    pixels: np.ndarray, hidden: Sequence[int], num_outputs: int, num_examples: int
) -> Callable[[PRNGKeyArray], Draw]:
    """Return the function of a key that draws digits, kernels and signs."""
    units = (pixels.shape[1], *hidden, num_outputs)
    shapes = list(itertools.pairwise(units))
    sizes = [num_examples, *(n * m for n, m in shapes), *units[:-1]]

    def draw(key: PRNGKeyArray) -> Draw:
        # one call for all, since every call compiles a generator of its own
        normal = jax.random.normal(key, (sum(sizes),), pixels.dtype)
        parts = jnp.split(normal, np.cumsum(sizes)[:-1])
        rows = jnp.minimum(jnp.floor(ndtr(parts[0]) * len(pixels)), len(pixels) - 1).astype(int)
        kernels = parts[1 : len(shapes) + 1]
        return Draw(
            x=jnp.asarray(pixels)[rows],
            kernels=tuple(k.reshape(shape) for k, shape in zip(kernels, shapes, strict=True)),
            signs=tuple(jnp.sign(part) for part in parts[len(shapes) + 1 :]),
        )

    return draw


def measure(draw: Draw, point: Point) -> dict[str, Array]:
    """Return the statistics described in `TEXTS` of one network's Fisher."""
    layers = start_layers(draw, point)
    factor = jnp.concatenate([layer_factor(layer) for layer in layers.values()], axis=1)
    R = jnp.linalg.qr(factor, mode="r")  # R^T R is the Fisher too, and small
    eigenvalues = spectrum_of_gram(R)
    mean_eigenvalues = spectrum_of_gram(_mean_factor(layers))
    whole = conditioning(eigenvalues, rcond=RCOND)
    blocks = [_of_layer(layer) for layer in layers.values()]
    sizes = np.cumsum([(k.shape[0] + 1) * k.shape[1] for k in draw.kernels])
    own = jnp.split(R, sizes[:-1], axis=1)
    return {
        "eigenvalues": eigenvalues,
        "lambda_max": whole.lambda_max,
        "condition_number": whole.condition_number,
        "rank": whole.rank,
        "effective_rank": whole.effective_rank,
        "mean_lambda_max": mean_eigenvalues[0],
        "mean_eigenvalues": mean_eigenvalues,
        "block_lambda_max": jnp.stack([spectrum_of_gram(block)[0] for block in own]),
        **{name: jnp.stack([block[name] for block in blocks]) for name in blocks[0]},
    }


def start_layers(draw: Draw, point: Point) -> dict[str, Layer]:
    """Return what every layer of the arm's network reads and receives, under its Fisher."""
    hidden = tuple(kernel.shape[1] for kernel in draw.kernels[:-1])
    model = MLP(hidden, draw.kernels[-1].shape[1], chosen(point.activation))
    params = {
        name: {"kernel": scale * kernel, "bias": jnp.zeros(kernel.shape[1], kernel.dtype)}
        for name, scale, kernel in zip(
            model.layer_names, _scales(draw, point), draw.kernels, strict=True
        )
    }
    means = site_means(model, params, draw.x)
    sites = resolve_sites(point.centering, means, draw.signs)
    matched = model.matched(params, sites, means)
    return fisher_layers(linen_tapped(model, sites, means), categorical(), matched, draw.x)


def _scales(draw: Draw, point: Point) -> list[Array]:
    """Return the standard deviation of every layer's weights, those of `MLP`."""
    moments = jnp.array([get_activation(name).gaussian_second_moment for name in NAMES])
    moment = moments[jnp.asarray(point.activation).astype(int)]
    seconds = [jnp.ones_like(moment)] + [moment] * (len(draw.kernels) - 1)
    return [
        (len(kernel) * second) ** -0.5 for kernel, second in zip(draw.kernels, seconds, strict=True)
    ]


def _mean_factor(layers: Mapping[str, Layer]) -> Float[Array, "row unit"]:
    """Return the factor of the Fisher if every example had its layers' mean inputs.

    All rows of a layer are then multiples of one (mu, 1), times a delta each: the directions
    across it are null, and are left out.
    """
    parts = []
    for inputs, deltas in layers.values():
        length = jnp.sum(jnp.mean(inputs, axis=0) ** 2)
        rows = deltas.reshape(-1, deltas.shape[-1])
        parts.append(jnp.sqrt((length + 1.0) / len(inputs)) * rows)
    return jnp.concatenate(parts, axis=1)


def _of_layer(layer: Layer) -> dict[str, Array]:
    inputs = layer.inputs[:, 0]
    num_examples, fan_in = inputs.shape
    rows = inputs / jnp.sqrt(num_examples)
    split = mean_covariance_split(rows)
    length = jnp.sum(jnp.mean(inputs, axis=0) ** 2)
    with_one = jnp.concatenate([inputs, jnp.ones_like(inputs[:, :1])], axis=1)
    variance = jnp.mean(jnp.var(inputs, axis=0))
    spiked = spiked_covariance(fan_in, num_examples, jnp.sqrt(length / fan_in), variance)
    product = kfac_spectrum(layer.inputs, layer.deltas)[0]
    first_factor = spectrum_of_gram(with_one / jnp.sqrt(num_examples))[0]
    return {
        "kfac_lambda_max": product,
        "bias_input_lambda_max": first_factor,
        "delta_lambda_max": product / first_factor,
        "input_lambda_max": spectrum_of_gram(rows)[0],
        "mean_length": length,
        "mean_share": split.mean_lambda_max_share,
        "top_cosine": split.top_cosine,
        "spiked_lambda_max": spiked.outlier,
    }


_FISHER = "nat / parameter^2"
TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "eigenvalues": (("parameter",), _FISHER, "all eigenvalues of the Fisher, descending"),
    "lambda_max": ((), _FISHER, "the largest of them"),
    "condition_number": ((), "1", f"lambda_max / smallest above {RCOND:g} lambda_max"),
    "rank": ((), "1", f"number of eigenvalues above {RCOND:g} lambda_max"),
    "effective_rank": ((), "1", "trace^2 / sum of squared eigenvalues"),
    "mean_eigenvalues": (
        ("unit",),
        _FISHER,
        "the Fisher's eigenvalues if every layer's inputs were their mean on every example; as "
        "many as units, all others would be 0",
    ),
    "mean_lambda_max": ((), _FISHER, "the largest of them"),
    "block_lambda_max": (("layer",), _FISHER, "largest eigenvalue of the layer's own block"),
    "kfac_lambda_max": (("layer",), _FISHER, "that of its Kronecker-factored approximation"),
    "bias_input_lambda_max": (("layer",), "1", "that of E[(a, 1)(a, 1)^T], inputs and bias"),
    "delta_lambda_max": (("layer",), "nat / preactivation^2", "that of E[delta delta^T]"),
    "input_lambda_max": (("layer",), "1", "that of E[a a^T]"),
    "mean_length": (("layer",), "1", "|E a|^2"),
    "mean_share": (("layer",), "1", "|E a|^2 / largest eigenvalue of E[a a^T]"),
    "top_cosine": (("layer",), "1", "|cos| of its top eigenvector and E a"),
    "spiked_lambda_max": (
        ("layer",),
        "1",
        "what independent features of one mean and variance would make that eigenvalue",
    ),
}
"""Variables of the record: dimensions, unit, meaning."""


def tabulate(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays."""
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in TEXTS.items()}
