"""The answer in a paragraph, with this run's numbers."""

import math
from collections.abc import Sequence

from experiments._sign_flip.claims.common import steps_ratio
from experiments._sign_flip.results import Results
from signdyn.claims import SUPPORTED, Finding


def answer(results: Results, findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    verdicts = {finding.claim.id: finding.verdict for finding in findings}
    exact = all(v == SUPPORTED for id, v in verdicts.items() if id.startswith("flip_exact"))
    cuts = all(v == SUPPORTED for id, v in verdicts.items() if id.startswith("center_steps_full"))
    loses = all(v == SUPPORTED for id, v in verdicts.items() if id.startswith("flip_coherence"))
    numbers = [_divided_by(results, activation) for activation in results.plan.activations]
    sign = "destroys the gradients' common sign and " if loses else ""
    flips = "changes the loss at no step, by no bit" if exact else "changes the loss"
    verdict = "The common sign is a symptom, the mean is the cause. " if exact and cuts else ""
    return (
        f"{verdict}Flipping random signs {sign}{flips}; "
        "subtracting the units' means divides the steps to the target loss, each arm at its own "
        f"best rate, by: {', '.join(numbers)}."
    )


def _divided_by(results: Results, activation: str) -> str:
    ratio = steps_ratio(results, "full", activation).interval
    if not math.isfinite(ratio.estimate):
        return (
            f"{activation} not known (too few descents arrive within {results.plan.config.steps})"
        )
    return f"{activation} {ratio.estimate:.1f} [{ratio.low:.1f}, {ratio.high:.1f}]"
