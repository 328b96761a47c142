"""The answer in a paragraph, with this run's numbers."""

from collections.abc import Sequence

from experiments._headline import effects, needed, open_ones, unconfirmed
from experiments._sign_coherence.claims.common import CHANCE
from experiments._sign_coherence.features import NUM_WEIGHTS
from experiments._sign_coherence.training import ACTIVATIONS as TRAINED
from signdyn.claims import REFUTED, Finding


def answer(findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    supported = ["example", "plateau_reached", "plateau", "attributed"]
    supported += [f"{id}_{name}" for id in ("noise", "oscillation") for name in TRAINED]
    refuted = ["mixed", "all_weights", *(f"late_{name}" for name in TRAINED), "convolution_first"]
    if odd := open_ones(findings, needed(supported, **dict.fromkeys(refuted, REFUTED))):
        return unconfirmed(odd)
    effect = effects(findings)
    return (
        "All gradients into a unit have one sign on one example, and only there. Summed over a "
        "batch, of two weights that read ReLUs of normal numbers "
        f"{CHANCE + effect['mixed']:.0%} move the same way however large the batch, as the "
        f"uncentered cosine says; all {NUM_WEIGHTS[-1]} weights that read sigmoids, "
        f"{effect['all_weights']:.0%} of the time. In training, gradients of all examples lose "
        f"even that in small steps ({CHANCE + effect['late_relu']:.0%} relu, "
        f"{CHANCE + effect['late_sigmoid']:.0%} sigmoid), and keep it where large steps or the "
        "noise of minibatches shake the network along the mean. In a convolution one example is a "
        f"batch of positions: of its first layer's units {effect['convolution_first']:.0%} have "
        "gradients of one sign on it."
    )
