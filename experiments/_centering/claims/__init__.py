"""The claims on centering: sentence, statistic, rule, and what decides them.

One module a question. Ratios are geometric means over seeds of paired ratios, with bootstrap
intervals. Sentences that people repeat are stated as they are repeated, for the measurement to
refute.
"""

from experiments._centering.claims.arms import arm_claims, batch_claims
from experiments._centering.claims.controls import control_claims
from experiments._centering.claims.doses import dose_claims
from experiments._centering.claims.headline import answer as answer
from experiments._centering.claims.norms import norm_claims
from experiments._centering.claims.scale import scale_claims
from experiments._centering.claims.signs import sign_claims
from experiments._centering.results import Results
from experiments._stated import decide_stated
from signdyn.claims import Finding

PARTS = (
    arm_claims,
    batch_claims,
    dose_claims,
    sign_claims,
    scale_claims,
    norm_claims,
    control_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
