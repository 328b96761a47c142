"""Which quadrants steps point into."""

from experiments._stated import Stated
from experiments._two_weights.claims.common import FIGURE
from experiments._two_weights.plan import SMALL_RATE
from experiments._two_weights.results import Results
from signdyn.claims import Claim, above, always, exact_evidence, mean_evidence


def quadrant_claims(results: Results) -> Stated:
    small, single = results.rows("gradient", "raw", SMALL_RATE), results.rows("single", "raw")
    yield (
        Claim(
            "example_quadrants",
            ("b1", "b13"),
            "With positive inputs, every single example's gradient on the two weights lies in "
            "the quadrants (+,+) or (-,-).",
            "share of (step, example) whose gradient has one sign, raw, small step",
            always(1.0),
            FIGURE,
        ),
        exact_evidence(small.examples_of_one_sign.values),
    )
    yield (
        Claim(
            "batch_quadrants",
            ("b1", "b12"),
            "The gradient of all examples stays in these two quadrants as well.",
            "share of steps whose full-batch gradient has one sign, raw, small step",
            above(0.95),
            FIGURE,
        ),
        mean_evidence(small.batches_of_one_sign.values),
    )
    yield (
        Claim(
            "zigzag_makes_the_sign",
            ("b4",),
            "It is the zig-zag that brings the full-batch gradient there: its share of one sign "
            "is larger at the best step than at a small one.",
            "share of steps whose full-batch gradient has one sign, raw, best minus small step",
            above(0.0),
            FIGURE,
        ),
        mean_evidence(
            results.at_best("raw", "batches_of_one_sign") - small.batches_of_one_sign.values,
        ),
    )
    moved = single.weights.values[:, -1] - single.weights.values[:, 0]
    confined = single.updates_of_one_sign.values == 1.0
    yield (
        Claim(
            "span",
            ("b7",),
            "Steps that each stay in two quadrants reach the other two: one pass over the "
            "examples, one at a time, ends in (+,-) or (-,+) of its start.",
            "share of seeds with every update in (+,+) or (-,-) and the sum of all outside",
            always(1.0),
            FIGURE,
        ),
        exact_evidence(1.0 * (confined & (moved.prod(axis=1) < 0.0))),
    )
