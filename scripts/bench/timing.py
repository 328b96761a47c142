"""What several measurements share: a network to analyze, and a run's time."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from scripts.bench import tasks


def analyzed(widths: Sequence[int], examples: int) -> tuple:
    """Return a tapped tanh network on digits: model, params, x, likelihood."""
    import jax
    import jax.numpy as jnp

    from signdyn.likelihoods import categorical
    from signdyn.models.mlp import MLP
    from signdyn.models.taps import linen_tapped

    x = jnp.asarray(tasks.digits()[0][:examples])
    model = MLP(tuple(widths), 10, "tanh")
    params = jax.jit(model.init)(jax.random.key(0), x[:1])["params"]
    return linen_tapped(model), params, x, categorical()


def seconds(run: Callable[[], Any], repeat: int) -> float:
    """Return how long a run takes, mean over repeats."""
    begun = time.perf_counter()
    for _ in range(repeat):
        run()
    return (time.perf_counter() - begun) / repeat
