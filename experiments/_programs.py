"""Programs of a run: traced, checked against memory, compiled ahead on all cores."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments._cli import num_cores
from signdyn.handing import Shelf
from signdyn.lanes import share_memory
from signdyn.memory import calls_in_flight, free_bytes, peak_bytes
from signdyn.resume import Group, Layout, Ready, group_programs
from signdyn.staged import Programs as Parts
from signdyn.sweeps import block_program, block_shapes, hasty_to_compile, quick_to_compile

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

MOST_IN_FLIGHT = 4
"""Calls that wait for an accelerator, at most; a CPU's cores are busy with one and the next."""

CPU_COMPILER = {"xla_backend_optimization_level": 1}
"""Compiles the flagship's descents in 15% less time than level 3; they then run 20% faster."""


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


class Programs:
    """The compiled programs of one run.

    Args:
        layout: Blocks and devices.
        precision: Gives the context in which all of the run's arrays are made.
        keep_states: (group, compiled, jitted) -> program of a group in parts.
        refuse: Called with (group, bytes needed, bytes free) before what will not fit is compiled.
    """

    def __init__(
        self,
        layout: Layout,
        precision: Callable[[], AbstractContextManager],
        keep_states: Callable[[Group, Parts, Parts], Callable],
        refuse: Callable[[Group, int, int], None],
    ):
        """Compile nothing yet."""
        self._layout, self._precision = layout, precision
        self._keep_states, self._refuse = keep_states, refuse
        self._on_cpu = layout.devices[0].platform == "cpu"
        # in one memory
        self._calls = len(layout.devices) if share_memory(layout.devices) else 1
        self._ready: dict[str, Future[Ready]] = {}
        self._ahead: list[Group] = []
        self._traced: dict[str, Any] = {}
        self._num_parts: dict[str, int] = {}
        self._brief: set[str] = set()
        self._measurements: set[str] = set()
        self._shelf = Shelf(layout.devices)
        self._pool = ThreadPoolExecutor(max_workers=max(1, min(num_cores(), 8)))
        self.seconds: list[float] = []

    def announce(self, jobs: Sequence[Job], ahead: Callable[[Job], bool]) -> int:
        """Take note of what is to come; return the bytes that the longest of it needs.

        Args:
            jobs: In their order.
            ahead: Whether to compile a job's program before it is asked for.
        """
        self._num_parts = {job.group.name: self._parts_of(job) for job in jobs}
        self._ahead = [self.in_parts(job.group) for job in jobs if ahead(job)]
        self._brief = {job.group.name for job in jobs if job.brief}
        self._measurements = {
            job.group.name for job in jobs if job.brief and job.steps <= FEW_STEPS
        }
        largest = self.in_parts(max(jobs, key=lambda job: job.steps).group)
        traced = self._traced[largest.name] = self._trace(largest)  # kept, to be compiled
        return self._checked(largest, traced)

    def in_parts(self, group: Group) -> Group:
        """Return a group with the number of its parts, as decided when it was announced."""
        return group._replace(num_parts=self._num_parts.get(group.name, 1))

    def ready(self, group: Group) -> Ready:
        """Return a group's program, once it is compiled.

        The first one that is asked for starts the compiling, on all cores, of its own program and
        of those announced after it.
        """
        if group.name not in self._ready:
            names = [other.name for other in self._ahead]
            after = self._ahead[names.index(group.name) + 1 :] if group.name in names else []
            for other in [group, *after]:
                if other.name not in self._ready:
                    self._ready[other.name] = self._pool.submit(self._compile, other)
        return self._ready[group.name].result()

    def stop(self, *, wait: bool) -> None:
        """Compile no more."""
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def _parts_of(self, job: Job) -> int:
        """Return into how many parts a block is cut: of the configuration alone, not of a clock."""
        train_fn = job.group.train_fn
        rate = MEASURED_RATE if self._on_cpu else ACCELERATOR_RATE
        wanted = self._layout.block * job.steps * job.flop_per_step / rate / PART_SECONDS
        if train_fn.stages is None or wanted <= 1:
            return 1
        divisors = [n for n in range(1, train_fn.records + 1) if train_fn.records % n == 0]
        return next((n for n in divisors if n >= wanted), divisors[-1])

    def _trace(self, group: Group) -> Any:
        layout = self._layout
        program: Any = block_program(group.train_fn, block=layout.block, width=layout.width)
        return program.trace(*self._arguments(group))

    def _checked(self, group: Group, traced: Any) -> int:
        """Return the bytes that a program needs, if there are so many."""
        needed = peak_bytes(traced.jaxpr, self._calls)
        free = free_bytes(self._layout.devices[0])
        if free is not None and needed > free:
            self._refuse(group, needed, free)
        return needed

    def _compile(self, group: Group) -> Ready:
        begun = time.monotonic()
        options = self._options(group) if self._on_cpu else None
        with self._precision():
            traced = self._traced.pop(group.name, None) or self._trace(group)
            self._checked(group, traced)
            if group.num_parts > 1:
                jitted = group_programs(group, self._layout)
                draws, hypers = self._arguments(group)
                compiled = jitted.compiled(draws, hypers, options, self._shelf.compiled)
                ready = Ready(self._keep_states(group, compiled, jitted), in_flight=1)
            else:
                most = 2 if self._on_cpu else MOST_IN_FLIGHT
                free = free_bytes(self._layout.devices[0])
                in_flight = calls_in_flight(traced.jaxpr, free, most, self._calls)
                ready = Ready(self._shelf.compiled(traced, options), in_flight)
        self.seconds.append(time.monotonic() - begun)
        return ready

    def _options(self, group: Group) -> dict[str, Any]:
        if group.name in self._measurements:
            return hasty_to_compile()
        return quick_to_compile() if group.name in self._brief else CPU_COMPILER

    def _arguments(self, group: Group):
        hyper = jax.tree.map(lambda _: jnp.zeros((), jnp.float32), group.example)
        return block_shapes(group.train_fn, hyper, self._layout.block)
