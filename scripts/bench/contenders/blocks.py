"""A sweep through `run_blocks`, on some host devices: what `scripts.bench.devices` compares."""

from collections.abc import Callable

import numpy as np


def sweep(devices: int, replicas: int, steps: int) -> Callable[[], dict[str, np.ndarray]]:
    """Return a run of so many replicas on so many host devices, in blocks of eight."""
    from experiments._cli import configure_jax

    configure_jax(devices)
    from scripts.bench.replicas import sweep

    run = sweep(steps)
    return lambda: {"blocks": np.array(run(replicas))}
