"""Findings decided anew where some of what was measured is something else."""

import numpy as np

from experiments._stated import evidence_of_ratios
from signdyn.claims import Evidence, Finding, decide, exact_evidence, mean_evidence

SEEDS = 16
"""Enough for a corrected p below .05."""


def altered(findings: list[Finding], **effects: float) -> list[Finding]:
    """Return the findings, decided anew where these claims' values lie around these effects.

    Args:
        findings: Of an experiment.
        effects: Claim -> what all seeds measure, up to one in a hundred; NaN for nothing at all.
    """
    known = {finding.claim.id: finding.evidence for finding in findings}
    known |= {id: evidence(known[id].kind, effect) for id, effect in effects.items()}
    return decide([finding.claim for finding in findings], known)


def evidence(kind: str, effect: float, seeds: int = SEEDS) -> Evidence:
    """Return evidence of a kind on values around an effect; exactly it if it is of every one."""
    noise = 1.0 + 0.01 * np.random.default_rng(0).uniform(-1.0, 1.0, seeds)
    if kind == "range":
        return exact_evidence(np.full(seeds, effect))
    return (evidence_of_ratios if kind == "ratio" else mean_evidence)(effect * noise)
