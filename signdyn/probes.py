"""What is measured while a replica trains: folded over the steps, no history is stored.

May import: models, types.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int

from signdyn.models.traces import Traces
from signdyn.types import Params


class Observation(NamedTuple):
    """What a probe sees of one step.

    Attributes:
        step: 0 for the first.
        train_loss: Latest mean nll on the whole training set; with all examples in the batch
            it is that of ``params``, else it is at most ``record_every`` - 1 steps old.
        params: Before the update.
        updates: What the step adds to ``params``.
        traces: Loss, gradient, outputs, inputs and deltas of the step's batch.
    """

    step: Int[Array, ""]
    train_loss: Float[Array, ""]
    params: Params
    updates: Params
    traces: Traces


class Probe(NamedTuple):
    """A measurement folded over the steps, so that no history of parameters is stored.

    Attributes:
        init: params -> state.
        observe: (state, Observation) -> state, after every step; with a period, after its last
            step, and with a window (state, Observation, ...) -> state, the latest step's last.
        read: state -> pytree of arrays, kept every ``record_every`` steps.
        period: Steps from one observation to the next; must divide ``record_every``. Steps that
            are not observed cost what they do without a probe, and their body is compiled apart.
        window: How many of a period's last steps are observed, together: 2 for what is measured
            of two successive updates.
    """

    init: Callable[[Params], Any]
    observe: Callable[..., Any]
    read: Callable[[Any], Any] = lambda state: state
    period: int = 1
    window: int = 1


NO_PROBE = Probe(init=lambda params: (), observe=lambda state, observation: state)
"""Watches nothing."""
