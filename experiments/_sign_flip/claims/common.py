"""Ratios of two arms at their best rates."""

from experiments._sign_flip.results import Results
from signdyn.claims import Evidence, ratio_evidence


def ratio(
    results: Results,
    name: str,
    part: str,
    activation: str,
    top: str,
    bottom: str,
) -> Evidence:
    """Return the evidence on a measurement's ratio, ``top`` / ``bottom``, at the best rates."""
    numerator, denominator = (results.at_best(name, part, activation, arm) for arm in (top, bottom))
    return ratio_evidence(numerator, denominator)


def steps_ratio(results: Results, part: str, activation: str) -> Evidence:
    """Return the evidence on the steps to the target, raw / centered."""
    return ratio(results, "steps", part, activation, "raw", "centered")
