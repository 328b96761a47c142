"""Where processes find each other, and the lines of text that they say over a connection.

Whoever connects may be anybody, so that what is heard is short, and nothing until it is checked.
May import: nothing of signdyn.
"""

import ipaddress
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

PATIENCE = 5.0
"""Seconds to wait for what should come at once."""

_LONGEST = 4096
"""Bytes of a line, at most."""


class Address(NamedTuple):
    """Where process 0 listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_loopback
        return self.host == "localhost"

    def __str__(self) -> str:
        """Return host:port, as JAX takes it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Return the address in ``host:port``; IPv6 hosts stand in brackets.

    Raises:
        ValueError: If it is none.

    Example:
        >>> parse_address("node001:1234")
        Address(host='node001', port=1234)
    """
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if is_bracketed else host
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 65535):
        raise ValueError(f"expected host:port with a port from 1 to 65534, got {text!r}")
    if (":" in host) != is_bracketed or any(c.isspace() for c in host):
        raise ValueError(f"expected host:port, an IPv6 host in brackets, got {text!r}")
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"expected host:port, got {text!r}, of which the host is none") from error
    return Address(host, int(port))


class Line:
    """A connection over which lines of text are said and heard."""

    def __init__(self, connection: socket.socket):
        """Take over an open connection."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(PATIENCE)
        self.connection, self.has_said_bye = connection, False
        self.begun = self.last = time.monotonic()
        self._rest = b""

    def say(self, text: str) -> None:
        """Send a line; that nobody is there any more is heard, not seen here."""
        with suppress(OSError):
            self.connection.sendall(text.encode() + b"\n")

    def hear(self) -> list[str] | None:
        """Return the lines that have come, None at the end; waits if nothing has come."""
        try:
            data = self.connection.recv(_LONGEST)
        except TimeoutError:
            return []
        except OSError:
            return None
        if not data:
            return None
        self.last = time.monotonic()
        *lines, self._rest = (self._rest + data).split(b"\n")
        return (
            None
            if len(self._rest) > _LONGEST
            else [line.decode(errors="replace") for line in lines]
        )

    def close(self) -> None:
        """Say and hear no more."""
        self.connection.close()


def listen(address: Address, port: int | None = None) -> socket.socket:
    """Return a socket that listens there: on a loopback address to this machine alone.

    Args:
        address: Where.
        port: Instead of the address's own; 0 for any that is free.
    """
    port = address.port if port is None else port
    if address.is_loopback:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        return socket.create_server((address.host, port), family=family)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def free_port(address: Address) -> int:
    """Return the next port, for a firewall to know, or any other if that is taken."""
    for port in (address.port + 1, 0):
        with suppress(OSError), listen(address, port) as probe:
            return probe.getsockname()[1]
    raise OSError(f"found no free port on {address.host}")


def relay(target: Address) -> Address:
    """Return an address on this machine from where all is passed on to ``target``, and back.

    When the target closes a connection, whoever is connected here is not told: JAX's runtime would
    abort this process, before `Peers` lets it end as it should.
    """
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server:
            while True:
                near = server.accept()[0]
                try:
                    far = socket.create_connection(target, timeout=PATIENCE)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                far.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # it is silent for hours
                _start(_pass_on, near, far)
                _start(_pass_back, far, near)

    _start(serve)
    return Address("127.0.0.1", server.getsockname()[1])


def _start(function: Callable[..., None], *args: socket.socket) -> None:
    threading.Thread(target=function, args=args, name="relay", daemon=True).start()


def _pass_on(near: socket.socket, far: socket.socket) -> None:
    """Pass on what the near end says, and close both when it closes."""
    _pump(near, far)
    for one in (far, near):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)  # wakes the other thread
        one.close()


def _pass_back(far: socket.socket, near: socket.socket) -> None:
    """Pass back what the far end says; when it closes, the near one is not told."""
    _pump(far, near)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(2**16):
            sink.sendall(data)
