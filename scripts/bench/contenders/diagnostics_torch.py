"""What `scripts.bench.contenders.diagnostics` measures, by BackPACK's per-sample gradients."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from backpack import backpack, extend
from backpack.extensions import BatchGrad

from scripts.bench import tasks

Run = Callable[[], dict[str, np.ndarray]]


def backpack_batch_grad(
    seeds: int, steps: int, batch: int, rate: float, widths: Sequence[int]
) -> Run:
    """Return a run that trains sigmoid networks on digits, one after the other, and measures.

    Args:
        seeds: Number of networks.
        steps: Updates of each, all of them measured.
        batch: Examples an update.
        rate: Learning rate.
        widths: Features, units of each hidden layer, classes.
    """
    x, y = (torch.tensor(array) for array in tasks.digits())
    y = y.long()
    order = torch.tensor(tasks.batch_orders(seeds, len(x), batch, steps)).long()

    def run() -> dict[str, np.ndarray]:
        results = [_train(x, y, order[seed], rate, widths, seed) for seed in range(seeds)]
        return {key: np.stack([result[key] for result in results]) for key in results[0]}

    return run


def _train(
    x: torch.Tensor,
    y: torch.Tensor,
    order: torch.Tensor,
    rate: float,
    widths: Sequence[int],
    seed: int,
) -> dict[str, np.ndarray]:
    parts = []
    for kernel, bias in tasks.dense_network(widths, seed):
        layer = torch.nn.Linear(*kernel.shape)
        layer.weight.data = torch.tensor(kernel.T.copy())
        layer.bias.data = torch.tensor(bias)
        parts += [layer, torch.nn.Sigmoid()]
    model = extend(torch.nn.Sequential(*parts[:-1]))
    loss_fn = extend(torch.nn.CrossEntropyLoss())
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    weights = [part.weight for part in parts[::2]]
    previous = [weight.detach().clone() for weight in weights]
    total: dict[str, torch.Tensor] = {}
    loss = torch.zeros(())
    for rows in order:
        optimizer.zero_grad()
        loss = loss_fn(model(x[rows]), y[rows])
        with backpack(BatchGrad()):
            loss.backward()
        before = [weight.detach().clone() for weight in weights]
        measured = {
            "example_coherence": torch.stack(
                [torch.nanmean(coherence(weight.grad_batch)) for weight in weights]
            ),
            "batch_coherence": torch.cat([coherence(weight.grad) for weight in weights]),
            "negative": torch.cat([(weight < 0).float().mean(1) for weight in before]),
        }
        optimizer.step()
        updates = [-rate * weight.grad for weight in weights]
        measured["flips"] = flips(before, weights)
        measured["turning_cosine"] = torch.cosine_similarity(flat(previous), flat(updates), dim=0)
        previous = updates
        total = {key: total.get(key, 0) + value for key, value in measured.items()}
    readings = {key: value.detach().numpy()[None] for key, value in total.items()}
    return {"loss": loss.detach().numpy(), "bias": parts[0].bias.detach().numpy(), **readings}


def coherence(grads: torch.Tensor) -> torch.Tensor:
    """Return |sum of signs| over their number, along the last axis."""
    signs = torch.sign(grads)
    return signs.sum(-1).abs() / signs.abs().sum(-1)


def flips(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the share of weights whose sign changed, among those with a sign at both times."""
    products = torch.sign(flat(before)) * torch.sign(flat(after))
    return (products < 0).sum() / (products != 0).sum()


def flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return all entries as one vector."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
