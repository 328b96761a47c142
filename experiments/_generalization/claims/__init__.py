"""The claims on generalizing and on reach: sentence, statistic, rule, and what decides them.

One module a question. Ratios are geometric means over seeds of paired ratios, with bootstrap
intervals.
"""

from experiments._generalization.claims.controls import control_claims, flip_claims
from experiments._generalization.claims.headline import answer as answer
from experiments._generalization.claims.matched import generalization_claims, optimization_claims
from experiments._generalization.claims.reach import dimension_claims, reach_claims
from experiments._generalization.results import Results
from experiments._stated import decide_stated
from signdyn.claims import Finding

PARTS = (
    generalization_claims,
    optimization_claims,
    reach_claims,
    dimension_claims,
    flip_claims,
    control_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
