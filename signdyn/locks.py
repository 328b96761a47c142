"""One run a folder: a lock of the operating system, which dies with its process.

The processes of one run hold it together, see `Hold.share`.

May import: files.
"""

import errno
import json
import os
import platform
import time
from pathlib import Path
from types import TracebackType
from weakref import WeakValueDictionary

from signdyn.files import RecordsError, cannot_write

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

LOCK_NAME = ".lock"
"""Its content tells who holds it; whether anybody does, only the operating system knows."""

_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
_TAKEN = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}

_held: WeakValueDictionary[Path, "Hold"] = WeakValueDictionary()


class Hold:
    """This process's hold on a folder: until it is released, or collected, or the process ends.

    Attributes:
        folder: The folder.
        is_exclusive: Whether others are kept out; False where the file system has no locks.
    """

    def __init__(self, folder: Path, descriptor: int, is_exclusive: bool):
        """Take over an open lock file; see `hold_folder`.

        Args:
            folder: The folder.
            descriptor: Of its lock file, open and locked.
            is_exclusive: Whether others are kept out.
        """
        self.folder, self.is_exclusive = folder, is_exclusive
        self._descriptor = descriptor

    def check(self) -> None:
        """Raise `RecordsError` if the folder is no longer the one that was taken."""
        try:
            found = os.stat(self.folder / LOCK_NAME)
        except OSError:
            found = None
        if found is None or not os.path.samestat(found, os.fstat(self._descriptor)):
            raise RecordsError(
                f"the folder {self.folder} was removed or replaced while a run worked in it."
            )

    def share(self) -> None:
        """Let the other processes of this run in, who ask for a shared hold, and nobody else.

        Raises:
            RecordsError: If another run was faster.
        """
        try:
            lock(self._descriptor, wait=False, shared=True)
        except OSError as error:
            raise _taken(self.folder, error) from error

    def release(self) -> None:
        """Let others in; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "Hold":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def __del__(self):
        self.release()


def hold_folder(folder: Path, *, shared: bool = False) -> Hold:
    """Keep other processes out of an existing folder; in one process, all share one hold.

    Args:
        folder: The folder.
        shared: Whether to join the other processes of this run, which hold it already.

    Raises:
        RecordsError: If another process holds it, or no lock file can be made.
    """
    key = folder.resolve()
    held = _held.get(key)
    if held is not None and _is_still_there(held):
        return held
    descriptor = _open(folder)
    try:
        is_exclusive = lock(descriptor, wait=False, shared=shared)
    except OSError as error:
        os.close(descriptor)
        raise _taken(folder, error) from error
    if not shared:
        _sign(descriptor)
    hold = _held[key] = Hold(folder, descriptor, is_exclusive)
    return hold


def wait_for_folder(folder: Path) -> Hold:
    """Wait until no process nor thread works in an existing folder, and keep others out of it.

    For what takes a moment; where the file system has no locks it does not wait.
    """
    descriptor = _open(folder)
    try:
        is_exclusive = lock(descriptor, wait=True)
    except OSError as error:
        os.close(descriptor)
        raise cannot_write(folder / LOCK_NAME, error) from error
    return Hold(folder, descriptor, is_exclusive)


def lock(descriptor: int, *, wait: bool, shared: bool = False) -> bool:
    """Lock an open file until it is closed; return False where there are no locks.

    Args:
        descriptor: Of the file.
        wait: Whether to wait until it is free.
        shared: Whether others may have it at the same time, if they share it as well.

    Raises:
        OSError: If another has locked it and ``wait`` is False.
    """
    if fcntl is None:
        return False
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _WITHOUT_LOCKS:
            return False
        raise
    return True


def _is_still_there(hold: Hold) -> bool:
    try:
        hold.check()
    except (RecordsError, OSError):  # the folder is another one, or the hold was released
        return False
    return True


def _open(folder: Path) -> int:
    try:
        return os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(folder, error) from error


def _taken(folder: Path, error: OSError) -> RecordsError:
    """Return the error that tells why a folder's lock could not be had."""
    if error.errno not in _TAKEN:
        return cannot_write(folder / LOCK_NAME, error)
    return RecordsError(
        f"another run works in {folder} ({_holder(folder)}); wait until it has ended, "
        "or name another folder with --out."
    )


def _sign(descriptor: int) -> None:
    who = {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, (json.dumps(who) + "\n").encode())
    except OSError:
        return  # a full disk: the lock holds all the same


def signature(folder: Path) -> str:
    """Return what the process that took a folder wrote into its lock file; nothing if none did."""
    try:
        return (folder / LOCK_NAME).read_text(errors="replace")
    except OSError:
        return ""


def is_of_this_machine(signed: str) -> bool:
    """Return whether a process on this machine signed so."""
    try:
        return json.loads(signed)["host"] == platform.node()
    except (ValueError, KeyError, TypeError):
        return False


def _holder(folder: Path) -> str:
    try:
        who = json.loads((folder / LOCK_NAME).read_text())
        return f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "which has just begun"
