"""The plan: options, and the programs with the variants each runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments._cli import option
from experiments._data import data_dir_option, dataset_option, download_option
from experiments._negative_weights.arms import XOR_ARMS, conv_arms, held_arms, perceptron_arms
from experiments._negative_weights.problem import Data, Point, train_fn_of
from experiments._negative_weights.signs import sign_probe, tabulate_parameters, tabulate_signs
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from signdyn.likelihoods import bernoulli, categorical
from signdyn.models.cnn import CNN
from signdyn.models.mlp import MLP
from signdyn.resume import Group, Variant
from signdyn.training import NO_PROBE, Hyper, Structure, TrainFn

NAME = "negative_weights"

BATCH = 32
"""Examples a step, on images."""

WINDOW, STRIDES = 3, (2, 1, 2)
"""Of the three convolutions; a dense readout follows."""

XOR_UNITS, XOR_STEPS = 64, 512
"""So wide that every start holds units of every kind: dead ones are not the question."""


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the experiment on negative weights."""

    dataset: str = dataset_option()
    data_dir: str = data_dir_option()
    download: bool = download_option()
    num_train: int = option(
        512, "Use at most this many training examples.", minimum=BATCH, maximum=10**6
    )
    width: int = option(32, "Units of each of two hidden layers.", minimum=1, maximum=10**4)
    channels: int = option(8, "Units of each of three convolutions.", minimum=1, maximum=10**4)
    steps: int = option(512, "Updates of the perceptrons.", minimum=1, maximum=10**8)
    conv_steps: int = option(256, "Updates of the ConvNet.", minimum=1, maximum=10**8)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "default": {
        "seeds": 32,
        "num_train": 1024,
        "width": 48,
        "channels": 12,
        "steps": 2048,
        "conv_steps": 768,
    },
    "paper": {
        "seeds": 128,
        "num_train": 1437,
        "width": 128,
        "channels": 32,
        "steps": 65536,
        "conv_steps": 16384,
        "block": 128,
    },
}


class Plan(NamedTuple):
    """A checked configuration: the problems, and the folder."""

    config: Config
    images: Data
    xor: Data
    fingerprint: str
    session: Session


class Program(NamedTuple):
    """What is compiled for one group of arms.

    Attributes:
        name: For the terminal.
        part: Table of the results.
        data: What it trains on.
        structure: As everywhere.
        train_fn: Over (draw, `Point`).
        tabulate: As for `signdyn.resume.Group`.
        flop: Of one example's forward and backward pass.
    """

    name: str
    part: str
    data: Data
    structure: Structure
    train_fn: TrainFn
    tabulate: Callable[[Any], Any]
    flop: float


def make_jobs(plan: Plan) -> list[tuple[Job, list[Variant]]]:
    """Return every program with the variants it runs."""
    width = plan.config.width
    fan_in = WINDOW**2 * plan.config.channels
    free, later, held, mirrored = XOR_ARMS
    first, last = MLP((XOR_UNITS,), 1).layer_names
    return [
        _job(plan, _perceptron(plan), perceptron_arms(width)),
        _job(plan, _convnet(plan), conv_arms(fan_in)),
        _job(plan, _held(plan), held_arms(width)),
        _job(plan, _xor(plan, free, ()), _only(free)),
        _job(plan, _xor(plan, later, (last,)), _only(later)),
        _job(plan, _xor(plan, held, (first, last)), _only(held, mirrored)),
    ]


def _only(*arms: str) -> Mapping[str, Point]:
    return {arm: XOR_ARMS[arm] for arm in arms}


def _job(plan: Plan, program: Program, arms: Mapping[str, Point]) -> tuple[Job, list[Variant]]:
    structure, on_xor = program.structure, program.data is plan.xor
    identity = {
        "experiment": NAME,
        "part": program.part,
        "data": "the four points of XOR" if on_xor else plan.fingerprint,
        "num_examples": len(program.data.x_train),
        "model": repr(structure.model),
        "optimizer": structure.optimizer,
        "steps": structure.steps,
        "batch": structure.batch_size,
        "record_every": structure.record_every,
        "nonnegative": list(structure.nonnegative),
    }
    group = Group(
        program.name,
        program.part,
        program.train_fn,
        program.tabulate,
        identity,
        Point(Hyper(learning_rate=0.0)),
    )
    variants = [
        Variant(
            {"arm": arm, "decay": float(point.hyper.weight_decay)},
            point,
            AGAIN_OFFSET if arm == "again" else 0,
        )
        for arm, point in arms.items()
    ]
    examples = structure.batch_size or len(program.data.x_train)
    # compiled in a hurry these small networks run as fast as compiled with care
    return Job(group, structure.steps, examples * program.flop, brief=True), variants


def _perceptron(plan: Plan) -> Program:
    structure = _on_images(plan, _perceptron_model(plan), plan.config.steps)
    probe = sign_probe(structure.steps, structure.model.layer_names)
    return Program(
        "perceptron",
        "perceptron",
        plan.images,
        structure,
        train_fn_of(structure, plan.images, probe),
        tabulate_signs,
        _perceptron_flop(plan),
    )


def _convnet(plan: Plan) -> Program:
    units = plan.config.channels
    shape = plan.images.input_shape
    model = CNN(
        shape,
        (units,) * len(STRIDES),
        plan.images.num_classes,
        kernel_size=WINDOW,
        strides=STRIDES,
    )
    structure = _on_images(plan, model, plan.config.conv_steps, optimizer="momentum")
    probe = sign_probe(structure.steps, model.layer_names)
    # the second convolution, over a quarter of the positions, does most of the work
    flop = 6.0 * 2 * WINDOW**2 * units**2 * shape[0] * shape[1] / 4
    return Program(
        "ConvNet",
        "convnet",
        plan.images,
        structure,
        train_fn_of(structure, plan.images, probe),
        tabulate_signs,
        flop,
    )


def _held(plan: Plan) -> Program:
    model = _perceptron_model(plan)
    structure = _on_images(plan, model, plan.config.steps, nonnegative=model.layer_names)
    return Program(
        "held",
        "held",
        plan.images,
        structure,
        train_fn_of(structure, plan.images, NO_PROBE, mirrored=True),
        tabulate_parameters,
        2.0 * _perceptron_flop(plan),
    )


def _xor(plan: Plan, name: str, nonnegative: Sequence[str]) -> Program:
    structure = Structure(
        MLP((XOR_UNITS,), 1),
        bernoulli(),
        steps=XOR_STEPS,
        record_every=XOR_STEPS,
        nonnegative=tuple(nonnegative),
    )
    return Program(
        f"XOR: {name}",
        "xor",
        plan.xor,
        structure,
        train_fn_of(structure, plan.xor, NO_PROBE, mirrored=True),
        tabulate_parameters,
        100.0 * XOR_UNITS,
    )


def _perceptron_model(plan: Plan) -> MLP:
    return MLP((plan.config.width,) * 2, plan.images.num_classes)


def _perceptron_flop(plan: Plan) -> float:
    width, features = plan.config.width, plan.images.x_train.shape[1]
    return 6.0 * width * (features + width + plan.images.num_classes)


def _on_images(plan: Plan, model: Any, steps: int, **more: Any) -> Structure:
    every = record_every(len(plan.images.x_train), steps)
    return Structure(
        model, categorical(), steps=steps, batch_size=BATCH, record_every=every, **more
    )


def record_every(num_train: int, steps: int) -> int:
    """Return the number of steps between records: a divisor of ``steps``, an epoch or more.

    Example:
        >>> record_every(512, 512), record_every(1000, 512)
        (16, 32)
    """
    epoch = min(num_train // BATCH, steps)
    return next(every for every in range(epoch, steps + 1) if steps % every == 0)
