"""What it costs to measure signs and turns while many seeds train."""

from scripts.bench.race import HOST_DEVICES, Bound, Contender, Race

SEEDS, STEPS, FEW = 32, 300, 2
PROGRAM = "scripts.bench.contenders.sweeps_signdyn:mlp"
BACKPACK = Contender(
    "BackPACK per-sample gradients, every step",
    "scripts.bench.contenders.diagnostics_torch:backpack_batch_grad",
    ("torch", "backpack-for-pytorch"),
    more={"seeds": FEW},
    share=FEW / SEEDS,
)


def signdyn(name: str, every: int, *, agrees: bool = False) -> Contender:
    """Return our sweep that measures at every so many steps."""
    more = {"measure_every": every}
    return Contender(name, PROGRAM, ("jax",), HOST_DEVICES, more=more, agrees=agrees)


RACES = (
    Race(
        id="diagnostics",
        topic="Diagnostics",
        work=f"{SEEDS} seeds of 64-64-64-10 sigmoid with sign coherence by example and batch, "
        f"flips, negative shares and turning cosines measured, batch 64, {STEPS} steps",
        case={
            "seeds": SEEDS, "steps": STEPS, "batch": 64, "rate": 0.1, "widths": (64, 64, 64, 10),
        },
        contenders=(
            signdyn("signdyn, every step", 1, agrees=True),
            signdyn("signdyn, every tenth step", 10),
            signdyn("signdyn, plain training", 0),
            BACKPACK,
        ),
        bounds=(
            Bound("signdyn, every step", "signdyn, plain training", at_most=1.3),
            Bound("signdyn, every tenth step", "signdyn, plain training", at_most=1.05),
            Bound(BACKPACK.name, "signdyn, every step", at_least=15.0),
        ),
        tolerance={
            "loss": 1e-4, "bias": 1e-4, "example_coherence": 1e-5, "batch_coherence": 2e-2,
            "negative": 1e-5, "turning_cosine": 1e-3,
        },
        units=SEEDS * STEPS,
        unit="seed and step",
    ),
)  # fmt: skip
