"""Seed sweeps by signdyn: the program that a sweep compiles, on prescribed draws.

On CPU a device a core and seeds one after the other on each, as the experiments are set up; on an
accelerator one block of all seeds.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments._cli import configure_jax, num_cores
from scripts.bench import tasks

Run = Callable[[], dict[str, np.ndarray]]


def mlp(
    seeds: int, steps: int, batch: int, rate: float, widths: Sequence[int], measure_every: int = 0
) -> Run:
    """Return a run that trains sigmoid networks on digits.

    Args:
        seeds: Number of networks.
        steps: Updates of each.
        batch: Examples of an update.
        rate: Learning rate.
        widths: Features, units of every hidden layer, outputs.
        measure_every: Steps between the measurements of `scripts.bench.contenders.diagnostics`;
            0 for none.
    """
    configure_jax(num_cores())
    from signdyn.models.mlp import MLP

    x, y = tasks.digits()
    params: dict[str, Any] = {}
    networks = [tasks.dense_network(widths, seed) for seed in range(seeds)]
    for layer in range(len(widths) - 1):
        kernels, biases = zip(*(network[layer] for network in networks), strict=True)
        params[f"dense_{layer}"] = {"kernel": np.stack(kernels), "bias": np.stack(biases)}
    model = MLP(tuple(widths[1:-1]), widths[-1], "sigmoid")
    order = tasks.batch_orders(seeds, len(x), batch, steps)
    return _run(model, params, x, y, order, rate, measure_every)


def cnn(seeds: int, steps: int, batch: int, rate: float, channels: Sequence[int]) -> Run:
    """Return a run that trains ReLU networks of two 3 x 3 convolutions, pooled 2 x 2."""
    configure_jax(num_cores())
    from signdyn.models.cnn import CNN

    x, y = tasks.images(tasks.NUM_IMAGES)
    stacked = tasks.stacked_cnn(seeds, channels)
    names = ("conv_0", "conv_1", "dense_0")
    params = {
        name: {"kernel": stacked[f"kernel_{i}"], "bias": stacked[f"bias_{i}"]}
        for i, name in enumerate(names)
    }
    model: Any = CNN(x.shape[1:], tuple(channels), 10, pool_after=(0, 1))
    order = tasks.batch_orders(seeds, len(x), batch, steps)
    return _run(model, params, x.reshape(len(x), -1), y, order, rate)


def _run(
    model: Any,
    params: dict[str, Any],
    x: np.ndarray,
    y: np.ndarray,
    order: np.ndarray,
    rate: float,
    measure_every: int = 0,
) -> Run:
    import jax

    from scripts.bench.contenders.diagnostics import signs_and_turns
    from scripts.bench.side_by_side import side_by_side
    from signdyn.data.dataset import Dataset
    from signdyn.likelihoods import categorical
    from signdyn.sweeps import grid, stack_hypers
    from signdyn.training import NO_PROBE, Draw, Structure, make_train_fn

    seeds, steps, batch = order.shape
    data = Dataset("bench", "", x, y, x[:1], y[:1], 10, x.shape[1:])
    structure = Structure(model, categorical(), steps=steps, batch_size=batch, record_every=steps)
    probe = signs_and_turns(measure_every) if measure_every else NO_PROBE
    train = make_train_fn(structure, data, probe)
    on_cpu = jax.default_backend() == "cpu"
    drawn = jax.eval_shape(train.draw, jax.random.key(0))
    make_draw: Any = Draw  # of NumPy arrays, which the program takes as well
    draws = make_draw(
        params=params,
        signs=tuple(np.ones((seeds, *leaf.shape), leaf.dtype) for leaf in drawn.signs),
        label_noise=np.ones((seeds, *drawn.label_noise.shape), np.float32),
        batches=order,
    )
    hypers = stack_hypers(grid(learning_rate=[rate]) * seeds)
    blocks = side_by_side(train, draws, hypers, width=1 if on_cpu else None)

    def run() -> dict[str, np.ndarray]:
        results = blocks()
        layer = next(iter(params))

        def first(pick: Callable[[Any], Any]) -> np.ndarray:
            return np.concatenate([pick(one) for one in results])[: tasks.COMPARED_SEEDS]

        measured = results[0].probe if measure_every else {}
        return {
            "loss": first(lambda one: one.loss[:, -1]),
            "bias": first(lambda one: one.params[layer]["bias"]),
            **{name: first(lambda one, name=name: one.probe[name]) for name in measured},
        }

    return run
