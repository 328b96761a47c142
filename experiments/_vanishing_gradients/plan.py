"""The plan: options, the two programs, and the variants each runs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from experiments._cli import UsageError, option
from experiments._data import data_dir_option
from experiments._fisher_spectrum.activation import NAMES
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from experiments._vanishing_gradients import descent, start
from experiments._vanishing_gradients.network import LANCZOS
from experiments._vanishing_gradients.start import ARMS, FALLING, LEVEL, PAIR
from signdyn.resume import Group, Variant
from signdyn.training import TrainFn

NAME = "vanishing_gradients"

FALLS = {"own": 0.0, "level": LEVEL, "falling": FALLING}
"""Slopes -> factor by which deltas fall a layer, 0 for the activation's own."""

FIRST_RATES = {"relu": 1.4, "tanh": 2.8, "sigmoid": 2.8}
"""Rates x lambda_max at which ladders begin, to be widened from there; close to the best ones."""

AGAIN = "sigmoid"
"""Activation of the A/A arms, raw against raw with other seeds; their steps vary least."""


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the experiment on vanishing gradients."""

    data_dir: str = data_dir_option()
    side: int = option(
        4,
        "Pixels along a side of the pooled digits, a divisor of 8; its square is the number of "
        "inputs and of units a layer.",
        minimum=2,
        maximum=8,
    )
    num_examples: int = option(
        96, "Digits that a seed draws with replacement.", minimum=8, maximum=100_000
    )
    max_depth: int = option(
        8, "Hidden layers at most; depths are powers of two.", minimum=2, maximum=64
    )
    trained_depth: int = option(
        4, "Hidden layers at most of the networks that are trained.", minimum=2, maximum=64
    )
    steps: int = option(256, "Updates of each descent at most.", minimum=8, maximum=10**7)
    target_fraction: float = option(
        0.4, "Target loss, as a fraction of a uniform guess's.", minimum=1e-6, maximum=0.99
    )
    rates_per_octave: int = option(1, "Learning rates per factor of two.", minimum=1, maximum=8)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "default": {"seeds": 32, "num_examples": 256, "rates_per_octave": 2},
    "paper": {
        "seeds": 64,
        "side": 8,
        "num_examples": 1024,
        "max_depth": 16,
        "trained_depth": 8,
        "steps": 4096,
        "target_fraction": 0.2,
        "rates_per_octave": 2,
        "block": 512,
    },
}


class Plan(NamedTuple):
    """A checked configuration: what a seed draws, its sizes, and the folder."""

    config: Config
    width: int
    num_classes: int
    fingerprint: str
    draw: Callable
    session: Session

    @property
    def target_loss(self) -> float:
        """In nats."""
        return self.config.target_fraction * math.log(self.num_classes)


class Race(NamedTuple):
    """What is trained at every rate of a ladder of its own.

    Attributes:
        activation: Its name.
        depth: Hidden layers.
        slopes: In `FALLS`.
        arm: ``raw``, ``centered``, or ``again``, which is raw with other seeds.
    """

    activation: str
    depth: int
    slopes: str
    arm: str

    @property
    def name(self) -> str:
        """All of it in a few words."""
        return f"{self.activation}, {self.depth} layers, {self.slopes} slopes, {self.arm}"


def depths(deepest: int) -> list[int]:
    """Return the powers of two up to ``deepest``, and that.

    Example:
        >>> depths(4), depths(6)
        ([1, 2, 4], [1, 2, 4, 6])
    """
    powers = [2**k for k in range(deepest.bit_length()) if 2**k < deepest]
    return [*powers, deepest]


def check_config(config: Config) -> None:
    """Raise `UsageError` for what cannot be run."""
    if 8 % config.side:
        raise UsageError(f"--side must divide 8, got {config.side}")
    if config.trained_depth > config.max_depth:
        raise UsageError(
            f"--trained_depth must be at most --max_depth={config.max_depth}, "
            f"got {config.trained_depth}"
        )


def races(config: Config) -> list[Race]:
    """Return every race: activations by depth, at the largest depth with chosen slopes, and A/A."""
    deepest = config.trained_depth
    kinds = [(depth, "own") for depth in depths(deepest)]
    kinds += [(deepest, slopes) for slopes in FALLS if slopes != "own"]
    return [
        *(Race(name, *kind, arm) for name in NAMES for kind in kinds for arm in PAIR),
        *(Race(AGAIN, depth, "own", "again") for depth in again_depths(deepest)),
    ]


def again_depths(deepest: int) -> list[int]:
    """Return the depths of the A/A arms: all but the largest."""
    return depths(deepest)[:-1]


def start_job(plan: Plan) -> tuple[Job, list[Variant]]:
    """Return the measurement before the first step, with its variants."""
    config = plan.config
    group = Group(
        name="starts",
        part="start",
        train_fn=TrainFn(plan.draw, start.measure),
        tabulate=start.tabulate,
        identity=_identity(plan, "start", {"arms": list(ARMS), "later": start.LATER}),
        example=start.Point(0.0, 0.0),
    )
    variants = [
        Variant(
            {"activation": name, "depth": depth},
            start.Point(float(NAMES.index(name)), float(depth)),
        )
        for name in NAMES
        for depth in sorted({*depths(config.max_depth), *depths(config.trained_depth)})
    ]
    # forward and backward passes: eigenvalues, both times of every arm, a few steps
    passes = 2 * 2 * (LANCZOS + 1) + 2 * len(ARMS) + start.LATER
    return Job(group, 1, passes * _flop(plan, config.max_depth), brief=True), variants


def descent_job(plan: Plan) -> Job:
    """Return the program of all descents."""
    config = plan.config
    run = partial(
        descent.measure,
        num_layers=config.trained_depth,
        steps=config.steps,
        target_loss=plan.target_loss,
    )
    group = Group(
        name="descents",
        part="descent",
        train_fn=TrainFn(plan.draw, run),
        tabulate=descent.tabulate,
        identity=_identity(
            plan,
            "descent",
            {
                "num_layers": config.trained_depth,
                "steps": config.steps,
                "target_loss": plan.target_loss,
                "lost": descent.LOST,
            },
        ),
        example=_point("relu", 1, "raw", "own", 1.0),
    )
    # most descents end in a quarter of their steps; a loop of such small ones is as fast in brief
    return Job(group, config.steps, _flop(plan, config.trained_depth) / 4, brief=True)


def race_variant(race: Race, rate: float) -> Variant:
    """Return one descent of a race, at a learning rate x lambda_max."""
    arm = "raw" if race.arm == "again" else race.arm
    labels = {**race._asdict(), "rate": float(rate)}
    point = _point(race.activation, race.depth, arm, race.slopes, rate)
    return Variant(labels, point, AGAIN_OFFSET if race.arm == "again" else 0)


def flip_variants(config: Config) -> list[Variant]:
    """Return descents of flipped networks, one an activation, at a rate of raw's ladder."""
    arm = partial(Race, depth=config.trained_depth, slopes="own", arm="flipped")
    return [race_variant(arm(name), FIRST_RATES[name]) for name in NAMES]


def _point(activation: str, depth: int, arm: str, slopes: str, rate: float) -> descent.Point:
    number = float(NAMES.index(activation))
    return descent.Point(number, float(depth), ARMS[arm].centering, FALLS[slopes], rate)


def _identity(plan: Plan, part: str, more: Mapping[str, Any]) -> dict[str, Any]:
    config = plan.config
    return {
        "experiment": NAME,
        "part": part,
        "activations": list(NAMES),
        "data": plan.fingerprint,
        "side": config.side,
        "num_examples": config.num_examples,
        "max_depth": config.max_depth,
        "dtype": "float64",
        **more,
    }


def _flop(plan: Plan, depth: int) -> float:
    weights = depth * plan.width**2 + plan.width * plan.num_classes
    return 6.0 * plan.config.num_examples * weights
