"""What a race is: the same work by several contenders, whose answers must agree before the clock.

A contender is a function ``make(**case) -> run`` named "module:function". ``run()`` does the work
once, blocks until it is done, and returns its answer: a dict of NumPy arrays, the same in every
call. Every contender lives in a process of its own, with its own interpreter and environment
(`scripts.bench.worker`), and all take turns (`scripts.bench.contest`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

ONE_DEVICE: Mapping[str, str] = {"XLA_FLAGS": ""}
"""JAX as it comes: one host device, products split over threads."""

HOST_DEVICES: Mapping[str, str] = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"}
"""As the experiments set JAX up: a device a core, see ``configure_jax``; to be called in make."""


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        name: As the table calls it.
        make: "module:function".
        packages: Distributions whose versions the table names.
        env: Variables of its process, over the caller's.
        python: Which interpreter, in `scripts.bench.contest.INTERPRETERS`.
        more: Keyword arguments of ``make`` beside the race's case.
        share: Part of the race's work that it does, for one whose time is in proportion to it and
            would be too long; its time is divided by it.
        agrees: Whether its answer is the race's; False for work that is counted in, say a plain
            training step, and has another answer. Or the keys in which it agrees, for one that is
            less accurate in the others.
    """

    name: str
    make: str
    packages: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    python: str = "main"
    more: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0
    agrees: bool | tuple[str, ...] = True


@dataclass(frozen=True)
class Bound:
    """What a ratio of two contenders' times is to be, time of ``slow`` over time of ``fast``.

    Attributes:
        slow: Name of a contender.
        fast: Name of another.
        at_least: Least ratio that is asked, or None.
        at_most: Largest, or None.
    """

    slow: str
    fast: str
    at_least: float | None = None
    at_most: float | None = None

    def holds(self, ratio: float) -> bool:
        """Return whether a ratio is as asked."""
        low = -float("inf") if self.at_least is None else self.at_least
        high = float("inf") if self.at_most is None else self.at_most
        return low <= ratio <= high


@dataclass(frozen=True)
class Race:
    """One work and who does it.

    Attributes:
        id: Its file's name in the record.
        topic: Heading under which the table has it.
        work: What is done, a sentence without a full stop.
        case: Keyword arguments of every ``make``, JSON-able.
        contenders: Ours first; answers are compared with the first one's.
        bounds: What is to be reached.
        tolerance: Answer's key -> largest relative difference, of 2-norms, that counts as the same
            answer; every key of it must be in every contender's answer.
        units: What a run's time is divided by, such as the number of training steps in it.
        unit: Their name, singular.
        flop: Floating point operations of a run that the work needs, by the formula in ``flop_of``.
        flop_of: The formula, in words; empty if not stated.
    """

    id: str
    topic: str
    work: str
    case: Mapping[str, Any]
    contenders: tuple[Contender, ...]
    bounds: tuple[Bound, ...]
    tolerance: Mapping[str, float]
    units: float = 1.0
    unit: str = "run"
    flop: float | None = None
    flop_of: str = ""

    def __post_init__(self):
        """Refuse bounds on contenders that there are not."""
        names = [contender.name for contender in self.contenders]
        if len(set(names)) != len(names):
            raise ValueError(f"Race {self.id}: contenders' names must differ, got {names}.")
        for bound in self.bounds:
            for name in (bound.slow, bound.fast):
                if name not in names:
                    raise ValueError(f"Race {self.id}: there is no contender {name!r} in {names}.")
