"""Processes of one run that know of each other's end within a second.

JAX's own runtime misses a process that died after its heartbeats have failed for a minute or two,
and then aborts the others. So process 0 listens at the run's address, and the others connect to it
and stay connected: of a process that dies the operating system closes the connection at once, and
a machine that vanishes is missed after `SILENCE` seconds. One that ends as it should says so first.

May import: wires.
"""

import selectors
import threading
import time
from collections.abc import Callable, Mapping

from signdyn.wires import Line

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

    def __init__(self, index: int, count: int, connections: Mapping[int, Line], runtime_port: int):
        """Take over open connections; see `signdyn.meeting.meet`.

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
        selector = selectors.DefaultSelector()
        for peer, line in self._lines.items():
            selector.register(line.connection, selectors.EVENT_READ, peer)
        threading.Thread(
            target=self._watch, args=(selector, on_loss), name="peers", daemon=True
        ).start()

    def leave(self) -> None:
        """Tell the others that this process ends as it should."""
        self._has_left.set()
        for line in self._lines.values():
            line.say("bye")
            line.close()

    def _watch(self, selector: selectors.BaseSelector, on_loss: Callable[[int], None]) -> None:
        with selector:
            beat = awake = 0.0
            while not self._has_left.is_set() and selector.get_map():
                if time.monotonic() - beat >= BEAT:
                    beat = time.monotonic()
                    for line in self._lines.values():
                        line.say("beat")
                ready = {key.data for key, _ in selector.select(BEAT)}
                if time.monotonic() - awake > SILENCE / 2:
                    # just begun, or was stopped itself, and maybe the others with it
                    for line in self._lines.values():
                        line.last = time.monotonic()
                awake = time.monotonic()
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
            if kind == "lost" and which.isascii() and which.isdigit():
                return int(which)
        return peer if words is None or time.monotonic() - line.last > SILENCE else None

    def _tell(self, lost: int) -> None:
        for peer, line in self._lines.items():
            if peer != lost:
                line.say(f"lost {lost}")
