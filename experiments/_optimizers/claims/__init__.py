"""The claims on optimizers: sentence, statistic, rule, and what decides them.

One module a question. Ratios are geometric means over seeds of paired ratios, with bootstrap
intervals.
"""

from experiments._optimizers.claims.centralization import centralization_claims
from experiments._optimizers.claims.controls import control_claims
from experiments._optimizers.claims.directions import direction_claims
from experiments._optimizers.claims.gains import gain_claims, minibatch_claims
from experiments._optimizers.claims.headline import answer as answer
from experiments._optimizers.claims.turns import turn_claims
from experiments._optimizers.results import Results
from experiments._stated import decide_stated
from signdyn.claims import Finding

PARTS = (
    gain_claims,
    turn_claims,
    direction_claims,
    centralization_claims,
    control_claims,
    minibatch_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
