"""The processes of this run: who they are, and what becomes of this one when another ends.

They are named by flags, or found in what Slurm (``srun`` with several tasks) or a TPU pod's
environment tell.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax

from experiments._interrupt import end_now, how_to_go_on
from experiments._options import UsageError, shortened
from signdyn.meeting import some
from signdyn.processes import ALONE, Team, join
from signdyn.wires import Address, parse_address

LOST = 1
"""Exit status of a process that ends because another one has."""

TPU_PORT = 8476
"""Where process 0 listens on a TPU pod, if it is not told where: as JAX does by default."""

_team = ALONE


class TeamOptions(Protocol):
    """The options that name the processes."""

    @property
    def coordinator_address(self) -> str:
        """host:port of process 0, or nothing."""
        ...

    @property
    def num_processes(self) -> int:
        """How many, 0 for what the environment tells."""
        ...

    @property
    def process_id(self) -> int:
        """Which one this is, or -1."""
        ...


class Place(NamedTuple):
    """This process's place among several."""

    address: Address
    count: int
    index: int


def team() -> Team:
    """Return the processes of this run: this one alone, unless `join_team` found others."""
    return _team


def join_team(options: TeamOptions, deciding: Mapping[str, Any]) -> None:
    """Find the other processes, if the options or the environment tell of any; once.

    Args:
        options: Which tell.
        deciding: Options that must be the same for all processes.

    Raises:
        UsageError: If the options do not fit together.
        PeersError: If the processes do not find each other.
    """
    global _team  # as JAX has one runtime a process
    place = find_place(options, os.environ)
    if place is None or _team.count > 1:
        return
    where = f"process {place.index} of {place.count}"

    def end(lost: int) -> None:
        end_now(
            f"process {lost} of {place.count} has ended, and so does {where}; what is finished is "
            f"kept. Go on with, in all of them: {how_to_go_on()}",
            LOST,
        )

    def tell(missing: Sequence[int]) -> None:
        print(f"{where} waits at {place.address} for {some(missing)}", file=sys.stderr)

    program = Path(sys.argv[0]).stem  # an experiment's name
    facts = json.dumps([program, jax.__version__, dict(deciding)], sort_keys=True)
    _team = join(
        place.address,
        place.count,
        place.index,
        facts=hashlib.sha256(facts.encode()).hexdigest(),
        on_loss=end,
        on_wait=tell,
    )


@contextlib.contextmanager
def ended_together() -> Iterator[None]:
    """Let this process end, within, without waiting for others that will not come any more.

    JAX's runtime would wait for them at the end of a process.
    """
    status = 0
    try:
        yield
    except SystemExit as error:
        if _team.count == 1:
            raise
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        if _team.count == 1:
            raise
        traceback.print_exc()
        status = 1
    if _team.count > 1:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        os._exit(status)


def find_place(options: TeamOptions, environment: Mapping[str, str]) -> Place | None:
    """Return this process's place; None if it is the only one.

    Args:
        options: Flags, which win.
        environment: The process's variables.

    Raises:
        UsageError: If the options do not fit together.
    """
    given = (options.coordinator_address, options.num_processes, options.process_id)
    if given == ("", 0, -1):
        return _of_slurm(environment) or _of_tpu(environment)
    address, count, index = given
    if count == 1 and not address and index < 1:
        return None
    if not address or count < 1 or index < 0:
        raise UsageError(
            "--coordinator_address, --num_processes and --process_id go together: give all three "
            "(or none, where Slurm or a TPU pod tells)"
        )
    if index >= count:
        raise UsageError(
            f"--process_id must be below --num_processes={count}, got {index}: the first one is 0"
        )
    try:
        where = parse_address(address)
    except ValueError as error:
        raise UsageError(
            f"--coordinator_address must be host:port, such as node001:1234 or [::1]:1234, "
            f"got {shortened(address)}"
        ) from error
    return Place(where, count, index) if count > 1 else None


def _of_slurm(environment: Mapping[str, str]) -> Place | None:
    """Return the place of a task that ``srun`` started with others."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID")
    told = [environment.get(name, "") for name in names]
    job, nodes, count, index = told
    if not (job.isdigit() and count.isdigit() and index.isdigit() and nodes) or int(count) < 2:
        return None
    # of the upper ports, where nothing of a system's own listens; even, for the next is JAX's
    port = 61440 + 2 * (int(job) % 2000)
    return Place(Address(first_host(nodes), port), int(count), int(index))


def first_host(nodes: str) -> str:
    """Return the first of the hosts in Slurm's list of them.

    Example:
        >>> first_host("gpu[003-005,009],big1"), first_host("rack[1,3]node[07-09]")
        ('gpu003', 'rack1node07')
    """
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", nodes).split(",")[0]


def _of_tpu(environment: Mapping[str, str]) -> Place | None:
    """Return the place of a worker of a TPU pod whose environment names the others."""
    hosts = [host for host in environment.get("TPU_WORKER_HOSTNAMES", "").split(",") if host]
    index = environment.get("TPU_WORKER_ID", "")
    if len(hosts) < 2 or not index.isdigit() or int(index) >= len(hosts):
        return None
    return Place(Address(hosts[0], TPU_PORT), len(hosts), int(index))
