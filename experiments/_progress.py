"""Progress of a sweep: a live bar on a terminal, plain lines elsewhere.

A plain line is ``[seconds] percent  what, rate, time left, diverged``: one when something else
begins, and one every `LINE_SECONDS` while it lasts.
"""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from experiments._team import team

LINE_SECONDS = 30.0
"""Between plain lines of the same work, at least."""

ENOUGH = 0.05
"""Share of the work after which its rate tells how long the rest takes: compiling is over."""


class SweepProgress:
    """Counts replicas x steps; use as a context manager around a sweep.

    Args:
        total: Replica-steps expected.

    Attributes:
        num_diverged: Replicas whose loss was not finite, so far.
    """

    def __init__(self, total: float):
        """Prepare the bar; nothing is drawn before the context is entered."""
        self._is_shown = team().is_first  # one of several processes tells of all
        self._live = self._is_shown and sys.stderr.isatty()
        self._total = float(total)
        self._done = self._ran = 0.0
        self.num_diverged = 0
        self._what = ""
        self._begun = self._told = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TextColumn("{task.fields[state]}"),
            console=Console(stderr=True),
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("", total=self._total, state="")

    def __enter__(self) -> "SweepProgress":
        """Start drawing."""
        self._begun = time.monotonic()
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        self._bar.stop()

    def doing(self, what: str) -> None:
        """Name what runs now."""
        self._what = what
        self._bar.update(self._task, description=what)
        self._tell_line()

    def expect(self, replica_steps: float) -> None:
        """Add work that was not known at the start."""
        self._total += replica_steps
        self._bar.update(self._task, total=self._total)

    def advance(self, replica_steps: float, *, is_new: bool = True) -> None:
        """Count finished work.

        Args:
            replica_steps: So many.
            is_new: Whether they were computed now, and not found finished.
        """
        self._done += replica_steps
        self._ran += replica_steps * is_new
        self._bar.update(self._task, advance=replica_steps, state=self.state())
        if time.monotonic() - self._told >= LINE_SECONDS:
            self._tell_line()

    def diverged(self, replicas: int) -> None:
        """Count replicas whose loss was not finite."""
        self.num_diverged += replicas

    @property
    def rate(self) -> float:
        """Replica-steps a second, of those that were computed now."""
        return self._ran / max(time.monotonic() - self._begun, 1e-9)

    def state(self) -> str:
        """Return rate, time left and what diverged, as far as there is something to tell."""
        told = []
        if self._ran:
            told = [f"{self.rate:,.0f} replica-steps/s"]
        if self._ran >= ENOUGH * self._total:
            told.append(f"{duration((self._total - self._done) / max(self.rate, 1e-9))} left")
        if self.num_diverged:
            told.append(f"{self.num_diverged} diverged")
        return ", ".join(told)

    def _tell_line(self) -> None:
        self._told = time.monotonic()
        if not self._is_shown or self._live:
            return
        percent = 100.0 * min(1.0, self._done / self._total) if self._total else 0.0
        line = f"  [{self._told - self._begun:5.0f} s] {percent:3.0f}%  {self._what}"
        print(", ".join(filter(None, (line, self.state()))), file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it.

    Example:
        >>> duration(8.2), duration(600), duration(9000)
        ('8 s', '10 min', '2.5 h')
    """
    seconds = max(seconds, 0.0)
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
