"""Command-line experiments, one file a question."""

import os

# Read when NumPy and SciPy load. A host device is one core's worth of replicas: LAPACK with threads
# of its own makes them wait for each other, and its results depend on the number of cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
