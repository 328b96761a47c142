"""The claims on negative weights: sentence, statistic, rule, and what decides them.

Each function states claims and returns them with their evidence; the rules do not depend on
the evidence. Sentences of the thread are stated as they are told there, for the measurement to
decide. Ratios are geometric means over seeds of paired ratios, with bootstrap intervals.
"""

import math
from collections.abc import Iterator

import numpy as np

from experiments._negative_weights.arms import DECAYS, RATE, SLOPE, STRONG_DECAY
from experiments._negative_weights.networks import (
    Network,
    falls,
    interaction,
    mirrored,
    negate_hidden,
)
from experiments._negative_weights.problem import xor
from experiments._negative_weights.results import Results
from signdyn.claims import (
    SUPPORTED,
    Claim,
    Evidence,
    Finding,
    above,
    always,
    below,
    decide,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
    within,
)

SHARES, MIRROR, DECAY, SYNAPSES = "shares", "mirror", "decay", "synapses"
"""Figures."""

NETWORKS = {"convnet": "ConvNet", "perceptron": "perceptron"}

STRONG = f"decay_{STRONG_DECAY:g}"

Stated = Iterator[tuple[Claim, Evidence]]


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    parts = (_common, _gradients, _decay, _inverted, _leaky, _synapses, _held_digits, _controls)
    stated = [pair for part in parts for pair in part(results)]
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = ("convnet_half", "arises", "deltas", "decay_alone", "held_xor")
    open_ones = [id for id in told if by_id[id].verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    return (
        f"Yes: {effect['convnet_half']:.0%} of a trained ReLU ConvNet's weights are negative, and "
        "from kernels that all start positive, without weight decay, "
        f"{effect['arises']:.0%} or more of every layer's become so. What moves them is the "
        "gradient, whose deltas have both signs; weight decay alone flips none."
    )


def _common(results: Results) -> Stated:
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


def _gradients(results: Results) -> Stated:
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
            "share of weights below zero after the first layer, smaller of the two networks', "
            "positive start, no decay",
            always(0.0),
            SHARES,
        ),
        exact_evidence(np.min(later, axis=0)),
    )


def _rarer_sign(results: Results, part: str) -> np.ndarray:
    positive = results.value(part, "positive", "positive_deltas")[:, 0, :-1]
    return np.minimum(positive, 1.0 - positive).min(axis=1)


def _decay(results: Results) -> Stated:
    yield (
        Claim(
            "decay_alone",
            ("a2",),
            "Control: weight decay without data changes the sign of no weight.",
            "weights of another sign than at the start, after training",
            always(0.0),
            DECAY,
            control=True,
        ),
        exact_evidence(results.value("perceptron", "decay_alone", "flipped")[:, -1].sum(axis=1)),
    )
    every = (results.share_of_all("perceptron", arm)[:, -1] for arm in ("positive", STRONG))
    yield (
        Claim(
            "decay_needed",
            ("a2",),
            "It is weight decay that makes weights negative: without it, from a positive start, "
            f"there are not half as many as with a decay of {STRONG_DECAY:g}.",
            "share of weights below zero after training, no decay / decay",
            below(0.5),
            DECAY,
        ),
        ratio_evidence(*every),
    )
    yield (
        Claim(
            "decay_half",
            ("a2",),
            "Weight decay prefers weights centered on zero: with it, half of every layer's weights "
            "become negative.",
            f"share of weights below zero after training, smallest over layers, positive start, "
            f"decay {STRONG_DECAY:g}",
            within(0.45, 0.55),
            DECAY,
        ),
        mean_evidence(results.share("perceptron", STRONG)[:, -1].min(axis=1)),
    )
    yield (
        Claim(
            "decay_forgets",
            ("a2",),
            "What weight decay does is to let the start be forgotten: the output layer's mean "
            "weight, which no gradient of a softmax moves, decays as (1 - rate x decay)^steps.",
            "largest |mean output weight over its start - (1 - rate x decay)^steps| over marks and "
            "decays, 0 included",
            below(0.01),
            DECAY,
        ),
        exact_evidence(_off_law(results)),
    )


def decay_law(results: Results, decay: float) -> np.ndarray:
    """Return [mark] what weight decay alone leaves of a weight, in shares of its start."""
    return (1.0 - RATE * decay) ** results.marks("perceptron")


def _off_law(results: Results) -> np.ndarray:
    arms = {0.0: "positive", **{decay: f"decay_{decay:g}" for decay in DECAYS}}
    off = [
        np.abs(results.mean_weight(arm)[..., -1] - decay_law(results, decay)).max(axis=1)
        for decay, arm in arms.items()
    ]
    return np.max(off, axis=0)


def _inverted(results: Results) -> Stated:
    sites = {
        "input": ("inputs", "first layer", slice(None, 1)),
        "hidden": ("outputs of hidden ReLU units", "next layers", slice(1, None)),
    }
    for site, (what, where, layers) in sites.items():
        arm = f"{site}_inverted"
        losses = [results.value("perceptron", name, "loss") for name in ("positive", arm)]
        yield (
            Claim(
                f"{site}_loss",
                ("a4",),
                f"Negating {what}, and the weights that read them, changes training by no bit.",
                "largest |loss difference| over steps, all negated against none, nats",
                always(0.0),
                MIRROR,
            ),
            exact_evidence(np.abs(losses[1] - losses[0]).max(axis=1)),
        )
        negative, positive = (
            results.value("perceptron", name, sign)[..., layers]
            for name, sign in ((arm, "negative"), ("positive", "positive"))
        )
        yield (
            Claim(
                f"{site}_share",
                ("a4",),
                f"With {what} negated, as many weights of the {where} are negative as were "
                "positive: the two shares add up to 1, exact zeros left out.",
                "largest |number below zero - number that was above zero| over layers and marks",
                always(0.0),
                MIRROR,
            ),
            exact_evidence(np.abs(negative - positive).max(axis=(1, 2))),
        )
    yield (
        Claim(
            "hidden_plain",
            ("a4",),
            "As with inputs, so with hidden ReLU units: negating all weights into and out of them "
            "leaves the function alone.",
            "largest |logit change| of the networks trained on XOR",
            always(0.0),
        ),
        exact_evidence(results.of_networks("xor", "free", _change_when_negated)),
    )
    yield (
        Claim(
            "as_common",
            ("a4",),
            "As negative weights are as possible as positive ones, they are as common in the first "
            "layer after training.",
            "share of first-layer weights below zero after training, positive start, no decay",
            within(0.45, 0.55),
            MIRROR,
        ),
        mean_evidence(results.share("perceptron", "positive")[:, -1, 0]),
    )


def _change_when_negated(network: Network) -> float:
    x = mirrored(xor().x_train)
    return float(np.abs(negate_hidden(network)(x) - network(x)).max())


def _leaky(results: Results) -> Stated:
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


def _synapses(results: Results) -> Stated:
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


def _held_digits(results: Results) -> Stated:
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


def _controls(results: Results) -> Stated:
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
