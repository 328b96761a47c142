"""What is measured at every step of a seed sweep, or at every tenth: signs, turns of the path."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
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

    def init(params: Params) -> dict[str, Any]:
        units = jnp.zeros(sum(kernel.shape[-1] for kernel in kernels(params)))
        zero = jnp.zeros(())
        total = {"example_coherence": jnp.zeros(len(params)), "batch_coherence": units}
        total |= {"negative": units, "flips": zero, "turning_cosine": zero}
        # The first step has no turn: its own start stands for an update before it.
        return {"previous": kernels(params), "total": total}

    def observe(state: dict[str, Any], seen: Observation) -> dict[str, Any]:
        def measure() -> dict[str, Any]:
            total = jax.tree.map(jnp.add, state["total"], measured(seen, state["previous"]))
            return {"previous": kernels(seen.updates), "total": total}

        if every == 1:
            return measure()
        # The update before a measured one is kept, and no other.
        ways = (lambda: state, lambda: {**state, "previous": kernels(seen.updates)}, measure)
        place = seen.step % every
        return lax.switch((place >= every - 2).astype(int) + (place == every - 1), ways)

    return Probe(init, observe, lambda state: state["total"])


def kernels(tree: Params) -> list[Array]:
    """Return the kernels of a network, or what is laid out like it."""
    return [layer["kernel"] for layer in tree.values()]


def by_unit(values: Iterable[Array]) -> Array:
    """Return one array of the layers' values."""
    return jnp.concatenate(list(values))
