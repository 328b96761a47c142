"""The answer in a paragraph, with this run's numbers."""

from experiments._headline import effects, needed, open_ones, unconfirmed
from signdyn.claims import REFUTED, Finding

TOLD = ("deltas_same", "keep_relu", "steps_relu", "steps_sigmoid")
LEVEL = ("only_vanishing_relu", "only_vanishing_sigmoid")


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    needs = needed(TOLD, centering_cures=REFUTED, **dict.fromkeys(LEVEL, REFUTED))
    by_id = {finding.claim.id: finding for finding in findings}
    odd = open_ones(findings, needs)
    # that it gains nothing is refuted, too, where centering costs steps
    odd += [id for id in LEVEL if id not in odd and not _more(by_id[id])]
    if odd:
        return unconfirmed(odd)
    effect = effects(findings)
    return (
        "No: the two are separate. Centering hidden units leaves every delta as it is, to "
        f"{by_id['deltas_same'].evidence.interval.high:.0e}, and divides the steps to target by "
        f"{effect['steps_relu']:.1f} in ReLU networks, whose deltas do not vanish (first layer's "
        f"over last layer's {effect['keep_relu']:.1f}), and by {effect['steps_sigmoid']:.1f} in "
        "sigmoid networks. Where slopes are chosen such that no delta vanishes, it still divides "
        f"them by {effect['only_vanishing_relu']:.1f} and {effect['only_vanishing_sigmoid']:.1f}."
    )


def _more(finding: Finding) -> bool:
    """Return whether the whole interval lies above what counts as no difference."""
    return finding.evidence.interval.low > finding.claim.rule.bounds[1]
