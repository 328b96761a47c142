"""The claims on negative weights: sentence, statistic, rule, and what decides them.

One module a question. Sentences of the thread are stated as they are told there, for the
measurement to decide. Ratios are geometric means over seeds of paired ratios, with bootstrap
intervals.
"""

from experiments._negative_weights.claims.controls import control_claims
from experiments._negative_weights.claims.decay import decay_claims
from experiments._negative_weights.claims.gradients import gradient_claims, leaky_claims
from experiments._negative_weights.claims.headline import answer as answer
from experiments._negative_weights.claims.mirror import mirror_claims
from experiments._negative_weights.claims.shares import share_claims
from experiments._negative_weights.claims.synapses import held_digit_claims, synapse_claims
from experiments._negative_weights.results import Results
from experiments._stated import decide_stated
from signdyn.claims import Finding

PARTS = (
    share_claims,
    gradient_claims,
    decay_claims,
    mirror_claims,
    leaky_claims,
    synapse_claims,
    held_digit_claims,
    control_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
