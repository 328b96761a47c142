"""The answer in a paragraph, with this run's numbers."""

from collections.abc import Sequence

from experiments._headline import needed, open_ones
from signdyn.claims import REFUTED, SUPPORTED, Finding

STEPS = "center_steps_full_"


def answer(findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers, part by part as far as the verdicts bear it."""
    flips, lost = _parts(findings, "flip_exact"), _parts(findings, "flip_coherence")
    steps = _parts(findings, STEPS)
    not_exact, not_cut = (
        open_ones(findings, needed(f.claim.id for f in p)) for p in (flips, steps)
    )
    verdict = (
        "" if not_exact or not_cut else "The common sign is a symptom, the mean is the cause. "
    )
    if not not_exact:
        sign = "destroys the gradients' common sign and " if _all(lost, SUPPORTED) else ""
        flipping = f"Flipping random signs {sign}changes the loss at no step, by no bit"
    elif any(finding.verdict == REFUTED for finding in flips):
        flipping = f"Flipping random signs changes the loss, see {', '.join(not_exact)}"
    else:
        flipping = f"Whether flipping random signs changes the loss is open, see {not_exact[0]}"
    told = [_divided_by(finding) for finding in steps if finding.verdict == SUPPORTED]
    numbers = (
        "subtracting the units' means divides the steps to the target loss, each arm at its own "
        f"best rate, by: {', '.join(told)}"
    )
    lacking = (
        "that subtracting the units' means cuts the steps to the target loss is not confirmed: see "
        f"{', '.join(not_cut)}"
    )
    parts = [flipping, *([numbers] if told else []), *([lacking] if not_cut else [])]
    return f"{verdict}{'; '.join(parts)}."


def _parts(findings: Sequence[Finding], prefix: str) -> list[Finding]:
    return [finding for finding in findings if finding.claim.id.startswith(prefix)]


def _all(findings: Sequence[Finding], verdict: str) -> bool:
    return all(finding.verdict == verdict for finding in findings)


def _divided_by(finding: Finding) -> str:
    interval = finding.evidence.interval
    activation = finding.claim.id.removeprefix(STEPS)
    return f"{activation} {interval.estimate:.1f} [{interval.low:.1f}, {interval.high:.1f}]"
