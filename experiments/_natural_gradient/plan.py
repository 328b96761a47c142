"""The plan: options, arms, and the programs with the variants each runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments._cli import option
from experiments._data import data_dir_option
from experiments._natural_gradient.probes import outputs_probe, tabulate_outputs
from experiments._natural_gradient.problem import Problem
from experiments._natural_gradient.start import start_measurement, tabulate_start
from experiments._path_probe import path_probe, tabulate_descent
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from signdyn.centering import CENTERINGS, Centering, SiteCentering
from signdyn.resume import Group, Variant
from signdyn.training import Hyper, Structure, make_train_fn

NAME = "natural_gradient"

ACTIVATION = "tanh"
"""Of the raw networks: odd and smooth, and one shift and scale away from a sigmoid."""

ARMS: Mapping[str, Centering] = {
    "raw": CENTERINGS["none"],
    "input": CENTERINGS["input"],
    "hidden": CENTERINGS["hidden"],
    "centered": CENTERINGS["both"],
    # h = (tanh(z) + 1) / 2 = sigmoid(2 z)
    "sigmoid": Centering(hidden=SiteCentering(offset=1.0, scale=0.5)),
    "flipped": CENTERINGS["flip"],
}
"""Networks that start as one function, in other coordinates. The plain one has tanh units."""

PAIRS = ("centered", "sigmoid")
"""Arms that are compared with raw at every damping."""

DAMPINGS = (0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""The ladder, in units of the Fisher."""

FRAME_DAMPINGS = (1e-2, 1.0)
"""Where the same damping is also written in the raw network's coordinates."""

FRAME_STEPS, FRAME_RATE = 8, 0.25
"""Of natural gradients on the regression."""

DIAGONAL_RATE, GRADIENT_RATE = 0.05, 0.02
"""Small enough that the diagonal's and the plain gradient's descents go down in every arm."""

RACE_STEPS = 24
"""Of natural gradients on digits."""

RACE_RUNGS = range(-6, 0)
"""Learning rates 2^(k/2) of natural gradients on digits: 1 would be Newton's step."""

GRADIENT_RUNGS = range(7)
"""Learning rates 2^(k/2) of gradient descent on digits."""


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the experiment on natural gradients."""

    data_dir: str = data_dir_option()
    num_train: int = option(256, "Use at most this many digits.", minimum=32, maximum=10**6)
    num_points: int = option(
        128, "Examples of the regression, six outputs each.", minimum=16, maximum=10**6
    )
    width: int = option(6, "Hidden units of the network on digits.", minimum=1, maximum=10**4)
    steps: int = option(1024, "Updates of gradient descent on digits.", minimum=8, maximum=10**7)
    damping: float = option(
        1e-3, "Damping of natural gradients on digits.", minimum=1e-12, maximum=1e3
    )
    target_loss: float = option(
        0.2, "Loss on digits at which a descent has arrived, nats.", minimum=1e-4, maximum=0.69
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "default": {"seeds": 32, "num_train": 512, "steps": 2048},
    "paper": {"seeds": 128, "num_train": 1024, "width": 12, "steps": 4096, "block": 128},
}


class Plan(NamedTuple):
    """A checked configuration: the problems, and the folder."""

    config: Config
    regression: Problem
    digits: Problem
    fingerprint: str
    session: Session


def make_jobs(plan: Plan) -> list[tuple[Job, list[Variant]]]:
    """Return every program with the variants it runs."""
    return [_start_job(plan), *_frame_jobs(plan), *_race_jobs(plan)]


def _start_job(plan: Plan) -> tuple[Job, list[Variant]]:
    structure = _structure(plan.digits, "sgd", 1)
    draw = make_train_fn(structure, plan.digits.data).draw
    train_fn = start_measurement(structure, plan.digits.data, draw)
    group = Group(
        "digits: directions",
        "start",
        train_fn,
        tabulate_start,
        _identity(plan, plan.digits, structure, "start"),
    )
    variants = [
        _variant("raw", 0.0, plan.config.damping),
        _variant("centered", 0.0, plan.config.damping),
    ]
    return Job(group, 1, 60 * _flop(plan.digits), brief=True), variants


def _frame_jobs(plan: Plan) -> list[tuple[Job, list[Variant]]]:
    exact = [_variant(arm, FRAME_RATE, damping) for damping in DAMPINGS for arm in ("raw", *PAIRS)]
    exact += [_variant(arm, FRAME_RATE, 0.0) for arm in ("input", "hidden")]
    exact.append(_variant("again", FRAME_RATE, 0.0))
    restored = [_variant(arm, FRAME_RATE, d) for d in FRAME_DAMPINGS for arm in PAIRS]
    undamped = [_variant(arm, FRAME_RATE, 0.0) for arm in ("raw", *PAIRS)]
    diagonal = [_variant(arm, DIAGONAL_RATE, 0.0) for arm in ("raw", *PAIRS)]
    plain = [_variant(arm, GRADIENT_RATE, 0.0) for arm in ("raw", *PAIRS, "flipped")]
    return [
        _frame_job(plan, "natural", exact),
        _frame_job(plan, "natural", restored, frame="raw"),
        _frame_job(plan, "natural_unit", undamped),
        _frame_job(plan, "natural_kfac", undamped),
        _frame_job(plan, "natural_diagonal", diagonal),
        _frame_job(plan, "sgd", plain),
    ]


def _frame_job(
    plan: Plan, optimizer: str, variants: Sequence[Variant], frame: str = "own"
) -> tuple[Job, list[Variant]]:
    problem = plan.regression
    structure = _structure(problem, optimizer, FRAME_STEPS, frame=frame)
    train_fn = make_train_fn(structure, problem.data, outputs_probe(problem))
    part = "frames" if frame == "own" else "frames_raw"
    group = Group(
        f"regression: {optimizer}{', raw frame' if frame == 'raw' else ''}",
        part,
        train_fn,
        tabulate_outputs,
        _identity(plan, problem, structure, part),
    )
    labeled = [_labeled(variant, optimizer) for variant in variants]
    return Job(group, FRAME_STEPS, _flop(problem, optimizer), brief=True), labeled


def _race_jobs(plan: Plan) -> list[tuple[Job, list[Variant]]]:
    damping = plan.config.damping

    def ladder(arms: Sequence[str], rungs: Sequence[int]) -> list[Variant]:
        return [_variant(arm, 2.0 ** (rung / 2), damping) for arm in arms for rung in rungs]

    plain = ladder(("raw", "centered"), GRADIENT_RUNGS)
    natural = ladder(("raw", "centered"), RACE_RUNGS)
    again = ladder(("again",), RACE_RUNGS)
    return [
        _race_job(plan, "sgd", plan.config.steps, plain),
        _race_job(plan, "natural", RACE_STEPS, [*natural, *again]),
        _race_job(plan, "natural_kfac", RACE_STEPS, natural),
    ]


def _race_job(
    plan: Plan, optimizer: str, steps: int, variants: Sequence[Variant]
) -> tuple[Job, list[Variant]]:
    problem = plan.digits
    part = "race_gradient" if optimizer == "sgd" else "race"
    structure = _structure(problem, optimizer, steps)
    probe = path_probe(plan.config.target_loss)
    train_fn = make_train_fn(structure, problem.data, probe)
    group = Group(
        f"digits: {optimizer}",
        part,
        train_fn,
        tabulate_descent,
        _identity(plan, problem, structure, part),
    )
    labeled = [_labeled(variant, optimizer) for variant in variants]
    return Job(group, steps, _flop(problem, optimizer)), labeled


def _variant(arm: str, rate: float, damping: float) -> Variant:
    hyper = Hyper(rate, centering=ARMS.get(arm, ARMS["raw"]), damping=damping)
    labels = {"arm": arm, "rate": rate, "damping": damping}
    return Variant(labels, hyper, AGAIN_OFFSET if arm == "again" else 0)


def _labeled(variant: Variant, optimizer: str) -> Variant:
    return variant._replace(labels={**variant.labels, "optimizer": optimizer})


def _structure(problem: Problem, optimizer: str, steps: int, frame: str = "own") -> Structure:
    return Structure(
        problem.model, problem.likelihood, optimizer=optimizer, steps=steps, damping_frame=frame
    )


def _identity(plan: Plan, problem: Problem, structure: Structure, part: str) -> dict[str, Any]:
    return {
        "experiment": NAME,
        "part": part,
        "problem": problem.name,
        "data": plan.fingerprint if problem.name == "digits" else "drawn with seed 0",
        "num_examples": len(problem.data.x_train),
        "widths": list(problem.model.widths),
        "optimizer": structure.optimizer,
        "frame": structure.damping_frame,
        "steps": structure.steps,
        "target_loss": plan.config.target_loss,
        "dtype": "float64",
    }


def _flop(problem: Problem, optimizer: str = "sgd") -> float:
    rows = len(problem.data.x_train) * problem.model.num_outputs
    params = problem.num_params
    solving = 2.0 * (rows + params) * params**2 if optimizer == "natural" else 0.0
    return 6.0 * len(problem.data.x_train) * params + solving
