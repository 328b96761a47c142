"""Command-line experiments, one file a question."""

import os
import sys

# Read when NumPy and SciPy load. A host device is one core's worth of replicas: LAPACK with threads
# of its own makes them wait for each other, and its results depend on the number of cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if sys.argv[:1] == ["-m"]:  # `python -m experiments.x`, whose imports take seconds
    from experiments._interrupt import stop_on_signals

    stop_on_signals()
