"""The plan: options, and the programs with the variants each runs."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments._cli import UsageError, option
from experiments._data import data_dir_option, dataset_option, download_option
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from experiments._sign_coherence import convolution, features, networks, start, training
from experiments._sign_coherence.features import RATIOS
from signdyn.centering import CENTERINGS
from signdyn.data import Dataset
from signdyn.resume import Group, Variant
from signdyn.training import Hyper, TrainFn

NAME = "sign_coherence"

FAMILIES = ("relu", "softplus", "sigmoid", "elu", "tanh", "uniform")
"""Features that are no normal numbers."""

CORRELATIONS = (0.3, 0.8)
"""Of normal features of mean `NORMAL_MEAN`."""

NORMAL_MEAN = 0.6833
"""That of a ReLU of a normal number, in its standard deviations."""

DELTA_MEANS = (0.1, 0.5)
"""Of deltas whose standard deviation is 1, with normal features of that same mean."""

FLIPPED_FAMILY = "sigmoid"

RATES: Mapping[str, float] = {"relu": 0.05, "sigmoid": 0.5}
"""Learning rate by activation, for networks of `RATE_WIDTH`: full batches do not oscillate at it.

The Fisher's lambda_max is proportional to the width, so the rate is inversely so.
"""

RATE_WIDTH = 32

TRAINED_ARMS: Mapping[str, tuple[float, float]] = {
    "full": (1.0, 0.0),
    "mini": (1.0, 1.0),
    "large": (6.0, 0.0),
}
"""Arm of training -> multiple of the rate, and 1 for minibatches, 0 for full batches.

Full batches oscillate at the large rate.
"""

CONTROLLED = ("relu", "sigmoid")
"""Activations whose networks are also flipped, and narrowed."""

NARROW = 4
"""Factor by which the narrow networks are narrower."""

CHANNELS = (8, 8)
"""Units of the convolutions."""

CONVOLUTION_RATE = 0.1

BRIEF_STEPS = 128
"""Up to so many updates compiling a training takes longer than running it."""


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the experiment on when a unit's weights move together."""

    dataset: str = dataset_option()
    data_dir: str = data_dir_option()
    download: bool = download_option()
    num_train: int = option(
        256, "Use so many training examples; a power of two.", minimum=64, maximum=1024
    )
    width: int = option(32, "Units of each hidden layer.", minimum=8, maximum=4096)
    depth: int = option(2, "Hidden layers.", minimum=2, maximum=16)
    steps: int = option(128, "Updates of each descent.", minimum=64, maximum=10**6)
    batch_size: int = option(
        32, "Examples of a minibatch; a power of two.", minimum=2, maximum=1024
    )
    convolution_steps: int = option(
        32, "Updates of the convolutional networks.", minimum=2, maximum=10**6
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"block": 16},
    "default": {
        "block": 16,
        "seeds": 32,
        "num_train": 512,
        "depth": 3,
        "steps": 256,
        "convolution_steps": 64,
    },
    "paper": {
        "seeds": 128,
        "num_train": 1024,
        "width": 128,
        "depth": 3,
        "steps": 1024,
        "convolution_steps": 1024,
        "block": 128,
    },
}


class Plan(NamedTuple):
    """A checked configuration: the data, and the folder."""

    config: Config
    data: Dataset
    session: Session


def check_config(config: Config) -> None:
    """Raise `UsageError` for numbers that do not fit together."""
    for name in ("num_train", "batch_size"):
        value = getattr(config, name)
        if value & (value - 1):
            raise UsageError(f"--{name} must be a power of two, got {value}")
    if config.batch_size >= config.num_train:
        raise UsageError(
            f"--batch_size must be below --num_train={config.num_train}, got {config.batch_size}"
        )


def make_jobs(plan: Plan) -> list[tuple[Job, list[Variant]]]:
    """Return every program with the variants it runs."""
    return [
        _features_job(plan),
        _start_job(plan),
        _training_job(plan),
        _convolution_job(plan),
    ]


def _features_job(plan: Plan) -> tuple[Job, list[Variant]]:
    largest = plan.config.num_train
    group = Group(
        "drawn features",
        "features",
        TrainFn(features.draw, features.measure_fn(largest)),
        features.tabulate,
        _identity(plan, "features", drawn=[features.FEATURES, features.UNITS, features.BATCHES]),
        features.point("normal"),
    )

    def variant(family: str, **more: float) -> Variant:
        labels = {
            "family": family,
            "shift": 0.0,
            "correlation": 0.0,
            "delta_mean": 0.0,
            "flip": 0.0,
        }
        return Variant({**labels, **more}, features.point(family, **more))

    variants = [variant("normal", shift=ratio) for ratio in RATIOS]
    variants += [variant(family) for family in FAMILIES]
    shift = NORMAL_MEAN
    variants += [variant("normal", shift=shift, correlation=rho) for rho in CORRELATIONS]
    variants += [variant("normal", shift=shift, delta_mean=mean) for mean in DELTA_MEANS]
    variants.append(variant(FLIPPED_FAMILY, flip=1.0))
    work = 4.0 * features.BATCHES * largest * features.FEATURES * features.UNITS
    return Job(group, 1, work, brief=True), variants


def _start_job(plan: Plan) -> tuple[Job, list[Variant]]:
    config = plan.config
    units = _units(plan)
    group = Group(
        "networks: start",
        "start",
        TrainFn(networks.draw_fn(units, config.num_train), start.measure_fn(plan.data)),
        start.tabulate,
        _identity(plan, "start", units=units, activations=start.ACTIVATIONS),
        networks.Point(0.0, 0.0),
    )
    variants = [_start_variant(plan, name, "raw") for name in start.ACTIVATIONS]
    variants += [
        _start_variant(plan, name, arm) for name in CONTROLLED for arm in ("flipped", "narrow")
    ]
    variants.append(_start_variant(plan, CONTROLLED[0], "again"))
    return Job(group, 1, 60 * _flop(units, config.num_train), brief=True), variants


def _training_job(plan: Plan) -> tuple[Job, list[Variant]]:
    config, units = plan.config, _units(plan)
    batching = (config.batch_size, config.steps)
    group = Group(
        "networks: training",
        "training",
        TrainFn(
            networks.draw_fn(units, config.num_train, batching),
            training.run_fn(plan.data, config.steps, config.batch_size),
        ),
        training.tabulate,
        _identity(
            plan,
            "training",
            units=units,
            activations=training.ACTIVATIONS,
            steps=config.steps,
            batch_size=config.batch_size,
        ),
        networks.Point(0.0, 0.0),
    )
    variants = [
        Variant(
            {"activation": name, "arm": arm},
            networks.Point(
                activation=float(number),
                width=float(config.width),
                learning_rate=factor * RATES[name] * RATE_WIDTH / config.width,
                minibatches=minibatches,
            ),
        )
        for number, name in enumerate(training.ACTIVATIONS)
        for arm, (factor, minibatches) in TRAINED_ARMS.items()
    ]
    work = _flop(units, config.num_train)
    return Job(group, config.steps, work, brief=config.steps <= BRIEF_STEPS), variants


def _convolution_job(plan: Plan) -> tuple[Job, list[Variant]]:
    config, data = plan.config, plan.data
    structure = convolution.structure(data, CHANNELS, config.convolution_steps, config.batch_size)
    group = Group(
        "convolutions",
        "convolution",
        TrainFn(convolution.draw_fn(data, structure), convolution.run_fn(data, structure)),
        convolution.tabulate,
        _identity(
            plan,
            "convolution",
            channels=CHANNELS,
            steps=config.convolution_steps,
            batch_size=config.batch_size,
        ),
    )
    variants = [Variant({"arm": "raw"}, Hyper(CONVOLUTION_RATE))]
    positions = data.input_shape[0] * data.input_shape[1]
    colors = data.input_shape[2] if len(data.input_shape) == 3 else 1
    weights = sum(9 * n * m for n, m in itertools.pairwise((colors, *CHANNELS)))
    work = 6.0 * config.batch_size * positions * weights
    brief = config.convolution_steps <= BRIEF_STEPS
    return Job(group, config.convolution_steps, work, brief=brief), variants


def _start_variant(plan: Plan, activation: str, arm: str) -> Variant:
    width = plan.config.width // NARROW if arm == "narrow" else plan.config.width
    centering = CENTERINGS["flip" if arm == "flipped" else "none"]
    number = float(start.ACTIVATIONS.index(activation))
    point = networks.Point(number, float(width), centering=centering)
    labels = {"activation": activation, "arm": arm}
    return Variant(labels, point, AGAIN_OFFSET if arm == "again" else 0)


def _units(plan: Plan) -> tuple[int, ...]:
    hidden = (plan.config.width,) * plan.config.depth
    return (plan.data.x_train.shape[1], *hidden, plan.data.num_classes)


def _identity(plan: Plan, part: str, **more: Any) -> dict[str, Any]:
    return {
        "experiment": NAME,
        "part": part,
        "data": plan.data.fingerprint,
        "num_train": plan.config.num_train,
        **{name: list(v) if isinstance(v, tuple) else v for name, v in more.items()},
    }


def _flop(units: Sequence[int], num_examples: int) -> float:
    return 6.0 * num_examples * sum(n * m for n, m in itertools.pairwise(units))
