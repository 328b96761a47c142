"""The claims of the two-weight picture: sentence, statistic, rule, and what decides them.

One module a question. Ratios are geometric means over seeds of paired ratios, with bootstrap
intervals.
"""

from experiments._stated import decide_stated
from experiments._two_weights.claims.cures import (
    control_claims,
    flip_claims,
    natural_gradient_claims,
)
from experiments._two_weights.claims.headline import answer as answer
from experiments._two_weights.claims.quadrants import quadrant_claims
from experiments._two_weights.claims.zigzag import small_step_claims, zigzag_claims
from experiments._two_weights.results import Results
from signdyn.claims import Finding

PARTS = (
    quadrant_claims,
    zigzag_claims,
    small_step_claims,
    natural_gradient_claims,
    flip_claims,
    control_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
