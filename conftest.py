"""Test session: double precision on two CPU devices, decided before JAX starts.

In the root and not under tests/, so that the doctests of signdyn/ run under it too, alone or not.
"""

import os

os.environ["MPLBACKEND"] = "agg"  # no window, whatever the machine
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # workers share the cores

import hypothesis
import jax

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 2)

# The same examples every time; no deadline, since the first call of each shape compiles.
hypothesis.settings.register_profile(
    "signdyn", derandomize=True, deadline=None, database=None, print_blob=False
)
hypothesis.settings.load_profile("signdyn")
