"""Negative controls: sign flips, other seeds."""

import numpy as np

from experiments._fisher_spectrum.claims.common import SPECTRUM
from experiments._fisher_spectrum.plan import AGAIN_SETTING
from experiments._fisher_spectrum.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, below, mean_evidence, ratio_evidence, within


def control_claims(results: Results) -> Stated:
    apart = []
    for name in results.activations:
        raw, flipped = results.digits(name, "raw"), results.digits(name, "flipped")
        moved = np.abs(raw.eigenvalues - flipped.eigenvalues).max("parameter")
        apart.append((moved / raw.lambda_max).values)
    yield (
        Claim(
            "flip",
            ("b4", "b8"),
            "Flipping the signs of random inputs and hidden units changes no eigenvalue: it "
            "keeps every |E a|.",
            "largest |difference| of sorted eigenvalues / lambda_max, raw against flipped, over "
            "activations",
            below(1e-10),
            SPECTRUM,
        ),
        mean_evidence(np.max(apart, axis=0)),
    )
    first = results.random(AGAIN_SETTING, "lambda_max")[:, -1]
    again = results.random(AGAIN_SETTING, "lambda_max", draws="again")[:, -1]
    yield (
        Claim(
            "again",
            ("b8",),
            "Control: raw against raw with other weights and inputs makes no difference.",
            f"lambda_max, {AGAIN_SETTING}, width {results.widths[-1]}, raw / raw with other seeds",
            within(0.8, 1.25),
            control=True,
        ),
        ratio_evidence(first, again),
    )
