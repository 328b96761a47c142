"""How processes start JAX's runtime; that they share a run is in `tests/experiments`."""

import socket
from types import SimpleNamespace

import jax
import pytest

from signdyn import processes
from signdyn.peers import PeersError
from signdyn.wires import Address


@pytest.fixture
def asked(monkeypatch):
    """Return what JAX's runtime is asked for, which then does not start."""
    words = {}

    def initialize(*place, **options):
        words.update(options, place=place)
        raise jax.errors.JaxRuntimeError("UNKNOWN: Failed to start RPC server\nat a place in C++")

    peers = SimpleNamespace(runtime_port=1235, watch=lambda on_loss: None)
    monkeypatch.setattr(processes, "meet", lambda *place, **options: peers)
    monkeypatch.setattr(processes, "_avoid_proxies", lambda host: None)
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    return words


def join(host, index=0):
    with pytest.raises(PeersError) as told:
        processes.join(Address(host, 1234), 2, index, facts="", on_loss=lambda lost: None)
    return str(told.value)


def test_a_runtime_that_does_not_start_is_one_sentence(asked):
    said = "JAX's runtime does not start at node1:1235: UNKNOWN: Failed to start RPC server"
    assert join("node1") == said
    assert asked["place"] == ("node1:1235", 2, 0)


@pytest.mark.parametrize(
    ("host", "has_ipv6", "at"),
    [("127.0.0.1", True, "127.0.0.1:1235"), ("::1", True, "[::1]:1235"), ("node1", True, None),
     ("node1", False, "0.0.0.0:1235")],
)  # fmt: skip
def test_the_runtime_listens_to_this_machine_alone_or_at_all_addresses_there_are(
    asked, monkeypatch, host, has_ipv6, at
):
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: has_ipv6)
    join(host)
    assert asked["coordinator_bind_address"] == at


def test_the_runtime_gives_nobody_up_by_itself(asked):
    join("node1")
    assert asked["heartbeat_timeout_seconds"] > 1e6
