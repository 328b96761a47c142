"""Whether the path zig-zags, at large steps and at small ones."""

import numpy as np

from experiments._stated import Stated
from experiments._two_weights.claims.common import FIGURE
from experiments._two_weights.plan import LARGE_RATE, SMALL_RATE, UNSTABLE_RATE
from experiments._two_weights.problem import TARGET
from experiments._two_weights.results import Results
from signdyn.claims import Claim, above, always, exact_evidence, mean_evidence, ratio_evidence


def zigzag_claims(results: Results) -> Stated:
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


def small_step_claims(results: Results) -> Stated:
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
