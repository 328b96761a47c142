"""What the regression's descents leave: the outputs after every step."""

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float

from experiments._natural_gradient.problem import Problem
from experiments._path_probe import tabulate_losses
from signdyn.records import Variable
from signdyn.training import Observation, Probe, Trajectory
from signdyn.types import Params

NUM_KEPT = 32
"""Examples whose outputs are kept; functions that agree there agree."""


def outputs_probe(problem: Problem) -> Probe:
    """Return the probe that keeps the outputs before each step, on the first examples."""
    kept = min(NUM_KEPT, len(problem.data.x_train))

    def init(params: Params) -> Float[Array, "example output"]:
        del params
        return jnp.zeros((kept, problem.model.num_outputs), problem.data.x_train.dtype)

    def observe(state: Array, observation: Observation) -> Array:
        del state
        return observation.traces.outputs[:kept]

    return Probe(init, observe)


def tabulate_outputs(trajectory: Trajectory) -> Mapping[str, Variable]:
    """Return a block's losses and outputs as named arrays."""
    text = f"outputs before the step, first {NUM_KEPT} examples"
    dims = ("record", "example", "output")
    return {
        **tabulate_losses(trajectory),
        "outputs": Variable(dims, trajectory.probe, "1", text),
    }
