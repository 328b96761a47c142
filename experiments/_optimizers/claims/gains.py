"""What each optimizer gains from centering."""

import numpy as np

from experiments._optimizers.claims.common import GAINS, RATES, WORDS
from experiments._optimizers.plan import MAIN, Course
from experiments._optimizers.results import COMMON, Results
from experiments._stated import NO_DIFFERENCE, Stated, evidence_if_run, evidence_of_ratios
from signdyn.claims import Claim, Evidence, above, ratio_evidence

FOLK = {
    "momentum": "Momentum averages the zig-zag away, so centering is no longer needed.",
    "adam": "Adam rescales every coordinate, so centering is no longer needed.",
    "sign_descent": "Sign descent sees no sizes, so a mean in the inputs does not matter to it.",
}


def gain(results: Results, course: Course) -> np.ndarray:
    """Return [seed] steps of raw over steps of centered, each at its best rate."""
    raw, centered = (results.at_best("steps", course, arm) for arm in ("raw", "centered"))
    return raw / centered


def gain_claims(results: Results) -> Stated:
    plain = gain(results, Course(MAIN, "sgd"))
    for optimizer, words in WORDS.items():
        yield (
            Claim(
                f"gain_{optimizer}",
                ("b4", "b5"),
                f"Centering inputs and hidden units cuts the steps to the target under {words}.",
                "steps to target, raw / centered, each at its own best rate",
                above(1.0),
                GAINS,
            ),
            evidence_of_ratios(gain(results, Course(MAIN, optimizer))),
        )
    for optimizer, sentence in FOLK.items():
        yield (
            Claim(
                f"folk_{optimizer}",
                ("b5", "b8"),
                sentence,
                f"steps to target, raw / centered, {WORDS[optimizer]}, best rates",
                NO_DIFFERENCE,
                GAINS,
            ),
            evidence_of_ratios(gain(results, Course(MAIN, optimizer))),
        )
        yield (
            Claim(
                f"less_{optimizer}",
                ("b5", "b8"),
                f"Centering is worth less under {WORDS[optimizer]} than under plain gradient "
                "descent.",
                f"gain from centering, plain gradient descent / {WORDS[optimizer]}",
                above(1.0),
                GAINS,
            ),
            evidence_of_ratios(plain / gain(results, Course(MAIN, optimizer))),
        )
    for optimizer in ("momentum", "adam"):

        def common_ratio(optimizer: str = optimizer) -> Evidence:
            return ratio_evidence(*results.at_common_rate(Course(MAIN, optimizer)))

        yield (
            Claim(
                f"common_rate_{optimizer}",
                ("b5",),
                f"Centering speeds {WORDS[optimizer]} up by more than a quarter at one and the "
                f"same small rate, raw's best / {2**COMMON}.",
                f"steps to target, raw / centered, both at raw's best rate / {2**COMMON}",
                above(1.25),
                RATES,
            ),
            evidence_if_run(common_ratio, "ratio"),
        )


def minibatch_claims(results: Results) -> Stated:
    if not results.batch_size:
        return
    yield (
        Claim(
            "gain_minibatch",
            ("b4", "b5"),
            f"With minibatches of {results.batch_size}, too, centering cuts the steps of momentum.",
            "steps to target, raw / centered, momentum with minibatches, best rates",
            above(1.0),
            GAINS,
        ),
        evidence_of_ratios(gain(results, Course(MAIN, "momentum", minibatch=True))),
    )
