"""The chain from the mean to the learning rate, link by link."""

from experiments._sign_flip.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, ratio_evidence, within


def chain_claims(results: Results) -> Stated:
    for activation in results.plan.activations:
        raw, flipped, centered = (
            results.rows("start", activation, arm).isel(variant=0).transpose("seed", ...)
            for arm in ("raw", "flipped", "centered")
        )
        yield (
            Claim(
                f"lambda_centered_{activation}",
                ("b8",),
                "Centering lowers the largest eigenvalue of the Fisher at the start "
                f"({activation}).",
                "lambda_max, raw / centered",
                above(1.0),
                "rates",
            ),
            ratio_evidence(raw.lambda_max.values, centered.lambda_max.values),
        )
        yield (
            Claim(
                f"lambda_flipped_{activation}",
                ("b8",),
                f"Flipping leaves the Fisher's largest eigenvalue where it is ({activation}).",
                "lambda_max, raw / flipped",
                within(0.9999, 1.0001),
                "rates",
            ),
            ratio_evidence(raw.lambda_max.values, flipped.lambda_max.values),
        )
        best = results.at_best("learning_rate", "full", activation, "raw")
        yield (
            Claim(
                f"rate_cap_{activation}",
                ("b8",),
                "Raw's best rate is 2 / lambda_max of the Fisher at the start, within a factor of "
                f"two ({activation}).",
                "best rate x lambda_max / 2",
                within(0.5, 2.0),
                "rates",
            ),
            ratio_evidence(best, 2.0 / raw.lambda_max.values),
        )
