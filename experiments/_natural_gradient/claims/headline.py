"""The answer in a paragraph, with this run's numbers."""

from signdyn.claims import SUPPORTED, Finding


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = ("same_centered", "same_sigmoid", "sgd_differs_centered", "race_zigzag", "race_steps")
    open_ones = [id for id in told if by_id[id].verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    exact = max(by_id[id].evidence.interval.high for id in told[:2])
    return (
        "Natural gradient takes the same path of functions whether units are centered or not, "
        f"tanh or sigmoid: outputs agree to {exact:.0e} of the way moved, where gradient descent's "
        f"differ by {effect['sgd_differs_centered']:.0%} when units are centered. On raw digits "
        f"{effect['race_no_turns']:.0%} of its turns go back, of gradient descent's at its best "
        f"rate {effect['race_sgd_zigzag']:.0%}, and it needs {1 / effect['race_steps']:.0f} times "
        "fewer steps."
    )
