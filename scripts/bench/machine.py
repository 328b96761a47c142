"""What a measurement ran on."""

import platform

from experiments._cli import num_cores
from experiments._environment import cpu_model


def machine() -> dict[str, str | int]:
    """Return the processor's name, the cores that this process may use and Python's version."""
    return {"cpu": cpu_model(), "cores": num_cores(), "python": platform.python_version()}
