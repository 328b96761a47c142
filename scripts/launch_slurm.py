"""Submits experiments to Slurm as an array: a task an experiment, queued again when it is stopped.

    python -m scripts.launch_slurm --partition=gpu --gpus=1 -- --preset=paper --out=results
    python -m scripts.launch_slurm --experiments=sign_flip --nodes=2 --gpus=4 --partition=gpu
    python -m scripts.launch_slurm --dry_run -- --preset=paper     the script, nothing is submitted
    python -m scripts.launch_slurm --cluster=local -- --seeds=4    on this machine, one by one

Options after `--` are the experiments'. Give the command in the root of the repository, which all
machines must see, as they must the folders --out and --logs. With several processes an experiment
is one run of all of them; docs/slurm.md. Needs submitit: pip install '.[slurm]'.
"""

import importlib.util
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from experiments._cli import Options, UsageError, option, parse_config, run
from experiments.all import EXPERIMENTS
from scripts.slurm_task import Task

SIGNAL_SECONDS = 90
"""Slurm signals a task so long before its time is over."""


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """What is submitted, and what Slurm is asked for."""

    experiments: tuple = option(
        ("all",), "What to run, a task each.", choices=("all", *EXPERIMENTS)
    )
    cluster: str = option(
        "slurm", "Where to: Slurm, or processes of this machine.", choices=("slurm", "local")
    )
    dry_run: bool = option(False, "Print the script that sbatch would get, and submit nothing.")
    logs: str = option("slurm_logs", "Folder for what tasks print.", folder="written")
    partition: str = option("", "Of Slurm; default: the cluster's.")
    account: str = option("", "Of Slurm; default: yours.")
    sbatch: tuple = option(
        (), "More of sbatch's options, as qos=long,constraint=a100.", least=0, most=64
    )
    time_minutes: int = option(240, "Limit of a task.", minimum=1, maximum=10**6)
    gpus: int = option(0, "GPUs of a process.", minimum=0, maximum=64)
    cpus: int = option(2, "CPU cores of a process.", minimum=1, maximum=1024)
    memory_gb: int = option(0, "Memory of a node; 0 for the cluster's default.", minimum=0)
    nodes: int = option(1, "Machines of an experiment.", minimum=1, maximum=10_000)
    processes_per_node: int = option(
        1, "Processes of a machine; one can use all of its GPUs.", minimum=1, maximum=1024
    )
    at_once: int = option(
        0,
        "Tasks at most that run at the same time; 0 for all on Slurm, and one on this machine.",
        minimum=0,
        maximum=10_000,
    )
    requeues: int = option(
        5, "How often a task that ran out of time is queued again.", minimum=0, maximum=10_000
    )
    restarts: int = option(
        3, "How often one whose process died goes on at once.", minimum=0, maximum=10_000
    )

    @property
    def processes(self) -> int:
        """Processes of an experiment, all together."""
        return self.nodes * self.processes_per_node


class Plan(NamedTuple):
    """A checked submission: its options, and the tasks by name."""

    config: Config
    tasks: dict[str, Task]


def prepare(config: Config, words: Sequence[str] = ()) -> Plan:
    """Return the plan; nothing is written or submitted.

    Args:
        config: The launcher's options.
        words: The experiments' options.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    if importlib.util.find_spec("submitit") is None:
        raise UsageError("submitit is needed and not installed: pip install '.[slurm]'")
    if config.cluster == "slurm" and not config.dry_run and shutil.which("srun") is None:
        raise UsageError(
            "there is no srun here: submit where Slurm is, or use --cluster=local or --dry_run"
        )
    if config.cluster == "local" and config.nodes > 1:
        raise UsageError(f"--nodes must be 1 with --cluster=local, got {config.nodes}")
    if config.cluster == "local" and config.gpus and config.processes > 1:
        raise UsageError(
            "--processes_per_node must be 1 with --cluster=local and --gpus: one process uses all"
        )
    if config.cluster == "local" and config.dry_run:
        raise UsageError("--dry_run prints what sbatch would get, and --cluster=local needs none")
    _sbatch_options(config)
    if "all" in config.experiments and len(config.experiments) > 1:
        raise UsageError("--experiments must be all or names of experiments, not both")
    names = tuple(EXPERIMENTS) if config.experiments == ("all",) else config.experiments
    for name in names:
        _check(name, words)
    tasks = {
        name: Task(
            ("-m", f"experiments.{name}", *words),
            restarts=config.restarts,
            processes=config.processes,
            port=_free_port() if config.processes > 1 else 0,
        )
        for name in names
    }
    return Plan(config, tasks)


def execute(plan: Plan) -> None:
    """Print, submit, or run."""
    config, tasks = plan
    if config.dry_run:
        print(sbatch_script(config, len(tasks)))
    elif config.cluster == "slurm":
        jobs = _slurm_executor(config).submit_array(list(tasks.values()))
        for name, job in zip(tasks, jobs, strict=True):
            print(f"{name}: job {job.job_id}, {job.paths.stdout}")
    else:
        _run_here(plan)


def sbatch_script(config: Config, num_tasks: int) -> str:
    """Return the script that sbatch gets."""
    executor = _slurm_executor(config, is_dry=True)
    if num_tasks > 1:
        executor.parameters["map_count"] = num_tasks  # as submit_array does
    return executor._make_submission_file_text(executor._submitit_command_str, "")


def _slurm_executor(config: Config, *, is_dry: bool = False) -> Any:
    from submitit import SlurmExecutor

    class DryExecutor(SlurmExecutor):
        """Needs no Slurm where it is made."""

        @classmethod
        def affinity(cls) -> int:
            return 2

    kind = DryExecutor if is_dry else SlurmExecutor
    executor = kind(Path(config.logs).resolve(), max_num_timeout=config.requeues)
    optional = {
        "partition": config.partition,
        "account": config.account,
        "gpus_per_task": config.gpus,
        "mem": f"{config.memory_gb}GB" if config.memory_gb else "",
        "array_parallelism": config.at_once,
    }
    executor.update_parameters(
        job_name="signdyn",
        time=config.time_minutes,
        nodes=config.nodes,
        ntasks_per_node=config.processes_per_node,
        cpus_per_task=config.cpus,
        signal_delay_s=SIGNAL_SECONDS,
        stderr_to_stdout=True,
        srun_args=_srun_options(config),
        additional_parameters={
            # after a machine died or the job was preempted
            "requeue": True,
            "chdir": str(Path.cwd()),
            **_sbatch_options(config),
        },
        **{name: value for name, value in optional.items() if value},
    )
    return executor


def _srun_options(config: Config) -> list[str]:
    """Return what srun is told: since Slurm 22.05 it does not take all of it from sbatch."""
    options = [f"--cpus-per-task={config.cpus}"]
    if config.gpus:
        options.append(f"--gpus-per-task={config.gpus}")  # binds each process to its own
    if config.processes > 1:
        options.append("--kill-on-bad-exit=1")
    return options


def _run_here(plan: Plan) -> None:
    """Run the tasks on this machine and wait; exits with 1 if one did not come to its end."""
    from submitit import LocalExecutor

    config, waiting, running, failed = plan.config, dict(plan.tasks), {}, []
    executor = LocalExecutor(Path(config.logs).resolve(), max_num_timeout=config.requeues)
    executor.update_parameters(
        timeout_min=config.time_minutes,
        tasks_per_node=config.processes_per_node,
        gpus_per_node=config.gpus,
        signal_delay_s=min(SIGNAL_SECONDS, 30 * config.time_minutes),
        stderr_to_stdout=True,
    )
    while waiting or running:
        while waiting and len(running) < max(1, config.at_once):
            name = next(iter(waiting))
            running[name] = executor.submit(waiting.pop(name))
            print(f"{name}: {running[name].paths.stdout}", flush=True)
        time.sleep(0.1)
        for name in [name for name, job in running.items() if job.done()]:
            job = running.pop(name)
            is_good = job.paths.result_pickle.exists()  # written at its end only
            failed += [] if is_good else [name]
            print(f"{name}: {'done' if is_good else 'did not come to its end'}", flush=True)
    if failed:
        sys.exit(1)


def _check(name: str, words: Sequence[str]) -> None:
    """Raise `UsageError` if an experiment does not take these options."""
    module = EXPERIMENTS[name]
    try:
        parse_config(module.Config, module.PRESETS, words)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _sbatch_options(config: Config) -> dict[str, Any]:
    """Return --sbatch as a table; an option without a value is a switch."""
    options: dict[str, Any] = {}
    for word in config.sbatch:
        name, equals, value = word.partition("=")
        if not name.replace("-", "").replace("_", "").isalnum() or (equals and not value):
            raise UsageError(f"--sbatch must be options of sbatch as name=value, got {word!r}")
        options[name] = value or True
    return options


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def main() -> None:
    """Split the command line at `--`, then run."""
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    words, sys.argv = sys.argv[at + 1 :], sys.argv[:at]
    run(Config, {}, partial(prepare, words=words), execute)


if __name__ == "__main__":
    main()
