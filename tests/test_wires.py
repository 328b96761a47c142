"""Addresses, and connections that are passed on and outlive their far end."""

import socket

import pytest

from signdyn.wires import Address, free_port, listen, parse_address, relay


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("node001:1234", "node001", 1234), ("10.0.0.7:1", "10.0.0.7", 1),
     ("[::1]:65534", "::1", 65534)],
)  # fmt: skip
def test_an_address_is_read_and_written_the_same(text, host, port):
    assert parse_address(text) == (host, port)
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "node", "node:", ":1234", "node:0", "node:65535", "node:12a", "node:-1", "::1:1234",
     "[::1]", "[node]:1", "a b:12", "node:1²", ".:1234", "a..b:1", "a" * 64 + ".org:1"],
)  # fmt: skip
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="expected host:port"):
        parse_address(text)


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [("127.0.0.1", True), ("127.3.2.1", True), ("::1", True), ("localhost", True),
     ("10.0.0.1", False), ("node1", False)],
)  # fmt: skip
def test_a_loopback_address_is_known_and_listened_at_alone(host, is_loopback):
    address = Address(host, 0)
    assert address.is_loopback is is_loopback
    with listen(address) as server:
        bound = server.getsockname()[0]
    assert (bound in ("127.0.0.1", "127.3.2.1", "::1")) is is_loopback


def test_the_next_port_is_taken_if_it_is_free_and_else_another():
    with listen(Address("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        other = free_port(Address("127.0.0.1", taken - 1))
        assert other not in (taken, taken - 1)
    assert free_port(Address("127.0.0.1", taken - 1)) == taken


def test_a_relay_passes_on_both_ways_and_keeps_the_near_end_when_the_far_one_closes():
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(relay(Address(*server.getsockname())), timeout=5)
        far = server.accept()[0]
        for source, sink in ((near, far), (far, near)):
            source.sendall(b"hello" * 50_000)
            got = b""
            while len(got) < 250_000:
                got += sink.recv(2**16)
            assert got == b"hello" * 50_000
        far.shutdown(socket.SHUT_RDWR)
        far.close()
        near.settimeout(0.3)
        with pytest.raises(TimeoutError):  # a closed connection would give b"" at once
            near.recv(1)
        near.close()


def test_a_relay_tells_the_far_end_that_the_near_one_has_closed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(relay(Address(*server.getsockname())), timeout=5)
        far = server.accept()[0]
        near.close()
        far.settimeout(5)
        assert far.recv(1) == b""
        far.close()


def test_a_relay_serves_several_connections_at_once():
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = relay(Address(*server.getsockname()))
        nears = [socket.create_connection(place, timeout=5) for _ in range(3)]
        fars = [server.accept()[0] for _ in nears]
        for number, near in enumerate(nears):
            near.sendall(bytes([number]))
        echoed = sorted(far.recv(1) for far in fars)
        assert echoed == [b"\0", b"\1", b"\2"]
        for one in (*nears, *fars):
            one.close()
