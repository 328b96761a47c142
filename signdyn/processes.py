"""Several processes, on one machine or many, that work on one run.

They meet (`signdyn.meeting`), start JAX's distributed runtime, and use its key-value store and its
barriers, and nothing else of it: a block is computed by one process on its own devices, so that
its bits are those of a run by one process alone. May import: meeting, peers, wires.
"""

import json
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import jax

from signdyn.meeting import meet
from signdyn.peers import Peers, PeersError
from signdyn.wires import Address, relay

_FOREVER = 2**31 - 1
"""Milliseconds, 24 days: for how long to wait is `Peers`' to say."""


class Team:
    """The processes of a run, as one of them sees them.

    Attributes:
        index: Which one this is; 0 decides, and writes what is written once.
        count: How many there are.
    """

    def __init__(
        self, index: int = 0, count: int = 1, store: Any = None, peers: Peers | None = None
    ):
        """Take over a connected runtime's store; see `join`.

        Args:
            index: Which process this is.
            count: How many there are.
            store: JAX's store of keys and values, if there are several.
            peers: The connections to them.
        """
        self.index, self.count = index, count
        self._store, self._peers = store, peers
        self._meetings = 0

    @property
    def is_first(self) -> bool:
        """Whether this is process 0."""
        return self.index == 0

    def wait(self) -> None:
        """Wait until all processes have come here; each calls it equally often."""
        if self.count > 1:
            self._store.wait_at_barrier(self._next(), _FOREVER)

    def share(self, make: Callable[[], Any]) -> Any:
        """Return what ``make`` gives in process 0, of JSON's types; it is called there alone."""
        if self.count == 1:
            return make()
        name = self._next()
        if self.is_first:
            content = make()
            self._store.key_value_set(name, json.dumps(content))
            return content
        return json.loads(self._store.blocking_key_value_get(name, _FOREVER))

    def leave(self) -> None:
        """Wait until all processes are done, and part from them: this one may end now."""
        if self.count == 1:
            return
        self.wait()
        jax.distributed.shutdown()
        if self._peers is not None:
            self._peers.leave()
        self.index, self.count = 0, 1

    def _next(self) -> str:
        self._meetings += 1
        return f"signdyn/{self._meetings}"


ALONE = Team()
"""One process that needs no other."""


def join(
    address: Address,
    count: int,
    index: int,
    *,
    facts: str,
    on_loss: Callable[[int], None],
    on_wait: Callable[[Sequence[int]], None] = lambda missing: None,
    seconds: float = 300.0,
) -> Team:
    """Wait for the other processes and start JAX's distributed runtime among them.

    Must run before JAX touches a backend.

    Args:
        address: Where process 0 listens; JAX's runtime takes the next port, if it is free.
        count: Number of processes.
        index: Which one this is.
        facts: What must be the same for all of them, see `signdyn.meeting.meet`.
        on_loss: Called once, in a thread, with the number of a process that has gone before the
            end. The run cannot go on then, and the main thread may wait for ever: end the process.
        on_wait: As for `signdyn.meeting.meet`.
        seconds: How long to wait for the others.

    Raises:
        signdyn.peers.PeersError: If they do not find each other, or the runtime does not start.
    """
    peers = meet(address, count, index, facts, seconds=seconds, on_wait=on_wait)
    peers.watch(on_loss)
    runtime = Address(address.host, peers.runtime_port)
    _avoid_proxies(address.host)
    # it takes SIGTERM for itself, which should end a process
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            str(runtime if index == 0 else relay(runtime)),
            count,
            index,
            # or JAX, under Slurm, keeps a process to one of the devices that it sees
            cluster_detection_method="deactivate",
            coordinator_bind_address=_bind_address(runtime),
            heartbeat_timeout_seconds=_FOREVER // 1000,
        )
    except jax.errors.JaxRuntimeError as error:
        told = str(error).splitlines()[0]
        raise PeersError(f"JAX's runtime does not start at {runtime}: {told}") from error
    jax.local_devices()  # backends tell each other of their devices when they are made
    return Team(index, count, _store(), peers)


def _bind_address(runtime: Address) -> str | None:
    """Return where JAX's runtime listens; None for all of the machine's addresses, as it does."""
    if runtime.is_loopback:
        return str(runtime)
    # by itself it listens at [::], which a machine without IPv6 has not
    return None if socket.has_dualstack_ipv6() else f"0.0.0.0:{runtime.port}"


def _store() -> Any:
    """Return the runtime's key-value store, of which Orbax keeps track."""
    from orbax.checkpoint import multihost  # slow to import, and only many processes need it

    return multihost.get_jax_distributed_client()


def _avoid_proxies(host: str) -> None:
    """Let the runtime's connections go past a proxy for the web, which they would take."""
    names = [os.environ.get(name, "") for name in ("no_grpc_proxy", "no_proxy")]
    own = ",".join([*filter(None, names), "127.0.0.1", "localhost", host])
    os.environ["no_grpc_proxy"] = own  # noqa: SIM112 - gRPC knows no other spelling
    jax.config.update("jax_check_proxy_envs", False)  # it warns of just that
