"""A disk that is full, a folder that vanished, a reader that left: one line and exit status 1."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from experiments._interrupt import how_to_go_on
from signdyn.files import RecordsError

FAILURE = 1


@contextmanager
def failures_told() -> Iterator[None]:
    """Turn what files and folders do to a run into one line on how to go on, and status 1.

    The output is written out within it, for a full disk may hold that too.
    """
    try:
        yield
        sys.stdout.flush()
    except (RecordsError, OSError) as error:
        with suppress(OSError):
            print(
                f"error: {sentence(error)}. When that is mended, go on with: {how_to_go_on()}",
                file=sys.stderr,
            )
        _drop_output()
        sys.exit(FAILURE)


def sentence(error: Exception) -> str:
    """Return what went wrong, one line without a full stop.

    Example:
        >>> sentence(OSError(28, "No space left on device", "results/a"))
        'results/a: No space left on device'
    """
    text = str(error)
    if isinstance(error, BrokenPipeError):
        text = "nobody reads the output any more (broken pipe)"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(text.split()).rstrip(".")


def _drop_output() -> None:
    """Send what cannot be written to nowhere, or Python would tell of it at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
