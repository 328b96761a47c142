"""The answer in a paragraph, with this run's numbers."""

from signdyn.claims import SUPPORTED, Finding


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = ("convnet_half", "arises", "deltas", "decay_alone", "held_xor")
    open_ones = [id for id in told if by_id[id].verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    return (
        f"Yes: {effect['convnet_half']:.0%} of a trained ReLU ConvNet's weights are negative, and "
        "from kernels that all start positive, without weight decay, "
        f"{effect['arises']:.0%} or more of every layer's become so. What moves them is the "
        "gradient, whose deltas have both signs; weight decay alone flips none."
    )
