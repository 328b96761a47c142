"""The process of one contender: makes it, keeps its answer, and runs it as often as it is told.

    PYTHON -m scripts.bench.worker    # started by scripts.bench.contest

One JSON object a line. In: ``{"make": "module:function", "case": {...}, "answer": FILE}`` first,
then ``{"repeat": K}`` for each turn. Out: ``{"ready": ...}``, ``{"seconds": S}`` or
``{"error": ...}``. Imports nothing but the standard library and NumPy before the contender.
"""

import importlib
import importlib.metadata
import json
import os
import resource
import sys
import time
import traceback
from typing import IO, Any

import numpy as np


def main() -> None:
    """Serve until the input ends."""
    # What libraries print must not meet the protocol.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        serve(replies)
    except Exception as error:  # noqa: BLE001 - a peer may raise anything; the table says what
        traceback.print_exc()
        say(replies, error=f"{type(error).__name__}: {str(error).splitlines()[:1]}")


def serve(replies: IO[str]) -> None:
    """Answer what standard input asks for."""
    task = json.loads(sys.stdin.readline())
    module, _, function = task["make"].partition(":")
    begun = time.perf_counter()
    run = getattr(importlib.import_module(module), function)(**task["case"])
    answer = run()
    first = time.perf_counter() - begun
    run()  # whatever is built lazily in a second call
    begun = time.perf_counter()
    run()
    once = time.perf_counter() - begun
    np.savez(task["answer"], **answer)
    versions = {name: importlib.metadata.version(name) for name in task["packages"]}
    say(replies, ready=True, first_seconds=first, once_seconds=once, versions=versions)
    for line in sys.stdin:
        repeat = json.loads(line)["repeat"]
        begun = time.perf_counter()
        for _ in range(repeat):
            run()
        seconds = (time.perf_counter() - begun) / repeat
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        say(replies, seconds=seconds, peak_bytes=peak, device_bytes=device_peak())


def device_peak() -> int | None:
    """Return the most bytes that JAX held on its first device, None where it does not tell."""
    jax = sys.modules.get("jax")
    stats = None if jax is None else jax.local_devices()[0].memory_stats()
    return (stats or {}).get("peak_bytes_in_use")


def say(replies: IO[str], **content: Any) -> None:
    """Write one reply."""
    print(json.dumps(content), file=replies, flush=True)


if __name__ == "__main__":
    main()
