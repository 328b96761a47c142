"""The answer in a paragraph, with this run's numbers."""

from experiments._headline import effects, needed, open_ones, unconfirmed
from signdyn.claims import Finding

EXACT = ("same_centered", "same_sigmoid")
TOLD = (*EXACT, "sgd_differs_centered", "race_sgd_zigzag", "race_zigzag", "race_steps")
"""Claims whose numbers the answer tells; it needs all of them supported."""


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers."""
    if odd := open_ones(findings, needed(TOLD)):
        return unconfirmed(odd)
    effect = effects(findings)
    exact = max(f.evidence.interval.high for f in findings if f.claim.id in EXACT)
    return (
        "Natural gradient takes the same path of functions whether units are centered or not, "
        f"tanh or sigmoid: outputs agree to {exact:.0e} of the way moved, where gradient descent's "
        f"differ by {effect['sgd_differs_centered']:.0%} when units are centered. On raw digits "
        f"{effect['race_sgd_zigzag']:.0%} of gradient descent's turns at its best rate go back; of "
        f"natural gradient's the share is lower by {-effect['race_zigzag']:.2f}, and it needs "
        f"{1 / effect['race_steps']:.0f} times fewer steps."
    )
