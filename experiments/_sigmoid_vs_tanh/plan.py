"""The plan: options, arms, and the programs with the variants each runs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments._cli import UsageError, option
from experiments._ladder import Ladder
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from experiments._sigmoid_vs_tanh.descent import Point, looks, make_descent, tabulate
from experiments._sigmoid_vs_tanh.network import SIGMOID, Units
from experiments._sigmoid_vs_tanh.playground_url import Request, parse_url
from experiments._sigmoid_vs_tanh.setting import Points, Setting
from experiments._sigmoid_vs_tanh.start import make_start, tabulate_start
from signdyn.data.toys import TOYS
from signdyn.resume import Group, Variant

NAME = "sigmoid_vs_tanh"

SHIFTED, DOUBLED = Units(0.5, 0.0, 0.5), Units(0.5, 0.0, 1.0)

BEHIND_SIGMOID: Mapping[str, Any] = {"output_slope": 0.5, "label_gap": 1.0}
"""Labels 0 and 1, and a sigmoid for the output unit."""


class Arm(NamedTuple):
    """A network and its labels.

    Attributes:
        point: Fields of `Point`.
        rate: Factor on the setting's learning rate.
        low: Whether the descent goes on to a fifth of the target loss.
        seed_offset: Added to every seed.
    """

    point: Mapping[str, Any]
    rate: float = 1.0
    low: bool = False
    seed_offset: int = 0


ARMS: Mapping[str, Arm] = {
    "tanh": Arm({}, low=True),
    "doubled": Arm({"units": DOUBLED}),
    "shifted": Arm({"units": SHIFTED}),
    "sigmoid": Arm({"units": SIGMOID}, low=True),
    "drawn": Arm({"units": SIGMOID, "matched": 0.0}, low=True),
    "offset": Arm({"units": Units(1.0, 1.0, 1.0)}),
    "scale": Arm({"units": Units(1.0, 0.0, 0.5)}),
    "rates": Arm({"rates": SHIFTED}),
    "labels01": Arm({"label_gap": 1.0}, low=True),
    "labels01_rate": Arm({"label_gap": 1.0}, rate=4.0, low=True),
    # at an output of 0 the loss has an eighth of the slope
    "tanh01": Arm(BEHIND_SIGMOID, rate=8.0),
    "drawn01": Arm({**BEHIND_SIGMOID, "units": SIGMOID, "matched": 0.0}, rate=8.0),
    **{f"again_{k}": Arm({}, seed_offset=k * AGAIN_OFFSET) for k in range(1, 8)},
}
"""Networks that start as one function, that of tanh units, except those whose weights are ``drawn``
as they are. ``shifted`` is sigmoid(z) - 1/2, ``doubled`` 2 sigmoid(z) - 1; ``rates`` has tanh units
and the learning rates that slope and scale of ``shifted`` come to."""

AGAIN = (("tanh", "again_1", "again_2", "again_3"), tuple(f"again_{k}" for k in range(4, 8)))
"""Two sets of arms that differ in their seeds alone."""

PATH = ("drawn", "sigmoid", "shifted", "doubled", "tanh")
"""From the playground's sigmoid network to its tanh network, one change at a time."""

CHANGES: Mapping[str, tuple[str, str]] = {
    "start": ("drawn", "sigmoid"),
    "centering": ("sigmoid", "shifted"),
    "scale": ("shifted", "doubled"),
    "slope": ("doubled", "tanh"),
}
"""What is changed, and from which arm to which."""

TOO_EASY = "two_gaussians"
"""At best rates it takes a step or two, which are too few to compare."""

RUNGS = range(-2, 3)
"""Learning rates 2^k that every arm is raced at, at first."""

OTHERS = {"relu": "relu", "linear": "identity"}
"""Activations of the playground that are on no path from sigmoid to tanh, and our names."""


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the experiment on sigmoid and tanh."""

    seeds: int = option(32, "Number of seeds, shared by all variants.", minimum=1, maximum=100_000)
    playground_url: str = option(
        "", "Rerun this address of TensorFlow Playground, over all seeds; quote it."
    )
    datasets: tuple = option(
        ("circle", "xor", "two_gaussians"),
        "Data sets of the playground; an address has its own.",
        choices=tuple(TOYS),
    )
    target_loss: float = option(
        0.25, "Loss at which a descent has arrived; guessing 0 costs .5.", minimum=1e-6, maximum=0.5
    )
    max_steps: int = option(
        60_000, "Updates of a descent at the playground's rate.", minimum=8, maximum=10**7
    )
    race_steps: int = option(
        4000, "Updates of a descent in the race of best rates.", minimum=8, maximum=10**7
    )
    rates_per_octave: int = option(1, "Learning rates per factor of two.", minimum=1, maximum=8)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "default": {"seeds": 64, "race_steps": 8000, "rates_per_octave": 2},
    "paper": {
        "seeds": 512,
        "max_steps": 200_000,
        "race_steps": 16_000,
        "rates_per_octave": 4,
        "block": 512,
    },
}


class Plan(NamedTuple):
    """A checked configuration: the playground's setting, its data, and the folder."""

    config: Config
    setting: Setting
    request: Request | None
    points: Points
    session: Session

    @property
    def raced(self) -> tuple[str, ...]:
        """Data sets on which best rates are raced."""
        names = self.setting.datasets
        return tuple(name for name in names if name != TOO_EASY) or names

    @property
    def other(self) -> str | None:
        """The address's activation, if it is neither tanh nor sigmoid."""
        return self.setting.activation if self.setting.activation in OTHERS else None


def check_config(config: Config) -> tuple[Setting, Request | None]:
    """Return the setting to run, and the address's request if there is one.

    Raises:
        UsageError: With one sentence on what was wrong.
    """
    if config.playground_url:
        if config.datasets != Config().datasets:
            raise UsageError("--datasets and --playground_url both name data sets; give one")
        request = parse_url(config.playground_url)
        return request.setting, request
    return Setting(datasets=tuple(config.datasets)), None


class Jobs:
    """The programs of the experiment and the variants each runs."""

    def __init__(self, plan: Plan):
        """Make the programs."""
        self.plan = plan
        self.start = self._start()
        self.fixed = self._descents("tanh")
        # the same program, in another table of the record
        self.race = self.fixed._replace(group=self.fixed.group._replace(part="race"))
        self.other = self._descents(OTHERS[plan.other]) if plan.other else None

    def start_variants(self) -> list[Variant]:
        """Return the networks that are measured before the first step."""
        names = (*PATH, "offset", "scale")
        return [self._variant(d, arm, 0.0, 0) for d in self._datasets for arm in names]

    def fixed_variants(self) -> list[Variant]:
        """Return all arms at the setting's learning rate."""
        return [self._fixed(dataset, arm) for dataset in self._datasets for arm in ARMS]

    def other_variants(self) -> list[Variant]:
        """Return the address's own activation at its learning rate."""
        (dataset,) = self._datasets
        tanh = self._fixed(dataset, "tanh")
        return [tanh._replace(labels={**tanh.labels, "arm": self.plan.setting.activation})]

    def ladder(self, dataset: str) -> Ladder:
        """Return the ladder of rates on one data set."""
        steps, per_octave = self.plan.config.race_steps, self.plan.config.rates_per_octave
        rungs = range(RUNGS[0] * per_octave, RUNGS[-1] * per_octave + 1)

        def variant(name: str, rate: float) -> Variant:
            return self._variant(dataset, name, rate, steps)

        return Ladder(self.race, PATH, variant, rungs, per_octave)

    def announced(self) -> list[tuple[Job, int]]:
        """Return every job with the number of variants expected."""
        races = len(self.plan.raced) * len(PATH) * len(RUNGS) * self.plan.config.rates_per_octave
        jobs = [(self.start, len(self.start_variants()))]
        jobs.append((self.fixed, len(self.fixed_variants()) + races))
        return [*jobs, (self.other, 1)] if self.other else jobs

    @property
    def _datasets(self) -> Sequence[str]:
        return self.plan.setting.datasets

    def _fixed(self, dataset: str, arm: str) -> Variant:
        rate = ARMS[arm].rate * self.plan.setting.learning_rate
        return self._variant(dataset, arm, rate, self.plan.config.max_steps, low=ARMS[arm].low)

    def _variant(
        self, dataset: str, arm: str, rate: float, steps: int, *, low: bool = False
    ) -> Variant:
        target = self.plan.config.target_loss
        point = Point(
            dataset=float(self._datasets.index(dataset)),
            learning_rate=rate,
            stop_loss=target / 5.0 if low else target,
            max_steps=float(steps),
        )
        labels = {"dataset": dataset, "arm": arm, "rate": rate}
        return Variant(labels, point._replace(**ARMS[arm].point), ARMS[arm].seed_offset)

    def _start(self) -> Job:
        train_fn = make_start(self.plan.setting, self.plan.points)
        group = Group("start", "start", train_fn, tabulate_start, self._identity("start"), Point())
        return Job(group, 1, 60.0 * self._flop(), brief=True)

    def _descents(self, activation: str) -> Job:
        config = self.plan.config
        steps = max(config.max_steps, config.race_steps)
        train_fn = make_descent(
            self.plan.setting, self.plan.points, activation=activation, max_steps=steps
        )
        identity = {
            **self._identity("descents"),
            "activation": activation,
            "looks": len(looks(steps)),
        }
        group = Group(f"descents, {activation}", "fixed", train_fn, tabulate, identity, Point())
        # most of them arrive long before the last step
        return Job(group, steps // 20, self._flop())

    def _identity(self, part: str) -> dict[str, Any]:
        return {
            "experiment": NAME,
            "part": part,
            **self.plan.setting._replace(activation="", learning_rate=0.0)._asdict(),
            "data": self.plan.points.fingerprint,
            "dtype": "float64",
        }

    def _flop(self) -> float:
        units = self.plan.setting.units
        weights = sum(a * b for a, b in itertools.pairwise(units))
        # small as they are, what counts is how many operations there are
        return 3e4 + 6.0 * self.plan.setting.batch_size * weights
