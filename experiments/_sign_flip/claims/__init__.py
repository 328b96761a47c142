"""The flagship's claims: sentence, statistic, rule, and the numbers of the record that decide.

One module a question. Ratios are geometric means over seeds of paired ratios, with bootstrap
intervals.
"""

from experiments._sign_flip.claims.centering import centering_claims
from experiments._sign_flip.claims.centralization import centralization_claims
from experiments._sign_flip.claims.chain import chain_claims
from experiments._sign_flip.claims.controls import control_claims
from experiments._sign_flip.claims.flips import flip_claims
from experiments._sign_flip.claims.headline import answer as answer
from experiments._sign_flip.claims.small_steps import small_step_claims
from experiments._sign_flip.claims.start import start_claims
from experiments._sign_flip.results import Results
from experiments._stated import decide_stated
from signdyn.claims import Finding

PARTS = (
    start_claims,
    flip_claims,
    centering_claims,
    small_step_claims,
    centralization_claims,
    chain_claims,
    control_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
