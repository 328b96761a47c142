"""Numbers of a small sweep, to be compared between versions of Python and JAX, and machines.

    python -m scripts.bench.versions

writes <Python>-<JAX>-<platform>.json into docs/record/versions, within a minute;
tests/test_versions.py computes the same in both widths and compares them with every file there.
"""

import json
import platform
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from experiments._cli import configure_jax, flag, num_cores, option, start

OUT = flag("out", option("docs/record/versions", "Folder for the record.", folder="written"))

SEEDS, STEPS, EXAMPLES = 4, 30, 256
TOLERANCE = {"loss": 5e-6, "kernel_norm": 5e-6, "lambda_max": 2e-5}
"""Largest relative difference between versions, or between widths of a block."""


def numbers(width: int) -> dict[str, list[Any]]:
    """Return the losses of every step, norms of the last kernels, and the Fisher's top eigenvalue.

    Args:
        width: Replicas vmapped together.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from signdyn.analysis.spectrum import fisher_spectrum
    from signdyn.centering import CENTERINGS
    from signdyn.data import load
    from signdyn.likelihoods import categorical
    from signdyn.models.mlp import MLP
    from signdyn.models.taps import linen_tapped
    from signdyn.sweeps import replica_keys, run_sweep, stack_hypers
    from signdyn.training import Hyper, Structure, make_train_fn

    digits = load("digits")
    data = SimpleNamespace(
        x_train=digits.x_train[:EXAMPLES],
        y_train=digits.y_train[:EXAMPLES],
        x_test=digits.x_test[:EXAMPLES],
        y_test=digits.y_test[:EXAMPLES],
        num_classes=10,
    )
    model = MLP((16,), 10, "tanh")
    train = make_train_fn(
        Structure(model, categorical(), steps=STEPS, batch_size=32, record_every=10), data
    )
    points = [
        Hyper(0.1, label_noise=0.1, centering=CENTERINGS[name])
        for name in ("none", "both", "batch", "flip")
    ]
    rows = [(point, seed) for point in points for seed in range(SEEDS)]
    trajectory = run_sweep(
        train,
        replica_keys(0, [seed for _, seed in rows]),
        stack_hypers([point for point, _ in rows]),
        block=8,
        width=width,
    )
    x = jnp.asarray(data.x_train[:32])

    @jax.jit
    def top(params: Any) -> Any:
        return fisher_spectrum(linen_tapped(model), categorical(), params, x).eigenvalues[0]

    plain = jax.tree.map(lambda leaf: leaf[:SEEDS], trajectory.params)
    tops = [top(jax.tree.map(lambda leaf, i=i: leaf[i], plain)) for i in range(SEEDS)]
    kernels = [layer["kernel"] for layer in trajectory.params.values()]
    return {
        "loss": trajectory.loss.tolist(),
        "kernel_norm": [np.linalg.norm(kernel, axis=(1, 2)).tolist() for kernel in kernels],
        "lambda_max": [float(value) for value in tops],
    }


def main() -> None:
    """Compute and write."""
    configure_jax(num_cores())
    import jax

    name = f"{platform.python_version()}-{jax.__version__}-{jax.default_backend()}"
    print("16 replicas of 30 steps, within a minute", flush=True)
    content = {
        "python": platform.python_version(),
        "jax": jax.__version__,
        "platform": jax.default_backend(),
        **numbers(1),
    }
    path = Path(OUT.value) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    start(main)
