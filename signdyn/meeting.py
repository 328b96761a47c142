"""How the processes of a run find each other: process 0 listens, and the others come to it.

Each says who it is and what must be the same for all, and is welcome or told why not; once all are
there, process 0 lets them begin. May import: peers, wires.
"""

import json
import os
import selectors
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from typing import Any

from signdyn.peers import BEAT, SILENCE, Peers, PeersError
from signdyn.wires import PATIENCE, Address, Line, free_port, listen

_MOST_NAMED = 9
"""Processes of which a line tells, at most."""

_MOST_GUESTS = 200
"""Connections that have not said who they are, at most: more might be more than can be open."""


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
        on_wait: Called after `PATIENCE` seconds, with the processes that are missing, as far as
            this one knows; and once more whenever one has gone that had come.

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
        told = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise PeersError(f"cannot listen at {address}: {told}") from error
    there: dict[int, Line] = {}
    guests: list[Line] = []  # who have not said yet who they are; the longest there first
    told, begun, asked = False, time.monotonic(), 0.0
    with server, selectors.DefaultSelector() as selector, ExitStack() as stack:
        stack.callback(lambda: [line.close() for line in (*there.values(), *guests)])
        selector.register(server, selectors.EVENT_READ)
        while len(there) < count - 1:
            missing = _missing(there, count)
            if time.monotonic() > deadline:
                raise PeersError(f"{_named(missing, count)} did not come to {address} in time")
            if not told and time.monotonic() - begun > PATIENCE:
                told = True
                on_wait(missing)
            if time.monotonic() - asked >= BEAT:
                asked = time.monotonic()
                for line in there.values():
                    line.say(json.dumps({"missing": missing}))
            for key, _ in selector.select(BEAT):
                if key.data is None:
                    _let_in(server, selector, guests)
                elif key.data in guests:
                    _judge(key.data, selector, guests, there, count, facts)
                elif key.data.hear() is None:  # gone again, and may come back
                    selector.unregister(key.fileobj)
                    there.pop(next(k for k, line in there.items() if line is key.data)).close()
                    told = False
            while guests and (
                len(guests) > _MOST_GUESTS or time.monotonic() - guests[0].begun > PATIENCE
            ):
                _show_out(guests[0], selector, guests)
        port = free_port(address)
        stack.pop_all()
    for guest in guests:
        guest.close()
    for line in there.values():
        line.say(json.dumps({"begin": port}))
    return Peers(0, count, there, port)


def _let_in(server: socket.socket, selector: selectors.BaseSelector, guests: list[Line]) -> None:
    """Accept whoever connects; nobody else waits until they have said who they are."""
    try:
        guest = Line(server.accept()[0])
    except OSError:  # gone before it was let in, or there are too many
        time.sleep(0.01)
        return
    guests.append(guest)
    selector.register(guest.connection, selectors.EVENT_READ, guest)


def _missing(there: Mapping[int, Line], count: int) -> list[int]:
    """Return who has not come yet, as many as a line tells of."""
    return list(islice((k for k in range(1, count) if k not in there), _MOST_NAMED))


def _show_out(guest: Line, selector: selectors.BaseSelector, guests: list[Line]) -> None:
    guests.remove(guest)
    selector.unregister(guest.connection)
    guest.close()


def _judge(
    guest: Line,
    selector: selectors.BaseSelector,
    guests: list[Line],
    there: dict[int, Line],
    count: int,
    facts: str,
) -> None:
    """Hear who a guest is: it is welcome as one of the processes, or leaves."""
    words = guest.hear()
    if words == []:  # not a whole line yet
        return
    hello = _object(words[0]) if words else {}
    refusal = _refusal(hello, count, facts, there)
    if refusal is None:
        guests.remove(guest)
        there[hello["process"]] = guest
        guest.say(json.dumps({"missing": _missing(there, count)}))
        return
    if refusal:
        guest.say(json.dumps({"refused": refusal}))
    _show_out(guest, selector, guests)


def _refusal(
    hello: Mapping[str, Any], count: int, facts: str, there: Mapping[int, Line]
) -> str | None:
    """Return why a process is refused, None if it is not; nothing for who is none of a run's."""
    peer = hello.get("process")
    if hello.get("signdyn") != 1 or not isinstance(peer, int):
        return ""
    if hello.get("count") != count:
        return f"process 0 was started for {count} processes, this one for {hello.get('count')}"
    if not 0 < peer < count:
        return f"the processes are numbered 0 to {count - 1}, this one {peer}"
    if peer in there:
        return f"another process has come as number {peer}"
    if hello.get("facts") != facts:
        return "process 0 was started with other options, or runs other versions"
    return None


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
        missing: Sequence[int] = [0]  # as far as process 0 has told
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
                    missing = answer.get("missing", missing)  # which begins with a welcome
                if time.monotonic() - line.last > SILENCE:
                    raise PeersError(f"process 0 of {count} at {address} has fallen silent")
                wait(missing)
        if 0 not in missing:
            raise PeersError(f"process 0 of {count} has ended before all had come to {address}")
        wait([0])  # it closed before it said a word, and may listen again
        time.sleep(0.1)


def _answer(word: str, address: Address) -> dict[str, Any]:
    """Return what process 0 says, which is one of three things."""
    answer = _object(word)
    kinds = {"missing": list, "begin": int, "refused": str}
    if not any(isinstance(answer.get(name), kind) for name, kind in kinds.items()):
        raise PeersError(f"what listens at {address} is no process 0 of a run")
    return answer


def _object(word: str) -> dict[str, Any]:
    """Return the JSON object that a line holds, an empty one if it holds none."""
    with suppress(ValueError, RecursionError):
        content = json.loads(word)
        return content if isinstance(content, dict) else {}
    return {}


def _named(processes: Sequence[int], count: int) -> str:
    """Return which processes, in words.

    Example:
        >>> _named([1, 3], 4), _named([2], 4)
        ('processes 1, 3 of 4', 'process 2 of 4')
    """
    word = "process" if len(processes) == 1 else "processes"
    return f"{word} {some(processes)} of {count}"


def some(processes: Sequence[int]) -> str:
    """Return processes in words, the first of them if there are many.

    Example:
        >>> some([1, 3]), some(range(1, 1000))
        ('1, 3', '1, 2, 3, 4, 5, 6, 7, 8 and others')
    """
    named = ", ".join(map(str, processes[: _MOST_NAMED - 1]))
    return named if len(processes) < _MOST_NAMED else f"{named} and others"
