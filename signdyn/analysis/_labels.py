"""Scores of labels, the data's or the model's own: the factor that makes a Fisher an estimate.

Private to signdyn.analysis. May import JAX and signdyn.likelihoods.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from signdyn.likelihoods import Likelihood, example_nll

Sampler = Callable[[PRNGKeyArray, Array], Array]


def sampler_of(name: str, likelihood: Likelihood, num_samples: int) -> Sampler:
    """Return (key, outputs) -> labels, or raise if ``likelihood`` has none or none are wanted."""
    if likelihood.sample is None:
        raise ValueError(
            f"{name}: expected a likelihood that draws labels, got {likelihood.name!r} without "
            "`sample`; pass sample=(key, outputs) -> labels to its Likelihood."
        )
    if num_samples < 1:
        raise ValueError(f"{name}: expected num_samples >= 1, got {num_samples=}.")
    return likelihood.sample


def draw_labels(
    sample: Sampler, outputs: Float[Array, "batch output"], key: PRNGKeyArray, num_samples: int
) -> Shaped[Array, "batch sample ..."]:
    """Return S labels an example; set s is ``sample(jax.random.split(key, S)[s], outputs)``."""
    keys = jax.random.split(key, num_samples)
    return jax.vmap(lambda k: sample(k, outputs), out_axes=1)(keys)


def label_factor(
    likelihood: Likelihood,
    outputs: Float[Array, "batch output"],
    labels: Shaped[Array, "batch sample ..."],
) -> Float[Array, "batch output sample"]:
    """Return S with S_n S_n^T = mean_s of s s^T, s = d nll / d outputs at label s of example n.

    NaN for an example whose nll is NaN: a label that is none has no score, and not one of 0.
    """

    def scores(y: Array) -> Array:
        nll, pull = jax.vjp(lambda f: example_nll(likelihood, f, y), outputs)
        (score,) = pull(jnp.ones_like(nll))
        return jnp.where(jnp.isnan(nll)[:, None], jnp.nan, score)

    return jax.vmap(scores, in_axes=1, out_axes=2)(labels) / math.sqrt(labels.shape[1])
