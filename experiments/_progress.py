"""Progress of a sweep: a live bar on a terminal, one plain line a program elsewhere."""

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from experiments._team import team


class SweepProgress:
    """Counts replicas x steps; use as a context manager around a sweep.

    Args:
        total: Replica-steps expected.
    """

    def __init__(self, total: float):
        """Prepare the bar; nothing is drawn before the context is entered."""
        self._is_shown = team().is_first  # one of several processes tells of all
        self._live = self._is_shown and sys.stderr.isatty()
        self._total = float(total)
        self._done = 0.0
        self._begun = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("", total=self._total, rate="")

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
        self._bar.update(self._task, description=what)
        if self._is_shown and not self._live:
            print(
                f"  [{time.monotonic() - self._begun:5.0f} s] {what}", file=sys.stderr, flush=True
            )

    def expect(self, replica_steps: float) -> None:
        """Add work that was not known at the start."""
        self._total += replica_steps
        self._bar.update(self._task, total=self._total)

    def advance(self, replica_steps: float) -> None:
        """Count finished work."""
        self._done += replica_steps
        elapsed = max(time.monotonic() - self._begun, 1e-9)
        rate = f"{self._done / elapsed / 1e3:,.1f} k replica-steps/s"
        self._bar.update(self._task, advance=replica_steps, rate=rate)
