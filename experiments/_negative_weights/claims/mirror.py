"""Inputs and hidden units negated, with the weights that read them."""

import numpy as np

from experiments._negative_weights.claims.common import MIRROR
from experiments._negative_weights.networks import Network, mirrored, negate_hidden
from experiments._negative_weights.problem import xor
from experiments._negative_weights.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, always, exact_evidence, mean_evidence, within


def mirror_claims(results: Results) -> Stated:
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
