"""Negative controls: a network against itself with other seeds, or flipped."""

import numpy as np

from experiments._centering.claims.common import ARMS, STEPS, steps_to_target
from experiments._centering.plan import AGAIN, DOSE_ACTIVATION, SHIFTED, arms
from experiments._centering.results import Results
from experiments._fisher_spectrum.activation import NAMES
from experiments._stated import NO_DIFFERENCE, Stated
from signdyn.claims import Claim, below, exact_evidence, ratio_evidence


def control_claims(results: Results) -> Stated:
    yield (
        Claim(
            "again",
            ("b5",),
            "Control: none and none with other seeds need equally many steps.",
            f"{STEPS}, none / none with other seeds ({DOSE_ACTIVATION})",
            NO_DIFFERENCE,
            ARMS,
            control=True,
        ),
        ratio_evidence(
            steps_to_target(results, DOSE_ACTIVATION, "none"),
            steps_to_target(results, DOSE_ACTIVATION, AGAIN),
        ),
    )
    inputs, both = (steps_to_target(results, DOSE_ACTIVATION, arm) for arm in SHIFTED)
    yield (
        Claim(
            "nothing_to_center",
            ("b5", "b11"),
            "Control: behind centered inputs, where tanh units start with next to no mean, "
            "centering them makes no difference.",
            f"{STEPS}, input / both ({DOSE_ACTIVATION}, from the function of centered inputs)",
            NO_DIFFERENCE,
            ARMS,
            control=True,
        ),
        ratio_evidence(inputs, both),
    )
    gaps = []
    for name in NAMES:
        first = results.start("start_loss", name, "none")
        others = [arm for arm in arms(name) if arm != AGAIN and arm not in SHIFTED]
        gaps += [np.abs(results.start("start_loss", name, arm) - first) for arm in others]
    yield (
        Claim(
            "matched",
            ("b5",),
            "Control: all arms of a seed and an activation start as the same function.",
            "largest |difference of training losses at the start|, nats",
            below(1e-4),
            control=True,
        ),
        exact_evidence(np.max(gaps, axis=0)),
    )
