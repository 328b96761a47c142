"""Natural-gradient and K-FAC steps in PyTorch: nngeometry, curvlinops, BackPACK, ASDL.

Work and answers as in `scripts.bench.contenders.natural_jax`: the exact Fisher, factored damping.
BackPACK and ASDL treat a bias apart, or scale the factors differently: their answers are others.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from scripts.bench import tasks
from scripts.bench.contenders.fisher_torch import task

Run = Callable[[], dict[str, np.ndarray]]
Direction = Callable[[nn.Sequential, torch.Tensor, torch.Tensor, float], torch.Tensor]
"""(model, x, y, damping) -> direction, in the order of the model's parameters."""


def _gradient(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> list[torch.Tensor]:
    loss = nn.functional.cross_entropy(model(x), y)
    return list(torch.autograd.grad(loss, list(model.parameters())))


def _flat(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.cat([part.reshape(-1) for part in parts])


def _loader(x: torch.Tensor, y: torch.Tensor) -> torch.utils.data.DataLoader:
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=len(x))


def nngeometry_dense(
    model: nn.Sequential, x: torch.Tensor, y: torch.Tensor, damping: float
) -> torch.Tensor:
    """Solve with nngeometry's dense Fisher by its Cholesky factor."""
    from nngeometry.metrics import FIM
    from nngeometry.object import PMatDense

    fisher = FIM(model, _loader(x, y), PMatDense, variant="classif_logits", device="cpu")
    F = fisher.to_torch() if hasattr(fisher, "to_torch") else fisher.get_dense_tensor()
    F.diagonal().add_(damping)
    gradient = _flat(_gradient(model, x, y))
    return torch.cholesky_solve(gradient[:, None], torch.linalg.cholesky(F))[:, 0]


def nngeometry_kfac(
    model: nn.Sequential, x: torch.Tensor, y: torch.Tensor, damping: float
) -> torch.Tensor:
    """Solve with nngeometry's K-FAC."""
    from nngeometry.metrics import FIM
    from nngeometry.object import PMatKFAC

    fisher = FIM(model, _loader(x, y), PMatKFAC, variant="classif_logits", device="cpu")
    inverse = fisher.inverse(regul=damping)
    gradients = _gradient(model, x, y)
    parts = []
    for (A, G), weight, bias in zip(
        inverse.data.values(), gradients[::2], gradients[1::2], strict=True
    ):
        solved = G @ torch.cat([weight, bias[:, None]], dim=1) @ A
        parts += [solved[:, :-1], solved[:, -1]]
    return _flat(parts)


def curvlinops_kfac(
    model: nn.Sequential, x: torch.Tensor, y: torch.Tensor, damping: float
) -> torch.Tensor:
    """Solve with curvlinops' K-FAC."""
    from curvlinops import FisherType, KFACInverseLinearOperator, KFACLinearOperator

    params = list(model.parameters())
    kfac = KFACLinearOperator(
        model,
        nn.CrossEntropyLoss(),
        params,
        [(x, y)],
        check_deterministic=False,
        fisher_type=FisherType.TYPE2,
        separate_weight_and_bias=False,
    )
    inverse = KFACInverseLinearOperator(kfac, damping=damping, use_heuristic_damping=True)
    return _flat(inverse @ _gradient(model, x, y))


def backpack_kfac(
    model: nn.Sequential, x: torch.Tensor, y: torch.Tensor, damping: float
) -> torch.Tensor:
    """Solve with BackPACK's KFLR, K-FAC of the exact Fisher, as its example optimizer does."""
    from backpack import backpack, extend, extensions
    from backpack.utils.kroneckers import inv_kfacs

    model, criterion = extend(model), extend(nn.CrossEntropyLoss())
    model.zero_grad()
    with backpack(extensions.KFLR()):
        criterion(model(x), y).backward()
    parts = []
    for p in model.parameters():
        if p.ndim == 2:
            G, A = inv_kfacs(p.kflr, shift=damping)
            parts.append(G @ p.grad @ A)
        else:
            (G,) = inv_kfacs(p.kflr, shift=damping)
            parts.append(G @ p.grad)
    return _flat(parts)


def asdl_kfac(
    model: nn.Sequential, x: torch.Tensor, y: torch.Tensor, damping: float
) -> torch.Tensor:
    """Precondition by ASDL's K-FAC of the exact Fisher."""
    import asdl

    config = asdl.PreconditioningConfig(data_size=len(x), damping=damping)
    maker = asdl.KfacGradientMaker(model, config, fisher_type=asdl.FISHER_EXACT)
    dummy = maker.setup_model_call(model, x)
    maker.setup_loss_call(nn.functional.cross_entropy, dummy, y)
    model.zero_grad()
    maker.forward_and_backward()
    return _flat([p.grad for p in model.parameters()])


WAYS: dict[str, Direction] = {
    "nngeometry_dense": nngeometry_dense,
    "nngeometry_kfac": nngeometry_kfac,
    "curvlinops_kfac": curvlinops_kfac,
    "backpack_kfac": backpack_kfac,
    "asdl_kfac": asdl_kfac,
}


def descend(widths: Sequence[int], batch: int, steps: int, damping: float, way: str) -> Run:
    """Return a run of ``steps`` steps' directions, each on a batch of its own."""
    model, x, y = task(widths, len(tasks.digits()[1]))
    orders = torch.from_numpy(tasks.batch_orders(1, len(x), batch, steps)[0]).long()
    first = WAYS[way](model, x[orders[0]], y[orders[0]], damping).detach()
    shapes = [p.shape for p in model.parameters()]
    parts = first.split([shape.numel() for shape in shapes])
    own = [
        part.reshape(shape).T.ravel() if len(shape) == 2 else part
        for part, shape in zip(parts, shapes, strict=True)
    ]
    answer = {"direction": torch.cat(own).numpy()}

    def run() -> dict[str, np.ndarray]:
        for rows in orders:
            WAYS[way](model, x[rows], y[rows], damping)
        return answer

    return run
