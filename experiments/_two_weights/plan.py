"""The plan: options, checked inputs, and the programs with the variants each runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from experiments._cli import option
from experiments._data import data_dir_option
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from experiments._two_weights import problem
from experiments._two_weights.descent import Method, measure, tabulate
from signdyn.centering import CENTERINGS
from signdyn.resume import Group, Variant
from signdyn.training import Hyper, TrainFn

NAME = "two_weights"

ARMS = {
    "raw": CENTERINGS["none"],
    "flipped": CENTERINGS["flip_input"],
    "centered": CENTERINGS["input"],
}

RATES = (0.2, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1)
"""Learning rates, in largest stable steps 2 / lambda_max of the Fisher at the minimum."""

SMALL_RATE = RATES[0]
"""Small enough that rate x lambda_max is below 1 everywhere, not at the minimum alone."""

LARGE_RATE, UNSTABLE_RATE = 0.95, 1.1
"""Below and above what theory says is stable."""

FLIPPED_RATES = (SMALL_RATE, LARGE_RATE)
"""Exact equality needs no search for the best rate."""

AGAIN_RATES = (0.8, 0.9, 0.95, 1.0)
"""Around the best rate of raw."""

SINGLE_RATE = 0.1
"""The rate of one example after the other."""

NATURAL_STEPS = 12

FLOP_PER_EXAMPLE = 120.0
"""Of a step; exponentials and logarithms counted by the time they take."""


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the two-weight picture."""

    data_dir: str = data_dir_option()
    steps: int = option(640, "Updates of each gradient descent.", minimum=8, maximum=10**6)


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "default": {"seeds": 48},
    "paper": {"seeds": 256, "block": 128},
}


class Plan(NamedTuple):
    """A checked configuration: the digits, and the folder."""

    config: Config
    ink: np.ndarray
    labels: np.ndarray
    fingerprint: str
    session: Session


def make_jobs(plan: Plan) -> list[tuple[Job, list[Variant]]]:
    """Return every program with the variants it runs."""
    draw = problem.draw_fn(plan.ink, plan.labels)

    def job(method: Method, steps: int) -> Job:
        run = partial(measure, method=method, steps=steps)
        group = Group(
            name=f"{method} descent",
            part=method,
            train_fn=TrainFn(draw, run),
            tabulate=tabulate(with_data=method == "natural"),
            identity=_identity(plan, method, steps),
        )
        return Job(group, steps, FLOP_PER_EXAMPLE * len(plan.ink), brief=method != "gradient")

    return [
        (job("natural", NATURAL_STEPS), [_variant(arm, 1.0) for arm in ARMS]),
        (job("single", len(plan.ink)), [_variant(arm, SINGLE_RATE) for arm in ARMS]),
        (
            job("gradient", plan.config.steps),
            [
                *(_variant(arm, rate) for arm in ("raw", "centered") for rate in RATES),
                *(_variant("flipped", rate) for rate in FLIPPED_RATES),
                *(_variant("again", rate, AGAIN_OFFSET) for rate in AGAIN_RATES),
            ],
        ),
    ]


def _variant(arm: str, rate: float, seed_offset: int = 0) -> Variant:
    hyper = Hyper(rate, centering=ARMS.get(arm, ARMS["raw"]))
    return Variant({"arm": arm, "rate": rate}, hyper, seed_offset)


def _identity(plan: Plan, method: str, steps: int) -> dict[str, Any]:
    return {
        "experiment": NAME,
        "method": method,
        "steps": steps,
        "data": plan.fingerprint,
        "classes": problem.CLASSES,
        "pixels": [[s.start, s.stop] for s in (problem.ROWS, problem.COLUMNS)],
        "start": problem.START,
        "target": problem.TARGET,
        "newton_steps": problem.NEWTON_STEPS,
        "dtype": "float64",
    }
