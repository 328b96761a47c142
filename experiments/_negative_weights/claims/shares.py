"""How many weights are negative, and how many were so from the start."""

import numpy as np

from experiments._negative_weights.claims.common import NETWORKS, SHARES
from experiments._negative_weights.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, mean_evidence, within


def share_claims(results: Results) -> Stated:
    for part, words in NETWORKS.items():
        yield (
            Claim(
                f"{part}_half",
                ("a1",),
                f"About half of all weights of a trained ReLU {words} are negative.",
                "share of weights below zero after training, usual symmetric start",
                within(0.45, 0.55),
                SHARES,
            ),
            mean_evidence(results.share_of_all(part, "symmetric")[:, -1]),
        )
    yield (
        Claim(
            "every_layer",
            ("a1",),
            "In a trained ReLU ConvNet negative weights are common in every layer, convolution or "
            "dense: a quarter at least.",
            "share of weights below zero after training, smallest over layers, symmetric start",
            above(0.25),
            SHARES,
        ),
        mean_evidence(results.share("convnet", "symmetric")[:, -1].min(axis=1)),
    )
    yield (
        Claim(
            "steady",
            ("a1",),
            "A ReLU ConvNet's share of negative weights hardly depends on how many epochs it was "
            "trained.",
            "share of weights below zero, after training minus at the symmetric start",
            within(-0.05, 0.05),
            SHARES,
        ),
        mean_evidence(_change(results.share_of_all("convnet", "symmetric"))),
    )
    yield (
        Claim(
            "from_start",
            ("a1",),
            "Most of the ConvNet's negative weights were negative before the first step, because "
            "usual starts are symmetric.",
            "share of the negative weights after training that started negative",
            above(0.5),
            SHARES,
        ),
        mean_evidence(_started_negative(results, "convnet")),
    )
    yield (
        Claim(
            "biases",
            ("a7",),
            "Trained ReLU networks have negative biases as well, of which all started at zero.",
            "share of biases below zero after training, mean over layers, smaller of the two "
            "networks', symmetric start",
            above(0.1),
        ),
        mean_evidence(np.min([_negative_biases(results, part) for part in NETWORKS], axis=0)),
    )


def _change(shares: np.ndarray) -> np.ndarray:
    return shares[:, -1] - shares[:, 0]


def _started_negative(results: Results, part: str) -> np.ndarray:
    negative, flipped = (
        results.value(part, "symmetric", name).sum(axis=-1) for name in ("negative", "flipped")
    )
    # flipped = to negative + to positive, and the growth of negative is their difference
    to_negative = (flipped[:, -1] + _change(negative)) / 2.0
    return 1.0 - to_negative / negative[:, -1]


def _negative_biases(results: Results, part: str) -> np.ndarray:
    return results.value(part, "symmetric", "negative_biases")[:, -1].mean(axis=1)
