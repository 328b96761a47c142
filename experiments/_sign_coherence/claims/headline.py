"""The answer in a paragraph, with this run's numbers."""

from collections.abc import Sequence

from experiments._sign_coherence.claims.common import CHANCE
from experiments._sign_coherence.features import NUM_WEIGHTS
from experiments._sign_coherence.training import ACTIVATIONS as TRAINED
from signdyn.claims import SUPPORTED, Finding


def answer(findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = ("example", "plateau", "attributed")
    told += tuple(f"{id}_{name}" for id in ("noise", "oscillation") for name in TRAINED)
    open_ones = [id for id in told if by_id[id].verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
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
