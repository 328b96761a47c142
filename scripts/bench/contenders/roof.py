"""What the machine's cores make of one large float32 matrix product: the roof of every share."""

import os
from collections.abc import Callable

import numpy as np

SIZE = 2048


def matmul() -> Callable[[], dict[str, np.ndarray]]:
    """Return a run that multiplies two [2048, 2048] matrices, in the faster of two libraries."""
    # Some machines ask OpenBLAS for an older core's kernels, which would lower the roof.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "XLA_FLAGS"):
        os.environ.pop(name, None)
    import jax
    import jax.numpy as jnp

    a = jnp.asarray(np.random.default_rng(0).normal(size=(SIZE, SIZE)), jnp.float32)
    product = jax.jit(lambda a: a @ a)

    def run() -> dict[str, np.ndarray]:
        product(a).block_until_ready()
        return {"flop": np.array(2.0 * SIZE**3)}

    return run
