"""Networks in training: whether steps keep the common sign, and what brings it back."""

from itertools import product

import numpy as np

from experiments._sign_coherence.claims.common import (
    ABOVE_CHANCE,
    ALL,
    CHANCE,
    EXAMPLE,
    MINIBATCH,
    TRAINING,
)
from experiments._sign_coherence.plan import TRAINED_ARMS
from experiments._sign_coherence.results import Results
from experiments._sign_coherence.training import ACTIVATIONS as TRAINED
from experiments._stated import Stated
from signdyn.claims import Claim, Rule, above, always, below, exact_evidence, mean_evidence, within

LATER = 32
"""Steps after which a descent is under way."""


def training_claims(results: Results) -> Stated:
    def claim(id: str, sentence: str, statistic: str, rule: Rule, *questions: str) -> Claim:
        return Claim(id, questions, sentence, statistic, rule, TRAINING)

    every = tuple(product(TRAINED, TRAINED_ARMS))
    first = [results.training("agreement", name, arm)[..., EXAMPLE] for name, arm in every]
    yield (
        claim(
            "example",
            "On one example all gradients into a unit have one sign, in every layer and at every "
            "step of training.",
            "least agreement on single examples over layers and recorded steps, "
            f"{' and '.join(TRAINED)}, all arms",
            always(1.0),
            "b1",
            "b13",
            "b15",
        ),
        exact_evidence(np.stack([values.min(axis=(1, 2)) for values in first])),
    )
    for name in TRAINED:
        yield from _common_sign_claims(results, name, claim)
    rises = [results.training("loss_rises", name, "large") for name in TRAINED]
    yield (
        claim(
            "large_steps",
            "The large full-batch steps do oscillate: they raise the loss again and again.",
            f"share of steps that raise the training loss, mean of {' and '.join(TRAINED)}",
            above(0.05),
            "b4",
        ),
        mean_evidence(np.mean(rises, axis=0)),
    )
    gaps = [
        results.training("plateau", name)[:, -1]
        - results.training("agreement", name)[:, -1, :, ALL]
        for name in TRAINED
    ]
    yield (
        claim(
            "plateau_trained",
            "The closed form for deltas of mean zero, independent of the inputs, holds for the "
            "full-batch gradients of trained networks.",
            "mean |agreement - predicted| over layers, relu and sigmoid, last of small full-batch "
            "steps",
            below(0.05),
            "b12",
            "b14",
        ),
        mean_evidence(np.abs(gaps).mean(axis=(0, 2))),
    )
    gaps, centered = [], []
    for name, arm in every:
        agreement, attributed, rest = (
            results.training(kind, name, arm)[..., MINIBATCH:]
            for kind in ("agreement", "attributed", "centered_agreement")
        )
        gaps.append(np.abs(agreement - attributed))
        centered.append(rest)
    yield (
        claim(
            "attributed",
            "The agreement is what the mean's part of the gradient makes it, at every step and in "
            "every layer, for minibatches and all examples: the rest is noise to it.",
            "mean |agreement - that of the mean's part plus noise|, all layers and recorded steps, "
            f"{' and '.join(TRAINED)}, all arms",
            below(0.05),
            "b5",
            "b12",
            "b14",
        ),
        mean_evidence(np.mean(gaps, axis=(0, 2, 3, 4))),
    )
    yield (
        claim(
            "centered",
            "Without the mean's part nothing is left of it: gradients for centered inputs on "
            "average agree no more than by chance.",
            "agreement of gradients for centered inputs, mean over the same",
            within(0.45, 0.55),
            "b5",
        ),
        mean_evidence(np.mean(centered, axis=(0, 2, 3, 4))),
    )


def _common_sign_claims(results: Results, name: str, claim) -> Stated:
    agreement = {
        arm: results.training("agreement", name, arm).mean(axis=2) - CHANCE for arm in TRAINED_ARMS
    }
    yield (
        claim(
            f"late_{name}",
            "The common sign goes along with training: gradients of all examples together still "
            f"have it after many small full-batch steps ({name}).",
            f"{ABOVE_CHANCE}, full-batch gradients, mean over layers, last step",
            above(0.1),
            "b1",
            "b12",
            "b15",
        ),
        mean_evidence(agreement["full"][:, -1, ALL]),
    )
    share = results.training("mean_share", name)[..., ALL].mean(axis=2)
    yield (
        claim(
            f"equilibrium_{name}",
            "With small full-batch steps the biases' gradients die out first, and take the mean's "
            f"part of all gradients with them ({name}).",
            "share of the mean's part in squared full-batch gradients, last - first step, mean "
            "over layers",
            below(-0.2),
            "b5",
            "b12",
        ),
        mean_evidence(share[:, -1] - share[:, 0]),
    )
    yield (
        claim(
            f"minibatch_{name}",
            f"Gradients of minibatches of {results.batch_size} have a common sign after many small "
            f"full-batch steps ({name}).",
            f"{ABOVE_CHANCE}, minibatch gradients, mean over layers, last small full-batch step",
            above(0.03),
            "b12",
            "b15",
        ),
        mean_evidence(agreement["full"][:, -1, MINIBATCH]),
    )
    yield (
        claim(
            f"noise_{name}",
            "The noise of minibatches keeps the common sign alive: trained by them, from the same "
            "start at the same rate, a network has more of it in gradients of all examples too "
            f"({name}).",
            "agreement of full-batch gradients, mean over layers, last step, minibatches - full "
            "batches",
            above(0.02),
            "b4",
            "b12",
        ),
        mean_evidence(agreement["mini"][:, -1, ALL] - agreement["full"][:, -1, ALL]),
    )
    later = results.steps >= LATER
    gap = agreement["large"][:, later, ALL] - agreement["full"][:, later, ALL]
    yield (
        claim(
            f"oscillation_{name}",
            "The common sign comes of oscillating, too: full-batch steps large enough to oscillate "
            f"keep it in gradients of all examples ({name}).",
            f"agreement of full-batch gradients, mean over layers and recorded steps from {LATER} "
            "on, large steps - small steps",
            above(0.05),
            "b4",
        ),
        mean_evidence(gap.mean(axis=1)),
    )
