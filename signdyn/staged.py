"""Blocks that run long: in parts, with the state on disk in between.

One call of a `StagedProgram` gives what one of `signdyn.sweeps.block_program` gives. Into how many
parts a training is cut decides the compiled programs, and so belongs to what decides the numbers;
when the state is written, and whether a call begins at the start or at a state on disk, does not.

May import: checkpoints, sweeps, training.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from signdyn.checkpoints import digest, load_state, remove_states, save_state
from signdyn.sweeps import replica_program
from signdyn.training import TrainFn


class Programs(NamedTuple):
    """The programs of a training in parts, jitted or compiled.

    Attributes:
        num_parts: How many.
        begin: (draws, hypers) -> state.
        advance: (draws, hypers, state, number of the part) -> (state, kept); takes the state's
            memory.
        finish: (draws, hypers, state, all that was kept) -> results.
    """

    num_parts: int
    begin: Any
    advance: Any
    finish: Any

    def compiled(
        self,
        draws: Any,
        hypers: Any,
        options: dict[str, Any] | None,
        compile_traced: Callable[[Any, Any], Any] = lambda traced, options: traced.lower().compile(
            options
        ),
    ) -> "Programs":
        """Return the programs compiled for arguments of these shapes.

        Args:
            draws: Arrays, or what has their shape and dtype.
            hypers: Likewise.
            options: Of XLA.
            compile_traced: (traced program, options) -> compiled; see `signdyn.handing`.
        """
        state, kept = self.shapes(draws, hypers)
        part = jax.ShapeDtypeStruct((), np.int32)
        arguments = (
            (draws, hypers),
            (draws, hypers, state, part),
            (draws, hypers, state, _times(kept, self.num_parts)),
        )
        jitted = (self.begin, self.advance, self.finish)
        return Programs(
            self.num_parts,
            *(
                compile_traced(one.trace(*own), options)
                for one, own in zip(jitted, arguments, strict=True)
            ),
        )

    def shapes(self, draws: Any, hypers: Any) -> tuple[Any, Any]:
        """Return shapes and dtypes of a state, and of what is kept of one part."""
        state = jax.eval_shape(self.begin, draws, hypers)
        part = jax.ShapeDtypeStruct((), np.int32)
        return jax.eval_shape(self.advance, draws, hypers, state, part)


def staged_programs(train_fn: TrainFn, num_parts: int, *, block: int, width: int) -> Programs:
    """Return the programs that train one block of replicas in parts.

    Args:
        train_fn: From `signdyn.training.make_train_fn`.
        num_parts: Must divide the records.
        block: As for `signdyn.sweeps.block_program`, like the next.
        width: Replicas vmapped together.

    Raises:
        ValueError: If the training has no parts, or not so many.
    """
    if train_fn.stages is None:
        raise ValueError(
            "staged_programs: expected a train function with stages, as make_train_fn returns."
        )
    stages = train_fn.stages(num_parts)
    lay_out = partial(replica_program, block=block, width=width)
    return Programs(
        num_parts,
        lay_out(stages.begin),
        lay_out(stages.advance, num_batched=3, donate=(2,)),
        lay_out(stages.finish, num_batched=4),
    )


class StoppedError(RuntimeError):
    """A call was left after one of its parts, for its results are no longer wanted."""


class StagedProgram:
    """``(draws, hypers) -> results`` by parts, going on from a state on disk if there is one.

    Several threads may each call it.

    Args:
        programs: Compiled for the arguments to come.
        jitted: The same before they were compiled, which tell shapes.
        folder: For the states; see `signdyn.checkpoints.remove_states`.
        seconds: Between states, at least; infinite for none.
        told: What else decides the numbers, in a word.
        on_part: Called with (finished parts, number of parts) after each.
        on_damage: Called with what is wrong with a state that is there.
    """

    def __init__(
        self,
        programs: Programs,
        jitted: Programs,
        folder: Path,
        seconds: float,
        told: str = "",
        on_part: Callable[[int, int], None] = lambda part, parts: None,
        on_damage: Callable[[str], None] = lambda what: None,
    ):
        """Keep what is needed; nothing is read or written before a call."""
        self._programs, self._jitted = programs, jitted
        self._folder, self._seconds, self._told = folder, seconds, told
        self._on_part, self._on_damage = on_part, on_damage
        self._stopped = threading.Event()
        self._last: dict[int, str] = {}  # thread -> the state of its last call

    def __call__(self, draws: Any, hypers: Any) -> Any:
        """Return the results of all replicas, once they are there.

        Those of the thread's last call must be safe: its state is removed.

        Raises:
            StoppedError: After a part, if the program was told to stop.
        """
        thread, last, stopped = threading.get_ident(), self._last, self._stopped
        self._forget(thread)
        programs = self._programs
        name = last[thread] = self._name(draws, hypers)
        part, state, kept = self._restored(name, draws, hypers) or (
            0,
            programs.begin(draws, hypers),
            [],
        )
        written = time.monotonic()
        while part < programs.num_parts:
            state, more = programs.advance(draws, hypers, state, np.int32(part))
            kept.append(jax.device_get(more))
            part += 1
            self._on_part(part, programs.num_parts)
            if part < programs.num_parts and time.monotonic() - written >= self._seconds:
                joined = _joined(kept)
                arrays = [np.asarray(leaf) for leaf in jax.tree.leaves((state, joined))]
                save_state(self._folder, name, part, arrays)
                kept, written = [joined], time.monotonic()
            if stopped.is_set():
                raise StoppedError(f"stopped after part {part} of {programs.num_parts}")
        return programs.finish(draws, hypers, state, _joined(kept))

    def stop(self) -> None:
        """Let calls that run end after the part that they are in; their states are kept.

        Calls that begin later go on from there.
        """
        stopped, self._stopped = self._stopped, threading.Event()
        self._last = {}  # whose results may not be safe
        stopped.set()

    def forget(self) -> None:
        """Remove the states of all threads' last calls, whose results are safe."""
        for thread in list(self._last):
            self._forget(thread)

    def _forget(self, thread: int) -> None:
        name = self._last.pop(thread, None)
        if name is not None:
            remove_states(self._folder, name)

    def _name(self, draws: Any, hypers: Any) -> str:
        arrays = [np.asarray(leaf) for leaf in jax.tree.leaves((draws, hypers))]
        return f"{self._told}-{digest(arrays, str(self._programs.num_parts))[:16]}"

    def _restored(self, name: str, draws: Any, hypers: Any) -> tuple[int, Any, list[Any]] | None:
        shapes: Any = None

        def like(part: int) -> Any:
            nonlocal shapes
            shapes = shapes or self._jitted.shapes(draws, hypers)
            return shapes[0], _times(shapes[1], part)

        found = load_state(
            self._folder, name, lambda part: jax.tree.leaves(like(part)), self._on_damage
        )
        if found is None:
            return None
        structure = jax.tree.structure(like(found.part))
        state, kept = jax.tree.unflatten(structure, found.arrays)
        return found.part, state, [kept]


def _joined(kept: list[Any]) -> Any:
    """Return what was kept of successive parts as of one: leaves [replica, record, ...]."""
    return jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *kept)


def _times(kept: Any, parts: int) -> Any:
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            (leaf.shape[0], parts * leaf.shape[1], *leaf.shape[2:]), leaf.dtype
        ),
        kept,
    )
