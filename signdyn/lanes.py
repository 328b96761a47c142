"""Lanes: in each one block after the other, and as many at a time as there are lanes.

A lane is a device and a thread that starts its calls. Every call is of a program for one device,
so that a block has the same bits in every lane, whatever their number. A program laid over several
devices would not do: XLA compiles it by other passes than one for a single device, and a float64
descent was seen to differ in its last bits.

May import JAX, and nothing of signdyn.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import jax

SHARING = ("cpu",)
"""Platforms whose devices have cores and memory in common: lanes run the programs of the first one.

XLA starts the calls of one thread in their order, and those of several threads side by side, on one
device, too. Programs of a second device would have to be compiled anew.
"""

LANES_OF_ONE = 16
"""Lanes, at most, that run one device's programs: XLA runs 32 calls at once on a CPU device."""


def lane_devices(devices: Sequence[Any]) -> list[Any]:
    """Return the device that each lane runs on, if there is a lane for each of ``devices``.

    Example:
        >>> cpu = jax.devices("cpu")
        >>> lane_devices(cpu) == [cpu[0]] * len(cpu)
        True
    """
    if not share_memory(devices):
        return list(devices)
    return [devices[place - place % LANES_OF_ONE] for place in range(len(devices))]


def share_memory(devices: Sequence[Any]) -> bool:
    """Return whether devices have cores and memory in common."""
    return devices[0].platform in SHARING


class Lanes:
    """A thread for each device; for a single one the caller's own.

    Args:
        devices: One a lane.
    """

    def __init__(self, devices: Sequence[Any]):
        """Start no thread before something is submitted."""
        self._devices = lane_devices(devices)
        self._threads = [
            ThreadPoolExecutor(1, thread_name_prefix=f"lane {place}")
            for place in range(len(devices))
            if len(devices) > 1
        ]

    def __len__(self) -> int:
        """Return the number of lanes."""
        return len(self._devices)

    def submit(self, lane: int, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Let a lane call something after all that was submitted to it, its device the default.

        JAX's `SETTINGS` are the caller's. A single lane calls at once, and what is raised is raised
        here.

        Args:
            lane: Its number.
            call: A program, say.
            arguments: Of the call.

        Returns:
            What was returned, once it is: of a program arrays that may still be computed.
        """
        call = _as_here(call, self._devices[lane])
        if self._threads:
            return self._threads[lane].submit(call, *arguments)
        done: Future[Any] = Future()
        done.set_result(call(*arguments))
        return done

    def close(self) -> None:
        """Start nothing more; what was started goes on to its end."""
        for thread in self._threads:
            thread.shutdown(wait=False, cancel_futures=True)


SETTINGS = (
    "enable_x64",
    "default_matmul_precision",
    "threefry_partitionable",
    "default_prng_impl",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
    "debug_nans",
)
"""JAX's settings, kept a thread each, that lanes take over: those that numbers depend on."""


def _as_here(call: Callable[..., Any], device: Any) -> Callable[..., Any]:
    """Return the call in this thread's `SETTINGS`."""
    settings = [(getattr(jax, name), getattr(jax.config, f"jax_{name}")) for name in SETTINGS]

    def called(*arguments: Any) -> Any:
        with ExitStack() as stack:
            for context, value in settings:
                stack.enter_context(context(value))
            stack.enter_context(jax.default_device(device))
            return call(*arguments)

    return called


class OnEach:
    """A program that was compiled for each of several devices; runs on its thread's default one.

    Args:
        programs: Device -> program; the first one's where no default is set.
    """

    def __init__(self, programs: Mapping[Any, Callable[..., Any]]):
        """Keep the programs."""
        self._programs = dict(programs)
        self._first = next(iter(self._programs))

    def __call__(self, *arguments: Any) -> Any:
        """Return the results, on the device."""
        default = jax.config.jax_default_device  # pyrefly: ignore[missing-attribute]
        return self._programs[default or self._first](*arguments)


def on_each(devices: Sequence[Any], make: Callable[[Any], Callable[..., Any]]) -> Callable:
    """Return one program for all lanes: made once a device, one after the other.

    Of GPUs JAX's cache on disk hands the first one's program to the others.

    Args:
        devices: One a lane.
        make: Device, which is the default while it is called, -> program.
    """
    programs = {}
    for device in dict.fromkeys(lane_devices(devices)):
        with jax.default_device(device):
            programs[device] = make(device)
    return OnEach(programs) if len(programs) > 1 else programs.popitem()[1]
