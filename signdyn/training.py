"""Training as one pure function of (key, hyper): what is static, what is batched, what is kept.

`make_train_fn` closes over everything that decides the program (`Structure`, data, `Probe`)
and returns ``train(key, hyper) -> Trajectory``, to be vmapped over replicas. What a replica starts
from is in `signdyn.replicas`, its steps are in `signdyn.descent`, what watches them in
`signdyn.probes`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from signdyn.checks import checked
from signdyn.data.check import check_data
from signdyn.descent import NEVER as NEVER
from signdyn.descent import RUNNING_MEAN_DECAY as RUNNING_MEAN_DECAY
from signdyn.descent import Carry, Descent
from signdyn.descent import Trajectory as Trajectory
from signdyn.inputs import input_struct
from signdyn.optimizers import check_optimizer, make_optimizer
from signdyn.probes import NO_PROBE as NO_PROBE
from signdyn.probes import Observation as Observation
from signdyn.probes import Probe as Probe
from signdyn.replicas import Draw as Draw
from signdyn.replicas import Hyper as Hyper
from signdyn.replicas import Start, draw_replica, start_replica
from signdyn.replicas import Structure as Structure


@dataclass(frozen=True)  # and no NamedTuple, of which jax.jit can keep no weak reference
class TrainFn:
    """``train(key, hyper) -> Trajectory``, and the two halves it is made of.

    Attributes:
        draw: key -> `Draw`. Depends on the seed only, so a sweep draws once a seed.
        run: (draw, hyper) -> `Trajectory`: the program that a sweep compiles. A sweep takes any
            draw and any pytree of arrays here, so a measurement can be laid out like a training.
        stages: Number of parts -> `Stages`, of a training that can be left and gone on with; None
            of what cannot.
        records: What the number of parts must divide.
    """

    draw: Callable[[PRNGKeyArray], Any]
    run: Callable[[Any, Any], Any]
    stages: Callable[[int], "Stages"] | None = None
    records: int = 1

    def __call__(self, key: PRNGKeyArray, hyper: Hyper) -> Trajectory:
        """Return the trajectory of one replica."""
        return self.run(self.draw(key), hyper)


class Stages(NamedTuple):
    """One replica's training in parts of whole records; a state is a pytree of arrays.

    Attributes:
        num_parts: How many.
        begin: (draw, hyper) -> state.
        advance: (draw, hyper, state, number of the part) -> (state, what is kept of the part).
        finish: (draw, hyper, state, what was kept, joined along its first axis) -> `Trajectory`.
    """

    num_parts: int
    begin: Callable[[Any, Any], Any]
    advance: Callable[[Any, Any, Any, Int[Array, ""]], tuple[Any, Any]]
    finish: Callable[[Any, Any, Any, Any], Any]


@checked
def make_train_fn(structure: Structure, data: Any, probe: Probe = NO_PROBE) -> TrainFn:
    """Return ``train(key, hyper) -> Trajectory``: pure, to be jitted and vmapped by the caller.

    Args:
        structure: Static description.
        data: Arrays x_train, y_train, x_test, y_test and the int num_classes, as
            `signdyn.data.load` returns; labels as the likelihood takes them. Inputs of uint8 are
            pixels, see `signdyn.inputs`. More than `signdyn.inputs.ONE_PASS` examples are
            evaluated in chunks. A function ``inputs``, if there is one, makes of any examples
            what the model reads.
        probe: What to measure while training.

    Raises:
        ValueError: If the data cannot be trained on (see `signdyn.data.check`), a batch would
            hold more examples than there are, there is no such optimizer, or the probe's period
            does not fit.

    Example:
        >>> from signdyn.data import load
        >>> from signdyn.likelihoods import categorical
        >>> from signdyn.models.mlp import MLP
        >>> structure = Structure(MLP((8,), 2), categorical(), steps=20)
        >>> train = make_train_fn(structure, load("two_gaussians"))
        >>> trajectory = train(jax.random.key(0), Hyper(learning_rate=0.1))
        >>> bool(trajectory.loss[-1] < trajectory.loss[0]), int(trajectory.diverged_at) == NEVER
        (True, True)
    """
    check_data("make_train_fn", data)
    num_examples = len(data.x_train)
    read = input_struct(data)
    batch_size = structure.batch_size
    if batch_size is not None and batch_size > num_examples:
        raise ValueError(
            f"make_train_fn: batch_size must be at most the {num_examples} training examples, "
            f"got {batch_size}."
        )
    every = structure.record_every
    num_records = structure.steps // every
    if not 1 <= probe.window <= probe.period <= every or every % probe.period:
        raise ValueError(
            "make_train_fn: expected a probe whose window is at most its period, which divides "
            f"record_every, got window={probe.window}, period={probe.period} and "
            f"record_every={every}."
        )
    check_optimizer(structure.optimizer, structure.damping, structure.damping_frame)
    draw = _draw_fn(
        structure.model,
        read.shape,
        str(read.dtype),
        None if batch_size is None else (batch_size, structure.steps),
    )

    def replica(draw: Draw, hyper: Hyper, start: Start) -> Descent:
        optimizer = make_optimizer(
            structure.optimizer,
            hyper,
            damping=structure.damping,
            frame=structure.damping_frame,
            nonnegative=structure.nonnegative,
            inverse_period=structure.inverse_period,
        )
        return Descent(structure, data, probe, start, optimizer, _labels_key(draw))

    def run(draw: Draw, hyper: Hyper) -> Trajectory:
        one = replica(draw, hyper, start_replica(structure, data, draw, hyper))
        carry, kept = one.advanced(one.begun(), jnp.arange(structure.steps))
        return one.trajectory(carry, kept)

    def stages(num_parts: int) -> Stages:
        if num_parts < 1 or num_records % num_parts:
            raise ValueError(
                f"make_train_fn: the number of parts must divide the {num_records} records, "
                f"got {num_parts}."
            )
        steps = structure.steps // num_parts

        def begin(draw: Draw, hyper: Hyper) -> tuple[Start, Carry]:
            start = start_replica(structure, data, draw, hyper)
            # the draw is at hand all the time
            return start._replace(params={}, batches=None), replica(draw, hyper, start).begun()

        def again(draw: Draw, hyper: Hyper, state: tuple[Start, Carry]) -> Descent:
            return replica(draw, hyper, state[0]._replace(batches=draw.batches))

        def advance(
            draw: Draw, hyper: Hyper, state: tuple[Start, Carry], part: Int[Array, ""]
        ) -> tuple[tuple[Start, Carry], Any]:
            one = again(draw, hyper, state)
            carry, kept = one.advanced(state[1], part * steps + jnp.arange(steps))
            return (state[0], carry), kept

        def finish(draw: Draw, hyper: Hyper, state: tuple[Start, Carry], kept: Any) -> Trajectory:
            return again(draw, hyper, state).trajectory(state[1], kept)

        return Stages(num_parts, begin, advance, finish)

    return TrainFn(draw, run, stages, num_records)


@lru_cache(maxsize=64)
def _draw_fn(model, shape, dtype, batching):
    # cached, so that programs which differ in optimizer or probe share one compiled draw:
    # XLA takes .6 s of CPU for every random draw in a program
    return partial(draw_replica, model, shape, dtype, batching)


def _labels_key(draw: Draw) -> PRNGKeyArray:
    """Return the key of labels drawn from the model: of the replica's own random bits.

    ``draw`` holds no key, and one more array in it would be one more in every program.
    """
    high, low = (jnp.uint32(noise[0] * 2.0**23) for noise in draw.label_noise)
    return jax.random.fold_in(jax.random.key(high), low)
