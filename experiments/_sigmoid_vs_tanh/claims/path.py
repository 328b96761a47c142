"""The way from sigmoid to tanh, one change at a time, all at the playground's rate."""

import numpy as np

from experiments._sigmoid_vs_tanh.claims.common import (
    MATTERS,
    PATHWAY,
    largest_difference,
    pooled_factor,
)
from experiments._sigmoid_vs_tanh.results import Results
from experiments._stated import NO_DIFFERENCE, Stated, evidence_of_ratios, geometric_mean
from signdyn.claims import (
    Claim,
    above,
    always,
    below,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
)


def path_claims(results: Results) -> Stated:
    sentences = {
        "start": "A part of tanh's lead is the start: from the same drawn weights sigmoid units "
        "make another function, from which it takes longer.",
        "scale": "A part of tanh's lead is the scale of the outputs: 2 sigmoid(z) - 1 trains "
        "faster than sigmoid(z) - 1/2.",
        "slope": "A part of tanh's lead is the slope: tanh(z) trains faster than tanh(z / 2) = "
        "2 sigmoid(z) - 1.",
    }
    for change, sentence in sentences.items():
        yield (
            Claim(
                change,
                ("b11",),
                sentence,
                "steps to target, without / with the change",
                MATTERS,
                PATHWAY,
            ),
            evidence_of_ratios(pooled_factor(results, change)),
        )
    drawn, plain = (
        geometric_mean([results.start(name, arm, "spread") for name in results.datasets])
        for arm in ("drawn", "tanh")
    )
    yield (
        Claim(
            "flat_start",
            ("b11", "b9"),
            "From the same drawn weights the network of sigmoid units is the flatter function, by "
            "more than a factor of four.",
            "standard deviation over examples of the output's pre-activation, sigmoid / tanh",
            below(0.25),
            PATHWAY,
        ),
        ratio_evidence(drawn, plain),
    )
    yield (
        Claim(
            "centering",
            ("b5", "b11"),
            "At the playground's rate centering the sigmoid, sigmoid(z) - 1/2, makes no "
            "difference that matters, on average over data sets.",
            "steps to target, sigmoid(z) / sigmoid(z) - 1/2, geometric mean over data sets",
            NO_DIFFERENCE,
            PATHWAY,
        ),
        evidence_of_ratios(pooled_factor(results, "centering")),
    )
    shares = [
        np.log(results.factor("centering", name)) / np.log(results.factor("all", name))
        for name in results.datasets
    ]
    yield (
        Claim(
            "centering_is_why",
            ("b5", "b11"),
            "Sigmoid is slow because it is not zero-centered: centering makes half or more of "
            "tanh's lead.",
            "log of the factor of centering / log of the lead, mean over data sets",
            above(0.5),
            PATHWAY,
        ),
        mean_evidence(np.mean(shares, axis=0)),
    )


def disguise_claims(results: Results) -> Stated:
    yield (
        Claim(
            "in_disguise",
            ("b11", "b8"),
            "Slope and scale are learning rates in disguise: a tanh network whose parameters' "
            "rates are multiplied by their squares has the losses of sigmoid(z) - 1/2, bit for "
            "bit.",
            "largest |loss difference| over all looks and data sets, nats",
            always(0.0),
            PATHWAY,
        ),
        exact_evidence(largest_difference(results, "shifted", "rates")),
    )
