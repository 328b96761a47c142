"""Ctrl-C, SIGTERM and a closed terminal: the write in hand is finished, one line told, no more.

Python runs a handler between two bytecodes of the main thread, which XLA may keep from them for
a minute. So a thread waits for the signals, and ends the process with the status a shell expects;
a second signal ends it at once. Imports nothing that takes long, to be there from the start.
"""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)

CLEAR_LINE, SHOW_CURSOR = "\r\x1b[2K", "\x1b[?25h"


def stop_on_signals() -> None:
    """From now on, let signals stop this process as the module says; call in the main thread.

    A signal that is ignored, as under nohup, stays ignored.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def handle(number: int, frame: Any) -> None:
        """Tell of a signal whose byte went to an event loop that took the wake-up for itself."""
        del frame
        with suppress(OSError):
            os.write(writer, bytes([number | _HANDLED]))

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)
    # written by the handler in C, whatever the main thread does
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), name="signals", daemon=True).start()


@contextmanager
def quiet_children() -> Iterator[None]:
    """Let processes that are started within leave Ctrl-C to this one, which ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    # of their semaphores, which nobody frees when this process is stopped
    os.environ["PYTHONWARNINGS"] = "ignore:resource_tracker:UserWarning"
    try:
        yield
    finally:
        del os.environ["PYTHONWARNINGS"]
        signal.signal(signal.SIGINT, before)


def how_to_go_on() -> str:
    """Return the command that was typed, for it to be typed again."""
    return shlex.join(sys.orig_argv)


_HANDLED = 0x80
"""Marks a byte that Python's handler wrote: the same signal may be told of twice."""


def _watch(reader: int) -> None:
    told = iter(lambda: os.read(reader, 1)[0], None)
    for nth, number in enumerate(distinct(told)):
        if nth:
            os._exit(128 + number)
        threading.Thread(target=_finish, args=(number,), name="finish", daemon=True).start()


def distinct(told: Iterable[int]) -> Iterator[int]:
    """Yield each signal once that the handler in C told of, or Python's, or both.

    Example:
        >>> [*distinct([15, 15 | 0x80, 2 | 0x80, 2])]
        [15, 2]
    """
    counts, known = {0: 0, _HANDLED: 0}, 0
    for byte in told:
        number, way = byte & ~_HANDLED, byte & _HANDLED
        counts[way] += number in SIGNALS
        if counts[way] > known:  # else the other way was faster
            known = counts[way]
            yield number


def _finish(number: int) -> None:
    name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
    end_now(
        f"stopped by {name}; what is finished is kept. Go on with: {how_to_go_on()}", 128 + number
    )


def end_now(line: str, status: int) -> None:
    """End the process from any thread, with one last line, but not within a write."""
    files = sys.modules.get("signdyn.files")
    with files.WRITING if files else nullcontext():
        _tell(line)
        _end_children()
        os._exit(status)


def _tell(line: str) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    # a live bar hides the cursor
    frame = CLEAR_LINE + SHOW_CURSOR if sys.stderr is not None and sys.stderr.isatty() else ""
    with suppress(OSError):
        os.write(2, f"{frame}{line}\n".encode())


def _end_children() -> None:
    """End processes of a pool: they would wait for work for ever."""
    multiprocessing = sys.modules.get("multiprocessing")
    for child in multiprocessing.active_children() if multiprocessing else ():
        child.terminate()
