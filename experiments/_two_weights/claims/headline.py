"""The answer in a paragraph, with this run's numbers."""

from experiments._headline import effects, needed, open_ones, unconfirmed
from signdyn.claims import REFUTED, Finding

TOLD = ("large_zigzag", "center_steps", "small_zigzag", "small_slower")
TOLD += ("example_quadrants", "condition_number")
"""Claims that the answer needs supported."""


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers."""
    if odd := open_ones(findings, needed(TOLD, batch_quadrants=REFUTED)):
        return unconfirmed(odd)
    effect = effects(findings)
    return (
        f"At its best step the raw neuron zig-zags: {effect['large_zigzag']:.0%} of its turns go "
        f"back, and it needs {effect['center_steps']:.0f}x the steps of the centered one. At a "
        f"small step {effect['small_zigzag']:.0%} go back and it still needs "
        f"{effect['small_slower']:.0f}x. One sign binds single examples' gradients, not a batch's; "
        "what makes the valley is the mean."
    )
