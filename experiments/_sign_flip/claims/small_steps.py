"""Steps too small to zig-zag, and slow all the same."""

import numpy as np

from experiments._sign_flip.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, below, mean_evidence, ratio_evidence


def small_step_claims(results: Results) -> Stated:
    rate = results.plan.config.small_rate
    for activation in results.plan.activations:
        own = (
            _small(results, activation, "raw", "own"),
            _small(results, activation, "centered", "own"),
        )
        common = _small(results, activation, "centered", "common")
        yield (
            Claim(
                f"large_zigzag_{activation}",
                ("b4",),
                f"At its best rate the raw network zig-zags: most turns go back ({activation}).",
                "share of turns with negative cosine until the target, raw at its best rate",
                above(0.5),
                "small_steps",
            ),
            mean_evidence(results.at_best("reversal_fraction", "full", activation, "raw")),
        )
        yield (
            Claim(
                f"small_zigzag_{activation}",
                ("b4",),
                f"At a small step (rate x lambda_max = {rate:g}) the raw network does not "
                f"zig-zag ({activation}).",
                "share of turns with negative cosine until the target, raw",
                below(0.05),
                "small_steps",
            ),
            mean_evidence(own[0]["reversal_fraction"]),
        )
        yield (
            Claim(
                f"small_slower_{activation}",
                ("b4", "b8"),
                f"Without any zig-zag, at equal rate x lambda_max = {rate:g}, raw still needs "
                f"more steps to the same loss ({activation}).",
                "steps to the loss that the slower one ends at, raw / centered",
                above(1.0),
                "small_steps",
            ),
            ratio_evidence(*_steps_to_equal_loss(own[0]["loss"], own[1]["loss"])),
        )
        yield (
            Claim(
                f"common_rate_{activation}",
                ("b5",),
                f"At one common small learning rate centering already speeds training up by more "
                f"than a quarter ({activation}).",
                "steps to the loss that the slower one ends at, raw's small rate, raw / centered",
                above(1.25),
                "small_steps",
            ),
            ratio_evidence(*_steps_to_equal_loss(own[0]["loss"], common["loss"])),
        )


def _small(results: Results, activation: str, arm: str, rule: str) -> dict[str, np.ndarray]:
    """Return the losses [seed, step] and reversal fractions [seed] of a small-step descent."""
    row = results.rows("full", activation, arm, rule=rule).isel(variant=0)
    return {
        "loss": row.loss.transpose("seed", "step").values.astype(np.float64),
        "reversal_fraction": row.reversal_fraction.values.astype(np.float64),
    }


def _steps_to_equal_loss(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return [seed] evaluations until two descents [seed, step] are at the same loss.

    That loss is the higher one, seed by seed, of what both have reached in the end: small steps
    may be far from any target when the slower one stops. NaN where a loss of either is NaN.
    """
    level = np.maximum(a.min(axis=1), b.min(axis=1))[:, None]
    steps = [1.0 + (losses <= level).argmax(axis=1) for losses in (a, b)]
    known = np.isfinite(level[:, 0])
    return np.where(known, steps[0], np.nan), np.where(known, steps[1], np.nan)
