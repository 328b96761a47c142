"""Whether they zig-zag, and how fast they are."""

from experiments._natural_gradient.claims.common import RACE
from experiments._natural_gradient.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, below, mean_evidence, ratio_evidence, within


def race_claims(results: Results) -> Stated:
    turns = {
        (optimizer, arm): results.at_best(optimizer, arm, "reversal_fraction")
        for optimizer in ("sgd", "natural", "natural_kfac")
        for arm in ("raw", "centered")
    }
    steps = {key: results.at_best(*key) for key in turns}
    yield (
        Claim(
            "race_sgd",
            ("b4", "b5"),
            "Gradient descent needs more steps on the raw network than on the centered one.",
            "steps to target, raw / centered, gradient descent at its best rates",
            above(1.0),
            RACE,
        ),
        ratio_evidence(steps["sgd", "raw"], steps["sgd", "centered"]),
    )
    yield (
        Claim(
            "race_zigzag",
            ("b4", "b8"),
            "On raw data natural gradient's turns go back less often than those of gradient "
            "descent at its best rate.",
            "share of turns with negative cosine until the target on raw, natural - plain",
            below(0.0),
            RACE,
        ),
        mean_evidence(turns["natural", "raw"] - turns["sgd", "raw"]),
    )
    yield (
        Claim(
            "race_no_turns",
            ("b4", "b8"),
            "It hardly ever turns back at all.",
            "share of turns with negative cosine until the target, natural gradient on raw",
            below(0.05),
            RACE,
        ),
        mean_evidence(turns["natural", "raw"]),
    )
    yield (
        Claim(
            "race_sgd_zigzag",
            ("b4",),
            "At its best rate gradient descent zig-zags on the raw network: most turns go back.",
            "share of turns with negative cosine until the target, gradient descent on raw",
            above(0.5),
            RACE,
        ),
        mean_evidence(turns["sgd", "raw"]),
    )
    for other, words in (("raw", "on raw data"), ("centered", "on the centered network")):
        yield (
            Claim(
                "race_steps" if other == "raw" else "race_centered",
                ("b8",),
                f"On raw data it needs fewer steps than gradient descent {words}.",
                f"steps to target, natural gradient on raw / gradient descent {words}",
                below(1.0),
                RACE,
            ),
            ratio_evidence(steps["natural", "raw"], steps["sgd", other]),
        )
    for method, words in (("natural", "Natural gradient"), ("natural_kfac", "K-FAC")):
        yield (
            Claim(
                f"race_blind_{method}",
                ("b8", "b5"),
                f"{words} with a little damping needs as many steps raw as centered.",
                f"steps to target, raw / centered, {method}",
                within(0.9, 1.1),
                RACE,
            ),
            ratio_evidence(steps[method, "raw"], steps[method, "centered"]),
        )
