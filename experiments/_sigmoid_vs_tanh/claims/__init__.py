"""The claims on sigmoid and tanh: sentence, statistic, rule, and what decides them.

One module a question. Ratios are geometric means over seeds, and over data sets where none is
named.
"""

from experiments._sigmoid_vs_tanh.claims.best_rates import (
    best_rate_claims,
    curvature_claims,
    other_claims,
)
from experiments._sigmoid_vs_tanh.claims.controls import control_claims
from experiments._sigmoid_vs_tanh.claims.headline import answer as answer
from experiments._sigmoid_vs_tanh.claims.labels import label_claims
from experiments._sigmoid_vs_tanh.claims.lead import lead_claims
from experiments._sigmoid_vs_tanh.claims.path import disguise_claims, path_claims
from experiments._sigmoid_vs_tanh.results import Results
from experiments._stated import decide_stated
from signdyn.claims import Finding

PARTS = (
    lead_claims,
    path_claims,
    disguise_claims,
    label_claims,
    best_rate_claims,
    curvature_claims,
    other_claims,
    control_claims,
)
"""Functions that state claims, in the order of the table."""


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    return decide_stated(part(results) for part in PARTS)
