"""What flipped signs change of the descent: nothing."""

import numpy as np

from experiments._flip_gap import flip_gap
from experiments._sign_flip.plan import EXACT_RATES
from experiments._sign_flip.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, always, exact_evidence, mean_evidence


def flip_claims(results: Results) -> Stated:
    for activation in results.plan.activations:
        coherence = {
            arm: results.at_best("coherence", "full", activation, arm)[:, 0]
            for arm in ("raw", "flipped")
        }
        yield (
            Claim(
                f"flip_coherence_{activation}",
                ("b4", "a4"),
                f"Flipping random signs destroys the common sign of the gradients ({activation}, "
                "first layer).",
                "sign coherence of the batch gradient, raw minus flipped, mean until the target",
                above(0.1),
                "sign_and_mean",
            ),
            mean_evidence(coherence["raw"] - coherence["flipped"]),
        )
    sentence = "Flipping random signs changes the training loss at no step, by no bit, with {}."
    for part, optimizer, words in (
        ("full", "sgd", "gradient descent at every rate of the ladder"),
        ("minibatch", "sgd", "minibatch SGD at every rate of the ladder"),
        *(
            ("exact", name, f"{name.replace('_', ' ')} ({', '.join(results.plan.extras)})")
            for name in EXACT_RATES
            if results.plan.extras
        ),
    ):
        yield (
            Claim(
                f"flip_exact_{part if part != 'exact' else optimizer}",
                ("b4", "a4"),
                sentence.format(words),
                "largest |loss difference| over all steps, rates and activations, nats",
                always(0.0),
                "sign_and_mean",
            ),
            exact_evidence(_largest_difference(results, part, optimizer)),
        )


def _largest_difference(results: Results, part: str, optimizer: str) -> np.ndarray:
    """Return [activation * seed] max |loss raw - loss flipped|; NaN agrees with NaN only."""
    largest = []
    for activation in results.plan.extras if part == "exact" else results.plan.activations:
        raw, flipped = (
            results.rows(part, activation, arm, optimizer)
            .loss.transpose("seed", ...)
            .values.astype(np.float64)
            for arm in ("raw", "flipped")
        )
        gap = flip_gap(raw, flipped)
        largest.append(gap.reshape(len(gap), -1).max(axis=1))
    return np.concatenate(largest)
