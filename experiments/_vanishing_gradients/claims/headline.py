"""The answer in a paragraph, with this run's numbers."""

from signdyn.claims import REFUTED, SUPPORTED, Finding


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    by_id = {finding.claim.id: finding for finding in findings}
    needed = {
        "deltas_same": SUPPORTED,
        "centering_cures": REFUTED,
        "keep_relu": SUPPORTED,
        "steps_relu": SUPPORTED,
        "steps_sigmoid": SUPPORTED,
        "only_vanishing_relu": REFUTED,
        "only_vanishing_sigmoid": REFUTED,
    }
    open_ones = [id for id, verdict in needed.items() if by_id[id].verdict != verdict]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    return (
        "No: the two are separate. Centering hidden units leaves every delta as it is, to "
        f"{by_id['deltas_same'].evidence.interval.high:.0e}, and divides the steps to target by "
        f"{effect['steps_relu']:.1f} in ReLU networks, whose deltas do not vanish (first layer's "
        f"over last layer's {effect['keep_relu']:.1f}), and by {effect['steps_sigmoid']:.1f} in "
        "sigmoid networks. Where slopes are chosen such that no delta vanishes, it still divides "
        f"them by {effect['only_vanishing_relu']:.1f} and {effect['only_vanishing_sigmoid']:.1f}."
    )
