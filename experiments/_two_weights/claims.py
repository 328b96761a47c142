"""The claims of the two-weight picture: sentence, statistic, rule, and what decides them.

Each function states claims and returns them with their evidence; the rules do not depend on
the evidence. Ratios are geometric means over seeds of paired ratios, with bootstrap intervals.
"""

from collections.abc import Iterator

import numpy as np

from experiments._two_weights.plan import FLIPPED_RATES, LARGE_RATE, SMALL_RATE, UNSTABLE_RATE
from experiments._two_weights.problem import TARGET
from experiments._two_weights.results import Results, outputs_along
from signdyn.claims import (
    SUPPORTED,
    Claim,
    Evidence,
    Finding,
    above,
    always,
    below,
    decide,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
    within,
)

FIGURE = "two_weights"

Stated = Iterator[tuple[Claim, Evidence]]


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    parts = (_quadrants, _zigzag, _small_steps, _natural_gradient, _flip, _control)
    stated = [pair for part in parts for pair in part(results)]
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = [by_id[id] for id in ("large_zigzag", "center_steps", "small_zigzag", "small_slower")]
    open_ones = [finding.claim.id for finding in told if finding.verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    large, steps, small, slower = (finding.evidence.interval.estimate for finding in told)
    return (
        f"At its best step the raw neuron zig-zags: {large:.0%} of its turns go back, and it needs "
        f"{steps:.0f}x the steps of the centered one. At a small step {small:.0%} go back and it "
        f"still needs {slower:.0f}x. One sign binds single examples' gradients; what makes the "
        "valley is the mean."
    )


def _quadrants(results: Results) -> Stated:
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


def _zigzag(results: Results) -> Stated:
    reversals, tortuosity, steps = (
        {arm: results.at_best(arm, name) for arm in ("raw", "centered")}
        for name in ("reversal_fraction", "tortuosity", "steps_to_target")
    )
    yield (
        Claim(
            "large_zigzag",
            ("b4",),
            "At its best step the raw neuron zig-zags: most turns go back.",
            "share of turns with negative cosine until the target, raw at its best rate",
            above(0.5),
            FIGURE,
        ),
        mean_evidence(reversals["raw"]),
    )
    yield (
        Claim(
            "center_zigzag",
            ("b4", "b5"),
            "It turns back more often than the centered one at its own best step.",
            "share of turns with negative cosine until the target, raw minus centered",
            above(0.0),
            FIGURE,
        ),
        mean_evidence(reversals["raw"] - reversals["centered"]),
    )
    yield (
        Claim(
            "center_tortuosity",
            ("b4", "b5"),
            "Its path winds more than the centered one's.",
            "path length / displacement until the target, raw / centered, each at its best rate",
            above(1.0),
            FIGURE,
        ),
        ratio_evidence(tortuosity["raw"], tortuosity["centered"]),
    )
    yield (
        Claim(
            "center_steps",
            ("b4", "b5"),
            f"Centering cuts the steps to {TARGET:g} nats above the minimum, each arm at its own "
            "best rate.",
            "steps to target, raw / centered",
            above(1.0),
            FIGURE,
        ),
        ratio_evidence(steps["raw"], steps["centered"]),
    )
    ladder = results.ladder("raw")
    arrives = dict(zip(ladder.rate.values, np.isfinite(ladder.steps_to_target.values), strict=True))
    yield (
        Claim(
            "largest_step",
            ("b4", "b8"),
            "What caps the step is 2 / lambda_max of the Fisher at the minimum: raw arrives at "
            f"{LARGE_RATE:g} of it and not at {UNSTABLE_RATE:g} of it.",
            "1 if a seed does both, else 0",
            always(1.0),
            FIGURE,
        ),
        exact_evidence(1.0 * (arrives[LARGE_RATE] & ~arrives[UNSTABLE_RATE])),
    )


def _small_steps(results: Results) -> Stated:
    raw, centered = (results.rows("gradient", arm, SMALL_RATE) for arm in ("raw", "centered"))
    product = float((raw.learning_rate * raw.lambda_max_anywhere).max())
    yield (
        Claim(
            "small_zigzag",
            ("b4",),
            "At a step below 1 / lambda_max the raw neuron never turns back.",
            f"share of turns with negative cosine, raw at {SMALL_RATE:g} of the largest stable "
            f"step (rate x lambda_max at most {product:.2f} anywhere)",
            always(0.0),
            FIGURE,
        ),
        exact_evidence(raw.reversal_fraction.values),
    )
    yield (
        Claim(
            "small_slower",
            ("b4", "b8"),
            "Without any zig-zag, at the same share of its largest stable step, raw still needs "
            "more steps than centered.",
            f"steps to target, raw / centered, both at {SMALL_RATE:g} of the largest stable step",
            above(1.0),
            FIGURE,
        ),
        ratio_evidence(raw.steps_to_target.values, centered.steps_to_target.values),
    )
    yield (
        Claim(
            "condition_number",
            ("b8", "b14"),
            "What centering changes is the Fisher: its condition number at the minimum falls.",
            "lambda_max / lambda_min of the Fisher at the minimum, raw / centered",
            above(1.0),
            FIGURE,
        ),
        ratio_evidence(raw.condition_number.values, centered.condition_number.values),
    )


def _natural_gradient(results: Results) -> Stated:
    raw, centered = (results.rows("natural", arm) for arm in ("raw", "centered"))
    apart = np.abs(outputs_along(raw, raw) - outputs_along(centered, centered))
    yield (
        Claim(
            "natural_path",
            ("b8",),
            "Natural gradient is blind to the mean: raw and centered neurons compute the same "
            "outputs after every step.",
            "largest |logit difference| over steps and examples, in float64",
            below(1e-9),
            FIGURE,
        ),
        exact_evidence(apart.max(axis=(1, 2))),
    )
    natural = raw.steps_to_target.values
    yield (
        Claim(
            "natural_steps",
            ("b8",),
            "On raw inputs natural gradient needs fewer steps than gradient descent at its best "
            "rate.",
            "steps to target on raw, natural gradient / gradient descent",
            below(1.0),
            FIGURE,
        ),
        ratio_evidence(natural, results.at_best("raw", "steps_to_target")),
    )
    yield (
        Claim(
            "natural_centered",
            ("b8",),
            "On raw inputs natural gradient needs fewer steps than gradient descent at its best "
            "rate on centered ones.",
            "steps to target, natural gradient on raw / gradient descent on centered",
            below(1.0),
            FIGURE,
        ),
        ratio_evidence(natural, results.at_best("centered", "steps_to_target")),
    )


def _flip(results: Results) -> Stated:
    flipped = results.rows("gradient", "flipped", SMALL_RATE)
    yield (
        Claim(
            "flip_quadrants",
            ("b1", "b4", "a4"),
            "Flipping the ink's sign puts every single example's gradient into the other two "
            "quadrants, (+,-) and (-,+).",
            "share of (step, example) whose gradient has one sign, flipped, small step",
            always(0.0),
            FIGURE,
        ),
        exact_evidence(flipped.examples_of_one_sign.values),
    )
    apart = [
        np.abs(results.rows(part, "raw", rate).loss - results.rows(part, "flipped", rate).loss)
        for part, rate in (*(("gradient", rate) for rate in FLIPPED_RATES), ("single", None))
    ]
    yield (
        Claim(
            "flip_exact",
            ("b4", "a4"),
            "It changes the loss at no step, by no bit: which quadrants can be reached is a "
            "matter of coordinates.",
            "largest |loss difference| over steps and rates, raw against flipped, nats",
            always(0.0),
            FIGURE,
        ),
        exact_evidence(np.max([one.max("step").values for one in apart], axis=0)),
    )


def _control(results: Results) -> Stated:
    yield (
        Claim(
            "again",
            ("b4",),
            "Control: raw against raw with other digits and starts makes no difference.",
            "steps to target at the best rate, raw / raw with other seeds",
            within(0.8, 1.25),
            control=True,
        ),
        ratio_evidence(
            results.at_best("raw", "steps_to_target"),
            results.at_best("again", "steps_to_target"),
        ),
    )
