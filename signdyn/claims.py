"""A sentence people repeat, the rule that decides it, and the verdict.

A `Claim` is stated before the run: the sentence, the statistic, the rule in words and as a
function. `decide` adds the evidence, tests it against the rule's own thresholds and corrects the
p-values over all claims of an experiment. A claim that fails stays in the table.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from signdyn.checks import checked
from signdyn.stats import (
    Interval,
    holm,
    paired_bootstrap,
    paired_log_ratio,
    paired_permutation_test,
    percentile_bounds,
    ratio_interval,
)

SUPPORTED = "supported"
"""Verdict: the effects that support the claim hold the whole interval."""
REFUTED = "refuted"
"""Verdict: the whole interval lies outside of them."""
INCONCLUSIVE = "inconclusive"
"""Verdict: neither, or too few seeds to tell."""

MIN_SEEDS = 8
"""With fewer finite seeds no interval rule decides: bootstrap intervals are too narrow there."""

MAX_LEFT_OUT = 0.25
"""With a larger share of seeds left out no interval rule decides: what remains is a selection."""

ALPHA = 0.05
"""Level of the Holm-corrected tests."""

_NEEDED = (
    f"{MIN_SEEDS} seeds and at most {MAX_LEFT_OUT:.0%} of them left out; support of every single "
    "value, none left out"
)


class Evidence(NamedTuple):
    """What was measured for one claim.

    Attributes:
        interval: Estimate, bounds, confidence, number of seeds used and left out.
        values: One number a seed, as plotted; may be empty.
        p: As `decide` finds it by the claim's rule; NaN before, and where there is no test.
        kind: What the estimate is of the values: their mean, their geometric mean as ratios, or,
            with the range of the values as the interval, every single one.
        left_out_why: Why seeds were left out, and how many for each reason; empty if none were.
    """

    interval: Interval
    values: tuple[float, ...] = ()
    p: float = float("nan")
    kind: Literal["mean", "ratio", "range"] = "mean"
    left_out_why: str = ""


class Rule(NamedTuple):
    """A decision rule in words and as ``(interval, Holm-corrected p) -> verdict``.

    Attributes:
        text: In words, with the thresholds.
        decide: The function.
        bounds: Ends of the effects that support the claim; what lies on one should not.
    """

    text: str
    decide: Callable[[Interval, float], str]
    bounds: tuple[float, float] = (float("nan"), float("nan"))


class Claim(NamedTuple):
    """One sentence and how it is decided.

    Attributes:
        id: Unique within the experiment.
        questions: Ids of the questions it answers.
        sentence: What is claimed, one sentence.
        statistic: What the effect measures, with its unit.
        rule: Stated before the run.
        figure: Name of the figure that shows it, or None.
        control: Whether it is a negative control.
    """

    id: str
    questions: tuple[str, ...]
    sentence: str
    statistic: str
    rule: Rule
    figure: str | None = None
    control: bool = False


class Finding(NamedTuple):
    """A claim with its evidence and verdict.

    Attributes:
        claim: As it was stated before the run.
        evidence: What was measured for it.
        p_holm: Its p-value, corrected by Holm's method over the experiment; NaN without a test.
        verdict: `SUPPORTED`, `REFUTED` or `INCONCLUSIVE`.
    """

    claim: Claim
    evidence: Evidence
    p_holm: float
    verdict: str

    def row(self) -> dict[str, Any]:
        """Return the finding as one flat row of claims.json."""
        interval = self.evidence.interval
        return {
            "id": self.claim.id,
            "questions": list(self.claim.questions),
            "sentence": self.claim.sentence,
            "rule": self.claim.rule.text,
            "statistic": self.claim.statistic,
            "effect": interval.estimate,
            "low": interval.low,
            "high": interval.high,
            "confidence": interval.confidence,
            "n": interval.n,
            "left_out": interval.left_out,
            "left_out_why": self.evidence.left_out_why,
            "p": self.evidence.p,
            "p_holm": self.p_holm,
            "verdict": self.verdict,
            "control": self.claim.control,
            "figure": self.claim.figure,
            "bounds": list(self.claim.rule.bounds),
            "kind": self.evidence.kind,
            "values": list(self.evidence.values),
        }


@checked
def rule_of(bounds: tuple[float, float]) -> Rule:
    """Return the rule whose supporting effects lie within ``bounds``, as claims.json holds them.

    Raises:
        ValueError: If no rule of this module has such bounds.

    Example:
        >>> rule_of((1.0, math.inf)).text == above(1.0).text
        True
    """
    if len(bounds) != 2:
        raise ValueError(f"rule_of: expected two bounds, got {bounds}.")
    low, high = bounds
    if low == high:
        return always(low)
    if low < high < math.inf == -low:
        return below(high)
    if -math.inf < low < high:
        return above(low) if high == math.inf else within(low, high)
    raise ValueError(f"rule_of: expected low <= high, at least one of them finite, got {bounds}.")


def always(value: float) -> Rule:
    """Return the rule that every single value equals ``value`` exactly.

    The interval must be the range of the values. A NaN among numbers refutes; where there is no
    number at all nothing is decided.

    Example:
        >>> always(0.0).decide(Interval(0.0, 0.0, 0.0, 1.0, 16, 0), float("nan"))
        'supported'
    """

    def decide(interval: Interval, _: float) -> str:
        if interval.n == 0:
            return INCONCLUSIVE
        exact = interval.low == value == interval.high and interval.left_out == 0
        return SUPPORTED if exact else REFUTED

    text = f"supported if every value is exactly {value:g}, refuted if one is not; without any "
    return Rule(text + "value inconclusive", decide, (value, value))


def above(threshold: float) -> Rule:
    """Return the rule that the effect exceeds ``threshold``.

    Example:
        >>> above(1.0).decide(Interval(1.4, 1.2, 1.6, 0.95, 16, 0), 0.001)
        'supported'
        >>> above(1.0).decide(Interval(1.4, 0.9, 1.6, 0.95, 16, 0), 0.001)
        'inconclusive'
    """

    def decide(interval: Interval, p: float) -> str:
        if not _enough(interval) or p > ALPHA:
            return INCONCLUSIVE
        if interval.low > threshold and _all_that_count(interval):
            return SUPPORTED
        return REFUTED if interval.high < threshold else INCONCLUSIVE

    return Rule(
        f"supported if the whole interval lies above {threshold:g}, refuted if below it "
        f"(both need a corrected p of at most {ALPHA:g} where a test applies, {_NEEDED}); else "
        "inconclusive",
        decide,
        (threshold, math.inf),
    )


def below(threshold: float) -> Rule:
    """Return the rule that the effect is less than ``threshold``; the mirror of `above`."""
    mirrored = above(-threshold).decide

    def decide(interval: Interval, p: float) -> str:
        flipped = interval._replace(
            estimate=-interval.estimate, low=-interval.high, high=-interval.low
        )
        return mirrored(flipped, p)

    return Rule(
        f"supported if the whole interval lies below {threshold:g}, refuted if above it "
        f"(both need a corrected p of at most {ALPHA:g} where a test applies, {_NEEDED}); else "
        "inconclusive",
        decide,
        (-math.inf, threshold),
    )


def within(low: float, high: float) -> Rule:
    """Return the rule of no difference that matters: the interval lies inside [low, high].

    Example:
        >>> within(0.8, 1.25).decide(Interval(1.02, 0.95, 1.1, 0.95, 16, 0), 0.001)
        'supported'
        >>> within(0.8, 1.25).decide(Interval(2.0, 1.9, 2.1, 0.95, 16, 0), 0.001)
        'refuted'
        >>> within(0.8, 1.25).decide(Interval(2.0, 1.3, 2.7, 0.95, 16, 0), 0.06)
        'inconclusive'
    """

    def decide(interval: Interval, p: float) -> str:
        if not _enough(interval) or p > ALPHA:
            return INCONCLUSIVE
        if low <= interval.low and interval.high <= high and _all_that_count(interval):
            return SUPPORTED
        return REFUTED if interval.high < low or interval.low > high else INCONCLUSIVE

    return Rule(
        f"supported if the whole interval lies in [{low:g}, {high:g}], refuted if outside it "
        f"(both need a corrected p of at most {ALPHA:g} where a test applies, which rejects both "
        f"ends for an estimate inside and the nearer one for an estimate outside, {_NEEDED}); else "
        "inconclusive",
        decide,
        (low, high),
    )


def rule_p_value(
    rule: Rule, evidence: Evidence, *, seed: int = 0, num_resamples: int = 10_000
) -> float:
    """Return the p-value of the values against the thresholds of the rule that they decide.

    Signs of the values' distances to a threshold (of logarithms, for ratios) are exchanged at
    random, see `signdyn.stats.paired_permutation_test`. A one-sided rule's p is two-sided, since it
    can be refuted too. That of a margin is twice the larger of the one-sided p-values at its ends
    (Schuirmann, 1987) where the mean of the values (of their logarithms) lies in it, which is what
    may support the rule; where it lies outside, it is the two-sided p at the nearer end, which is
    what may refute it. Bootstrap intervals alone would decide too often where few seeds are skewed.

    Args:
        rule: Of this module.
        evidence: Whose values to test.
        seed: Of the exchanges.
        num_resamples: Largest number of patterns of signs to try.

    Returns:
        The p-value; the evidence's own where the rule looks at every single value.

    Example:
        >>> rule_p_value(above(1.0), mean_evidence(np.array([2.0, 3.0, 4.0])))  # 2 of 8 patterns
        0.25
    """
    low, high = rule.bounds
    values = np.asarray(evidence.values, np.float64)
    if evidence.kind == "range" or not evidence.values or math.isnan(low) or low == high:
        return evidence.p
    if evidence.kind == "ratio":
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.log2(values)
            low, high = (float(np.log2(max(end, 0.0))) for end in (low, high))

    def test(end: float, alternative: Literal["two-sided", "greater", "less"]) -> float:
        return paired_permutation_test(
            values - end, seed=seed, alternative=alternative, num_resamples=num_resamples
        )

    if math.isinf(low) or math.isinf(high):
        return test(high if math.isinf(low) else low, "two-sided")
    finite = values[np.isfinite(values)]
    mean = float((finite / max(finite.size, 1)).sum())  # so that large values do not overflow
    if mean < low or mean > high:
        return test(low if mean < low else high, "two-sided")
    return min(1.0, 2.0 * max(test(low, "greater"), test(high, "less")))


def _enough(interval: Interval) -> bool:
    share = interval.left_out / max(interval.n + interval.left_out, 1)
    return interval.n >= MIN_SEEDS and share <= MAX_LEFT_OUT


def _all_that_count(interval: Interval) -> bool:
    """Return whether no value lacks where the rule looks at every single one, as a range does."""
    return interval.confidence < 1.0 or interval.left_out == 0


@checked
def exact_evidence(values: Sequence[float] | np.ndarray) -> Evidence:
    """Return evidence on every single value: the mean, and the range of all values as interval.

    The range takes in infinite values; the mean, and the number used, are those of the finite
    ones. Where a value is infinite or NaN, no rule is supported.

    Raises:
        ValueError: If the values are no numbers or truth values.

    Example:
        >>> exact_evidence([1.0, 3.0, math.inf]).interval
        Interval(estimate=2.0, low=1.0, high=inf, confidence=1.0, n=2, left_out=1)
    """
    numbers = np.asarray(values)
    if numbers.dtype.kind not in "biuf":
        raise ValueError(f"exact_evidence: expected numbers, got {numbers.dtype}.")
    values = numbers.astype(np.float64).ravel()
    finite = values[np.isfinite(values)]
    if len(finite):
        bounds = float(finite.mean()), float(np.nanmin(values)), float(np.nanmax(values))
    else:
        bounds = math.nan, math.nan, math.nan
    interval = Interval(*bounds, 1.0, len(finite), len(values) - len(finite))
    shown = tuple(values.tolist()) if len(values) <= 64 else ()
    return Evidence(interval, shown, kind="range", left_out_why=_why_left_out(values))


@checked
def ratio_evidence(numerator: np.ndarray, denominator: np.ndarray, *, seed: int = 0) -> Evidence:
    """Return evidence on the geometric mean over seeds of numerator / denominator.

    Args:
        numerator: [seed], positive; a pair with a value that is not finite is left out.
        denominator: [seed], paired by seed.
        seed: Of the bootstrap.

    Values that rest on a choice by the same seeds, see `signdyn.choice`, make the interval hold
    what the choice adds: at either end it is the wider one of the interval at the choice made and
    of the percentile interval of seeds resampled with the choice made anew.

    Example:
        >>> evidence = ratio_evidence(np.full(6, 4.0), np.full(6, 2.0))
        >>> evidence.interval.estimate, evidence.interval.low
        (2.0, 2.0)
    """
    logs = paired_log_ratio(np.asarray(numerator, np.float64), np.asarray(denominator, np.float64))
    interval = ratio_interval(np.asarray(numerator), np.asarray(denominator), seed=seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.log2(numerator) - np.log2(denominator)
    interval = _with_choice(interval, drawn, np.exp2)
    why = _why_left_out(numerator, denominator, positive=True)
    return Evidence(interval, tuple((2**logs).tolist()), kind="ratio", left_out_why=why)


@checked
def mean_evidence(values: np.ndarray, *, seed: int = 0) -> Evidence:
    """Return evidence on the mean over seeds of ``values`` [seed].

    Values that rest on a choice are treated as by `ratio_evidence`.

    Args:
        values: One number a seed; those not finite are left out and counted.
        seed: Of the bootstrap.
    """
    drawn, values = values, np.asarray(values, np.float64)
    interval = _with_choice(paired_bootstrap(values, seed=seed), drawn, float)
    return Evidence(interval, tuple(values.tolist()), left_out_why=_why_left_out(values))


def _with_choice(interval: Interval, values: Any, back: Callable[[float], float]) -> Interval:
    """Return the interval of a mean, made as wide as the choice that its values rest on needs.

    Args:
        interval: At the choice as it was made.
        values: [seed] whose mean, taken ``back`` from logarithms, say, is estimated.
        back: To the interval's unit.
    """
    draws = getattr(values, "draws", None)
    if draws is None or not math.isfinite(interval.low):
        return interval
    known = np.isfinite(draws)
    counts = known.sum(axis=1)
    sums = np.where(known, draws, 0.0).sum(axis=1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    low, high = (float(back(end)) for end in percentile_bounds(means, interval.n))
    if math.isnan(low):
        return interval
    return interval._replace(low=min(low, interval.low), high=max(high, interval.high))


def _why_left_out(*values: np.ndarray, positive: bool = False) -> str:
    """Return how many seeds have a value that is NaN, or else infinite, or else not positive."""
    columns = np.stack([np.asarray(column, np.float64) for column in values])
    undefined = np.isnan(columns).any(axis=0)
    infinite = np.isinf(columns).any(axis=0) & ~undefined
    odd = (columns <= 0).any(axis=0) & ~undefined & ~infinite
    counts = {
        "NaN (diverged, short of its target, or undefined)": undefined.sum(),
        "infinite (never arrived)": infinite.sum(),
        "not positive": odd.sum() if positive else 0,
    }
    return ", ".join(f"{count} {reason}" for reason, count in counts.items() if count)


def decide(claims: Sequence[Claim], evidence: Mapping[str, Evidence]) -> list[Finding]:
    """Return the findings, p-values corrected by Holm's method over all claims given.

    Each p-value is that of `rule_p_value`.

    Raises:
        ValueError: If evidence and claims do not name the same ids.
    """
    ids = [claim.id for claim in claims]
    if len(set(ids)) != len(ids) or set(ids) != set(evidence):
        odd = sorted(set(ids) ^ set(evidence)) or sorted(i for i in ids if ids.count(i) > 1)
        raise ValueError(f"decide: claims and evidence must match one to one, see {odd}.")
    tested = {
        claim.id: evidence[claim.id]._replace(p=rule_p_value(claim.rule, evidence[claim.id]))
        for claim in claims
    }
    corrected = holm(np.array([tested[id].p for id in ids]))
    return [
        Finding(
            claim,
            tested[claim.id],
            float(p),
            claim.rule.decide(evidence[claim.id].interval, float(p)),
        )
        for claim, p in zip(claims, corrected, strict=True)
    ]
