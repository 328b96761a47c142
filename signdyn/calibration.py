"""How often a decision rule decides where there is nothing to decide.

A claim's own seeds are made into draws in which the effect lies exactly on a bound of its rule,
where nothing may be supported or refuted: the values (their logarithms, where ratios are compared)
are shifted so that their mean lies on the bound, and seeds are drawn from them with replacement.
So the draws have the skew and the ties of the seeds, which intervals and tests of few seeds take
for an effect. Of such draws a rule at the 5% level may decide one in twenty.

May import: claims, stats.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from signdyn.claims import INCONCLUSIVE, Evidence, rule_of, rule_p_value
from signdyn.stats import paired_bootstrap

NUM_RESAMPLES = 2000
"""Bootstrap and permutation resamples a draw: the draws, not these, limit the rate's precision."""


def false_verdict_rate(row: Mapping[str, Any], *, num_draws: int, seed: int) -> float:
    """Return how often the rule of one claim decides, and how, in draws with nothing to decide.

    For each bound of the rule it is counted in what share of the draws whose effect lies there the
    rule says "supported", and in what share "refuted"; the largest of these shares is returned.
    p-values enter uncorrected, so the rate of the rule with Holm's correction is at most this one.
    What the values rest on, such as a learning rate chosen by the seeds, is not chosen anew.

    Args:
        row: One entry of ``findings`` in claims.json, with ``bounds``, ``kind`` and ``values``.
        num_draws: Number of draws, at each bound.
        seed: Of the draws.

    Returns:
        A share in [0, 1]; NaN where no draw can be made: a rule that looks at every single value,
        which infers nothing from them, or values that were not kept, are fewer than three, or do
        not vary.

    Raises:
        ValueError: If ``num_draws`` is not positive.

    Example:
        >>> row = {"bounds": [0.0, None], "kind": "mean", "values": [0.0] * 15 + [1.0]}
        >>> rate = false_verdict_rate(row, num_draws=50, seed=0)
        >>> abs(rate - (15 / 16) ** 16) < 0.2  # the draws without the last seed: "refuted"
        True
    """
    if num_draws < 1:
        raise ValueError(f"false_verdict_rate: expected num_draws >= 1, got {num_draws}.")
    low, high = bounds = _bounds(row)
    values = np.array([math.nan if v is None else v for v in row["values"]], np.float64)
    as_logs = row["kind"] == "ratio"
    if as_logs:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log2(values)
        low, high = (math.log2(end) if end > 0 else -math.inf for end in bounds)
    finite = values[np.isfinite(values)]
    if row["kind"] == "range" or low == high or finite.size < 3 or np.ptp(finite) == 0.0:
        return math.nan
    lost = np.full(values.size - finite.size, math.nan)
    counts: list[int] = []
    for place, end in enumerate((low, high)):
        if math.isinf(end):
            continue
        rng = np.random.default_rng([seed, place])
        shifted = finite - finite.mean() + end
        verdicts = [
            _verdict(row, np.concatenate([rng.choice(shifted, finite.size), lost]), as_logs, draw)
            for draw in range(num_draws)
        ]
        counts += [verdicts.count(verdict) for verdict in {*verdicts} - {INCONCLUSIVE}]
    return max(counts, default=0) / num_draws


def _verdict(row: Mapping[str, Any], values: np.ndarray, as_logs: bool, draw: int) -> str:
    """Return what the claim's rule says of other values."""
    rule = rule_of(_bounds(row))
    interval = paired_bootstrap(values, seed=draw, num_resamples=NUM_RESAMPLES)
    if as_logs:
        values = np.exp2(values)
        estimate, low, high = (float(np.exp2(bound)) for bound in interval[:3])
        interval = interval._replace(estimate=estimate, low=low, high=high)
    if rule.decide(interval, math.nan) == INCONCLUSIVE:
        return INCONCLUSIVE  # a p-value only takes verdicts away
    evidence = Evidence(interval, tuple(values.tolist()), kind=row["kind"])
    p = rule_p_value(rule, evidence, seed=draw, num_resamples=NUM_RESAMPLES)
    return rule.decide(interval, p)


def _bounds(row: Mapping[str, Any]) -> tuple[float, float]:
    """Return the rule's bounds; JSON has no infinity."""
    low, high = row["bounds"]
    return (-math.inf if low is None else low, math.inf if high is None else high)
