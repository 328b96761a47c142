"""The flagship's plan: options, checked inputs, programs, and the variants each program runs."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from experiments._cli import option
from experiments._data import data_dir_option, dataset_option, download_option
from experiments._ladder import Ladder
from experiments._path_probe import (
    path_probe,
    tabulate_descent,
    tabulate_losses,
    tabulate_on_the_way,
)
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session
from experiments._sign_flip.start import start_measurement, tabulate_start
from signdyn.activations import ACTIVATIONS
from signdyn.centering import CENTERINGS
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.resume import Group, Variant
from signdyn.training import NO_PROBE, Hyper, Structure, make_train_fn

NAME = "sign_flip"


@dataclass(frozen=True, kw_only=True)
class Config(CommonConfig):
    """Options of the flagship experiment."""

    dataset: str = dataset_option()
    data_dir: str = data_dir_option()
    download: bool = download_option()
    num_train: int = option(
        256, "Use at most this many training examples; 0 means all.", minimum=0, maximum=10**9
    )
    widths: tuple = option(
        ("32", "32"), "Units of each hidden layer.", entries=int, minimum=1, maximum=65536
    )
    activations: tuple = option(
        ("sigmoid", "tanh", "relu"), "Activations to compare.", choices=tuple(ACTIVATIONS)
    )
    steps: int = option(128, "Updates of each descent.", minimum=8, maximum=10**7)
    batch_size: int = option(32, "Examples of a minibatch.", minimum=1, maximum=10**9)
    target_fraction: float = option(
        0.2, "Target loss, as a fraction of the uniform guess's ln K.", minimum=1e-6, maximum=0.99
    )
    extras: tuple = option(
        ("relu",),
        "Activations to try gradient centralization, momentum, Adam and sign descent with.",
        choices=tuple(ACTIVATIONS),
        least=0,
    )
    rates_per_octave: int = option(1, "Learning rates per factor of two.", minimum=1, maximum=8)
    small_rate: float = option(
        0.5,
        "Small rate times lambda_max; below 1 nothing should zig-zag.",
        minimum=1e-3,
        maximum=1.0,
    )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "default": {
        "num_train": 512,
        "seeds": 32,
        "steps": 160,
        "extras": ("sigmoid", "tanh", "relu"),
    },
    "paper": {
        "num_train": 0,
        "widths": ("128", "128", "128"),
        "seeds": 64,
        "steps": 512,
        "extras": ("sigmoid", "tanh", "relu"),
        "batch_size": 64,
        "rates_per_octave": 2,
        "block": 256,
    },
}

RECORD_EVERY = 4
"""Updates between evaluations of a minibatch descent; resolution of its steps to target."""

EXACT_STEPS = 64
"""Updates over which momentum, Adam and sign descent are compared."""

EXACT_RATES = {"momentum": 0.1, "adam": 0.01, "sign_descent": 0.003}
"""Any rate that trains will do: the comparison is of flipped with raw, not of optimizers."""


class Plan(NamedTuple):
    """A checked configuration: data, what follows from it, and the folder."""

    config: Config
    data: Any
    widths: tuple[int, ...]
    activations: tuple[str, ...]
    extras: tuple[str, ...]
    target_loss: float
    session: Session


def arms(activation: str, plan: Plan) -> tuple[str, ...]:
    """Return the arms that an activation's rate ladder is run with."""
    again = ("again",) if activation == plan.activations[0] else ()
    control = ("input",) if activation == "tanh" else ()
    return ("raw", "flipped", "centered", *again, *control)


def rate_ladder(plan: Plan, start: xr.Dataset, activation: str) -> list[int]:
    """Return the rungs k of the rates 2^(k / rates_per_octave) that span both arms' 2 / lambda.

    `run_sweeps` widens the ladder where a best rate lies on its edge.
    """
    per_octave = plan.config.rates_per_octave
    low, high = (
        per_octave * math.log2(critical_rate(start, activation, arm)) for arm in ("raw", "centered")
    )
    low, high = min(low, high), max(low, high)
    return list(range(math.floor(low), math.ceil(high) + 1))


def critical_rate(start: xr.Dataset, activation: str, arm: str) -> float:
    """Return 2 / lambda_max of the Fisher at the start, at the median seed."""
    rows = start.isel(variant=(start.activation == activation) & (start.arm == arm))
    return float(2.0 / np.median(rows.lambda_max))


class Groups:
    """The programs of the experiment and the variants each runs."""

    def __init__(self, plan: Plan):
        self.plan = plan
        config = plan.config
        self.start = {a: self._start_job(a) for a in plan.activations}
        self.full = {
            a: self._descent(a, "full", "sgd", config.steps, None) for a in plan.activations
        }
        self.minibatch = {
            a: self._descent(a, "minibatch", "sgd", config.steps, config.batch_size)
            for a in plan.activations
        }
        self.central = {
            a: self._descent(a, "full", "centralized_sgd", config.steps, None) for a in plan.extras
        }
        self.exact = {
            (a, o): self._descent(a, "exact", o, EXACT_STEPS, None)
            for a in plan.extras
            for o in EXACT_RATES
        }

    def descents(self, activation: str) -> list[Job]:
        """Return the jobs that run an activation's ladder."""
        central = [self.central[activation]] if activation in self.central else []
        return [self.full[activation], self.minibatch[activation], *central]

    def jobs(self) -> list[tuple[Job, int]]:
        """Return every job with the number of variants expected, in the order they run."""
        rates = 6 * self.plan.config.rates_per_octave
        jobs = [(job, 4) for job in self.start.values()]
        for a in self.plan.activations:
            count = len(arms(a, self.plan))
            jobs += [(self.full[a], count * rates + 3), (self.minibatch[a], count * rates)]
            jobs += [(self.central[a], 2 * rates)] if a in self.central else []
            jobs += [(job, 2) for (name, _), job in self.exact.items() if name == a]
        return jobs

    def start_variants(self, job):
        activation = job.group.identity["activation"]
        return [
            Variant(
                {"activation": activation, "arm": arm}, Hyper(0.0, centering=self._centering(arm))
            )
            for arm in ("raw", "flipped", "centered", "input")
        ]

    def descent_arms(self, job, activation):
        if job.group.identity["optimizer"] == "centralized_sgd":
            return ("raw", "flipped")
        return arms(activation, self.plan)

    def ladder(self, job, activation, rungs):
        """Return an activation's ladder that begins with the given rungs."""
        optimizer = job.group.identity["optimizer"]
        return Ladder(
            job,
            self.descent_arms(job, activation),
            lambda arm, rate: self._variant(activation, arm, optimizer, rate),
            rungs,
            self.plan.config.rates_per_octave,
        )

    def small_variants(self, activation, start):
        # eta * lambda_max = small_rate for each arm, and the centered arm at raw's rate too
        rate = {
            arm: self.plan.config.small_rate / 2.0 * critical_rate(start, activation, arm)
            for arm in ("raw", "centered")
        }
        pairs = [("raw", rate["raw"], "own"), ("centered", rate["centered"], "own")]
        return [
            self._variant(activation, arm, "sgd", eta, rule=rule)
            for arm, eta, rule in [*pairs, ("centered", rate["raw"], "common")]
        ]

    def exact_variants(self, activation, optimizer):
        rate = EXACT_RATES[optimizer]
        return [self._variant(activation, arm, optimizer, rate) for arm in ("raw", "flipped")]

    def _variant(self, activation, arm, optimizer, rate, rule="ladder"):
        labels = {
            "activation": activation,
            "arm": arm,
            "optimizer": optimizer,
            "rule": rule,
            "learning_rate": float(rate),
        }
        offset = AGAIN_OFFSET if arm == "again" else 0
        return Variant(labels, Hyper(rate, centering=self._centering(arm)), offset)

    def _centering(self, arm):
        names = {"raw": "none", "again": "none", "flipped": "flip", "centered": "both"}
        return CENTERINGS[names.get(arm, arm)]

    def _structure(self, activation, optimizer="sgd", steps=1, batch_size=None):
        return Structure(
            MLP(self.plan.widths, self.plan.data.num_classes, activation),
            categorical(),
            optimizer=optimizer,
            steps=steps,
            batch_size=batch_size,
            record_every=RECORD_EVERY if steps % RECORD_EVERY == 0 else 1,
        )

    def _start_job(self, activation) -> Job:
        structure = self._structure(activation)
        train_fn = start_measurement(
            structure, self.plan.data, make_train_fn(structure, self.plan.data).draw
        )
        identity = self._identity(activation, "start", "none", 1, None)
        group = Group(f"{activation}: start", "start", train_fn, tabulate_start, identity)
        return Job(group, 1, 40 * self._flop(len(self.plan.data.x_train)), brief=True)

    def _descent(self, activation, part, optimizer, steps, batch_size) -> Job:
        structure = self._structure(activation, optimizer, steps, batch_size)
        probe, tabulate = path_probe(self.plan.target_loss), tabulate_descent
        if part == "full":
            tabulate = tabulate_on_the_way
        if part == "exact":
            probe, tabulate = NO_PROBE, tabulate_losses
        train_fn = make_train_fn(structure, self.plan.data, probe)
        identity = self._identity(activation, part, optimizer, steps, batch_size)
        name = f"{activation}: {part}, {optimizer}"
        group = Group(name, part, train_fn, tabulate, identity)
        num_examples = len(self.plan.data.x_train)
        flop = self._flop(batch_size or num_examples)
        if batch_size is not None:
            flop += self._flop(num_examples) / 3 / RECORD_EVERY
        return Job(group, steps, flop)

    def _identity(self, activation, part, optimizer, steps, batch_size):
        plan = self.plan
        return {
            "experiment": NAME,
            "activation": activation,
            "part": part,
            "optimizer": optimizer,
            "steps": steps,
            "batch_size": batch_size,
            "record_every": RECORD_EVERY,
            "widths": list(plan.widths),
            "target_loss": plan.target_loss,
            "data": plan.data.fingerprint,
        }

    def _flop(self, num_examples: int) -> float:
        data = self.plan.data
        units = [data.x_train.shape[1], *self.plan.widths, data.num_classes]
        return 6.0 * num_examples * sum(a * b for a, b in itertools.pairwise(units))
