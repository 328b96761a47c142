"""Fishers and their spectra in PyTorch: nngeometry, curvlinops, BackPACK, torch.func and others.

Networks, data and answers are those of `scripts.bench.contenders.fisher_jax`.
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import scipy.linalg
import torch
from torch import nn

from scripts.bench import tasks

Run = Callable[[], dict[str, np.ndarray]]
TOP, DEPTH, STEPS = 10, 24, 80


def task(
    widths: Sequence[int], examples: int, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    """Return the network, its inputs and labels."""
    x, y = tasks.digits()
    parts: list[nn.Module] = []
    for kernel, bias in tasks.dense_network(widths, seed):
        layer = nn.Linear(*kernel.shape)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(kernel.T))
            layer.bias.copy_(torch.from_numpy(bias))
        parts += [layer, nn.Tanh()]
    model = nn.Sequential(*parts[:-1]).to(dtype)
    return model, torch.from_numpy(x[:examples]).to(dtype), torch.from_numpy(y[:examples]).long()


def nngeometry_matrix(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return nngeometry's dense Fisher."""
    from nngeometry.metrics import FIM
    from nngeometry.object import PMatDense

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=len(x))
    fim = FIM(model, loader, PMatDense, variant="classif_logits", device="cpu")
    return fim.to_torch() if hasattr(fim, "to_torch") else fim.get_dense_tensor()


def curvlinops_operator(model: nn.Module, x: torch.Tensor, y: torch.Tensor):
    """Return curvlinops' GGN, which is the Fisher, as a linear operator."""
    from curvlinops import GGNLinearOperator

    params = [p for p in model.parameters() if p.requires_grad]
    return GGNLinearOperator(
        model, nn.CrossEntropyLoss(), params, [(x, y)], check_deterministic=False
    )


def curvlinops_matrix(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return curvlinops' GGN times the identity."""
    operator = curvlinops_operator(model, x, y)
    return operator @ torch.eye(operator.shape[0], dtype=x.dtype)


def backpack_factor(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return BackPACK's exact square root of the GGN, [parameters, classes * examples]."""
    from backpack import backpack, extend
    from backpack.extensions import SqrtGGNExact

    model, loss = extend(model), extend(nn.CrossEntropyLoss())
    with backpack(SqrtGGNExact()):
        loss(model(x), y).backward()
    roots = [p.sqrt_ggn_exact.flatten(2).flatten(0, 1) for p in model.parameters()]
    model.zero_grad()
    return torch.cat(roots, dim=1).detach().T


def backpack_matrix(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the product of BackPACK's factor with itself."""
    root = backpack_factor(model, x, y)
    return root @ root.T


def func_matrix(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the Fisher from torch.func's Jacobian, one product of a weighted factor."""
    del y
    from torch.func import functional_call, jacrev, vmap

    params = {name: p.detach() for name, p in model.named_parameters()}

    def outputs(params: dict[str, torch.Tensor], one: torch.Tensor) -> torch.Tensor:
        return functional_call(model, params, one[None])[0]

    jacobians = vmap(jacrev(outputs), (None, 0))(params, x)
    J = torch.cat([part.flatten(2) for part in jacobians.values()], dim=2)  # [N, K, P]
    p = torch.softmax(model(x), 1).detach()
    root = p.sqrt()
    A = root[:, :, None] * (J - torch.einsum("nk,nkp->np", p, J)[:, None])
    A = A.flatten(0, 1) / len(x) ** 0.5
    return A.T @ A


def asdl_matrix(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return ASDL's exact Fisher of all parameters."""
    import asdl

    config = asdl.FisherConfig(
        fisher_type=asdl.FISHER_EXACT,
        fisher_shapes=[asdl.SHAPE_FULL],
        loss_type=asdl.LOSS_CROSS_ENTROPY,
        data_size=len(x),
    )
    maker = asdl.get_fisher_maker(model, config)
    dummy = maker.setup_model_call(model, x)
    maker.setup_loss_call(nn.functional.cross_entropy, dummy, y)
    maker.forward_and_backward()
    return model.fisher.data


MATRICES = {
    "nngeometry": nngeometry_matrix,
    "curvlinops": curvlinops_matrix,
    "backpack": backpack_matrix,
    "func": func_matrix,
    "asdl": asdl_matrix,
}


def matrix(widths: Sequence[int], examples: int, way: str) -> Run:
    """Return a run that forms the Fisher."""
    own = task(widths, examples)

    def run() -> dict[str, np.ndarray]:
        F = MATRICES[way](*own).detach().numpy()
        return {"diagonal": np.sort(F.diagonal()), "sums": np.sort(F @ np.ones(len(F), F.dtype))}

    return run


def spectrum(widths: Sequence[int], examples: int, way: str, double: bool = True) -> Run:
    """Return a run that finds all eigenvalues of the Fisher, in float64 or in float32."""
    own = task(widths, examples, torch.float64 if double else torch.float32)
    torch.set_default_dtype(own[1].dtype)  # nngeometry allocates in it

    def run() -> dict[str, np.ndarray]:
        found = all_eigenvalues(MATRICES[way](*own))
        kept = found[: np.sum(found > 1e-10 * found[0])]
        return {"eigenvalues": found[:1000], "number_above_1e-10": np.array(len(kept), np.float64)}

    return run


def all_eigenvalues(F: torch.Tensor) -> np.ndarray:
    """Return them by SciPy's fastest routine, descending, in float64; negative ones are zero."""
    found = scipy.linalg.eigh(
        F.detach().numpy(), driver="evr", eigvals_only=True, check_finite=False
    )
    return np.maximum(found[::-1], 0.0).astype(np.float64)


def spectra_of_seeds(widths: Sequence[int], examples: int, seeds: int, way: str) -> Run:
    """Return a run that finds the spectra of many networks, one after the other, in float32."""
    own = [task(widths, examples, seed=seed) for seed in range(seeds)]
    return lambda: {
        "eigenvalues": np.stack([all_eigenvalues(MATRICES[way](*one))[:100] for one in own])
    }


def gram(widths: Sequence[int], examples: int) -> Run:
    """Return a run that forms A A^T from BackPACK's factor."""
    own = task(widths, examples)

    def run() -> dict[str, np.ndarray]:
        root = backpack_factor(*own)
        return tasks.trace_and_norm((root.T @ root).numpy())

    return run


def gram_spectrum(widths: Sequence[int], examples: int, double: bool = True) -> Run:
    """Return a run that finds all nonzero eigenvalues from BackPACK's factor."""
    own = task(widths, examples, torch.float64 if double else torch.float32)

    def run() -> dict[str, np.ndarray]:
        root = backpack_factor(*own)
        found = all_eigenvalues(root.T @ root)
        kept = found[: np.sum(found > 1e-10 * found[0])]
        return {"eigenvalues": found[:1000], "number_above_1e-10": np.array(len(kept), np.float64)}

    return run


def curvlinops_top(widths: Sequence[int], examples: int) -> Run:
    """Return a run with curvlinops' operator in SciPy's Lanczos."""
    from scipy.sparse.linalg import eigsh

    operator = curvlinops_operator(*task(widths, examples)).to_scipy()
    start = np.random.default_rng(0).normal(size=operator.shape[0]).astype(np.float32)

    def run() -> dict[str, np.ndarray]:
        found = eigsh(operator, k=TOP, v0=start, tol=1e-4)[0]
        return {"eigenvalues": np.sort(found)[::-1]}

    return run


def eigenthings_operator(widths: Sequence[int], examples: int):
    """Return hessian-eigenthings' GGN, which is the Fisher."""
    from hessian_eigenthings import GGNOperator, supervised_forward, supervised_loss_of_output

    model, x, y = task(widths, examples)
    loss = supervised_loss_of_output(nn.CrossEntropyLoss())
    return GGNOperator(model, [(x, y)], supervised_forward, loss)


def eigenthings_top(widths: Sequence[int], examples: int) -> Run:
    """Return a run with hessian-eigenthings' Lanczos."""
    from hessian_eigenthings import lanczos

    operator = eigenthings_operator(widths, examples)

    def run() -> dict[str, np.ndarray]:
        found = lanczos(
            operator, k=TOP, max_iter=DEPTH, tol=1e-4, seed=0, which="LA", reorthogonalize=True
        )
        return {"eigenvalues": np.sort(np.asarray(found.eigenvalues))[::-1]}

    return run


def in_torch_order(rows: np.ndarray, widths: Sequence[int]) -> torch.Tensor:
    """Return rows of bias and kernel [fan_in, units] of every layer as weight.T and bias."""
    parts, start = [], 0
    for fan_in, units in itertools.pairwise(widths):
        bias, kernel = np.split(rows[:, start : start + (fan_in + 1) * units], [units], axis=1)
        weight = kernel.reshape(-1, fan_in, units).swapaxes(1, 2)
        parts += [weight.reshape(len(rows), -1), bias]
        start += (fan_in + 1) * units
    return torch.from_numpy(np.concatenate(parts, axis=1))


def eigenthings_density(widths: Sequence[int], examples: int, probes: int) -> Run:
    """Return a run with hessian-eigenthings' Lanczos quadrature, a probe after the other."""
    from hessian_eigenthings import spectral_density
    from hessian_eigenthings.linalg.backend import SingleDeviceBackend

    from scripts.bench.contenders import fisher_jax

    operator = eigenthings_operator(widths, examples)
    directions = in_torch_order(np.array(fisher_jax.probes(operator.size)), widths)

    class CommonProbes(SingleDeviceBackend):
        def __init__(self):
            super().__init__()
            self.left = list(directions[:probes])

        def rademacher_like(self, *_: object, **__: object) -> torch.Tensor:
            return self.left.pop(0)

    def run() -> dict[str, np.ndarray]:
        found = spectral_density(
            operator,
            num_runs=probes,
            lanczos_steps=STEPS,
            num_grid_points=100,
            seed=0,
            backend=CommonProbes(),
        )
        nodes, weights = found.raw_eigenvalues.numpy(), found.raw_weights.numpy()
        counted = np.nansum(weights * fisher_jax.effective(nodes), axis=1)
        return {"effective": operator.size * counted}

    return run
