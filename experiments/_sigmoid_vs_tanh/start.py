"""What is measured before the first step: the function, and the Fisher's largest eigenvalue."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from experiments._sigmoid_vs_tanh.descent import Draw, Point, draw_replica, start_replica
from experiments._sigmoid_vs_tanh.network import pre_outputs, square_loss
from experiments._sigmoid_vs_tanh.setting import Points, Setting
from signdyn.analysis.fisher import fisher_factor
from signdyn.analysis.spectrum import spectrum_of_gram
from signdyn.records import Variable
from signdyn.training import TrainFn

NUM_KEPT = 16
"""Examples whose outputs are kept."""


def make_start(setting: Setting, points: Points) -> TrainFn:
    """Return the measurement in the shape of a training function, so that it runs in blocks."""

    def run(draw: Draw, point: Point) -> dict[str, Array]:
        start = start_replica(points, draw, point)

        def apply_fn(params, x):
            return pre_outputs(params, x.T, point.units)[:, None]

        likelihood = square_loss(point.output_slope, point.label_gap)
        factor = fisher_factor(apply_fn, likelihood, start.params, start.x.T)
        outputs = pre_outputs(start.params, start.x, point.units)
        return {
            "lambda_max": spectrum_of_gram(factor)[0],
            "spread": jnp.std(outputs),
            "outputs": outputs[:NUM_KEPT],
        }

    return TrainFn(partial(draw_replica, setting), run)


TEXTS: Mapping[str, tuple[tuple[str, ...], str, str]] = {
    "lambda_max": ((), "nat / parameter^2", "largest eigenvalue of the Fisher"),
    "spread": ((), "1", "standard deviation over examples of the output's pre-activation"),
    "outputs": (("example",), "1", f"the output's pre-activation, first {NUM_KEPT} examples"),
}
"""Variables of the record: dimensions, unit, meaning."""


def tabulate_start(results: Mapping[str, Any]) -> Mapping[str, Variable]:
    """Return a block's measurements as named arrays."""
    return {name: Variable(dims, results[name], *text) for name, (dims, *text) in TEXTS.items()}
