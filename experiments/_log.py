"""Numbers of a run for TensorBoard or Weights & Biases to draw while it works.

They are for looking at; what counts is on record in the cells. A run that goes on where it stopped
logs what it computes from then on.
"""

import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments._options import UsageError
from signdyn.records import Variable

LOGS = ("none", "tensorboard", "wandb")
"""What --log_to takes."""

_LIBRARIES = {"tensorboard": "tensorboardX", "wandb": "wandb"}

FOLDER = "logs"
"""Of a run, for what the libraries write."""


class Log(NamedTuple):
    """Where numbers go.

    Attributes:
        write: (name -> number, replicas finished by then).
        close: To be called once nothing more comes.
    """

    write: Callable[[Mapping[str, float], int], None] = lambda numbers, replicas: None
    close: Callable[[], None] = lambda: None


def check_log(to: str) -> None:
    """Raise `UsageError` if the library that ``--log_to`` needs is not there."""
    library = _LIBRARIES.get(to)
    if library is not None and importlib.util.find_spec(library) is None:
        raise UsageError(f"--log_to={to} needs {library}, which pip install '.[log]' installs")


def open_log(to: str, folder: Path, config: Mapping[str, Any]) -> Log:
    """Return where ``--log_to`` sends numbers.

    Args:
        to: One of `LOGS`.
        folder: The run's.
        config: To be shown beside them.
    """
    if to == "tensorboard":
        return _tensorboard(folder)
    return _wandb(folder, config) if to == "wandb" else Log()


def _tensorboard(folder: Path) -> Log:
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(folder / FOLDER), flush_secs=1)  # flush() leaves some in a queue

    def write(numbers: Mapping[str, float], replicas: int) -> None:
        for name, number in numbers.items():
            writer.add_scalar(name, number, replicas)

    return Log(write, writer.close)


def _wandb(folder: Path, config: Mapping[str, Any]) -> Log:
    import wandb

    os.makedirs(folder / FOLDER, exist_ok=True)
    # nothing leaves the machine unless WANDB_MODE says so
    mode = os.environ.get("WANDB_MODE", "offline")
    run = wandb.init(
        project="signdyn",
        name=folder.name,
        dir=str(folder / FOLDER),
        mode=mode,  # pyrefly: ignore[bad-argument-type]
        config=dict(config),
    )
    return Log(lambda numbers, replicas: run.log(dict(numbers), step=replicas), run.finish)


def medians(part: str, variables: Mapping[str, Variable]) -> dict[str, float]:
    """Return the median over a cell's replicas of everything that is one number a replica.

    What is finite in none of them is left out.

    Example:
        >>> loss = Variable((), [0.25, float("nan"), 0.75], "nat", "loss at the end")
        >>> medians("descent", {"final_loss": loss})
        {'descent/final_loss': 0.5}
    """
    found = {}
    for name, variable in variables.items():
        if variable.dims:
            continue
        values = np.asarray(variable.values, float)
        finite = values[np.isfinite(values)]
        if finite.size:
            found[f"{part}/{name}"] = float(np.median(finite))
    return found


def diverged(variables: Mapping[str, Variable]) -> int:
    """Return how many of a cell's replicas had a loss that was not finite, as far as they tell.

    Example:
        >>> diverged({"diverged_at": Variable((), [-1, 7, -1], "step", "first such step, or -1")})
        1
    """
    told = variables.get("diverged_at")
    return 0 if told is None else int(np.sum(np.asarray(told.values) >= 0))
