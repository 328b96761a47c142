"""Dose and response: an offset against the largest eigenvalue."""

import numpy as np

from experiments._fisher_spectrum.claims.common import DOSE
from experiments._fisher_spectrum.plan import DOSE_ACTIVATION, DOSES
from experiments._fisher_spectrum.results import Results, parabola_misfit
from experiments._stated import Stated
from signdyn.claims import Claim, below, mean_evidence, ratio_evidence, within


def dose_claims(results: Results) -> Stated:
    doses, values = np.array(DOSES), results.doses(DOSE_ACTIVATION, "lambda_max")[:, 1:]
    units = results.digits(DOSE_ACTIVATION, "offset", DOSES[-1]).mean_length.values[:, 1:]
    # the mean's |E a|^2 is units x dose^2; below the bias' 1 it is not the spike
    spike = np.min(units) / DOSES[-1] ** 2 * doses**2 > 1.0
    yield (
        Claim(
            "parabola",
            ("b5", "b8"),
            "Adding c to centered hidden units makes lambda_max = a + b c^2, wherever the "
            "units' |E a|^2 exceeds the bias' 1.",
            "largest relative residual of the fit, offsets "
            + ", ".join(f"{dose:g}" for dose in doses[spike]),
            below(0.03),
            DOSE,
        ),
        mean_evidence(parabola_misfit(doses[spike], values[:, spike])),
    )
    largest = results.digits(DOSE_ACTIVATION, "offset", DOSES[-1])
    yield (
        Claim(
            "parabola_predicted",
            ("b8", "b14"),
            "An offset's lambda_max is, within 10%, what it would be if every example had its "
            "layers' mean inputs.",
            f"lambda_max / that of mean inputs, offset {DOSES[-1]:g}",
            within(0.9, 1.1),
            DOSE,
        ),
        ratio_evidence(largest.lambda_max.values, largest.mean_lambda_max.values),
    )
