"""Where updates point: along the mean, and with how common a sign."""

import numpy as np

from experiments._optimizers.claims.common import RATES, TURNS, WORDS
from experiments._optimizers.plan import MAIN, OPTIMIZERS, Course
from experiments._optimizers.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, always, exact_evidence, mean_evidence


def direction_claims(results: Results) -> Stated:
    for optimizer in ("adam", "sign_descent"):
        words = WORDS[optimizer]
        raw, flipped = (
            results.at_best("coherence", Course(MAIN, optimizer), arm) for arm in ("raw", "flipped")
        )
        yield (
            Claim(
                f"along_mean_{optimizer}",
                ("b5", "b8"),
                f"Rescaling coordinates does not take {words} off the inputs' mean, which is no "
                "coordinate: a tenth and more of what its first layer's updates move lies along "
                f"that one of {results.fan_in} directions.",
                "share of the kernel update's energy along the inputs' mean, first layer, raw",
                above(0.1),
                TURNS,
            ),
            mean_evidence(results.at_best("along_mean", Course(MAIN, optimizer), "raw")),
        )
        yield (
            Claim(
                f"coherence_{optimizer}",
                ("b4", "b7"),
                f"Flipping random signs destroys the common sign of the updates of {words} (first "
                "layer).",
                "sign coherence of the update, raw minus flipped, mean until the target",
                above(0.1),
            ),
            mean_evidence(raw - flipped),
        )
    yield (
        Claim(
            "flip_exact",
            ("b4", "a4"),
            "And changes nothing else: with plain gradient descent, momentum, Adam and sign "
            "descent the loss is the same at every step and rate, bit for bit.",
            "largest |loss difference|, raw and flipped, over optimizers, rates and steps, nats",
            always(0.0),
            RATES,
        ),
        exact_evidence(
            np.max([results.flip_gap(Course(MAIN, name)) for name in OPTIMIZERS], axis=0)
        ),
    )
    yield (
        Claim(
            "flip_exact_path",
            ("b4",),
            "Turns of updates and gradients, tortuosity and the share along the mean are the same "
            "bit for bit, too.",
            "largest difference of a path's measures, raw and flipped, over optimizers and rates",
            always(0.0),
        ),
        exact_evidence(
            np.max([results.flip_gap_of_path(Course(MAIN, name)) for name in OPTIMIZERS], axis=0)
        ),
    )
