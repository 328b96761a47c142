"""Options that say where a run computes and how, and JAX set up as they say."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from experiments._cli import Options, configure_jax, num_cores, option
from experiments._log import LOGS
from experiments._team import join_team


@dataclass(frozen=True, kw_only=True)
class MachineOptions(Options):
    """Options that every experiment has, and `experiments.all` hands on."""

    devices: int = option(
        0, "Host devices to make of the CPU's cores; 0 means all cores.", minimum=0, maximum=1024
    )
    deterministic: bool = option(
        False, "Keep GPUs to what gives the same bits in every run; CPUs do anyway."
    )
    precision: str = option(
        "default",
        "Of matrix products in training on accelerators; default is fastest. Analysis: highest.",
        choices=("default", "high", "highest"),
    )
    checkpoint_seconds: float = option(
        60.0,
        "Seconds, at least, between checkpoints inside a block that takes long.",
        minimum=0.0,
        maximum=1e9,
    )
    log_to: str = option(
        "none", "Where numbers of the run go to be watched; wandb stays offline.", choices=LOGS
    )
    coordinator_address: str = option(
        "", "host:port at which process 0 of several listens, if no cluster tells."
    )
    num_processes: int = option(
        0,
        "Processes that share the run; 0 means as Slurm or a TPU pod tells, else 1.",
        minimum=0,
        maximum=1_000_000,
    )
    process_id: int = option(
        -1,
        "Which of them this one is, from 0; -1 as the cluster tells.",
        minimum=-1,
        maximum=1_000_000,
    )


NOT_IN_CONFIG = (
    "out",
    "download",
    "devices",
    "checkpoint_seconds",
    "log_to",
    "coordinator_address",
    "num_processes",
    "process_id",
)
"""Options that decide where and how fast, not what: a rerun may change them."""


def deciding(config: MachineOptions) -> Mapping[str, Any]:
    """Return the options that decide the numbers."""
    values = dataclasses.asdict(config)
    return {name: value for name, value in values.items() if name not in NOT_IN_CONFIG}


def start_jax(config: MachineOptions) -> None:
    """Set JAX up as the options say, and find the run's other processes.

    Must run before JAX touches a backend.
    """
    configure_jax(
        config.devices or num_cores(),
        deterministic=config.deterministic,
        precision=config.precision,
    )
    join_team(config, deciding(config))
