"""The claims on vanishing gradients: sentence, statistic, rule, and what decides them.

One module a question. Ratios are geometric means over seeds of paired ratios, with bootstrap
intervals.
"""

from experiments._stated import decide_stated
from experiments._vanishing_gradients.claims.controls import control_claims
from experiments._vanishing_gradients.claims.depth import depth_claims
from experiments._vanishing_gradients.claims.factorial import factorial_claims, sigmoid_claims
from experiments._vanishing_gradients.claims.headline import answer as answer
from experiments._vanishing_gradients.claims.identities import identity_claims
from experiments._vanishing_gradients.claims.means import mean_claims, speed_claims
from experiments._vanishing_gradients.claims.vanishing import cure_claims, vanishing_claims
from experiments._vanishing_gradients.results import Results
from signdyn.claims import Finding

PARTS = (
    identity_claims,
    cure_claims,
    vanishing_claims,
    mean_claims,
    speed_claims,
    factorial_claims,
    sigmoid_claims,
    depth_claims,
    control_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
