"""What the machine's cores make of one large float32 matrix product: the roof of every share."""

import os
from collections.abc import Callable

import numpy as np

SIZE = {"cpu": 2048, "gpu": 8192}
"""By JAX's platform."""


def matmul() -> Callable[[], dict[str, np.ndarray]]:
    """Return a run that multiplies two float32 matrices, at JAX's default precision."""
    # Some machines ask OpenBLAS for an older core's kernels, which would lower the roof.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "XLA_FLAGS"):
        os.environ.pop(name, None)
    import jax
    import jax.numpy as jnp

    size = SIZE.get(jax.default_backend(), 8192)
    a = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), jnp.float32)
    product = jax.jit(lambda a: a @ a)

    def run() -> dict[str, np.ndarray]:
        product(a).block_until_ready()
        return {"flop": np.array(2.0 * size**3)}

    return run
