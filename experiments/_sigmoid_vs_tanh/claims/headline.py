"""The answer in a paragraph, with this run's numbers."""

from collections.abc import Sequence

from experiments._headline import effects, needed, open_ones, unconfirmed
from experiments._sigmoid_vs_tanh.results import Results
from signdyn.claims import Finding

TOLD = ("start", "flat_start", "centering", "scale", "slope", "in_disguise", "labels_same")
TOLD += ("best_start", "best_centering", "best_disguise")
"""Claims that the answer needs supported, beside the leads."""


def answer(results: Results, findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers."""
    if odd := open_ones(findings, needed([*(f"lead_{name}" for name in results.datasets), *TOLD])):
        return unconfirmed(odd)
    effect = effects(findings)
    leads = ", ".join(f"{effect[f'lead_{name}']:.0f} ({name})" for name in results.datasets)
    return (
        f"In the playground's own setting sigmoid needs {leads} times the steps of tanh. Of that "
        f"the drawn weights, which mean a flatter function with sigmoid units, make a factor of "
        f"{effect['start']:.1f}, the missing centering {effect['centering']:.2f}, scale "
        f"{effect['scale']:.1f} and slope {effect['slope']:.1f}; these two are learning rates in "
        "disguise, bit for bit, and so is the coding of the labels. At best rates the start is "
        f"worth {effect['best_start']:.1f}, centering {effect['best_centering']:.1f}, slope and "
        f"scale together {effect['best_disguise']:.0%} of what they were."
    )
