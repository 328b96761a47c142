"""What makes weights negative: gradients of both signs, leaky or not."""

import numpy as np

from experiments._negative_weights.arms import SLOPE
from experiments._negative_weights.claims.common import MIRROR, NETWORKS, SHARES
from experiments._negative_weights.results import Results
from experiments._stated import Stated
from signdyn.claims import (
    Claim,
    above,
    always,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
    within,
)


def gradient_claims(results: Results) -> Stated:
    shares = {part: results.share(part, "positive") for part in NETWORKS}
    after_two = shares["perceptron"][:, results.mark_within("perceptron", 2)]
    yield (
        Claim(
            "first_steps",
            ("a3",),
            "From kernels that all start positive, without weight decay, every layer of the "
            "perceptron has negative weights after two steps of SGD.",
            "share of the layers that have any after two steps",
            always(1.0),
            SHARES,
        ),
        exact_evidence((after_two > 0).mean(axis=1)),
    )
    yield (
        Claim(
            "arises",
            ("a3", "a1"),
            "From kernels that all start positive, without weight decay, at least a tenth of every "
            "layer's weights become negative, in the perceptron and in the ConvNet.",
            "share of weights below zero after training, smallest over layers of both networks, "
            "positive start, no decay",
            above(0.1),
            SHARES,
        ),
        mean_evidence(np.min([s[:, -1].min(axis=1) for s in shares.values()], axis=0)),
    )
    share = results.share_of_all("convnet", "positive")
    yield (
        Claim(
            "epochs",
            ("a1", "a3"),
            "From a positive start weights go on becoming negative for many epochs: the ConvNet "
            "has more such weights after training than after the first epoch.",
            "share of weights below zero, after training / after the first epoch, positive start, "
            "no decay",
            above(1.0),
            SHARES,
        ),
        ratio_evidence(share[:, -1], share[:, results.mark_within("convnet", results.epoch)]),
    )
    yield (
        Claim(
            "deltas",
            ("a3",),
            "The gradient that arrives at a hidden layer from those above has both signs, even "
            "where all weights above are positive.",
            "share of the rarer sign among deltas of the first batch, smallest over hidden layers "
            "of both networks, positive start",
            above(0.1),
        ),
        mean_evidence(np.min([_rarer_sign(results, part) for part in NETWORKS], axis=0)),
    )
    later = [results.share_of_all(part, "positive", first=1)[:, -1] for part in NETWORKS]
    yield (
        Claim(
            "later_stay",
            ("a5",),
            "Without leaky ReLU, weights after the first layer stay non-negative however long one "
            "trains.",
            "share of weights below zero after the first layer, larger of the two networks', "
            "positive start, no decay",
            always(0.0),
            SHARES,
        ),
        exact_evidence(np.max(later, axis=0)),
    )


def _rarer_sign(results: Results, part: str) -> np.ndarray:
    positive = results.value(part, "positive", "positive_deltas")[:, 0, :-1]
    return np.minimum(positive, 1.0 - positive).min(axis=1)


def leaky_claims(results: Results) -> Stated:
    leaky, relu = (
        results.share_of_all("perceptron", arm, first=1)[:, -1] for arm in ("leaky", "positive")
    )
    where = "share of weights below zero after the first layer, positive start, no decay"
    yield (
        Claim(
            "leaky_brings",
            ("a6", "a5"),
            "It takes a leaky ReLU to bring negative weights to layers after the first: with one "
            "there are twice as many at least.",
            f"{where}, leaky (slope {SLOPE:g}) / ReLU",
            above(2.0),
            MIRROR,
        ),
        ratio_evidence(leaky, relu),
    )
    yield (
        Claim(
            "leaky_same",
            ("a6",),
            "A leaky ReLU changes the share of negative weights in layers after the first by less "
            "than five in a hundred.",
            f"{where}, leaky (slope {SLOPE:g}) minus ReLU",
            within(-0.05, 0.05),
            MIRROR,
        ),
        mean_evidence(leaky - relu),
    )
