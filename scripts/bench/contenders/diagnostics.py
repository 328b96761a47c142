"""What is measured at every step of a seed sweep, or at every tenth: signs, turns of the path."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from signdyn.diagnostics.signs import (
    mean_example_sign_coherence,
    negative_fraction,
    sign_coherence,
    sign_flips,
)
from signdyn.diagnostics.zigzag import turning_cosine
from signdyn.training import Observation, Probe
from signdyn.types import Params


def signs_and_turns(every: int) -> Probe:
    """Return the probe that adds up its measurements, taken every so many steps.

    They are of the kernels: sign coherence example by example (mean of a layer) and of the batch's
    gradient (by unit), share of negative weights (by unit), share of signs that a step flips, and
    the cosine between successive updates.
    """

    def measured(seen: Observation, previous: list[Array]) -> dict[str, Array]:
        layers = zip(seen.traces.inputs, seen.traces.deltas, strict=True)
        before, updates = kernels(seen.params), kernels(seen.updates)
        after = [weights + update for weights, update in zip(before, updates, strict=True)]
        return {
            "example_coherence": jnp.stack([mean_example_sign_coherence(h, d) for h, d in layers]),
            "batch_coherence": by_unit(sign_coherence(g) for g in kernels(seen.traces.grads)),
            "negative": by_unit(negative_fraction(weights, axis=0) for weights in before),
            "flips": sign_flips(before, after),
            "turning_cosine": turning_cosine(previous, updates),
        }

    def nothing(params: Params) -> dict[str, Array]:
        units = jnp.zeros(sum(kernel.shape[-1] for kernel in kernels(params)))
        zero = jnp.zeros(())
        total = {"example_coherence": jnp.zeros(len(params)), "batch_coherence": units}
        return total | {"negative": units, "flips": zero, "turning_cosine": zero}

    def added(total: dict[str, Array], seen: Observation, previous: list[Array]) -> dict:
        return jax.tree.map(jnp.add, total, measured(seen, previous))

    def every_step(state: tuple, seen: Observation) -> tuple:
        total, previous = state
        return added(total, seen, previous), kernels(seen.updates)

    def last_of_two(total: dict[str, Array], one: Observation, seen: Observation) -> dict:
        return added(total, seen, kernels(one.updates))

    if every == 1:
        # The first step has no turn: its own start stands for an update before it.
        return Probe(lambda params: (nothing(params), kernels(params)), every_step, lambda s: s[0])
    return Probe(nothing, last_of_two, period=every, window=2)


def kernels(tree: Params) -> list[Array]:
    """Return the kernels of a network, or what is laid out like it."""
    return [layer["kernel"] for layer in tree.values()]


def by_unit(values: Iterable[Array]) -> Array:
    """Return one array of the layers' values."""
    return jnp.concatenate(list(values))
