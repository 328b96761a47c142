"""What natural gradients and sign flips change, and the negative control."""

import numpy as np

from experiments._stated import Stated
from experiments._two_weights.claims.common import FIGURE
from experiments._two_weights.plan import FLIPPED_RATES, SMALL_RATE
from experiments._two_weights.results import Results, outputs_along
from signdyn.claims import Claim, always, below, exact_evidence, ratio_evidence, within


def natural_gradient_claims(results: Results) -> Stated:
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


def flip_claims(results: Results) -> Stated:
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


def control_claims(results: Results) -> Stated:
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
