"""The same changes, each network at its own best rate."""

import numpy as np

from experiments._sigmoid_vs_tanh.claims.common import (
    COUNTED,
    MATTERS,
    PLAYGROUND,
    RATES,
    pooled_factor,
)
from experiments._sigmoid_vs_tanh.plan import PATH
from experiments._sigmoid_vs_tanh.results import Results
from experiments._stated import Stated, evidence_of_ratios, geometric_mean
from signdyn.claims import Claim, above, below, mean_evidence, ratio_evidence


def best_rate_claims(results: Results) -> Stated:
    best, usual = (
        geometric_mean(
            [
                results.factor("scale", name, best=best) * results.factor("slope", name, best=best)
                for name in results.raced
            ]
        )
        for best in (True, False)
    )
    at_best = "steps to target at best rates"
    yield (
        Claim(
            "best_lead",
            ("b11",),
            "tanh is faster, too, when each has the learning rate that is best for it.",
            f"{at_best}, sigmoid / tanh, from the same drawn weights; {COUNTED}",
            above(1.0),
            RATES,
        ),
        evidence_of_ratios(pooled_factor(results, "all", best=True)),
    )
    yield (
        Claim(
            "best_start",
            ("b11",),
            "At best rates the start is a part of that.",
            f"{at_best}, sigmoid from the drawn weights / sigmoid matched to tanh; {COUNTED}",
            MATTERS,
            RATES,
        ),
        evidence_of_ratios(pooled_factor(results, "start", best=True)),
    )
    yield (
        Claim(
            "best_centering",
            ("b5", "b8", "b11"),
            "At best rates centering the sigmoid does cut the steps.",
            f"{at_best}, sigmoid(z) / sigmoid(z) - 1/2",
            above(1.0),
            RATES,
        ),
        evidence_of_ratios(pooled_factor(results, "centering", best=True)),
    )
    yield (
        Claim(
            "best_disguise",
            ("b11",),
            "Most of what slope and scale cost at the playground's rate is that rate: best rates "
            "cut the factor by half or more.",
            "steps to target, sigmoid(z) - 1/2 / tanh(z): at best rates / at the playground's",
            below(0.5),
            RATES,
        ),
        ratio_evidence(best, usual),
    )


def curvature_claims(results: Results) -> Stated:
    caps = [
        results.plan.setting.learning_rate * results.start(name, arm, "lambda_max") / 2.0
        for name in results.datasets
        for arm in PATH
    ]
    yield (
        Claim(
            "rate_far_below",
            ("b8", "b11"),
            "The playground's rate is less than a tenth of what curvature allows at the start, "
            "2 / lambda_max, in all networks on the way from sigmoid to tanh.",
            "learning rate x lambda_max / 2, largest over networks and data sets",
            below(0.1),
            RATES,
        ),
        mean_evidence(np.max(caps, axis=0)),
    )
    ratios = [
        results.start(name, "sigmoid", "lambda_max") / results.start(name, "shifted", "lambda_max")
        for name in results.datasets
    ]
    yield (
        Claim(
            "lambda_centering",
            ("b5", "b8"),
            "Centering the sigmoid lowers the largest eigenvalue of the Fisher at the start.",
            "lambda_max, sigmoid(z) / sigmoid(z) - 1/2",
            above(1.0),
            RATES,
        ),
        evidence_of_ratios(geometric_mean(ratios)),
    )


def other_claims(results: Results) -> Stated:
    name = results.plan.other
    if name is None:
        return
    (dataset,) = results.datasets
    yield (
        Claim(
            f"lead_over_{name}",
            ("b11",),
            f"In the address's setting tanh trains faster than {name}.",
            f"steps to target, {name} / tanh, from the same drawn weights",
            above(1.0),
            PLAYGROUND,
        ),
        ratio_evidence(results.steps(dataset, name), results.steps(dataset, "tanh")),
    )
