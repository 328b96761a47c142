"""The answer in a paragraph, with this run's numbers."""

from signdyn.claims import SUPPORTED, Finding


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = [by_id[id] for id in ("large_zigzag", "center_steps", "small_zigzag", "small_slower")]
    open_ones = [finding.claim.id for finding in told if finding.verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    large, steps, small, slower = (finding.evidence.interval.estimate for finding in told)
    return (
        f"At its best step the raw neuron zig-zags: {large:.0%} of its turns go back, and it needs "
        f"{steps:.0f}x the steps of the centered one. At a small step {small:.0%} go back and it "
        f"still needs {slower:.0f}x. One sign binds single examples' gradients; what makes the "
        "valley is the mean."
    )
