"""What "all gradients" ranges over: a unit, a layer's matrix, the network."""

import numpy as np

from experiments._sign_coherence.claims.common import POSITIVE, SCOPES
from experiments._sign_coherence.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, Rule, above, always, exact_evidence, mean_evidence, within


def scope_claims(results: Results) -> Stated:
    def claim(id: str, sentence: str, statistic: str, rule: Rule) -> Claim:
        return Claim(id, ("b1", "b3"), sentence, statistic, rule, SCOPES)

    hidden = slice(None, -1)  # layers whose units are hidden: the readout's deltas are residuals
    layer = [results.start("layer_unanimity", name)[:, hidden] for name in POSITIVE]
    yield (
        claim(
            "layer",
            "On one example all gradients of a layer's matrix have one sign.",
            f"share of examples, mean over hidden layers of {', '.join(POSITIVE)}, start",
            above(0.95),
        ),
        mean_evidence(np.mean(layer, axis=(0, 2))),
    )
    excess = [
        results.start("layer_coherence", name)[:, hidden]
        - results.start("layer_chance", name)[:, hidden]
        for name in POSITIVE
    ]
    yield (
        claim(
            "layer_chance",
            "Within a matrix it is as if each unit tossed a coin for the sign of all its weights.",
            "|sum of signs| / number of signs on one example - what such coins give, mean over the "
            "same layers",
            within(-0.05, 0.05),
        ),
        mean_evidence(np.mean(excess, axis=(0, 2))),
    )
    network = [results.start("network_unanimity", name) for name in POSITIVE]
    yield (
        claim(
            "network",
            "On no example do all gradients of the network have one sign: residuals of softmax "
            "have both.",
            f"share of examples, {', '.join(POSITIVE)}, start",
            always(0.0),
        ),
        exact_evidence(np.stack(network)),
    )
