"""Weights held at zero or above, as numbers of synapses are."""

import math

import numpy as np

from experiments._negative_weights.claims.common import SYNAPSES
from experiments._negative_weights.networks import falls, interaction
from experiments._negative_weights.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, always, below, exact_evidence, ratio_evidence


def synapse_claims(results: Results) -> Stated:
    loss = {arm: results.value("xor", arm, "final_train_loss") for arm in results.arms("xor")}
    right = {arm: results.value("xor", arm, "final_train_accuracy") for arm in loss}
    yield (
        Claim(
            "held_xor",
            ("a8",),
            "With all weights held at zero or above, a ReLU network learns nothing of XOR: its "
            "loss stays that of a constant.",
            "|training loss - ln 2| after training, nats",
            below(1e-3),
            SYNAPSES,
        ),
        exact_evidence(np.abs(loss["held"] - math.log(2.0))),
    )
    for arm, sentence in (
        (
            "later",
            "With its later layer held at zero or above and the first one free, a ReLU network "
            "solves XOR.",
        ),
        (
            "mirrored",
            "With all weights held at zero or above, but x and -x as inputs, a ReLU network solves "
            "XOR.",
        ),
        ("free", "Control: with no weight held, the network solves XOR."),
    ):
        yield (
            Claim(
                f"{arm}_xor",
                ("a8",),
                sentence,
                "share of the four points that are right after training",
                always(1.0),
                SYNAPSES,
                control=arm == "free",
            ),
            exact_evidence(right[arm]),
        )


def held_digit_claims(results: Results) -> Stated:
    arms = {
        "free": ("perceptron", "positive"),
        "plain": ("held", "plain"),
        "mirrored": ("held", "mirrored"),
    }
    loss = {arm: results.value(*place, "final_train_loss") for arm, place in arms.items()}
    yield (
        Claim(
            "held_loss",
            ("a8",),
            f"On {results.data_name}, holding all weights at zero or above costs training loss, "
            "from the same start.",
            "training loss after training, held / free",
            above(1.0),
            SYNAPSES,
        ),
        ratio_evidence(loss["plain"], loss["free"]),
    )
    yield (
        Claim(
            "mirrored_loss",
            ("a8",),
            f"On {results.data_name} a network whose weights are held at zero or above does better "
            "if it reads -x as well.",
            "training loss after training, held with x and -x / held",
            below(1.0),
            SYNAPSES,
        ),
        ratio_evidence(loss["mirrored"], loss["plain"]),
    )
    yield (
        Claim(
            "held_rises",
            ("a8",),
            "With all weights held at zero or above, no output falls when inputs grow.",
            "share of (pair of inputs, output) in which the output falls",
            always(0.0),
        ),
        exact_evidence(results.of_networks("held", "plain", falls)),
    )
    yield (
        Claim(
            "held_interaction",
            ("a8",),
            "With all weights held at zero or above, what one growth of inputs adds to an output "
            "never becomes less after another one, as XOR would need.",
            "least f(x+d+e) - f(x+d) - f(x+e) + f(x) over inputs and outputs, over the largest |f|",
            above(-1e-9),
        ),
        exact_evidence(results.of_networks("held", "plain", interaction)),
    )
