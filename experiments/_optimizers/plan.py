"""The plan: options, arms, programs, and the ladder of learning rates that each optimizer runs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from experiments._cli import option
from experiments._data import data_dir_option, dataset_option, download_option
from experiments._ladder import Ladder
from experiments._optimizers.probe import optimizer_probe, tabulate
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from signdyn.centering import CENTERINGS
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.resume import Group, Variant
from signdyn.training import Hyper, Structure, make_train_fn

NAME = "optimizers"

MAIN, SECOND = "relu", "sigmoid"
"""Activations: all optimizers run with the first, gradient centralization with either."""

OPTIMIZERS = ("sgd", "momentum", "adam", "sign_descent")
"""Compared with each other; `CENTRAL` with the first."""

CENTRAL = "centralized_sgd"

PROGRAMS: Mapping[str, tuple[str, float]] = {
    # plain gradient descent is momentum with a decay of 0, and needs no program of its own
    "sgd": ("momentum", 0.0),
    "momentum": ("momentum", 0.9),
    "adam": ("adam", 0.9),
    "sign_descent": ("sign_descent", 0.0),
    CENTRAL: (CENTRAL, 0.0),
}
"""Optimizer -> name in `signdyn.optimizers.DIRECTIONS`, decay of its velocity or first moment."""

ARMS: Mapping[str, str] = {
    "raw": "none",
    "flipped": "flip",
    "centered": "both",
    "again": "none",
}
"""Arm -> name in `signdyn.centering.CENTERINGS`; all start as one function, but for other seeds."""

RUNGS: Mapping[tuple[str, str], Sequence[int]] = {
    (MAIN, "sgd"): range(-2, 3),
    (MAIN, "momentum"): range(-4, 3),
    (MAIN, "adam"): range(-7, -1),
    (MAIN, "sign_descent"): range(-8, -2),
    (MAIN, CENTRAL): range(-2, 3),
    (SECOND, "sgd"): range(1, 6),
    (SECOND, CENTRAL): range(1, 6),
}
"""First learning rates 2^k; a ladder is widened while an arm's best rate lies on its edge."""


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the experiment on optimizers."""

    dataset: str = dataset_option()
    data_dir: str = data_dir_option()
    download: bool = download_option()
    num_train: int = option(
        96, "Use at most this many training examples; 0 means all.", minimum=0, maximum=10**9
    )
    width: int = option(16, "Units of each of two hidden layers.", minimum=1, maximum=10**5)
    steps: int = option(96, "Updates of each descent.", minimum=8, maximum=10**7)
    target_fraction: float = option(
        0.2, "Target loss, as a fraction of the uniform guess's ln K.", minimum=1e-6, maximum=0.99
    )
    central: tuple = option(
        (SECOND,), "Activations to try gradient centralization with.", choices=(MAIN, SECOND)
    )
    batch_size: int = option(
        0,
        "Examples of a minibatch for momentum; 0 for full batches only.",
        minimum=0,
        maximum=10**9,
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"block": 40},
    "default": {
        "seeds": 32,
        "num_train": 192,
        "width": 24,
        "steps": 128,
        "central": (SECOND, MAIN),
        "batch_size": 32,
        "block": 96,
    },
    "paper": {
        "seeds": 64,
        "num_train": 0,
        "width": 128,
        "steps": 512,
        "target_fraction": 0.1,
        "central": (SECOND, MAIN),
        "batch_size": 64,
        "block": 256,
    },
}


class Plan(NamedTuple):
    """A checked configuration: data, what follows from it, and the folder."""

    config: Config
    data: Any
    target_loss: float
    session: Session


class Course(NamedTuple):
    """One optimizer's descents, a table of the record.

    Attributes:
        activation: Of the hidden units.
        optimizer: In `PROGRAMS`.
        minibatch: Whether a step sees a minibatch.
    """

    activation: str
    optimizer: str
    minibatch: bool = False

    @property
    def part(self) -> str:
        """Name of the table."""
        return f"{self.activation}_{self.optimizer}{'_minibatch' * self.minibatch}"


def make_courses(config: Config) -> list[Course]:
    """Return every optimizer's descents, in the order they run."""
    courses = [Course(MAIN, optimizer) for optimizer in OPTIMIZERS]
    courses += [Course(a, optimizer) for a in config.central for optimizer in ("sgd", CENTRAL)]
    courses += [Course(MAIN, "momentum", minibatch=True)] * bool(config.batch_size)
    return list(dict.fromkeys(courses))


def arms(course: Course, config: Config) -> tuple[str, ...]:
    """Return the names of a course's arms, in `ARMS`."""
    if course.minibatch:
        return ("raw", "centered")
    again = ("again",) if course == Course(config.central[0], "sgd") else ()
    return ("raw", "flipped", "centered", *again)


def make_ladders(plan: Plan) -> list[tuple[Course, Ladder]]:
    """Return what each course runs; courses of one program share it."""
    jobs: dict[tuple[str, str, bool], Job] = {}
    ladders = []
    for course in make_courses(plan.config):
        key = (course.activation, PROGRAMS[course.optimizer][0], course.minibatch)
        if key not in jobs:
            jobs[key] = _job(plan, *key)
        job = jobs[key]
        own = job._replace(group=job.group._replace(part=course.part))
        variant = partial(_variant, course)
        rungs = RUNGS[course.activation, course.optimizer]
        ladders.append((course, Ladder(own, arms(course, plan.config), variant, rungs)))
    return ladders


def _variant(course: Course, arm: str, rate: float) -> Variant:
    hyper = Hyper(rate, momentum=PROGRAMS[course.optimizer][1], centering=CENTERINGS[ARMS[arm]])
    labels = {"arm": arm, "learning_rate": rate}
    return Variant(labels, hyper, AGAIN_OFFSET if arm == "again" else 0)


def _job(plan: Plan, activation: str, program: str, minibatch: bool) -> Job:
    config, data = plan.config, plan.data
    batch_size = config.batch_size if minibatch else None
    structure = Structure(
        MLP((config.width, config.width), data.num_classes, activation),
        categorical(),
        optimizer=program,
        steps=config.steps,
        batch_size=batch_size,
        # a minibatch's descent looks at the training set every step: some need ten
        record_every=config.steps if batch_size is None else 1,
    )
    train_fn = make_train_fn(structure, data, optimizer_probe(plan.target_loss))
    identity = {
        "experiment": NAME,
        "activation": activation,
        "program": program,
        "width": config.width,
        "steps": config.steps,
        "batch_size": batch_size,
        "target_loss": plan.target_loss,
        "data": data.fingerprint,
        "num_examples": len(data.x_train),
    }
    name = f"{activation}: {program.replace('_', ' ')}{', minibatch' * minibatch}"
    units = [data.x_train.shape[1], config.width, config.width, data.num_classes]
    products = sum(a * b for a, b in itertools.pairwise(units))
    flop = 6.0 * (batch_size or len(data.x_train)) * products
    if batch_size is not None:
        flop += 2.0 * len(data.x_train) * products
    brief = config.preset == "quick"
    return Job(Group(name, "", train_fn, tabulate, identity), config.steps, flop, brief)
