"""The claims on natural gradients: sentence, statistic, rule, and what decides them.

One module a question. Ratios are geometric means over seeds of paired ratios, with bootstrap
intervals.
"""

from experiments._natural_gradient.claims.controls import control_claims
from experiments._natural_gradient.claims.coordinates import approximation_claims, exact_claims
from experiments._natural_gradient.claims.damping import damping_claims
from experiments._natural_gradient.claims.headline import answer as answer
from experiments._natural_gradient.claims.race import race_claims
from experiments._natural_gradient.claims.units import unit_claims
from experiments._natural_gradient.results import Results
from experiments._stated import decide_stated
from signdyn.claims import Finding

PARTS = (
    exact_claims,
    approximation_claims,
    damping_claims,
    unit_claims,
    race_claims,
    control_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
