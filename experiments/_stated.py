"""What the claims of all experiments share: how they are stated, and how they are decided.

A part of an experiment's claims is a function of the record that yields each claim with its
evidence; the rules do not depend on the evidence.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from signdyn.claims import Claim, Evidence, Finding, decide, ratio_evidence, within

Stated = Iterator[tuple[Claim, Evidence]]
"""Claims, each with what was measured for it."""

NO_DIFFERENCE = within(0.8, 1.25)
"""Of ratios: less than a quarter either way counts as no difference."""


def decide_stated(parts: Iterable[Stated]) -> list[Finding]:
    """Return all findings of a run, in the order in which the parts state their claims."""
    stated = [pair for part in parts for pair in part]
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


def evidence_of_ratios(ratios: np.ndarray) -> Evidence:
    """Return the evidence on ratios [seed] that are made already, their geometric mean.

    Example:
        >>> print(evidence_of_ratios(np.full(8, 2.0)).interval.estimate)
        2.0
    """
    return ratio_evidence(ratios, np.ones_like(ratios))


def geometric_mean(ratios: Iterable[np.ndarray]) -> np.ndarray:
    """Return the geometric mean of equally shaped arrays; NaN where one is.

    Example:
        >>> print(geometric_mean([np.array([1.0, np.nan]), np.array([4.0, 1.0])]))
        [ 2. nan]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.exp(np.mean(np.log(np.stack(list(ratios))), axis=0))
