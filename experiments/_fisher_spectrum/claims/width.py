"""How the largest eigenvalue grows with width, and what mean-field theory says."""

import numpy as np

from experiments._fisher_spectrum.claims.common import WIDTH
from experiments._fisher_spectrum.results import Results, slopes, theory
from experiments._stated import Stated
from signdyn.claims import Claim, above, below, mean_evidence, ratio_evidence, within


def growth_claims(results: Results) -> Stated:
    widths = results.widths
    times = f"{widths[-1] / widths[0]:g} times the width"
    told = {
        "relu": ("relu", "A ReLU network's lambda_max", within(0.85, 1.15), "in proportion to"),
        "tanh": ("tanh", "With random biases a tanh network's lambda_max", above(0.7), "with"),
    }
    for name, (setting, subject, rule, how) in told.items():
        raw, centered = (results.random(setting, "lambda_max", arm) for arm in ("raw", "centered"))
        yield (
            Claim(
                f"{name}_grows",
                ("b8", "b14"),
                f"{subject} grows {how} its width.",
                "slope of log lambda_max over log width, raw",
                rule,
                WIDTH,
            ),
            mean_evidence(slopes(widths, raw)),
        )
        yield (
            Claim(
                f"{name}_centered",
                ("b5", "b8"),
                f"{subject} does not grow once each hidden unit's mean is subtracted.",
                f"lambda_max, largest / smallest width, centered: {times}",
                below(1.5),
                WIDTH,
            ),
            ratio_evidence(centered[:, -1], centered[:, 0]),
        )
    biased = [results.random("tanh", "lambda_max", arm)[:, -1] for arm in ("raw", "centered")]
    yield (
        Claim(
            "tanh_is_centered",
            ("b5", "b11"),
            "tanh takes both signs, so its units are centered: subtracting their means takes "
            "less than a tenth of lambda_max away, random biases or not.",
            "share of lambda_max that centering takes away, tanh with random biases, "
            f"width {widths[-1]}",
            below(0.1),
            WIDTH,
        ),
        mean_evidence(1.0 - biased[1] / biased[0]),
    )
    unbiased = results.random("tanh without biases", "lambda_max")
    yield (
        Claim(
            "tanh_without_biases",
            ("b5", "b11"),
            "Without biases a tanh network's lambda_max does not grow with its width.",
            f"lambda_max, largest / smallest width, raw: {times}",
            below(1.5),
            WIDTH,
        ),
        ratio_evidence(unbiased[:, -1], unbiased[:, 0]),
    )


def mean_field_claims(results: Results) -> Stated:
    told = {
        "lambda_max": ("lambda_max", "lambda_max", "largest eigenvalue"),
        "mean_eigenvalue": ("mean", "mean", "mean eigenvalue"),
        "mean_square_eigenvalue": ("second_moment", "mean_square", "mean square eigenvalue"),
        "kappa_2": ("kappa2", "kappa_2", "coefficient kappa_2, from the overlaps of activations"),
    }
    width = results.widths[-1]
    # the readout's squared length alone varies by sqrt(2 / width), a tenth, from seed to seed: the
    # mean of 16 is known to about 6%, so that the quick run may leave these open
    for setting in ("relu", "tanh"):
        (predicted,) = theory(setting, results.widths[-1:])
        for name, (field, short, words) in told.items():
            measured = results.random(setting, name)[:, -1]
            expected = np.full_like(measured, getattr(predicted, field))
            yield (
                Claim(
                    f"{setting}_{short}",
                    ("b8", "b14"),
                    f"Mean-field theory predicts the {words} of a random {setting} network "
                    "within 10%.",
                    f"measured / predicted, width {width}",
                    within(0.9, 1.1),
                    WIDTH,
                ),
                ratio_evidence(measured, expected),
            )
