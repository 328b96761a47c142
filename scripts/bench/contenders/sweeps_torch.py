"""Seed sweeps in PyTorch: a seed at a time in eager mode, torch.func.vmap, and that compiled.

On a GPU where there is one. Networks, data and batch orders are those of `scripts.bench.tasks`;
plain gradient descent on the mean cross-entropy.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.func import grad_and_value, vmap

from scripts.bench import tasks

Params = dict[str, torch.Tensor]
Loss = Callable[[Params, torch.Tensor, torch.Tensor], torch.Tensor]
Run = Callable[[], dict[str, np.ndarray]]

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mlp(
    seeds: int,
    steps: int,
    batch: int,
    rate: float,
    widths: Sequence[int],
    way: str,
    threads: int = 0,
) -> Run:
    """Return a run that trains sigmoid networks on digits.

    Args:
        seeds: Number of networks.
        steps: Updates of each.
        batch: Examples an update.
        rate: Learning rate.
        widths: Features, units of each hidden layer, classes.
        way: "eager", "func" or "compile".
        threads: Threads that PyTorch may use; 0 leaves it to PyTorch.
    """
    x, y = tasks.digits()
    networks = [tasks.dense_network(widths, seed) for seed in range(seeds)]
    names = [name for i in range(len(widths) - 1) for name in (f"kernel_{i}", f"bias_{i}")]
    stacked = {
        name: np.stack([network[i // 2][i % 2] for network in networks])
        for i, name in enumerate(names)
    }

    def loss(params: Params, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        a = x
        for layer in range(len(widths) - 1):
            a = torch.sigmoid(a) if layer else a
            a = a @ params[f"kernel_{layer}"] + params[f"bias_{layer}"]
        return F.cross_entropy(a, y)

    order = tasks.batch_orders(seeds, len(x), batch, steps)
    return _run(loss, stacked, x, y, order, rate, way, threads)


def cnn(
    seeds: int, steps: int, batch: int, rate: float, channels: Sequence[int], way: str,
    threads: int = 0,
) -> Run:  # fmt: skip
    """Return a run that trains ReLU networks of two 3 x 3 convolutions, each pooled 2 x 2.

    Args:
        seeds: Number of networks.
        steps: Updates of each.
        batch: Examples an update.
        rate: Learning rate.
        channels: Units of both convolutions.
        way: "eager", "func" or "compile".
        threads: As for `mlp`.
    """
    x, y = tasks.images(tasks.NUM_IMAGES)
    stacked = tasks.stacked_cnn(seeds, channels)
    kernels = {name: leaf for name, leaf in stacked.items() if leaf.ndim == 5}
    # Channels first, as PyTorch's convolutions want them.
    stacked |= {name: leaf.transpose(0, 4, 3, 1, 2).copy() for name, leaf in kernels.items()}

    def loss(params: Params, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        a = x.permute(0, 3, 1, 2)
        for layer in (0, 1):
            z = F.conv2d(a, params[f"kernel_{layer}"], params[f"bias_{layer}"], padding=1)
            a = F.max_pool2d(torch.relu(z), 2)
        flat = a.permute(0, 2, 3, 1).reshape(len(a), -1)
        return F.cross_entropy(flat @ params["kernel_2"] + params["bias_2"], y)

    order = tasks.batch_orders(seeds, len(x), batch, steps)
    return _run(loss, stacked, x, y, order, rate, way, threads)


def _run(
    loss: Loss,
    stacked: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    order: np.ndarray,
    rate: float,
    way: str,
    threads: int,
) -> Run:
    if threads:
        torch.set_num_threads(threads)
    images, labels = _tensor(x), _tensor(y.astype(np.int64))
    rows = _tensor(order.astype(np.int64))
    start = {name: _tensor(leaf) for name, leaf in stacked.items()}

    def answer(params: Params, losses: torch.Tensor) -> dict[str, np.ndarray]:
        first = slice(tasks.COMPARED_SEEDS)
        return {
            "loss": losses[first].cpu().numpy(),
            "bias": params["bias_0"][first].cpu().numpy(),
        }

    def eager() -> dict[str, np.ndarray]:
        trained: list[Params] = []
        losses = []
        for seed in range(len(rows)):
            params = {k: v[seed].clone().requires_grad_() for k, v in start.items()}
            value: Any = None
            for step in range(rows.shape[1]):
                batch = rows[seed, step]
                value = loss(params, images[batch], labels[batch])
                grads = torch.autograd.grad(value, list(params.values()))
                with torch.no_grad():
                    for leaf, grad in zip(params.values(), grads, strict=True):
                        leaf -= rate * grad
            trained.append({k: v.detach() for k, v in params.items()})
            losses.append(value.detach())
        stacked_params = {k: torch.stack([p[k] for p in trained]) for k in trained[0]}
        return answer(stacked_params, torch.stack(losses))

    gradient = vmap(grad_and_value(loss))

    def step(params: Params, rows: torch.Tensor) -> tuple[Params, torch.Tensor]:
        grads, values = gradient(params, images[rows], labels[rows])
        return {name: leaf - rate * grads[name] for name, leaf in params.items()}, values

    advance = torch.compile(step) if way == "compile" else step

    def batched() -> dict[str, np.ndarray]:
        params, values = start, torch.empty(0)
        with torch.no_grad():
            for index in range(rows.shape[1]):
                params, values = advance(params, rows[:, index])
        return answer(params, values)

    return eager if way == "eager" else batched


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(DEVICE)
