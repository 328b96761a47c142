"""Negative controls: decay without data, the same network with other seeds."""

from experiments._negative_weights.networks import falls
from experiments._negative_weights.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, mean_evidence, ratio_evidence, within


def control_claims(results: Results) -> Stated:
    yield (
        Claim(
            "mirrored_falls",
            ("a8",),
            "Control: outputs of a network with held weights that reads -x as well do fall when x "
            "grows.",
            "share of (pair of inputs, output) in which the output falls",
            above(0.01),
            control=True,
        ),
        mean_evidence(results.of_networks("held", "mirrored", falls)),
    )
    yield (
        Claim(
            "again",
            ("a1",),
            "Control: other starts and data orders make no difference to how many weights become "
            "negative.",
            "share of weights below zero after training, positive start / the same, other seeds",
            within(0.8, 1.25),
            control=True,
        ),
        ratio_evidence(
            *(results.share_of_all("perceptron", arm)[:, -1] for arm in ("positive", "again"))
        ),
    )
