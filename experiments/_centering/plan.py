"""The plan: options, arms, and the programs with the points each runs."""

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from experiments._centering import networks
from experiments._centering.networks import FLOOR, SCALINGS, Point, Problem
from experiments._centering.probe import race_probe, tabulate_race
from experiments._centering.start import start_fn, tabulate_start
from experiments._cli import option
from experiments._data import data_dir_option
from experiments._fisher_spectrum.activation import NAMES
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from signdyn.centering import CENTERINGS, Centering, SiteCentering, combine, offset
from signdyn.data import Dataset
from signdyn.resume import Group, Variant
from signdyn.training import Hyper

NAME = "centering"

NORM_ACTIVATION = "relu"
"""Of the networks with norms; it also has the arms that scale."""

DOSE_ACTIVATION = "tanh"
"""Of the networks with doses: odd, so that a dose of c and one of -c differ in sign alone."""

SQUARE = 2
"""Pixels along a side of the squares whose mean ink is an input."""


class Arm(NamedTuple):
    """One way to write the network's inputs and hidden units.

    Attributes:
        centering: Coefficients of the sites.
        input_scaling: In `SCALINGS`.
        hidden_scaling: In `SCALINGS`.
        shifted: See `Point`.
        below: Factors of two that the first rates lie below those that lambda_max suggests.
    """

    centering: Centering
    input_scaling: str = "none"
    hidden_scaling: str = "none"
    shifted: float = 0.0
    below: int = 0


CENTERED = {name: Arm(CENTERINGS[name]) for name in ("none", "input", "hidden", "both", "batch")}
"""Arms of every activation."""

SCALED = {
    "scaled": Arm(CENTERINGS["none"], "standardized"),
    "standardized": Arm(CENTERINGS["both"], "standardized"),
    "whitened": Arm(CENTERINGS["both"], "whitened"),
    # directions that hardly vary at the start are blown up, and move: lambda_max soon grows
    "whitened all": Arm(CENTERINGS["both"], "whitened", "whitened", below=3),
}
"""What is done to the scale of inputs, without and with their mean."""

DOSES = (-1.0, 0.5, 1.0, 1.5)
"""Numbers added to every hidden unit after all means were subtracted."""

FRACTIONS = (0.25, 0.5)
"""Shares of the inputs' mean that are put back; 1 is the arm ``hidden``."""


def dosed(family: str) -> Callable[[float], str]:
    """Return dose -> name of its arm; ``family`` is offset or fraction."""
    return lambda dose: f"{family} {dose:g}"


DOSED = {
    **{dosed("offset")(c): Arm(combine(CENTERINGS["both"], offset(c))) for c in DOSES},
    **{
        dosed("fraction")(part): Arm(
            CENTERINGS["both"]._replace(input=SiteCentering(constant=1.0 - part))
        )
        for part in FRACTIONS
    },
}
"""Networks with a part of a mean put back."""

SHIFTED = {
    "shifted input": Arm(CENTERINGS["input"], shifted=1.0),
    "shifted both": Arm(CENTERINGS["both"], shifted=1.0),
}
"""Networks whose units have next to no mean to begin with: tanh of centered inputs, no biases."""

AGAIN = "again"
"""The arm ``none`` with other seeds."""

NORMED = ("none", "input")
"""Arms of the networks with norms."""

NORMS = {"batch": range(4), "layer": range(-3, 1)}
"""Norms, with the places k of the first rates 2^k."""


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the experiment on centering."""

    data_dir: str = data_dir_option()
    num_train: int = option(128, "Use at most this many digits.", minimum=32, maximum=10**6)
    widths: tuple = option(
        ("24", "24"), "Units of each hidden layer.", entries=int, minimum=1, maximum=65536
    )
    norms: tuple = option(
        ("batch",), "Norms to race networks with; a program each.", choices=tuple(NORMS), least=0
    )
    steps: int = option(96, "Updates of each descent.", minimum=8, maximum=10**7)
    target_fraction: float = option(
        0.35, "Target loss, as a fraction of the uniform guess's ln K.", minimum=1e-6, maximum=0.99
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"seeds": 14},
    "default": {
        "seeds": 32,
        "num_train": 256,
        "widths": ("32", "32"),
        "norms": tuple(NORMS),
        "steps": 128,
    },
    "paper": {
        "seeds": 128,
        "num_train": 1024,
        "widths": ("64", "64"),
        "norms": tuple(NORMS),
        "steps": 512,
        "target_fraction": 0.2,
        "block": 256,
    },
}


class Data(NamedTuple):
    """Arrays as `signdyn.training.make_train_fn` takes them."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int


class Plan(NamedTuple):
    """A checked configuration: the problem, and the folder."""

    config: Config
    problem: Problem
    target_loss: float
    fingerprint: str
    session: Session


def pooled(data: Dataset, num_train: int) -> Data:
    """Return the digits as mean ink of squares, over the root mean square of all."""
    side = data.input_shape[0] // SQUARE

    def squares(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), side, SQUARE, side, SQUARE).mean(axis=(2, 4)).reshape(len(x), -1)

    x_train, x_test = squares(data.x_train[:num_train]), squares(data.x_test)
    # one number for all pixels: the weights' scale presumes inputs of second moment one
    size = np.sqrt(np.mean(x_train**2))
    labels = data.y_train[:num_train], data.y_test
    return Data(x_train / size, labels[0], x_test / size, labels[1], data.num_classes)


def arms(activation: str) -> Mapping[str, Arm]:
    """Return the arms that an activation's networks race in."""
    more: dict[str, Arm] = {}
    if activation == NORM_ACTIVATION:
        more |= SCALED
    if activation == DOSE_ACTIVATION:
        more |= {AGAIN: CENTERED["none"], **DOSED, **SHIFTED}
    return {**CENTERED, **more}


class Jobs(NamedTuple):
    """The programs: start, race, and one race a norm."""

    start: Job
    race: Job
    norms: Mapping[str, Job]


def make_jobs(plan: Plan) -> Jobs:
    """Return the experiment's programs."""
    problem, steps = plan.problem, plan.config.steps
    num_layers = len(problem.widths) + 1
    probe = race_probe(plan.target_loss, num_layers)
    race = networks.train_fn(problem, probe, steps)
    flop = 6.0 * len(problem.data.x_train) * _num_weights(problem)
    hyper = Hyper(0.0, centering=CENTERINGS["batch"])
    example = Point(hyper)

    def group(name: str, part: str, train_fn: Any, tabulate: Any, more: Mapping[str, Any]) -> Group:
        return Group(name, part, train_fn, tabulate, {**_identity(plan, part), **more}, example)

    norms = {}
    for norm in plan.config.norms:
        train_fn = networks.norm_train_fn(problem, probe, steps, norm)
        one = group(f"{norm} norm", "norms", train_fn, tabulate_race, {"norm": norm})
        norms[norm] = Job(one._replace(example=hyper), steps, flop, brief=True)
    start = group("start", "start", start_fn(problem, race.draw), tabulate_start, {"floor": FLOOR})
    return Jobs(
        Job(start, 1, 60 * flop, brief=True),
        Job(group("race", "race", race, tabulate_race, {"floor": FLOOR}), steps, flop),
        norms,
    )


def variant(activation: str, name: str, rate: float = 0.0) -> Variant:
    """Return an arm's point at a learning rate."""
    arm = arms(activation)[name]
    point = Point(
        Hyper(rate, centering=arm.centering),
        activation=float(NAMES.index(activation)),
        input_scaling=float(SCALINGS.index(arm.input_scaling)),
        hidden_scaling=float(SCALINGS.index(arm.hidden_scaling)),
        shifted=arm.shifted,
    )
    labels = {"activation": activation, "arm": name, "rate": rate}
    return Variant(labels, point, AGAIN_OFFSET if name == AGAIN else 0)


def norm_variant(norm: str, name: str, rate: float) -> Variant:
    """Return an arm's point at a learning rate, of the networks with a norm."""
    hyper = Hyper(rate, centering=CENTERED[name].centering)
    return Variant({"norm": norm, "arm": name, "rate": rate}, hyper)


def _identity(plan: Plan, part: str) -> dict[str, Any]:
    return {
        "experiment": NAME,
        "part": part,
        "data": plan.fingerprint,
        "num_train": len(plan.problem.data.x_train),
        "square": SQUARE,
        "units": list(plan.problem.units),
        "activations": NAMES,
        "steps": plan.config.steps if part != "start" else 1,
        "target_loss": plan.target_loss,
    }


def _num_weights(problem: Problem) -> int:
    return sum(math.prod(pair) for pair in itertools.pairwise(problem.units))
