"""Processes of one run that know of each other's end within a second.

JAX's own runtime misses a process that died after its heartbeats have failed for a minute or two,
and then aborts the others. So process 0 listens at the run's address, and the others connect to it
and stay connected: of a process that dies the operating system closes the connection at once, and
a machine that vanishes is missed after `SILENCE` seconds. One that ends as it should says so first.

May import: wires.
"""

import json
import selectors
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from signdyn.wires import PATIENCE, Address, Line, free_port, listen

BEAT = 1.0
"""Seconds between signs of life."""

SILENCE = 30.0
"""Seconds without a sign of life after which a process counts as gone."""


class PeersError(ConnectionError):
    """Processes did not find each other; the message is one sentence."""


class Peers:
    """Connections to the other processes: of process 0 to all, of another one to process 0.

    Attributes:
        index: Which process this is.
        count: How many there are.
        runtime_port: Where process 0 is to let JAX's runtime listen.
    """

    def __init__(
        self, index: int, count: int, connections: Mapping[int, "Line"], runtime_port: int
    ):
        """Take over open connections; see `meet`.

        Args:
            index: Which process this is.
            count: How many there are.
            connections: Process -> the line to it.
            runtime_port: Where process 0 is to let JAX's runtime listen.
        """
        self.index, self.count, self.runtime_port = index, count, runtime_port
        self._lines = dict(connections)
        self._has_left = threading.Event()

    def watch(self, on_loss: Callable[[int], None]) -> None:
        """From now on, call ``on_loss`` with the first process that is gone without a word."""
        threading.Thread(target=self._watch, args=(on_loss,), name="peers", daemon=True).start()

    def leave(self) -> None:
        """Tell the others that this process ends as it should."""
        self._has_left.set()
        for line in self._lines.values():
            line.say("bye")
            line.close()

    def _watch(self, on_loss: Callable[[int], None]) -> None:
        with selectors.DefaultSelector() as selector:
            for peer, line in self._lines.items():
                selector.register(line.connection, selectors.EVENT_READ, peer)
            beat = 0.0
            while not self._has_left.is_set() and selector.get_map():
                if time.monotonic() - beat >= BEAT:
                    beat = time.monotonic()
                    for line in self._lines.values():
                        line.say("beat")
                ready = {key.data for key, _ in selector.select(BEAT)}
                for peer in sorted(key.data for key in selector.get_map().values()):
                    lost = self._heard(peer, peer in ready)
                    if self._has_left.is_set():
                        return
                    if lost is not None:
                        self._tell(lost)
                        on_loss(lost)
                        return
                    if self._lines[peer].has_said_bye:
                        selector.unregister(self._lines[peer].connection)

    def _heard(self, peer: int, is_ready: bool) -> int | None:
        """Listen to a peer; return the process that is lost, if one is."""
        line = self._lines[peer]
        words = line.hear() if is_ready else []
        for word in words or []:
            kind, _, which = word.partition(" ")
            if kind == "bye":
                line.has_said_bye = True
                return None
            if kind == "lost" and which.isdigit():
                return int(which)
        return peer if words is None or time.monotonic() - line.last > SILENCE else None

    def _tell(self, lost: int) -> None:
        for peer, line in self._lines.items():
            if peer != lost:
                line.say(f"lost {lost}")


def meet(
    address: Address,
    count: int,
    index: int,
    facts: str,
    *,
    seconds: float = 300.0,
    on_wait: Callable[[Sequence[int]], None] = lambda missing: None,
) -> Peers:
    """Wait until all processes are there, and return the connections to them.

    Args:
        address: Where process 0 listens.
        count: Number of processes, at least 2.
        index: Which one this is.
        facts: What must be the same for all of them; another one's is refused.
        seconds: How long to wait at most.
        on_wait: Called once, after `PATIENCE` seconds, with the processes that are missing, as far
            as this one knows.

    Raises:
        PeersError: If one does not come in time, the address cannot be used, or process 0 refuses
            this one.
    """
    deadline = time.monotonic() + seconds
    if index == 0:
        return _gather(address, count, facts, deadline, on_wait)
    return _arrive(address, count, index, facts, deadline, on_wait)


def _gather(
    address: Address,
    count: int,
    facts: str,
    deadline: float,
    on_wait: Callable[[Sequence[int]], None],
) -> Peers:
    """Be process 0: wait for the others."""
    try:
        server = listen(address)
    except OSError as error:
        raise PeersError(f"cannot listen at {address}: {error.strerror or error}") from error
    there: dict[int, Line] = {}
    told, begun = False, time.monotonic()
    with server, selectors.DefaultSelector() as selector, ExitStack() as stack:
        stack.callback(lambda: [line.close() for line in there.values()])
        selector.register(server, selectors.EVENT_READ, 0)
        while len(there) < count - 1:
            missing = [k for k in range(1, count) if k not in there]
            if time.monotonic() > deadline:
                raise PeersError(f"{_named(missing, count)} did not come to {address} in time")
            if not told and time.monotonic() - begun > PATIENCE:
                told = True
                on_wait(missing)
            for key, _ in selector.select(BEAT):
                if key.data == 0:
                    line = Line(server.accept()[0])
                    peer = _welcomed(line, count, facts, there)
                    if peer is not None:
                        there[peer] = line
                        selector.register(line.connection, selectors.EVENT_READ, peer)
                elif there[key.data].hear() is None:  # gone again, and may come back
                    selector.unregister(key.fileobj)
                    there.pop(key.data).close()
        port = free_port(address)
        stack.pop_all()
    for line in there.values():
        line.say(json.dumps({"begin": port}))
    return Peers(0, count, there, port)


def _welcomed(line: Line, count: int, facts: str, there: Mapping[int, Line]) -> int | None:
    """Return which process has come; None if it is refused, and told so."""
    hello = line.hear_one() or {}
    peer = hello.get("process")
    if hello.get("signdyn") != 1 or not isinstance(peer, int):
        line.close()
        return None
    refusal = ""
    if hello.get("count") != count:
        refusal = f"process 0 was started for {count} processes, this one for {hello.get('count')}"
    elif not 0 < peer < count:
        refusal = f"the processes are numbered 0 to {count - 1}, this one {peer}"
    elif peer in there:
        refusal = f"another process has come as number {peer}"
    elif hello.get("facts") != facts:
        refusal = "process 0 was started with other options, or runs other versions"
    if refusal:
        line.say(json.dumps({"refused": refusal}))
        line.close()
        return None
    line.say(json.dumps({"welcome": peer}))
    return peer


def _arrive(
    address: Address,
    count: int,
    index: int,
    facts: str,
    deadline: float,
    on_wait: Callable[[Sequence[int]], None],
) -> Peers:
    """Be another process: come to process 0, and wait until all are there."""
    told, begun = False, time.monotonic()

    def wait(missing: Sequence[int]) -> None:
        nonlocal told
        if time.monotonic() > deadline:
            raise PeersError(f"{_named(missing, count)} did not come to {address} in time")
        if not told and time.monotonic() - begun > PATIENCE:
            told = True
            on_wait(missing)

    hello = {"signdyn": 1, "process": index, "count": count, "facts": facts}
    while True:
        try:
            line = Line(socket.create_connection(address, timeout=PATIENCE))
        except socket.gaierror as error:
            raise PeersError(f"{address.host} is no host's name here: {error.strerror}") from error
        except OSError:  # process 0 does not listen yet
            wait([0])
            time.sleep(0.1)
            continue
        with ExitStack() as stack:
            stack.callback(line.close)
            line.say(json.dumps(hello))
            while (words := line.hear()) is not None:
                for word in words:
                    answer = _answer(word, address)
                    if "refused" in answer:
                        raise PeersError(answer["refused"])
                    if "begin" in answer:
                        stack.pop_all()
                        return Peers(index, count, {0: line}, answer["begin"])
                wait([k for k in range(1, count) if k != index])
        wait([0])  # process 0 has ended, and may come back
        time.sleep(0.1)


def _answer(word: str, address: Address) -> dict[str, Any]:
    with suppress(ValueError, RecursionError):
        answer = json.loads(word)
        if isinstance(answer, dict):
            return answer
    raise PeersError(f"what listens at {address} is no process 0 of a run")


def _named(processes: Sequence[int], count: int) -> str:
    """Return which processes, in words.

    Example:
        >>> _named([1, 3], 4), _named([2], 4)
        ('processes 1, 3 of 4', 'process 2 of 4')
    """
    word = "process" if len(processes) == 1 else "processes"
    return f"{word} {', '.join(map(str, processes))} of {count}"
