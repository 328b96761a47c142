"""What centering does that scaling does not."""

import numpy as np

from experiments._centering.claims.common import NO_MORE, SCALE, STEPS, steps_to_target
from experiments._centering.plan import NORM_ACTIVATION
from experiments._centering.results import Results, condition_numbers
from experiments._stated import Stated
from signdyn.claims import Claim, above, below, exact_evidence, mean_evidence, ratio_evidence


def scale_claims(results: Results) -> Stated:
    names = ("none", "scaled", "input", "both", "standardized", "whitened")
    steps = {arm: steps_to_target(results, NORM_ACTIVATION, arm) for arm in names}
    yield (
        Claim(
            "scale_alone",
            ("b5",),
            "Scaling does it: dividing every input by its standard deviation, without centering, "
            "leaves hardly more steps than centering inputs.",
            f"{STEPS}, inputs scaled / inputs centered ({NORM_ACTIVATION})",
            below(NO_MORE),
            SCALE,
        ),
        ratio_evidence(steps["scaled"], steps["input"]),
    )
    yield (
        Claim(
            "scale_centered",
            ("b5", "b8"),
            "Once everything is centered, dividing inputs by their standard deviations saves more.",
            f"{STEPS}, both / both and inputs standardized ({NORM_ACTIVATION})",
            above(1.0),
            SCALE,
        ),
        ratio_evidence(steps["both"], steps["standardized"]),
    )
    yield (
        Claim(
            "mean_part_steps",
            ("b5", "b8"),
            "The mean is most of it: of the factor in steps that centering and whitened inputs "
            "save together, centering alone saves more than half, in logarithms.",
            f"log(none / both) / log(none / both and inputs whitened), {STEPS} ({NORM_ACTIVATION})",
            above(0.5),
            SCALE,
        ),
        mean_evidence(
            np.log(steps["none"] / steps["both"]) / np.log(steps["none"] / steps["whitened"]),
        ),
    )
    raw, centered = (condition_numbers(results, arm) for arm in ("none", "both"))
    yield (
        Claim(
            "mean_part_kappa",
            ("b8", "b14"),
            "The mean is most of the inputs' condition number, too: more than half of its "
            "logarithm is gone with the mean.",
            "1 - log(kappa centered) / log(kappa raw) of E[(x, 1)(x, 1)^T]",
            above(0.5),
            SCALE,
        ),
        exact_evidence(1.0 - np.log(centered) / np.log(raw)),
    )
