"""Gradient centralization, which sees signs and not the mean."""

from experiments._sign_flip.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, ratio_evidence


def centralization_claims(results: Results) -> Stated:
    for activation in results.plan.extras:
        plain, central = (
            {
                arm: results.at_best("steps", "full", activation, arm, optimizer)
                for arm in ("raw", "flipped")
            }
            for optimizer in ("sgd", "centralized_sgd")
        )
        yield (
            Claim(
                f"centralization_helps_{activation}",
                ("b4", "b8"),
                f"Gradient centralization cuts the steps of the raw network ({activation}).",
                "steps to target, plain / centralized, raw",
                above(1.0),
                "centralization",
            ),
            ratio_evidence(plain["raw"], central["raw"]),
        )
        yield (
            Claim(
                f"centralization_flipped_{activation}",
                ("b4", "b8"),
                "Flipping takes that help away: it rests on the outlier pointing along the "
                f"all-ones vector ({activation}).",
                "gain of centralization, raw / flipped",
                above(1.0),
                "centralization",
            ),
            ratio_evidence(plain["raw"] / central["raw"], plain["flipped"] / central["flipped"]),
        )
