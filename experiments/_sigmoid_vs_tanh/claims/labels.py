"""Whether labels of -1 and 1 are what makes it faster."""

import numpy as np

from experiments._sigmoid_vs_tanh.claims.common import COUNTED, LABELS, largest_difference
from experiments._sigmoid_vs_tanh.claims.lead import lead
from experiments._sigmoid_vs_tanh.results import Results
from experiments._stated import NO_DIFFERENCE, Stated, evidence_of_ratios
from signdyn.claims import Claim, always, below, exact_evidence, mean_evidence


def label_claims(results: Results) -> Stated:
    yield (
        Claim(
            "labels_same",
            ("b11",),
            "The coding of the labels is a learning rate, too: with 0 and 1 for -1 and 1, and the "
            "output unit scaled and shifted along, four times the rate gives the same losses, bit "
            "for bit.",
            "largest |loss difference| over all looks and data sets, tanh units, nats",
            always(0.0),
            LABELS,
        ),
        exact_evidence(largest_difference(results, "tanh", "labels01_rate")),
    )
    for name in results.datasets:
        yield (
            Claim(
                f"labels_are_why_{name}",
                ("b11",),
                "tanh is faster because the labels are -1 and 1: with labels 0 and 1 and a sigmoid "
                f"for the output unit it has no lead ({name}).",
                f"steps to target, sigmoid / tanh units, labels 0 and 1; {COUNTED}",
                NO_DIFFERENCE,
                LABELS,
            ),
            evidence_of_ratios(lead(results, name, "01")),
        )
    shares = [
        1.0 - np.log(lead(results, name, "01")) / np.log(lead(results, name))
        for name in results.datasets
    ]
    yield (
        Claim(
            "labels_share",
            ("b11",),
            "Labels -1 and 1 make less than a quarter of tanh's lead.",
            "1 - log of the lead with labels 0 and 1 / log of the lead, mean over data sets",
            below(0.25),
            LABELS,
        ),
        mean_evidence(np.mean(shares, axis=0)),
    )
