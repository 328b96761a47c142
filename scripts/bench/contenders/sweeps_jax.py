"""Seed sweeps in plain JAX, written by hand: what one would write without signdyn.

`vmapped` is jit(vmap(scan)) over seeds, `one_by_one` a jitted scan a seed, one after the other, and
`scanned_native` that for a convolutional network. Work and answers as in
`scripts.bench.contenders.sweeps_torch`.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from scripts.bench import tasks

Params = dict[str, jax.Array]
Run = Callable[[], dict[str, np.ndarray]]


def mlp(seeds: int, steps: int, batch: int, rate: float, widths: Sequence[int], way: str) -> Run:
    """Return a run that trains sigmoid networks on digits; ``way`` is "vmap" or "seeds"."""
    x, y = tasks.digits()
    networks = [tasks.dense_network(widths, seed) for seed in range(seeds)]
    stacked = {}
    for layer in range(len(widths) - 1):
        stacked[f"kernel_{layer}"] = np.stack([network[layer][0] for network in networks])
        stacked[f"bias_{layer}"] = np.stack([network[layer][1] for network in networks])

    def outputs(params: Params, x: jax.Array) -> jax.Array:
        a = x
        for layer in range(len(widths) - 1):
            a = jax.nn.sigmoid(a) if layer else a
            a = a @ params[f"kernel_{layer}"] + params[f"bias_{layer}"]
        return a

    return _run(outputs, stacked, x, y, tasks.batch_orders(seeds, len(x), batch, steps), rate, way)


def cnn(seeds: int, steps: int, batch: int, rate: float, channels: Sequence[int], way: str) -> Run:
    """Return a run that trains ReLU networks of two native 3 x 3 convolutions, pooled 2 x 2."""
    x, y = tasks.images(tasks.NUM_IMAGES)

    def outputs(params: Params, x: jax.Array) -> jax.Array:
        a = x
        for layer in (0, 1):
            z = lax.conv_general_dilated(
                a,
                params[f"kernel_{layer}"],
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            a = jax.nn.relu(z + params[f"bias_{layer}"])
            a = lax.reduce_window(a, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return a.reshape(len(a), -1) @ params["kernel_2"] + params["bias_2"]

    order = tasks.batch_orders(seeds, len(x), batch, steps)
    return _run(outputs, tasks.stacked_cnn(seeds, channels), x, y, order, rate, way)


def _run(
    outputs: Callable[[Params, jax.Array], jax.Array],
    stacked: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    order: np.ndarray,
    rate: float,
    way: str,
) -> Run:
    inputs, labels = jnp.asarray(x), jnp.asarray(y)

    def loss(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
        log_p = jax.nn.log_softmax(outputs(params, x))
        return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))

    def train(params: Params, order: jax.Array) -> tuple[Params, jax.Array]:
        def step(params: Params, rows: jax.Array) -> tuple[Params, jax.Array]:
            value, grads = jax.value_and_grad(loss)(params, inputs[rows], labels[rows])
            return jax.tree.map(lambda p, g: p - rate * g, params, grads), value

        params, values = lax.scan(step, params, order)
        return params, values[-1]

    start, orders = jax.tree.map(jnp.asarray, (stacked, order))
    alone = [jax.tree.map(lambda leaf, i=i: leaf[i], (start, orders)) for i in range(len(order))]
    program = jax.jit(jax.vmap(train) if way == "vmap" else train)

    def run() -> dict[str, np.ndarray]:
        if way == "vmap":
            params, losses = jax.block_until_ready(program(start, orders))
        else:
            results = jax.block_until_ready([program(*seed) for seed in alone])
            params, losses = (
                np.stack(leaves)
                for leaves in zip(
                    *((params["bias_0"], value) for params, value in results), strict=True
                )
            )
            params = {"bias_0": params}
        first = slice(tasks.COMPARED_SEEDS)
        return {"loss": np.asarray(losses[first]), "bias": np.asarray(params["bias_0"][first])}

    return run
