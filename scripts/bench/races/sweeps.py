"""Seed sweeps: many networks trained at once, MLP and CNN, and what diagnostics add to it."""

import itertools
from collections.abc import Sequence
from typing import Any

from scripts.bench.race import HOST_DEVICES, Bound, Contender, Race

SIGNDYN, PLAIN, TORCH = (
    f"scripts.bench.contenders.sweeps_{tool}" for tool in ("signdyn", "jax", "torch")
)
WIDTHS, CHANNELS, BATCH = (64, 64, 64, 10), (8, 16), 64


def dense_flop(widths: Sequence[int], batch: int) -> float:
    """Return the FLOP of a training step: three products a kernel, but two of the first."""
    products = [2.0 * batch * a * b for a, b in itertools.pairwise(widths)]
    return 3 * sum(products) - products[0]


def cnn_flop(channels: Sequence[int], batch: int) -> float:
    """Return the FLOP of a step of the CNN of `scripts.bench.tasks.stacked_cnn`."""
    first, second = channels
    products = [28 * 28 * 9 * first, 14 * 14 * 9 * first * second, 7 * 7 * second * 10]
    return 2.0 * batch * (3 * sum(products) - products[0])


def way(kind: str, name: str, tool: str, **more: Any) -> Contender:
    """Return a peer that trains networks of a kind, "mlp" or "cnn"."""
    return Contender(
        name, f"{tool}:{kind}", ("torch",) if tool == TORCH else ("jax",),
        more={k: v for k, v in more.items() if k != "share"}, share=more.get("share", 1.0),
    )  # fmt: skip


def mlp_race(seeds: int, asked: Sequence[float]) -> Race:
    """Return the race of perceptrons; asked of vmap, one by one, eager, torch.func, compiled."""
    steps = 1000 if seeds <= 32 else 500
    few = min(seeds, 8)
    peers = (
        way("mlp", "jit(vmap(scan))", PLAIN, way="vmap"),
        way("mlp", "jit + scan, one seed after the other", PLAIN, way="seeds"),
        way("mlp", "PyTorch eager, one after the other", TORCH, way="eager", seeds=few,
            share=few / seeds),
        way("mlp", "torch.func.vmap", TORCH, way="func"),
        way("mlp", "torch.func.vmap, compiled, 1 thread", TORCH, way="compile", threads=1),
    )  # fmt: skip
    ours = Contender("signdyn", f"{SIGNDYN}:mlp", ("jax",), HOST_DEVICES)
    return Race(
        id=f"sweep_mlp_{seeds}",
        topic="Seed sweeps",
        work=f"{seeds} seeds of 64-64-64-10 sigmoid, batch {BATCH}, {steps} steps of SGD on digits",
        case={"seeds": seeds, "steps": steps, "batch": BATCH, "rate": 0.1, "widths": WIDTHS},
        contenders=(ours, *peers),
        bounds=tuple(
            Bound(peer.name, ours.name, at_least=least)
            for peer, least in zip(peers, asked, strict=True)
        ),
        tolerance={"loss": 1e-3, "bias": 1e-3},
        units=seeds * steps,
        unit="seed and step",
        flop=seeds * steps * dense_flop(WIDTHS, BATCH),
        flop_of="three products a kernel, two of the first",
    )


def cnn_race(seeds: int, asked: Sequence[float]) -> Race:
    """Return the race of CNNs; asked of native convolutions, eager, torch.func, compiled."""
    steps, few = 60, 2
    peers = (
        way("cnn", "native convolution in scan, one seed after the other", PLAIN, way="seeds",
            seeds=few, share=few / seeds),
        way("cnn", "PyTorch eager, one after the other", TORCH, way="eager", seeds=few,
            share=few / seeds),
        way("cnn", "torch.func.vmap", TORCH, way="func"),
        way("cnn", "torch.func.vmap, compiled", TORCH, way="compile"),
    )  # fmt: skip
    ours = Contender("signdyn", f"{SIGNDYN}:cnn", ("jax",), HOST_DEVICES)
    return Race(
        id=f"sweep_cnn_{seeds}",
        topic="Seed sweeps",
        work=f"{seeds} seeds of a CNN (8 and 16 channels, 28 x 28), batch {BATCH}, {steps} steps",
        case={"seeds": seeds, "steps": steps, "batch": BATCH, "rate": 0.01, "channels": CHANNELS},
        contenders=(ours, *peers),
        bounds=tuple(
            Bound(peer.name, ours.name, at_least=least)
            for peer, least in zip(peers, asked, strict=True)
        ),
        tolerance={"loss": 1e-3},  # rounding decides at kinks, and biases part
        units=seeds * steps,
        unit="seed and step",
        flop=seeds * steps * cnn_flop(CHANNELS, BATCH),
        flop_of="three products a kernel, two of the first",
    )


RACES = (
    mlp_race(128, (1.6, 2.1, 13.0, 3.0, 2.0)),
    mlp_race(32, (1.6, 1.6, 10.0, 6.0, 1.8)),
    mlp_race(8, (1.6, 1.6, 10.0, 6.0, 1.8)),
    cnn_race(32, (6.5, 1.8, 3.0, 1.0)),
    cnn_race(8, (6.5, 1.8, 3.0, 1.0)),
)
