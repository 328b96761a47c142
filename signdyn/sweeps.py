"""Replicas in blocks over devices: blocks, never devices, decide the numbers.

A *replica* is one (variant, seed). A *block* is a fixed number of replicas that one device runs
as one program; the last block is padded. With one device or eight each block is a call of the same
program on the same replicas, bit for bit; see `signdyn.lanes`.

May import: checks, handing, lanes, training.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from functools import cache, lru_cache
from itertools import product
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jaxtyping import Array, Key

from signdyn.checks import checked
from signdyn.handing import Shelf
from signdyn.lanes import Lanes
from signdyn.training import Hyper, TrainFn, Trajectory


@cache
def quick_to_compile() -> dict[str, Any]:
    """Return XLA's options for programs that run briefly on CPU.

    They compile in half to a third of the time (a draw with minibatches in 1.7 s instead of 6.0),
    and loops of small steps run a third slower. Options that this XLA does not know are left out.
    """
    options: dict[str, Any] = {"xla_backend_optimization_level": 1}
    more: dict[str, Any] = {**options, "xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda x: x + 1).lower(1).compile(more)
    except jax.errors.JaxRuntimeError:  # removed after 0.10
        return options
    return more


def hasty_to_compile() -> dict[str, Any]:
    """Return XLA's options for programs that run but a few times on CPU: measurements, say.

    They compile faster still than those of `quick_to_compile`, and what is not a product or a
    decomposition runs slower.
    """
    return {**quick_to_compile(), "xla_backend_optimization_level": 0}


class Block(NamedTuple):
    """One finished block.

    Attributes:
        index: Position among the sweep's blocks.
        replicas: The rows of the sweep it holds, without padding.
        trajectory: NumPy arrays, leading axis the replicas.
        seconds: Wall time that it added to those before it on its device.
    """

    index: int
    replicas: range
    trajectory: Trajectory
    seconds: float


def grid(**axes: Sequence[Any]) -> list[Hyper]:
    """Return every combination of the given values of `Hyper`'s fields, the last fastest.

    Raises:
        ValueError: If an axis is not a field of `Hyper`, or learning_rate is missing.

    Example:
        >>> [float(h.learning_rate) for h in grid(weight_decay=[0.0, 0.1], learning_rate=[1, 2])]
        [1.0, 2.0, 1.0, 2.0]
    """
    unknown = [name for name in axes if name not in Hyper._fields]
    if unknown or "learning_rate" not in axes:
        raise ValueError(
            f"grid: axes must be fields of Hyper ({', '.join(Hyper._fields)}) and include "
            f"learning_rate, got {', '.join(axes)}."
        )
    for name, values in axes.items():
        if isinstance(values, str) or not np.iterable(values):
            raise ValueError(f"grid: expected a sequence of values for {name}, got {values!r}.")
    return [Hyper(**dict(zip(axes, point, strict=True))) for point in product(*axes.values())]


def stack_hypers(hypers: Sequence[Any]) -> Any:
    """Return one `Hyper`, or pytree of that kind, of float32 arrays over the given points.

    Python floats would be compiled in; arrays make one program serve all points. What is None at
    every point stays None, and at some points is zero there.

    Example:
        >>> stack_hypers(grid(learning_rate=[0.1, 0.2])).weight_decay.tolist()
        [0.0, 0.0]
    """

    def stacked(*leaves: Any) -> np.ndarray | None:
        if all(leaf is None for leaf in leaves):
            return None
        return np.asarray([0.0 if leaf is None else leaf for leaf in leaves], np.float32)

    return jax.tree.map(stacked, *hypers, is_leaf=lambda node: node is None)


def replica_keys(root: int, seeds: Sequence[int]) -> Key[Array, " seed"]:
    """Return each seed's key, ``fold_in(key(root), seed)``: its own, wherever it runs.

    Example:
        >>> a, b = replica_keys(0, [0, 7]), replica_keys(0, [7])
        >>> bool(a[1] == b[0])
        True
    """
    # one small program, whatever the number of seeds
    distinct, place = np.unique(np.asarray(seeds), return_inverse=True)
    data = [np.asarray(_folded_in(root, int(seed))) for seed in distinct]
    return jax.random.wrap_key_data(jax.device_put(np.stack(data)[place]))


@jax.jit
def _folded_in(root: Array, seed: Array) -> Array:
    return jax.random.key_data(jax.random.fold_in(jax.random.key(root), seed))


@checked
def run_sweep(
    train_fn: TrainFn,
    keys: Key[Array, " replica"],
    hypers: Any,
    *,
    block: int,
    width: int = 1,
    devices: Sequence[Any] | None = None,
) -> Trajectory:
    """Return the trajectories of all replicas, leading axis the replica.

    Args:
        train_fn: From `signdyn.training.make_train_fn`; traced once.
        keys: One key a replica.
        hypers: Leaves [replica], see `stack_hypers`.
        block: Replicas a device runs in one call.
        width: Replicas vmapped together; must divide ``block``. Narrow is fast on CPUs, the
            whole block on accelerators. Another width may change the last bits.
        devices: Where to run; all local devices by default.
    """
    blocks = list(run_blocks(train_fn, keys, hypers, block=block, width=width, devices=devices))
    return jax.tree.map(lambda *parts: np.concatenate(parts), *(b.trajectory for b in blocks))


@checked
def run_blocks(
    train_fn: TrainFn,
    keys: Key[Array, " replica"],
    hypers: Any,
    *,
    block: int,
    width: int = 1,
    devices: Sequence[Any] | None = None,
    skip: frozenset[int] = frozenset(),
    program: Callable[[Any, Any], Any] | None = None,
    in_flight: int = 2,
) -> Generator[Block, None, None]:
    """Yield blocks as they finish, in order.

    Args:
        train_fn: As for `run_sweep`, like the next five.
        keys: One key a replica.
        hypers: Leaves [replica].
        block: Replicas a device runs in one call.
        width: Replicas vmapped together.
        devices: Where to run.
        skip: Indices of blocks not to run.
        program: From `block_program`, compiled ahead, as by `signdyn.handing.Shelf`: what is not
            yet is compiled anew in the thread of each device, by that thread's settings of JAX.
        in_flight: Blocks that are started on a device before the first of them is yielded, so
            that it works while that is written; each holds its arguments and results.

    Raises:
        ValueError: If the counts do not fit together.
    """
    num_replicas = len(keys)
    shapes = sorted({np.shape(leaf) for leaf in jax.tree.leaves(hypers)})
    if num_replicas < 1 or shapes != [(num_replicas,)]:
        raise ValueError(
            f"run_blocks: keys and every leaf of hypers must have one row a replica, got "
            f"{num_replicas} keys and leaves of shape {shapes}; see stack_hypers."
        )
    if block < 1 or width < 1 or block % width:
        raise ValueError(f"run_blocks: width must divide block, got {width=} and {block=}.")
    if in_flight < 1:
        raise ValueError(f"run_blocks: in_flight must be at least 1, got {in_flight}.")
    devices = list(jax.local_devices() if devices is None else devices)
    if not devices:
        raise ValueError("run_blocks: devices must name one at least, got none.")
    todo = [i for i in range(num_blocks(num_replicas, block)) if i not in skip]
    draw, hypers = SeedDraws(train_fn, keys), _on_host(hypers)
    lanes, running = Lanes(devices), deque[_Call]()
    last = [0.0] * len(lanes)
    try:
        for place, index in enumerate(todo):
            if len(running) == in_flight * len(lanes):
                yield _collected(running.popleft(), last, block, num_replicas)
            if program is None:
                jitted = block_program(train_fn, block=block, width=width)
                shapes = block_shapes(train_fn, jax.tree.map(lambda leaf: leaf[0], hypers), block)
                program = Shelf(devices).compiled(jitted.trace(*shapes), None)
            rows, lane = _rows(index, block, num_replicas), place % len(lanes)
            own = jax.tree.map(lambda leaf, rows=rows: leaf[rows], hypers)
            begun = time.perf_counter()
            result = lanes.submit(lane, _drawn_and_run, program, draw, rows, own)
            running.append(_Call(index, lane, result, begun))
        while running:
            yield _collected(running.popleft(), last, block, num_replicas)
    finally:
        lanes.close()


def _drawn_and_run(program: Callable, draw: "SeedDraws", rows: np.ndarray, hypers: Any) -> Any:
    return program(draw(rows), hypers)


class _Call(NamedTuple):
    """A block that may still be running."""

    index: int
    lane: int
    result: Future[Any]  # a measurement may be laid out like a training
    begun: float


def _collected(call: _Call, last: list[float], block: int, num_replicas: int) -> Block:
    """Return the block once it is there, and note when it was: its lane's next began no sooner."""
    results = _on_host(call.result.result())
    now = time.perf_counter()
    seconds, last[call.lane] = now - max(call.begun, last[call.lane]), now
    replicas = range(call.index * block, min((call.index + 1) * block, num_replicas))
    own = jax.tree.map(lambda leaf: leaf[: len(replicas)], results)
    return Block(call.index, replicas, own, seconds)


def num_blocks(num_replicas: int, block: int) -> int:
    """Return how many blocks of ``block`` hold ``num_replicas``."""
    return -(-num_replicas // block)


KEPT_DRAWS = 2**28
"""Bytes of draws that are kept for variants of the same seeds."""


def block_shapes(train_fn: TrainFn, hyper: Any, block: int) -> tuple[Any, Any]:
    """Return shapes and dtypes of a block's draws and hypers, the arguments of `block_program`.

    Args:
        train_fn: Whose draws.
        hyper: Of one replica: scalars, or what has their dtype.
        block: Replicas.
    """
    draw = jax.eval_shape(train_fn.draw, jax.random.key(0))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((block, *leaf.shape), leaf.dtype), (draw, hyper)
    )


class SeedDraws:
    """Draws of a sweep's rows, every seed's alone; several threads may ask for them.

    A seed is drawn when it is first asked for, and kept while other rows have it, too, that were
    not asked for yet, and ``kept_bytes`` are not full; else it is drawn again, with the same bits.

    Args:
        train_fn: Whose draws.
        keys: One a row.
        kept_bytes: The most that is kept.

    Attributes:
        kept: Seed's number -> its draw.
    """

    def __init__(
        self, train_fn: TrainFn, keys: Key[Array, " replica"], *, kept_bytes: int = KEPT_DRAWS
    ):
        """Take one key a row; nothing is drawn."""
        self._data = np.asarray(jax.random.key_data(keys))
        _, self._first, place = np.unique(
            self._data, axis=0, return_index=True, return_inverse=True
        )
        self._place = place.reshape(-1)
        self._to_come = np.bincount(self._place)  # rows of each seed
        self._under_way: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._draw_one = _draw_program(train_fn.draw)
        self._kept_bytes = kept_bytes
        self.kept: dict[int, Any] = {}

    def __call__(self, rows: np.ndarray) -> Any:
        """Return the draws of some rows, which are their leading axis."""
        own = [int(seed) for seed in self._place[rows]]
        drawn = {seed: self._drawn(seed) for seed in dict.fromkeys(own)}
        each = max(1, sum(leaf.nbytes for leaf in jax.tree.leaves(drawn[own[0]])))
        with self._lock:
            np.subtract.at(self._to_come, self._place[np.unique(rows)], 1)
            for seed, one in drawn.items():
                if self._to_come[seed] <= 0:
                    self.kept.pop(seed, None)
                elif len(self.kept) < self._kept_bytes // each:
                    self.kept[seed] = one
        return jax.tree.map(lambda *leaves: np.stack(leaves), *(drawn[seed] for seed in own))

    def _drawn(self, seed: int) -> Any:
        """Return a seed's draw: kept, or another thread's that is under way, or a new one."""
        with self._lock:
            if seed in self.kept:
                return self.kept[seed]
            others = self._under_way.get(seed)
            own = self._under_way[seed] = others or Future()
        if others is None:
            try:
                own.set_result(self._draw(seed))
            except BaseException as error:
                own.set_exception(error)  # the others are told, too
                raise
            finally:
                with self._lock:
                    del self._under_way[seed]
        return own.result()

    def _draw(self, seed: int) -> Any:
        return _on_host(self._draw_one(self._data[self._first[seed]]))


def _on_host(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)


@lru_cache(maxsize=64)
def _draw_program(draw: Callable[[Array], Any]) -> Callable[[np.ndarray], Any]:
    # one for all sweeps of the same draw; takes a key's data, since to index keys is a program too
    options = quick_to_compile() if jax.default_backend() == "cpu" else None
    return jax.jit(lambda data: draw(jax.random.wrap_key_data(data)), compiler_options=options)


def block_program(train_fn: TrainFn, *, block: int, width: int) -> jax.stages.Wrapped:
    """Return the jitted program that runs one block.

    Its arguments and results have a leading axis of ``block`` replicas.

    Args:
        train_fn: What a replica runs.
        block: Replicas of a call.
        width: Replicas vmapped together.
    """
    return replica_program(train_fn.run, block=block, width=width)


def replica_program(
    run: Callable[..., Any],
    *,
    block: int,
    width: int,
    num_batched: int = 2,
    donate: Sequence[int] = (),
) -> jax.stages.Wrapped:
    """Return the jitted program that applies ``run`` to one block of replicas.

    Args:
        run: Function of a replica's pytrees, and of shared ones after those.
        block: Replicas of a call.
        width: Replicas vmapped together.
        num_batched: Arguments of ``run`` that are a replica's: of the program, all the replicas'.
        donate: Places of arguments whose memory the program may use for its results.
    """

    def run_block(*args):
        batched, shared = args[:num_batched], args[num_batched:]
        if width == block:
            return jax.vmap(lambda *one: run(*one, *shared))(*batched)
        batch_size = None if width == 1 else width
        return lax.map(lambda one: run(*one, *shared), batched, batch_size=batch_size)

    return jax.jit(run_block, donate_argnums=tuple(donate))


def _rows(index: int, block: int, num_replicas: int) -> np.ndarray:
    rows = np.arange(index * block, (index + 1) * block)
    return np.minimum(rows, num_replicas - 1)
