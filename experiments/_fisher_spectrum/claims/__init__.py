"""The claims of the Fisher's spectrum: sentence, statistic, rule, and what decides them.

One module a question. Ratios are geometric means over seeds, with bootstrap intervals.
"""

from experiments._fisher_spectrum.claims.controls import control_claims
from experiments._fisher_spectrum.claims.digits import centering_claims, input_claims
from experiments._fisher_spectrum.claims.dose import dose_claims
from experiments._fisher_spectrum.claims.headline import answer as answer
from experiments._fisher_spectrum.claims.kronecker import product_claims
from experiments._fisher_spectrum.claims.width import growth_claims, mean_field_claims
from experiments._fisher_spectrum.results import Results
from experiments._stated import decide_stated
from signdyn.claims import Finding

PARTS = (
    growth_claims,
    mean_field_claims,
    input_claims,
    centering_claims,
    product_claims,
    dose_claims,
    control_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
