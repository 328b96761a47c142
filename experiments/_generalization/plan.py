"""The plan: options, arms, the programs and the variants each runs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments._cli import option
from experiments._data import data_dir_option, dataset_option, download_option
from experiments._generalization.directions import Point, directions_fn, tabulate_directions
from experiments._generalization.race import race_fn, tabulate_race
from experiments._ladder import Ladder
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from signdyn.centering import CENTERINGS
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.resume import Group, Variant
from signdyn.training import Hyper, Structure

NAME = "generalization"

RUNGS: Mapping[str, Sequence[int]] = {"relu": range(-1, 2), "sigmoid": range(1, 4)}
"""Ladders begin with rates of 2^k / lambda_max; also the activations there are: both take no
negative value."""

LEVELS: Mapping[str, tuple[float, ...]] = {"clean": (1.0, 0.5, 0.2), "noisy": (1.2, 0.8, 0.6)}
"""Training losses, in nats, at which arms are compared. The last one is the target that rates
are chosen for. Three of ten labels drawn anew cost 1.2 nats that only memorizing can save."""

CENTERING = {"raw": "none", "again": "none", "large": "none", "flipped": "flip", "centered": "both"}

LARGE_SCALE, LARGE_RATE = 3.0, 4.0
"""Factor on the initial kernels that makes a ReLU network generalize worse, and a rate, in
1 / lambda_max, that trains it."""

DIRECTION_RATES: Mapping[str, float] = {"relu": 0.05, "sigmoid": 0.3}
"""Learning rates small enough for single examples; both arms have the same."""


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the experiment on generalizing."""

    dataset: str = dataset_option()
    data_dir: str = data_dir_option()
    download: bool = download_option()
    num_train: int = option(
        128, "Use at most this many training examples; 0 means all.", minimum=0, maximum=10**9
    )
    widths: tuple = option(
        ("32", "32"), "Units of each hidden layer.", entries=int, minimum=1, maximum=65536
    )
    activations: tuple = option(
        ("relu", "sigmoid"),
        "The first one is also trained with noisy labels.",
        choices=tuple(RUNGS),
    )
    directions: tuple = option(
        ("sigmoid",),
        "Activations among them whose updates' directions are measured.",
        choices=tuple(RUNGS),
        least=0,
    )
    steps: int = option(192, "Updates of each descent.", minimum=8, maximum=10**7)
    label_noise: float = option(
        0.3, "Share of training labels drawn anew in the noisy regime.", minimum=0.0, maximum=1.0
    )
    direction_steps: int = option(
        256, "Updates whose directions are kept.", minimum=2, maximum=10**5
    )
    batch_size: int = option(
        16, "Examples of a batch whose directions are kept.", minimum=2, maximum=10**6
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "default": {"seeds": 32, "num_train": 256, "steps": 256, "directions": ("relu", "sigmoid")},
    "paper": {
        "seeds": 128,
        "num_train": 512,
        "widths": ("64", "64"),
        "directions": ("relu", "sigmoid"),
        "steps": 1024,
        "direction_steps": 1024,
        "block": 64,
    },
}


class Plan(NamedTuple):
    """A checked configuration: data, what follows from it, and the folder."""

    config: Config
    data: Any
    widths: tuple[int, ...]
    activations: tuple[str, ...]
    directions: tuple[str, ...]
    session: Session


def regimes(plan: Plan, activation: str) -> tuple[str, ...]:
    """Return the regimes an activation is trained in."""
    return ("clean", "noisy") if activation == plan.activations[0] else ("clean",)


def batch_sizes(plan: Plan) -> list[int]:
    """Return how many different examples the batches hold whose directions are kept."""
    return [1, plan.config.batch_size]


class Groups:
    """The programs of the experiment and the variants each runs."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.race = {a: self._race_job(a) for a in plan.activations}
        self.directions = {a: self._directions_job(a) for a in plan.directions}

    def jobs(self) -> list[tuple[Job, int]]:
        """Return every job with the number of variants expected, in the order they run."""
        jobs = []
        for activation in self.plan.activations:
            count = sum(
                len(ladder.arms) * len(ladder.rungs) for ladder in self.ladders(activation).values()
            )
            jobs.append((self.race[activation], count + len(self.race_variants(activation))))
        for activation, job in self.directions.items():
            jobs.append((job, len(self.direction_variants(activation))))
        return jobs

    def ladders(self, activation: str) -> dict[str, Ladder]:
        """Return the ladder of each regime; rates are in units of 1 / lambda_max."""
        return {
            regime: Ladder(
                self.race[activation],
                ("raw", "centered"),
                lambda arm, rate, regime=regime: self._race_variant(activation, regime, arm, rate),
                RUNGS[activation],
            )
            for regime in regimes(self.plan, activation)
        }

    def race_variants(self, activation: str) -> list[Variant]:
        """Return the descents that are made at given rates, the inner ones of the first ladder."""
        rates = [2.0**rung for rung in RUNGS[activation]][1:3]
        arms = ("flipped", "again") if activation == self.plan.activations[0] else ("flipped",)
        points = [("clean", arm, rate) for arm in arms for rate in rates]
        if "noisy" in regimes(self.plan, activation):
            points.append(("noisy", "flipped", rates[-1]))
        if activation == "relu":
            points.append(("clean", "large", LARGE_RATE))
        return [self._race_variant(activation, *point) for point in points]

    def direction_variants(self, activation: str) -> list[Variant]:
        """Return the runs whose directions are kept."""
        arms = ("raw", "flipped", "centered")
        pairs = [(arm, size) for size in batch_sizes(self.plan) for arm in arms]
        return [self._direction_variant(activation, *pair) for pair in [*pairs, ("again", 1)]]

    def _race_variant(self, activation: str, regime: str, arm: str, rate: float) -> Variant:
        labels = {"activation": activation, "regime": regime, "arm": arm, "rate": float(rate)}
        hyper = Hyper(
            rate,
            init_scale=LARGE_SCALE if arm == "large" else 1.0,
            label_noise=self.plan.config.label_noise if regime == "noisy" else 0.0,
            centering=CENTERINGS[CENTERING[arm]],
        )
        return Variant(labels, hyper, AGAIN_OFFSET if arm == "again" else 0)

    def _direction_variant(self, activation: str, arm: str, examples: int) -> Variant:
        labels = {"activation": activation, "arm": arm, "examples": float(examples)}
        hyper = Hyper(DIRECTION_RATES[activation], centering=CENTERINGS[CENTERING[arm]])
        return Variant(labels, Point(hyper, float(examples)), AGAIN_OFFSET if arm == "again" else 0)

    def _race_job(self, activation: str) -> Job:
        structure = Structure(self._model(activation), categorical(), steps=self.plan.config.steps)
        group = Group(
            f"{activation}: descents",
            "race",
            race_fn(structure, self.plan.data),
            tabulate_race,
            self._identity(activation, "race", structure),
        )
        data = self.plan.data
        flop = self._flop(len(data.x_train)) + self._flop(len(data.x_test)) / 3.0
        return Job(group, structure.steps, flop)

    def _directions_job(self, activation: str) -> Job:
        steps = self.plan.config.direction_steps
        structure = Structure(
            self._model(activation),
            categorical(),
            steps=steps,
            batch_size=self.plan.config.batch_size,
            record_every=steps,
        )
        group = Group(
            f"{activation}: directions",
            "directions",
            directions_fn(structure, self.plan.data),
            tabulate_directions,
            self._identity(activation, "directions", structure),
            Point(Hyper(learning_rate=0.0), 1.0),
        )
        return Job(group, steps, self._flop(self.plan.config.batch_size), brief=True)

    def _model(self, activation: str) -> MLP:
        return MLP(self.plan.widths, self.plan.data.num_classes, activation)

    def _identity(self, activation: str, part: str, structure: Structure) -> dict[str, Any]:
        return {
            "experiment": NAME,
            "part": part,
            "activation": activation,
            "steps": structure.steps,
            "batch_size": structure.batch_size,
            "widths": list(self.plan.widths),
            "num_train": len(self.plan.data.x_train),
            "data": self.plan.data.fingerprint,
        }

    def _flop(self, num_examples: int) -> float:
        data = self.plan.data
        units = [data.x_train.shape[1], *self.plan.widths, data.num_classes]
        return 6.0 * num_examples * sum(a * b for a, b in itertools.pairwise(units))
