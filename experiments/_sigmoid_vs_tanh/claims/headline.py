"""The answer in a paragraph, with this run's numbers."""

from collections.abc import Sequence

from experiments._sigmoid_vs_tanh.results import Results
from signdyn.claims import SUPPORTED, Finding


def answer(results: Results, findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = (
        *(f"lead_{name}" for name in results.datasets),
        *("start", "scale", "slope", "in_disguise", "labels_same", "best_start", "best_disguise"),
    )
    open_ones = [id for id in told if by_id[id].verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
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
