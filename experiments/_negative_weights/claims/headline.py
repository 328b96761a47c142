"""The answer in a paragraph, with this run's numbers."""

from experiments._headline import effects, needed, open_ones, unconfirmed
from signdyn.claims import Finding


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers."""
    told = ("convnet_half", "arises", "deltas", "decay_alone", "held_xor")
    if odd := open_ones(findings, needed(told)):
        return unconfirmed(odd)
    effect = effects(findings)
    return (
        f"Yes: {effect['convnet_half']:.0%} of a trained ReLU ConvNet's weights are negative, and "
        "from kernels that all start positive, without weight decay, "
        f"{effect['arises']:.0%} or more of every layer's become so. What moves them is the "
        "gradient, whose deltas have both signs; weight decay alone flips none. Held at zero or "
        "above, a network learns nothing of XOR."
    )
