"""How much damping brings the coordinates back."""

import numpy as np
from scipy import stats

from experiments._natural_gradient.claims.common import GAP, LADDER, SAME, WORDS
from experiments._natural_gradient.plan import DAMPINGS, FRAME_DAMPINGS, PAIRS
from experiments._natural_gradient.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, below, exact_evidence, mean_evidence, ratio_evidence


def damping_gaps(results: Results, arm: str) -> np.ndarray:
    """Return [damping, seed] the gaps along the ladder."""
    return np.stack([results.gap("natural", arm, damping) for damping in DAMPINGS])


def damping_claims(results: Results) -> Stated:
    for arm in PAIRS:
        gaps = damping_gaps(results, arm)
        order = [stats.spearmanr(DAMPINGS, column).statistic for column in gaps.T]
        yield (
            Claim(
                f"damping_gradual_{arm}",
                ("b8",),
                f"Damping undoes the invariance gradually, with {WORDS[arm]}: the more, the larger "
                "the difference.",
                "rank correlation of damping and output difference along the ladder",
                above(0.0),
                LADDER,
            ),
            mean_evidence(np.array(order)),
        )
        yield (
            Claim(
                f"damping_breaks_{arm}",
                ("b8",),
                f"At a damping of {DAMPINGS[-1]:g} it depends on coordinates at least half as much "
                f"as gradient descent does, with {WORDS[arm]}.",
                f"{GAP}: natural gradient at a damping of {DAMPINGS[-1]:g} / gradient descent",
                above(0.5),
                LADDER,
            ),
            ratio_evidence(gaps[-1], results.gap("sgd", arm)),
        )
        restored = [results.gap("natural", arm, damping, frame="raw") for damping in FRAME_DAMPINGS]
        yield (
            Claim(
                f"damping_covariant_{arm}",
                ("b8",),
                f"Damping that is carried along with the coordinates restores it, with "
                f"{WORDS[arm]}.",
                f"{GAP}, natural gradient damped in raw's coordinates, largest over dampings",
                below(SAME),
                LADDER,
            ),
            exact_evidence(np.max(restored, axis=0)),
        )
