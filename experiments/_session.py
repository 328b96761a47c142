"""What every sweep experiment shares: options, folder, compiled programs, progress."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from experiments._cli import UsageError, num_cores, option
from experiments._environment import environment
from experiments._log import Log, check_log, diverged, medians, open_log
from experiments._machine import NOT_IN_CONFIG as NOT_IN_CONFIG
from experiments._machine import MachineOptions, deciding
from experiments._machine import start_jax as start_jax
from experiments._programs import COMPILE_SECONDS, MEASURED_RATE, Programs
from experiments._programs import Job as Job
from experiments._progress import SweepProgress
from experiments._team import team
from signdyn.locks import Hold
from signdyn.records import Variable, order_ledger, read_json, write_json
from signdyn.resume import Group, Layout, Variant, forget_states, keep_states, plan_cells, run_group
from signdyn.run_folder import check_run, forget_run, open_run
from signdyn.shares import Shares
from signdyn.staged import Programs as Parts
from signdyn.staged import StagedProgram
from signdyn.sweeps import num_blocks

AGAIN_OFFSET = 1_000_000
"""Added to the seeds of an A/A arm: same variant, other draws."""


@dataclass(frozen=True, kw_only=True)
class CommonConfig(MachineOptions):
    """Options that every experiment has."""

    preset: str = option(
        "quick",
        "Size of the run; explicit flags win over it.",
        choices=("quick", "default", "paper"),
    )
    out: str = option(
        "results", "Folder for results; each experiment makes its own inside.", folder="written"
    )
    seeds: int = option(16, "Number of seeds, shared by all variants.", minimum=1, maximum=100_000)
    root_seed: int = option(0, "Root of all random numbers.", minimum=0, maximum=2**31 - 1)
    block: int = option(
        32, "Replicas that a device runs in one call; decides the files.", minimum=1, maximum=65536
    )


class Session:
    """One experiment's run: its folder, its programs compiled ahead, its progress.

    Args:
        name: The experiment's.
        config: Its options.
        extra: More that decides the numbers, such as the data's fingerprint.
        double: Whether to compute in float64, inside `precision`; False leaves it to JAX's flag.
    """

    def __init__(
        self, name: str, config: CommonConfig, extra: dict[str, Any], *, double: bool = False
    ):
        """Check the run's folder, writing nothing; raises `RecordsError` if it is another run's."""
        self._double = double
        self.name = name
        self.folder = Path(config.out) / name
        self.begun = time.monotonic()
        self._config = {**deciding(config), **extra}
        self._hold: Hold | None = None
        with self.precision():
            check_run(self.folder, self._config, environment())
        devices = jax.local_devices()
        on_cpu = devices[0].platform == "cpu"
        self.layout = Layout(
            seeds=range(config.seeds),
            root=config.root_seed,
            block=config.block,
            width=1 if on_cpu else config.block,
            devices=devices,
        )
        self.team = team()
        self._shares = Shares(self.folder, self.team, self._tell_damage)
        self._programs = Programs(self.layout, self.precision, self._keep_states, self._refuse)
        self._checkpoint_seconds = config.checkpoint_seconds
        self._progress: SweepProgress | None = None
        self._log_to = config.log_to if self.team.is_first else "none"
        check_log(self._log_to)
        self._log: Log | None = None
        self._cells_run = self._replicas_run = 0
        self._told: set[str] = set()
        self._order: list[str] = []

    def precision(self) -> AbstractContextManager:
        """Return the context in which all of the run's arrays are made; a thread has its own."""
        return jax.enable_x64(True) if self._double else nullcontext()

    def open(self) -> Hold:
        """Return the hold on the run's folder, which is made if it is not there yet.

        Raises:
            RecordsError: If it cannot be written to, or another process works in it.
        """
        if self._hold is None:
            with self.precision():
                self._hold = open_run(self.folder, self._config, environment(), team=self.team)
            if not self._hold.is_exclusive and self.team.is_first:
                print(f"note: {self.folder} lies where no lock can be had: run one command there.")
        return self._hold

    def announce(self, jobs: Sequence[tuple[Job, int]], describe: str) -> None:
        """Print what will run: programs, replicas, steps, memory, devices, time.

        Args:
            jobs: Each job with its number of variants.
            describe: The experiment's question, one line.
        """
        seeds, devices, count = len(self.layout.seeds), self.layout.devices, self.team.count
        cells = {job.group.name: num_blocks(n * seeds, self.layout.block) for job, n in jobs}
        # of a group with fewer cells than processes, this one may have none to run
        needed = self._programs.announce(
            [job for job, _ in jobs], ahead=lambda job: cells[job.group.name] >= count
        )
        replicas = sum(variants * seeds for _, variants in jobs)
        steps = sum(variants * seeds * job.steps for job, variants in jobs)
        flop = sum(variants * seeds * job.steps * job.flop_per_step for job, variants in jobs)
        cores = len(devices) if devices[0].platform == "cpu" else num_cores()
        seconds = COMPILE_SECONDS * len(jobs) / cores
        if devices[0].platform == "cpu":
            seconds += flop / (MEASURED_RATE * cores * count)
        self.open()
        if not self.team.is_first:
            return
        self._note_cells(sum(cells.values()))
        each = f"{count} processes with " if count > 1 else ""
        print(f"{self.name}: {describe}")
        print(
            f"  {len(jobs)} programs, {replicas:,} replicas ({seeds} seeds), {steps:,.0f} "
            f"replica-steps, {each}{len(devices)} {devices[0].platform} device(s) in blocks of "
            f"{self.layout.block}, {needed / 2**20:,.0f} MiB of memory, about "
            f"{max(seconds / 60, 0.1):.1f} min on idle cores -> {self.folder}",
            flush=True,
        )

    def _note_cells(self, planned: int) -> None:
        """Tell in run.json about how many cells there will be, for whoever watches the run."""
        path = self.folder / "run.json"
        content = read_json(path)
        if content.get("planned_cells") != planned:
            write_json(path, {**content, "planned_cells": planned})

    def run(
        self, group: Group, variants: Sequence[Variant], progress: SweepProgress, steps: int
    ) -> None:
        """Run the variants' missing cells, of several processes this one's share of them.

        The first group that misses one starts the compiling, on all cores, of its own program
        and of those announced after it; a run that has everything compiles nothing.
        """
        group, self._progress = self._programs.in_parts(group), progress
        progress.doing(group.name)
        try:
            self._cells_run += run_group(
                self.folder,
                group,
                variants,
                self.layout,
                program=lambda: self._programs.ready(group),
                on_block=lambda replicas, seconds: self._advance(
                    progress, replicas, steps, is_new=seconds > 0
                ),
                on_cell=lambda variables: self._note(progress, group, variables),
                shares=self._shares,
            )
        except BaseException as error:
            self._programs.stop(wait=False)  # else the end waits for all
            if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
                raise UsageError(
                    f"--block={self.layout.block} ran out of memory in {group.name!r}; a smaller "
                    "block needs another --out, for it decides the files"
                ) from error
            raise
        self._order += (cell.id for cell in plan_cells(group, variants, self.layout))
        if self.team.count == 1:
            order_ledger(self.folder, self._order)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Return the context in which the run's own cells are read to decide what to run next.

        All processes meet at its beginning, when their cells are all there, and at its end, before
        one writes others.
        """
        if self.team.count > 1:
            self._shares.gather()
            if self.team.is_first:
                order_ledger(self.folder, self._order)
            self.team.wait()
        yield
        self.team.wait()

    def _advance(self, progress: SweepProgress, replicas: int, steps: int, *, is_new: bool) -> None:
        progress.advance(replicas * steps, is_new=is_new)
        self.open().check()

    def _note(
        self, progress: SweepProgress, group: Group, variables: Mapping[str, Variable]
    ) -> None:
        """Tell of a cell that was written: what diverged, and what --log_to asks for."""
        progress.diverged(diverged(variables))
        self._replicas_run += len(next(iter(variables.values())).values)
        if self._log is None:
            self._log = open_log(self._log_to, self.folder, self._config)
        numbers = {**medians(group.part, variables), "progress/replica_steps_per_s": progress.rate}
        self._log.write({**numbers, "progress/diverged": progress.num_diverged}, self._replicas_run)

    def _tell_damage(self, names: Sequence[str]) -> None:
        new = [name for name in names if name not in self._told]
        self._told.update(new)
        if new:
            print(f"  damaged or left over, redone where needed: {', '.join(new)}", flush=True)

    def run_all(
        self, make_jobs: Callable[[], Sequence[tuple[Job, Sequence[Variant]]]], describe: str
    ) -> None:
        """Announce the jobs with their variants, and run every cell that is not yet on disk.

        Args:
            make_jobs: Called in the run's precision.
            describe: The experiment's question, one line.
        """
        with self.precision():
            jobs = make_jobs()
            self.announce([(job, len(variants)) for job, variants in jobs], describe)
            seeds = len(self.layout.seeds)
            total = sum(len(variants) * seeds * job.steps for job, variants in jobs)
            with SweepProgress(total) as progress:
                for job, variants in jobs:
                    self.run(job.group, variants, progress, job.steps)
        self.finish()

    def finish(self) -> None:
        """Add wall time and time of compiling to run.json, if anything ran; let threads go."""
        self._programs.stop(wait=True)
        if self._log is not None:
            self._log.close()
        self.open().check()
        with self.reading():
            if self.team.is_first:
                self._conclude()

    def _conclude(self) -> None:
        forget_states(self.folder)
        path = self.folder / "run.json"
        content = read_json(path)
        if self._cells_run or "wall_seconds" not in content:
            seconds = round(time.monotonic() - self.begun, 1)
            compiling = {
                "programs": len(self._programs.seconds),
                "thread_seconds": round(sum(self._programs.seconds), 1),
            }
            write_json(path, {**content, "wall_seconds": seconds, "compiling": compiling})

    def _keep_states(self, group: Group, compiled: Parts, jitted: Parts) -> StagedProgram:
        of_device: dict[int, int] = {}

        def on_part(part: int, parts: int) -> None:
            self.open().check()
            of_device[threading.get_ident()] = part
            if self._progress is not None:
                told = " and ".join(str(one) for one in [*of_device.values()])
                self._progress.doing(f"{group.name}, part {told} of {parts} of a block")

        return keep_states(
            self.folder,
            group,
            self.layout,
            compiled,
            jitted,
            seconds=self._checkpoint_seconds,
            on_part=on_part,
            on_damage=lambda what: self._tell_damage([what]),
        )

    def _refuse(self, group: Group, needed: int, free: int) -> None:
        """Raise `UsageError` for what will not fit; the block decides files, so it stays."""
        layout = self.layout
        fits = layout.block * free // needed
        if self.team.is_first:
            forget_run(self.folder)
        advice = f"--block={fits}" if fits else "fewer --devices or a smaller network"
        raise UsageError(
            f"--block={layout.block} needs about {needed / 2**30:,.1f} GiB for {group.name!r} on "
            f"{len(layout.devices)} device(s), and {free / 2**30:,.1f} GiB are free; about "
            f"{advice} would fit"
        )
