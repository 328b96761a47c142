"""Which optimizers' updates turn back."""

from experiments._optimizers.claims.common import TURNS, WORDS
from experiments._optimizers.plan import MAIN, OPTIMIZERS, Course
from experiments._optimizers.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, below, mean_evidence


def turn_claims(results: Results) -> Stated:
    turns = {
        (name, optimizer): results.at_best(name, Course(MAIN, optimizer), "raw")
        for name in ("reversal_fraction", "gradient_reversals")
        for optimizer in OPTIMIZERS
    }
    share = "share of successive {} with negative cosine until the target, raw at its best rate"
    yield (
        Claim(
            "turns_sgd",
            ("b4",),
            "Plain gradient descent on the raw network zig-zags: most turns go back.",
            share.format("updates"),
            above(0.5),
            TURNS,
        ),
        mean_evidence(turns["reversal_fraction", "sgd"]),
    )
    yield (
        Claim(
            "turns_sign_descent",
            ("b4",),
            "So does sign descent, which has no memory either: a quarter of its turns and more go "
            "back.",
            share.format("updates"),
            above(0.25),
            TURNS,
        ),
        mean_evidence(turns["reversal_fraction", "sign_descent"]),
    )
    for optimizer in ("momentum", "adam"):
        words = WORDS[optimizer]
        yield (
            Claim(
                f"smooth_{optimizer}",
                ("b4",),
                f"The updates of {words} hardly ever turn back, not even on the raw network.",
                share.format("updates"),
                below(0.05),
                TURNS,
            ),
            mean_evidence(turns["reversal_fraction", optimizer]),
        )
        yield (
            Claim(
                f"hidden_{optimizer}",
                ("b4",),
                f"The gradients that {words} averages turn back more often than its updates do: "
                "the path hides a part of the zig-zag.",
                "share of successive gradients with negative cosine, minus that of updates, raw",
                above(0.0),
                TURNS,
            ),
            mean_evidence(
                turns["gradient_reversals", optimizer] - turns["reversal_fraction", optimizer],
            ),
        )
        yield (
            Claim(
                f"calmer_{optimizer}",
                ("b4",),
                f"Yet they alternate less than under plain gradient descent: {words} calms the "
                "zig-zag down, and does not only hide it.",
                f"share of successive gradients with negative cosine, plain - {words}, raw",
                above(0.2),
                TURNS,
            ),
            mean_evidence(
                turns["gradient_reversals", "sgd"] - turns["gradient_reversals", optimizer],
            ),
        )
