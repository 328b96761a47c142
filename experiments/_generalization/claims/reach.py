"""Which part of the space updates reach: orthants, dimensions."""

import numpy as np

from experiments._generalization.claims.common import ARMS, ORTHANTS, SPECTRUM, over_layers
from experiments._generalization.results import Results
from experiments._stated import NO_DIFFERENCE, Stated
from signdyn.claims import (
    Claim,
    above,
    always,
    below,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
)


def reach_claims(results: Results) -> Stated:
    batch = results.plan.config.batch_size
    for activation in results.plan.directions:

        def single(name: str, arm: str = "raw", activation: str = activation) -> np.ndarray:
            return results.directions(name, activation, arm, 1)

        yield (
            Claim(
                f"two_orthants_{activation}",
                ("b1", "b4", "b7"),
                "Trained one example at a time, a unit with non-negative inputs moves all its "
                f"weights up or all down: its updates lie in two orthants ({activation}).",
                "most orthants that the updates of one unit lie in, first and second layer",
                always(2.0),
                ORTHANTS,
            ),
            exact_evidence(single("most_step_orthants")),
        )
        yield (
            Claim(
                f"reach_{activation}",
                ("b4", "b7"),
                "So only two orthants around its start can be reached at all, in one layer at "
                f"least ({activation}, {results.plan.config.direction_steps} steps).",
                "orthants that a unit's weights have been in, mean over units, the layer with "
                "fewest",
                below(2.5),
                ORTHANTS,
            ),
            mean_evidence(single("path_orthants")[..., -1].min(axis=1)),
        )
        yield (
            Claim(
                f"span_{activation}",
                ("b7",),
                "One-signed updates span every dimension that the inputs span which moved the "
                f"unit ({activation}).",
                "largest |rank of updates - rank of inputs| over units and lengths of the run",
                always(0.0),
                ORTHANTS,
            ),
            exact_evidence(single("rank_gap")),
        )
        ranks = [single("rank", arm)[:, 0, -1] for arm in ARMS]
        yield (
            Claim(
                f"space_{activation}",
                ("b7",),
                "Moving with one sign shrinks the space that is searched: the updates of a "
                "first-layer unit span less than half as many dimensions as those of a centered "
                f"one ({activation}).",
                "rank of a unit's updates, raw / centered, single examples",
                below(0.5),
                ORTHANTS,
            ),
            ratio_evidence(*ranks),
        )
        yield (
            Claim(
                f"space_same_{activation}",
                ("b7",),
                "Moving with one sign shrinks it by no dimension that matters: the updates of a "
                "first-layer unit span as many dimensions as those of a centered one "
                f"({activation}).",
                "rank of a unit's updates, raw / centered, single examples",
                NO_DIFFERENCE,
                ORTHANTS,
            ),
            ratio_evidence(*ranks),
        )
        yield (
            Claim(
                f"batch_{activation}",
                ("b7", "b12"),
                f"Steps of {batch} examples keep to the two orthants as well ({activation}).",
                "share of a unit's updates with one sign, mean over two layers",
                above(0.95),
            ),
            mean_evidence(results.directions("one_signed", activation, "raw", batch).mean(axis=1)),
        )


def dimension_claims(results: Results) -> Stated:
    batch = results.plan.config.batch_size
    for activation in results.plan.directions:
        for examples, words in ((1, "single examples"), (batch, f"batches of {batch}")):
            raw, centered = (
                over_layers(results.directions("unit_dimension", activation, arm, examples))
                for arm in ARMS
            )
            yield (
                Claim(
                    f"dimension_{'1' if examples == 1 else 'batch'}_{activation}",
                    ("b7", "b8"),
                    "What the mean shrinks is the effective dimension: the updates of a raw unit "
                    "point along fewer directions than those of a centered one at the same rate "
                    f"({activation}, {words}).",
                    "effective dimension of a unit's updates, raw / centered, geometric mean of "
                    "two layers",
                    below(1.0),
                    SPECTRUM,
                ),
                ratio_evidence(raw, centered),
            )
        measured = results.directions("unit_dimension", activation, "raw", 1)[:, 0]
        expected = np.full_like(measured, results.input_dimension("raw"))
        yield (
            Claim(
                f"inputs_{activation}",
                ("b7", "b8"),
                "A raw unit's updates have the effective dimension of its inputs' second moment, "
                f"as deltas that do not depend on the inputs give ({activation}, first layer).",
                "effective dimension, a unit's updates / training inputs, single examples",
                NO_DIFFERENCE,
                SPECTRUM,
            ),
            ratio_evidence(measured, expected),
        )
