"""What centering changes of it."""

import numpy as np

from experiments._best_rate import best_rate
from experiments._sign_flip.claims.common import ratio, steps_ratio
from experiments._sign_flip.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, below, mean_evidence


def centering_claims(results: Results) -> Stated:
    for activation in results.plan.activations:
        for part, words in (("full", "full batch"), ("minibatch", "minibatch")):
            yield (
                Claim(
                    f"center_steps_{part}_{activation}",
                    ("b4", "b5"),
                    f"Centering inputs and hidden units cuts the steps to the target, each arm at "
                    f"its own best rate ({activation}, {words}).",
                    "steps to target, raw / centered",
                    above(1.0),
                    "rates",
                ),
                steps_ratio(results, part, activation),
            )
            yield (
                Claim(
                    f"center_tortuosity_{part}_{activation}",
                    ("b4",),
                    f"At their own best rates the raw path winds more than the centered one "
                    f"({activation}, {words}).",
                    "path length / displacement until the target, raw / centered",
                    above(1.0),
                    "small_steps",
                ),
                ratio(results, "tortuosity", part, activation, "raw", "centered"),
            )
        yield (
            Claim(
                f"center_rate_{activation}",
                ("b4", "b5"),
                f"Centering raises the best learning rate ({activation}, full batch).",
                "best rate, centered / raw",
                above(1.0),
                "rates",
            ),
            ratio(results, "learning_rate", "full", activation, "centered", "raw"),
        )
        yield (
            Claim(
                f"same_rate_zigzag_{activation}",
                ("b4",),
                f"At raw's best rate the centered network, the same function at the start, does "
                f"not zig-zag ({activation}).",
                "share of turns with negative cosine, centered at raw's best rate",
                below(0.05),
                "small_steps",
            ),
            mean_evidence(_centered_at_raws_best(results, activation)),
        )


def _centered_at_raws_best(results: Results, activation: str) -> np.ndarray:
    place = best_rate(results.steps("full", activation, "raw"))
    rows = results.rows("full", activation, "centered")
    values = rows.reversal_fraction.transpose("variant", "seed").values
    return values[place].astype(np.float64) if place is not None else np.full(len(values.T), np.nan)
