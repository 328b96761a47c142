"""Runs every experiment and writes one page of all verdicts.

python -m experiments.all --preset=quick      about 5 minutes on two cores
python -m experiments.all --preset=default    about a quarter of an hour on two cores
python -m experiments.all --preset=paper      sized for one GPU: some hours, a guess, not a run
"""

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from experiments import (
    centering,
    fisher_spectrum,
    generalization,
    natural_gradient,
    negative_weights,
    optimizers,
    sigmoid_vs_tanh,
    sign_coherence,
    sign_flip,
    two_weights,
    vanishing_gradients,
)
from experiments._cli import option, run
from experiments._data import data_dir_option, download_option
from experiments._machine import MachineOptions, start_jax
from experiments._publish import show
from experiments._team import ended_together, team

EXPERIMENTS: Mapping[str, ModuleType] = {
    "sign_flip": sign_flip,
    "fisher_spectrum": fisher_spectrum,
    "natural_gradient": natural_gradient,
    "sign_coherence": sign_coherence,
    "centering": centering,
    "optimizers": optimizers,
    "negative_weights": negative_weights,
    "sigmoid_vs_tanh": sigmoid_vs_tanh,
    "vanishing_gradients": vanishing_gradients,
    "generalization": generalization,
    "two_weights": two_weights,  # last: it has the least to write up when nothing runs any more
}


@dataclass(frozen=True, kw_only=True)
class Config(MachineOptions):
    """Options that are handed to every experiment that has them."""

    preset: str = option(
        "quick",
        "Size of the run; explicit flags win over it.",
        choices=("quick", "default", "paper"),
    )
    only: tuple = option(
        (), "Experiments to run; default: all.", choices=tuple(EXPERIMENTS), least=0
    )
    out: str = option(
        "results", "Folder for results; each experiment makes its own inside.", folder="written"
    )
    dataset: str = option("", "Data set, where an experiment lets one choose; default: its own.")
    data_dir: str = data_dir_option()
    download: bool = download_option()
    seeds: int = option(0, "Number of seeds; 0 means the preset's.", minimum=0, maximum=100_000)
    root_seed: int = option(0, "Root of all random numbers.", minimum=0, maximum=2**31 - 1)


def prepare(config: Config) -> list[tuple[ModuleType, Any]]:
    """Return every chosen experiment with its plan; nothing runs before all are checked."""
    chosen = [EXPERIMENTS[name] for name in config.only or EXPERIMENTS]
    configs = [_config_for(module, config) for module in chosen]
    start_jax(config)  # before any experiment does: processes must agree on --only, too
    plans = [(module, module.prepare(own)) for module, own in zip(chosen, configs, strict=True)]
    for _, plan in plans:
        plan.session.open()
    return plans


def _config_for(module: ModuleType, config: Config) -> Any:
    names = {field.name for field in dataclasses.fields(module.Config)}
    given = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name in names and getattr(config, field.name) != field.default
    }
    return module.Config(**{**module.PRESETS.get(config.preset, {}), **given})


def execute(plans: list[tuple[ModuleType, Any]]) -> None:
    """Run the experiments one after the other and show all verdicts at the end.

    One is written up while the next one runs: drawing keeps one core busy, and not all of it.
    """
    with ThreadPoolExecutor(max_workers=1) as desk:
        outcomes = []
        for module, plan in plans:
            module.measure(plan)
            if team().is_first:
                outcomes.append(desk.submit(module.conclude, plan))
        if outcomes:
            show([outcome.result() for outcome in outcomes])
    team().leave()


if __name__ == "__main__":
    with ended_together():
        run(Config, {}, prepare, execute)
