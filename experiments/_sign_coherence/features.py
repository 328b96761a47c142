r"""Features of prescribed mean, spread and correlation, and deltas that do not depend on them.

What closed forms say of a batch needs nothing but a unit's inputs x and its deltas. Here they are
drawn: x = shift + phi(z), z standard normal with one correlation between all pairs of features,
and deltas normal with a mean. The agreement of the signs of the summed gradients is counted for
every batch size.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import ndtr
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from experiments._sign_coherence.readings import batches, doublings, mean_by_size
from signdyn.activations import get_activation
from signdyn.analysis.theory import equicorrelated_cosine, iid_cosine
from signdyn.diagnostics.signs import pair_sign_agreement, share, sign_coherence, sign_unanimity
from signdyn.records import Variable

FEATURES, UNITS, BATCHES = 32, 64, 2
"""Inputs of a unit, units of a layer, batches of each size."""

NUM_WEIGHTS = (2, 4, 8, 16, 32)
"""Of a unit's weights, how many are asked to have one sign."""

FAMILIES = ("normal", "relu", "softplus", "sigmoid", "elu", "tanh", "uniform")
"""What a feature is of a standard normal number, by the family's number."""

RATIOS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Mean over standard deviation of normal features."""


class Point(NamedTuple):
    """A point of the sweep; every leaf a float.

    Attributes:
        family: Its number in `FAMILIES`.
        shift: Added to every feature.
        correlation: Of the normal numbers of two features.
        delta_mean: Mean of the deltas, whose standard deviation is 1.
        flip: 1 to give every feature a random sign.
    """

    family: Float[Array, ""] | float
    shift: Float[Array, ""] | float = 0.0
    correlation: Float[Array, ""] | float = 0.0
    delta_mean: Float[Array, ""] | float = 0.0
    flip: Float[Array, ""] | float = 0.0


def point(family: str, **more: float) -> Point:
    """Return the point of a family, named."""
    return Point(float(FAMILIES.index(family)), **more)


def moments(family: str, shift: float = 0.0) -> tuple[float, float]:
    """Return mean and standard deviation of a feature.

    Example:
        >>> moments("normal", shift=2.0), moments("uniform")[0]
        ((2.0, 1.0), 0.5)
    """
    if family == "normal":
        return shift, 1.0
    if family == "uniform":
        return shift + 0.5, 12**-0.5
    activation = get_activation(family)
    return shift + activation.gaussian_mean, activation.gaussian_sd


def cosine(family: str, shift: float = 0.0, correlation: float = 0.0) -> float:
    """Return the uncentered cosine of two features.

    Raises:
        ValueError: If features are correlated that are no normal numbers.
    """
    mean, std = moments(family, shift)
    if correlation == 0.0:
        return float(iid_cosine(mean, std))
    if family != "normal":
        raise ValueError(f"cosine: only normal features may be correlated, got {family=}.")
    return float(equicorrelated_cosine(mean, std, correlation))


def draw(key: PRNGKeyArray) -> UInt32[Array, " word"]:
    """Return the key itself: the numbers it stands for would be megabytes a replica."""
    return jax.random.key_data(key)


def measure_fn(largest: int) -> Any:
    """Return the measurement for batches of up to ``largest`` examples."""
    shown = batches(BATCHES * largest, doublings(largest), BATCHES)

    def measure(key_data: UInt32[Array, " word"], at: Point) -> dict[str, Array]:
        x, deltas = _drawn(jax.random.wrap_key_data(key_data), at, BATCHES * largest)

        def of_batch(mask: Array) -> dict[str, Array]:
            return _signs((x * mask[:, None]).T @ deltas, mask @ deltas)

        read = lax.map(of_batch, jnp.asarray(shown.masks))
        unanimous = read.pop("unanimity").T
        return {
            **{name: mean_by_size(shown, values) for name, values in read.items()},
            "unanimity": jnp.stack([mean_by_size(shown, one) for one in unanimous], axis=1),
        }

    return measure


def _drawn(key: PRNGKeyArray, at: Point, num_examples: int) -> tuple[Array, Array]:
    # one call for all, since every call compiles a generator of its own
    normal = jax.random.normal(key, (num_examples, FEATURES + UNITS + 2), jnp.float32)
    common, z, deltas, sign = jnp.split(normal, [1, FEATURES + 1, FEATURES + UNITS + 1], axis=1)
    z = jnp.sqrt(at.correlation) * common + jnp.sqrt(1.0 - at.correlation) * z
    named = [get_activation(name).fn for name in FAMILIES[1:-1]]
    index = jnp.asarray(at.family).astype(int)
    x = at.shift + lax.switch(index, [lambda z: z, *named, ndtr], z)
    signs = jnp.where(at.flip > 0, jnp.sign(sign[:FEATURES, 0]), 1.0)
    return signs * x, at.delta_mean + deltas


def _signs(grad: Float[Array, "fan_in unit"], bias_grad: Float[Array, " unit"]) -> dict[str, Array]:
    products = grad * bias_grad
    unanimous = [share(sign_unanimity(grad[:n])) for n in NUM_WEIGHTS]
    return {
        "agreement": jnp.nanmean(pair_sign_agreement(grad)),
        "bias_agreement": jnp.sum(products > 0) / jnp.sum(products != 0),
        "coherence": jnp.nanmean(sign_coherence(grad)),
        "unanimity": jnp.stack(unanimous),
    }


TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "agreement": (
        ("batch_size",),
        "1",
        "share of pairs of a unit's weights whose batch gradients have one sign",
    ),
    "bias_agreement": (
        ("batch_size",),
        "1",
        "share of weights whose batch gradient has the sign of the bias' gradient",
    ),
    "coherence": (("batch_size",), "1", "sign coherence of the batch gradient, mean over units"),
    "unanimity": (
        ("batch_size", "num_weights"),
        "1",
        f"share of units of whom the first {', '.join(map(str, NUM_WEIGHTS))} weights' batch "
        "gradients all have one sign",
    ),
}
"""Variables of the record: dimensions, unit, meaning."""


def tabulate(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays."""
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in TEXTS.items()}
