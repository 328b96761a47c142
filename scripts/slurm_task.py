"""One task of a job on a cluster: an experiment in a process of its own, begun again if it dies.

The process that a scheduler starts only waits. The experiment runs in a child, so that nothing
of a process that died is used again; what is finished is on disk, and the same command goes on.

May import the standard library only: it is unpickled on machines that have yet to start.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

END_SECONDS = 60.0
"""An experiment that is told to end takes no longer, or is killed; sbatch's signal leaves 90."""

GRACE_SECONDS = 600.0
"""How long a task whose experiment Slurm has stopped waits to be stopped as well."""

STOPPED = tuple(128 + number for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM))
"""Statuses of an experiment that somebody stopped."""

REFUSED = 2
"""Status of one that was refused: the same command would be refused again."""

_WITH_PARENT = (
    "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGTERM); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Runs the words after it, which get SIGTERM when this process's parent dies. Linux only."""


@dataclass
class Task:
    """What submitit runs: a command, as often as it takes.

    Attributes:
        words: Of the command, behind the interpreter.
        restarts: How often a command that died is begun again in the same allocation.
        processes: Tasks of this job, which are one run; they find each other by themselves on
            Slurm, and at ``port`` of this machine otherwise.
        port: Of the first process.
        pause: Seconds between a death and the next start, for peers to end and for a file server
            to let a lock go.
    """

    words: Sequence[str]
    restarts: int = 0
    processes: int = 1
    port: int = 0
    pause: float = 5.0
    _child: Any = field(default=None, init=False, repr=False)
    _is_ending: bool = field(default=False, init=False, repr=False)

    def __call__(self) -> None:
        """Run the command until it is done; exit with its status if it does not get there."""
        if _rank():  # submitit requeues from the first task, and leaves the others running
            signal.signal(signal.SIGUSR2, lambda *_: self._end())
        if not _is_on_slurm():  # which sends it to every process, and a second one is hasty
            signal.signal(signal.SIGTERM, lambda *_: self._send(signal.SIGTERM))
        for left in range(self.restarts, -1, -1):
            status = self._run()
            if status == 0 or self._is_ending:
                return
            if status in STOPPED:
                self._wait_for_slurm()
                break
            if (status == REFUSED and not _is_requeued()) or not left:
                break
            print(f"ended with status {status}; begun again, {left - 1} times left", flush=True)
            time.sleep(self.pause)
        sys.exit(status)

    def checkpoint(self) -> Any:
        """Return this task for submitit to queue again, once the experiment has ended."""
        from submitit.helpers import DelayedSubmission

        self._end()
        return DelayedSubmission(replace(self))

    def command(self) -> list[str]:
        """Return the command of this process."""
        words = [sys.executable, *self.words]
        if self.processes > 1 and not _is_on_slurm():
            words += [
                f"--coordinator_address=127.0.0.1:{self.port}",
                f"--num_processes={self.processes}",
                f"--process_id={_rank()}",
            ]
        return words

    def _run(self) -> int:
        """Run the command once; return its status, as a shell tells it."""
        words = self.command()
        print(f"$ {' '.join(words)}", flush=True)
        if sys.platform == "linux":
            words = [sys.executable, "-c", _WITH_PARENT, *words]
        # Slurm sends this signal to every process, and it would kill the experiment: it inherits
        # the mask, and is told by this process to end. What comes meanwhile comes afterwards.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        try:
            self._child = subprocess.Popen(words)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        try:
            # takes no lock: a signal's handler, which waits too, may run within
            os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        finally:
            self._end()
        status = self._child.wait()
        return 128 - status if status < 0 else status

    def _end(self) -> None:
        """Tell the experiment to end, which keeps what is finished, and see that it does."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._has_ended():
                return
            self._is_ending = True
            self._send(number)
            until = time.monotonic() + END_SECONDS
            while not self._has_ended() and time.monotonic() < until:
                time.sleep(0.05)

    def _send(self, number: signal.Signals) -> None:
        if not self._has_ended():
            os.kill(self._child.pid, number)

    def _has_ended(self) -> bool:
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        try:
            return self._child is None or os.waitid(os.P_PID, self._child.pid, options) is not None
        except ChildProcessError:  # its status was read
            return True

    def _wait_for_slurm(self) -> None:
        """Let Slurm end this task: one that ends by itself while it is preempted has failed."""
        if _is_on_slurm():
            time.sleep(GRACE_SECONDS)


def _is_on_slurm() -> bool:
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm"


def _is_requeued() -> bool:
    """Return whether Slurm started this job before: a lock may outlive a machine for a while."""
    return bool(os.environ.get("SLURM_RESTART_COUNT"))


def _rank() -> int:
    return int(os.environ.get("SLURM_PROCID" if _is_on_slurm() else "SUBMITIT_LOCAL_GLOBALID", "0"))
