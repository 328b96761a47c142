"""The answer in a paragraph, with this run's numbers."""

from collections.abc import Mapping

from experiments._headline import effects, needed, open_ones, unconfirmed
from signdyn.claims import REFUTED, Finding

DIGITS = ("digits_lambda_relu", "digits_lambda_tanh", "digits_lambda_sigmoid")


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers, sentence by sentence as far as verdicts bear it.

    The mean-field prediction is known to a few percent and may stay open where the rest is clear.
    """
    effect = effects(findings)
    told, lacking = [], []
    for sentence, needs in _sentences(effect):
        odd = open_ones(findings, needs)
        lacking += odd
        told += [] if odd else [sentence]
    if lacking:
        told.append(unconfirmed(lacking) if not told else f"Open: see {', '.join(lacking)}.")
    return " ".join(told)


def _sentences(effect: Mapping[str, float]) -> list[tuple[str, dict[str, str]]]:
    """Return each sentence with the verdicts that its words need."""
    relu, tanh, sigmoid = (effect[id] for id in DIGITS)
    return [
        (
            "A random ReLU network's lambda_max grows in proportion to its width, like "
            f"width^{effect['relu_grows']:.2f}.",
            needed(["relu_grows"]),
        ),
        (
            "At the largest width a random ReLU network's lambda_max is what mean-field theory "
            f"predicts, up to a factor of {effect['relu_lambda_max']:.2f}.",
            needed(["relu_lambda_max"]),
        ),
        (
            "With hidden units centered a random ReLU network's lambda_max does not grow: the "
            f"largest width has {effect['relu_centered']:.2f} times the smallest's.",
            needed(["relu_centered"]),
        ),
        (
            "With random biases tanh has a mean, too, which makes "
            f"{effect['tanh_is_centered']:.0%} of its lambda_max.",
            needed([], tanh_is_centered=REFUTED),
        ),
        (
            "On digits mean inputs alone would make lambda_max, on average up to a factor of "
            f"{effect['mean_lambda_max']:.3f}; centering divides it by {relu:.1f} (relu), "
            f"{tanh:.1f} (tanh), {sigmoid:.1f} (sigmoid).",
            needed(["mean_lambda_max", *DIGITS]),
        ),
    ]
