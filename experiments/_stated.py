"""What the claims of all experiments share: how they are stated, and how they are decided.

A part of an experiment's claims is a function of the record that yields each claim with its
evidence; the rules do not depend on the evidence.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np

from signdyn.claims import (
    Claim,
    Evidence,
    Finding,
    decide,
    mean_evidence,
    ratio_evidence,
    within,
)

Stated = Iterator[tuple[Claim, Evidence]]
"""Claims, each with what was measured for it."""

NO_DIFFERENCE = within(0.8, 1.25)
"""Of ratios: less than a quarter either way counts as no difference."""


class NotRunError(LookupError):
    """The record has no descent of the kind that was asked for, which is not the same as NaN.

    Args:
        what: What was not run, such as "raw at rate x lambda_max = 16".
        num_seeds: Number of seeds of the record.
    """

    def __init__(self, what: str, num_seeds: int):
        super().__init__(what)
        self.num_seeds = num_seeds


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


def evidence_if_run(make: Callable[[], Evidence], kind: Literal["mean", "ratio"]) -> Evidence:
    """Return ``make()``, or no seed's evidence, and why, if what it reads was not run.

    Without evidence a claim is inconclusive, and the table says that it was not run.

    Args:
        make: Reads the record and may raise `NotRunError`.
        kind: Of the evidence that it makes.

    Example:
        >>> def missing():
        ...     raise NotRunError("raw at rate x lambda_max = 16", num_seeds=2)
        >>> evidence_if_run(missing, "ratio").left_out_why
        '2 not run (raw at rate x lambda_max = 16)'
    """
    try:
        return make()
    except NotRunError as missing:
        nothing = mean_evidence(np.full(missing.num_seeds, np.nan))
        why = f"{missing.num_seeds} not run ({missing})"
        return nothing._replace(kind=kind, left_out_why=why)


def geometric_mean(ratios: Iterable[np.ndarray]) -> np.ndarray:
    """Return the geometric mean of equally shaped arrays; NaN where one is.

    Example:
        >>> print(geometric_mean([np.array([1.0, np.nan]), np.array([4.0, 1.0])]))
        [ 2. nan]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.exp(np.mean(np.log(np.stack(list(ratios))), axis=0))
