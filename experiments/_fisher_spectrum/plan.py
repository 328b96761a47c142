"""The plan: options, checked inputs, and the programs with the variants each runs."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from experiments._cli import UsageError, option
from experiments._data import data_dir_option
from experiments._fisher_spectrum import digit_networks, random_networks
from experiments._fisher_spectrum.activation import NAMES
from experiments._fisher_spectrum.random_networks import SETTINGS, Ensemble, ensemble
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from signdyn.centering import CENTERINGS, combine, offset
from signdyn.resume import Group, Variant
from signdyn.training import TrainFn

NAME = "fisher_spectrum"

ARMS = {
    "raw": CENTERINGS["none"],
    "flipped": CENTERINGS["flip"],
    "centered": CENTERINGS["both"],
}

DOSES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Numbers added to every hidden unit after it and the input were centered."""

DOSE_ACTIVATION = "tanh"

AGAIN_SETTING = "relu"


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the Fisher's spectrum."""

    data_dir: str = data_dir_option()
    widths: tuple = option(
        ("24", "48", "96", "192"),
        "Widths of the random networks, ascending; as many examples.",
        entries=int,
        minimum=2,
        maximum=10**5,
        least=2,
    )
    hidden: tuple = option(
        ("8", "8"),
        "Units of each hidden layer of the digits' network.",
        entries=int,
        minimum=1,
        maximum=10**5,
    )
    num_examples: int = option(
        128, "Digits that a seed draws with replacement.", minimum=2, maximum=100_000
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"block": 16},
    "default": {"seeds": 32, "widths": ("32", "64", "128", "256"), "num_examples": 256},
    "paper": {
        "seeds": 64,
        "widths": ("32", "64", "128", "256", "512", "1024"),
        "hidden": ("16", "16"),
        "num_examples": 1437,
    },
}


class Plan(NamedTuple):
    """A checked configuration: the digits as the network reads them, and the folder."""

    config: Config
    widths: tuple[int, ...]
    hidden: tuple[int, ...]
    pixels: np.ndarray
    num_outputs: int
    fingerprint: str
    session: Session


def check_config(config: Config) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the widths and the hidden layers; raises `UsageError` for what they cannot be."""
    widths, hidden = (tuple(map(int, words)) for words in (config.widths, config.hidden))
    if list(widths) != sorted(set(widths)):
        raise UsageError(f"--widths must be ascending, got {','.join(config.widths)}")
    return widths, hidden


def make_jobs(plan: Plan) -> list[tuple[Job, list[Variant]]]:
    """Return every program with the variants it runs."""
    return [_digits(plan), _width(plan)]


def _width(plan: Plan) -> tuple[Job, list[Variant]]:
    largest = plan.widths[-1]
    group = Group(
        name="random networks",
        part="width",
        train_fn=TrainFn(random_networks.draw, partial(random_networks.measure, largest=largest)),
        tabulate=random_networks.tabulate,
        identity=_identity("width", {"largest": largest}),
        example=Ensemble(0.0, 0.0, 0.0, 0.0),
    )

    def variant(setting: str, width: int, arm: str = "first", seed_offset: int = 0) -> Variant:
        labels = {"setting": setting, "width": width, "draws": arm}
        return Variant(labels, ensemble(setting, width), seed_offset)

    variants = [variant(setting, width) for setting in SETTINGS for width in plan.widths]
    variants.append(variant(AGAIN_SETTING, largest, "again", AGAIN_OFFSET))
    # forward, backward, four products for the Gram matrices, two sets of eigenvalues
    return Job(group, 1, 20.0 * largest**3, brief=True), variants


def _digits(plan: Plan) -> tuple[Job, list[Variant]]:
    config = plan.config
    units = (plan.pixels.shape[1], *plan.hidden, plan.num_outputs)
    group = Group(
        name="networks on digits",
        part="digits",
        train_fn=TrainFn(
            digit_networks.draw_fn(plan.pixels, plan.hidden, plan.num_outputs, config.num_examples),
            digit_networks.measure,
        ),
        tabulate=digit_networks.tabulate,
        identity=_identity(
            "digits",
            {
                "data": plan.fingerprint,
                "units": units,
                "num_examples": config.num_examples,
                "rcond": digit_networks.RCOND,
            },
        ),
        example=digit_networks.Point(0.0, CENTERINGS["none"]),
    )

    def variant(activation: str, arm: str, centering: Any, dose: float = 0.0) -> Variant:
        point = digit_networks.Point(float(NAMES.index(activation)), centering)
        return Variant({"activation": activation, "arm": arm, "dose": dose}, point)

    variants = [variant(name, arm, ARMS[arm]) for name in NAMES for arm in ARMS]
    variants += [
        variant(DOSE_ACTIVATION, "offset", combine(ARMS["centered"], offset(dose)), dose)
        for dose in DOSES
    ]
    num_params = sum((n + 1) * m for n, m in itertools.pairwise(units))
    rows = config.num_examples * plan.num_outputs
    work = 2.0 * rows * num_params**2 + 20.0 * num_params**3
    return Job(group, 1, work, brief=True), variants


def _identity(part: str, more: Mapping[str, Any]) -> dict[str, Any]:
    return {"experiment": NAME, "part": part, "activations": NAMES, "dtype": "float64", **more}
