"""What every sweep experiment shares: options, folder, compiled programs, progress."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments._cli import Options, UsageError, configure_jax, num_cores, option
from experiments._environment import environment
from experiments._progress import SweepProgress
from signdyn.locks import Hold
from signdyn.memory import free_bytes, peak_bytes
from signdyn.records import order_ledger, read_json, write_json
from signdyn.resume import (
    Group,
    Layout,
    Variant,
    forget_states,
    group_programs,
    keep_states,
    plan_cells,
    run_group,
)
from signdyn.run_folder import check_run, forget_run, open_run
from signdyn.sweeps import block_program, hasty_to_compile, num_blocks, quick_to_compile

MEASURED_RATE = 1.5e10
"""FLOP a second a CPU core was seen to make of small dense layers, diagnostics included."""

ACCELERATOR_RATE = 1e12
"""FLOP a second that an accelerator makes at least, of a block of small networks; a guess."""

PART_SECONDS = 20.0
"""A block is trained in parts of about so long, between which its state can be written."""

COMPILE_SECONDS = 4.0
"""CPU seconds a program was seen to take to trace and compile."""


FEW_STEPS = 12
"""A brief job of no more steps is not worth optimizing: compiling it would take longer."""

AGAIN_OFFSET = 1_000_000
"""Added to the seeds of an A/A arm: same variant, other draws."""

CPU_COMPILER = {"xla_backend_optimization_level": 1}
"""Compiles the flagship's descents in 15% less time than level 3; they then run 20% faster."""


@dataclass(frozen=True, kw_only=True)
class CommonConfig(Options):
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
    devices: int = option(
        0, "Host devices to make of the CPU's cores; 0 means all cores.", minimum=0, maximum=1024
    )
    block: int = option(
        32, "Replicas that a device runs in one call; decides the files.", minimum=1, maximum=65536
    )
    deterministic: bool = option(
        False, "Keep GPUs to what gives the same bits in every run; CPUs do anyway."
    )
    checkpoint_seconds: float = option(
        60.0,
        "Seconds, at least, between checkpoints inside a block that takes long.",
        minimum=0.0,
        maximum=1e9,
    )


NOT_IN_CONFIG = ("out", "devices", "checkpoint_seconds")
"""Options that decide where and how fast, not what: a rerun may change them."""


def start_jax(config: CommonConfig) -> None:
    """Set JAX up as the options say; before any backend is touched."""
    configure_jax(config.devices or num_cores(), deterministic=config.deterministic)


class Job(NamedTuple):
    """A group and the FLOP of one of its replicas, for the estimate of time.

    Attributes:
        group: What runs.
        steps: Updates of one replica; 1 for a measurement.
        flop_per_step: Of one replica.
        brief: Whether compiling it takes longer than running it.
    """

    group: Group
    steps: int
    flop_per_step: float
    brief: bool = False


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
        values = {k: v for k, v in dataclasses.asdict(config).items() if k not in NOT_IN_CONFIG}
        devices = jax.local_devices()
        on_cpu = devices[0].platform == "cpu"
        self._config = {**values, **extra}
        self._hold: Hold | None = None
        with self.precision():
            check_run(self.folder, self._config, environment())
        self.layout = Layout(
            seeds=range(config.seeds),
            root=config.root_seed,
            block=config.block,
            width=1 if on_cpu else config.block,
            devices=devices,
        )
        self._programs: dict[str, Future] = {}
        self._announced: list[Group] = []
        self._traced: dict[str, Any] = {}
        self._compile_seconds: list[float] = []
        self._num_parts: dict[str, int] = {}
        self._checkpoint_seconds = config.checkpoint_seconds
        self._progress: SweepProgress | None = None
        self._brief: set[str] = set()
        self._measurements: set[str] = set()
        self._cells_run = 0
        self._told: set[str] = set()
        self._order: list[str] = []
        self._pool = ThreadPoolExecutor(max_workers=max(1, min(num_cores(), 8)))

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
                self._hold = open_run(self.folder, self._config, environment())
            if not self._hold.is_exclusive:
                print(f"note: {self.folder} lies where no lock can be had: run one command there.")
        return self._hold

    def announce(self, jobs: Sequence[tuple[Job, int]], describe: str) -> None:
        """Print what will run: programs, replicas, steps, memory, devices, time.

        Args:
            jobs: Each job with its number of variants.
            describe: The experiment's question, one line.
        """
        self._num_parts = {job.group.name: self._parts_of(job) for job, _ in jobs}
        self._announced = [self._in_parts(job.group) for job, _ in jobs]
        self._brief = {job.group.name for job, _ in jobs if job.brief}
        self._measurements = {
            job.group.name for job, _ in jobs if job.brief and job.steps <= FEW_STEPS
        }
        seeds, devices = len(self.layout.seeds), self.layout.devices
        replicas = sum(variants * seeds for _, variants in jobs)
        steps = sum(variants * seeds * job.steps for job, variants in jobs)
        flop = sum(variants * seeds * job.steps * job.flop_per_step for job, variants in jobs)
        cores = len(devices) if devices[0].platform == "cpu" else num_cores()
        seconds = COMPILE_SECONDS * len(jobs) / cores
        if devices[0].platform == "cpu":
            seconds += flop / (MEASURED_RATE * cores)
        largest = max((job for job, _ in jobs), key=lambda job: job.steps)
        needed = self._needed_bytes(self._in_parts(largest.group))
        self._check_memory(largest.group, needed)
        self.open()
        self._note_cells(sum(num_blocks(n * seeds, self.layout.block) for _, n in jobs))
        print(f"{self.name}: {describe}")
        print(
            f"  {len(jobs)} programs, {replicas:,} replicas ({seeds} seeds), {steps:,.0f} "
            f"replica-steps, {len(devices)} {devices[0].platform} device(s) in blocks of "
            f"{self.layout.block}, {needed / 2**20:,.0f} MiB of memory, about "
            f"{max(seconds / 60, 0.1):.1f} min -> {self.folder}",
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
        """Run the variants' missing cells.

        The first group that misses one starts the compiling, on all cores, of its own program
        and of those announced after it; a run that has everything compiles nothing.
        """
        group, self._progress = self._in_parts(group), progress
        progress.doing(group.name)
        try:
            self._cells_run += run_group(
                self.folder,
                group,
                variants,
                self.layout,
                program=lambda: self._program(group),
                on_block=lambda replicas, seconds: self._advance(progress, replicas * steps),
                on_damage=self._tell_damage,
            )
        except BaseException as error:
            self._pool.shutdown(wait=False, cancel_futures=True)  # else the end waits for all
            if isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error):
                raise UsageError(
                    f"--block={self.layout.block} ran out of memory in {group.name!r}; a smaller "
                    "block needs another --out, for it decides the files"
                ) from error
            raise
        self._order += (cell.id for cell in plan_cells(group, variants, self.layout))
        order_ledger(self.folder, self._order)

    def _advance(self, progress: SweepProgress, replica_steps: float) -> None:
        progress.advance(replica_steps)
        self.open().check()

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
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.open().check()
        forget_states(self.folder)
        path = self.folder / "run.json"
        content = read_json(path)
        if self._cells_run or "wall_seconds" not in content:
            seconds = round(time.monotonic() - self.begun, 1)
            compiling = {
                "programs": len(self._compile_seconds),
                "thread_seconds": round(sum(self._compile_seconds), 1),
            }
            write_json(path, {**content, "wall_seconds": seconds, "compiling": compiling})

    def _program(self, group: Group) -> Callable:
        if group.name not in self._programs:
            names = [other.name for other in self._announced]
            place = names.index(group.name) if group.name in names else 0
            for other in self._announced[place:] or [group]:
                self._programs.setdefault(other.name, self._pool.submit(self._compile, other))
        return self._programs[group.name].result()

    def _parts_of(self, job: Job) -> int:
        """Return into how many parts a block is cut: of the configuration alone, not of a clock."""
        train_fn = job.group.train_fn
        on_cpu = self.layout.devices[0].platform == "cpu"
        rate = MEASURED_RATE if on_cpu else ACCELERATOR_RATE
        wanted = self.layout.block * job.steps * job.flop_per_step / rate / PART_SECONDS
        if train_fn.stages is None or wanted <= 1:
            return 1
        divisors = [n for n in range(1, train_fn.records + 1) if train_fn.records % n == 0]
        return next((n for n in divisors if n >= wanted), divisors[-1])

    def _in_parts(self, group: Group) -> Group:
        return group._replace(num_parts=self._num_parts.get(group.name, 1))

    def _trace(self, group: Group) -> Any:
        layout = self.layout
        program: Any = block_program(
            group.train_fn, block=layout.block, width=layout.width, devices=layout.devices
        )
        return program.trace(*self._arguments(group))

    def _compile(self, group: Group) -> Callable:
        begun = time.monotonic()
        on_cpu = self.layout.devices[0].platform == "cpu"
        options = self._compiler_options(group) if on_cpu else None
        with self.precision():
            traced = self._traced.pop(group.name, None) or self._trace(group)
            self._check_memory(group, peak_bytes(traced.jaxpr))
            if group.num_parts > 1:
                program = self._compile_parts(group, options)
            else:
                program = traced.lower().compile(options)
        self._compile_seconds.append(time.monotonic() - begun)
        return program

    def _compile_parts(self, group: Group, options: dict[str, Any] | None) -> Callable:
        def on_part(part: int, parts: int) -> None:
            self.open().check()
            if self._progress is not None:
                self._progress.doing(f"{group.name}, part {part} of {parts} of a block")

        jitted = group_programs(group, self.layout)
        draws, hypers = self._arguments(group)
        compiled = jitted.compiled(draws, hypers, options)
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

    def _compiler_options(self, group: Group) -> dict[str, Any]:
        if group.name in self._measurements:
            return hasty_to_compile()
        return quick_to_compile() if group.name in self._brief else CPU_COMPILER

    def _arguments(self, group: Group):
        rows = self.layout.block * len(self.layout.devices)

        def batched(leaf):
            return jax.ShapeDtypeStruct((rows, *leaf.shape), leaf.dtype)

        draw = jax.eval_shape(group.train_fn.draw, jax.random.key(0))
        hyper = jax.tree.map(lambda _: jnp.zeros((), jnp.float32), group.example)
        return jax.tree.map(batched, (draw, hyper))

    def _needed_bytes(self, group: Group) -> int:
        traced = self._traced[group.name] = self._trace(group)  # kept, to be compiled
        return peak_bytes(traced.jaxpr)

    def _check_memory(self, group: Group, needed: int) -> None:
        """Raise `UsageError` if a program will not fit; the block decides files, so it stays."""
        layout = self.layout
        free = free_bytes(layout.devices[0])
        if free is None or needed <= free:
            return
        fits = layout.block * free // needed
        forget_run(self.folder)
        advice = f"--block={fits}" if fits else "fewer --devices or a smaller network"
        raise UsageError(
            f"--block={layout.block} needs about {needed / 2**30:,.1f} GiB for {group.name!r} on "
            f"{len(layout.devices)} device(s), and {free / 2**30:,.1f} GiB are free; about "
            f"{advice} would fit"
        )
