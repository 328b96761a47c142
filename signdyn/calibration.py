"""How often a decision rule says "supported" where there is nothing to support.

A claim's own seeds are made into draws in which the effect lies exactly where the rule may no
longer support it: each seed's value is reflected at random about that point. For two arms that are
compared by a ratio with 1 or by a difference with 0, this is the exchange of the two arms' labels,
seed by seed (an A/A draw). Of such draws a rule at the 5% level may support one in twenty.

May import: claims, stats.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from signdyn.claims import SUPPORTED, Evidence, exact_evidence, rule_of, rule_p_value
from signdyn.stats import paired_bootstrap

NUM_RESAMPLES = 2000
"""Bootstrap and permutation resamples a draw: the draws, not these, limit the rate's precision."""


def false_support_rate(row: Mapping[str, Any], *, num_draws: int, seed: int) -> float:
    """Return the share of A/A draws in which the rule of one claim says "supported".

    A one-sided rule (effect above or below t) sees each value, or its logarithm where ratios are
    compared, reflected about t with probability one half. A two-sided rule (effect within a
    margin) is the claim that nothing differs by more than the margin, so the draws lie on it: the
    values' deviations from their mean, each with a random sign, about either end; the larger rate
    is returned. p-values enter uncorrected, so the rate of the rule with Holm's correction is at
    most this one.

    Args:
        row: One entry of ``findings`` in claims.json, with ``bounds``, ``kind`` and ``values``.
        num_draws: Number of draws, at each end of a margin.
        seed: Of the reflections.

    Returns:
        A share in [0, 1]; NaN where no draw can be made: a rule that every value equals a number,
        or values that were not kept, are fewer than three, or do not vary about the point.

    Raises:
        ValueError: If ``num_draws`` is not positive.

    Example:
        >>> row = {"bounds": [1.0, None], "kind": "ratio"}
        >>> values = [1.9, 2.3, 2.0, 2.2, 1.8, 2.6, 2.1, 2.4, 1.7, 2.5]
        >>> false_support_rate({**row, "values": values}, num_draws=50, seed=0) < 0.1
        True
    """
    if num_draws < 1:
        raise ValueError(f"false_support_rate: expected num_draws >= 1, got {num_draws}.")
    low, high = bounds = _bounds(row)
    values = np.array([math.nan if v is None else v for v in row["values"]], np.float64)
    if low == high or np.isfinite(values).sum() < 3:
        return math.nan
    as_logs = row["kind"] == "ratio"
    if as_logs:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log2(values)
        low, high = (math.log2(end) if end > 0 else -math.inf for end in bounds)
    finite = values[np.isfinite(values)]
    one_sided = math.isinf(low) or math.isinf(high)
    rates = []
    for end in (low, high):
        if math.isinf(end):
            continue
        # one-sided rules keep the values' distances to the threshold, two-sided ones to their mean
        deviations = values - (end if one_sided else finite.mean())
        if np.nanmax(np.abs(deviations)) == 0.0:
            return math.nan
        rng = np.random.default_rng([seed, len(rates)])
        supported = 0
        for draw in range(num_draws):
            signs = rng.choice([-1.0, 1.0], len(values))
            supported += _verdict(row, end + signs * deviations, as_logs, draw) == SUPPORTED
        rates.append(supported / num_draws)
    return max(rates)


def _verdict(row: Mapping[str, Any], values: np.ndarray, as_logs: bool, draw: int) -> str:
    """Return what the claim's rule says of other values."""
    rule = rule_of(_bounds(row))
    if row["kind"] == "range":
        return rule.decide(exact_evidence(values).interval, math.nan)
    interval = paired_bootstrap(values, seed=draw, num_resamples=NUM_RESAMPLES)
    if as_logs:
        values = np.exp2(values)
        estimate, low, high = (float(np.exp2(bound)) for bound in interval[:3])
        interval = interval._replace(estimate=estimate, low=low, high=high)
    evidence = Evidence(interval, tuple(values.tolist()), kind=row["kind"])
    p = rule_p_value(rule, evidence, seed=draw, num_resamples=NUM_RESAMPLES)
    return rule.decide(interval, p)


def _bounds(row: Mapping[str, Any]) -> tuple[float, float]:
    """Return the rule's bounds; JSON has no infinity."""
    low, high = row["bounds"]
    return (-math.inf if low is None else low, math.inf if high is None else high)
