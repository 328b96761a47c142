"""The claims on when weights move together: sentence, statistic, rule, and what decides them.

One module a question. Means over seeds have bootstrap intervals. Agreement: of two weights of a
unit, the share of pairs whose gradients have one sign, 1/2 for random signs.
"""

from experiments._sign_coherence.claims.batches import batch_claims
from experiments._sign_coherence.claims.controls import control_claims
from experiments._sign_coherence.claims.convolution import convolution_claims
from experiments._sign_coherence.claims.deltas import delta_claims
from experiments._sign_coherence.claims.headline import answer as answer
from experiments._sign_coherence.claims.layers import layer_claims
from experiments._sign_coherence.claims.scopes import scope_claims
from experiments._sign_coherence.claims.training import training_claims
from experiments._sign_coherence.results import Results
from experiments._stated import decide_stated
from signdyn.claims import Finding

PARTS = (
    batch_claims,
    layer_claims,
    scope_claims,
    delta_claims,
    training_claims,
    convolution_claims,
    control_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
