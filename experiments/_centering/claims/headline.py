"""The answer in a paragraph, with this run's numbers."""

from experiments._fisher_spectrum.activation import NAMES
from signdyn.claims import REFUTED, SUPPORTED, Finding


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = {"both": SUPPORTED, "hidden_enough": REFUTED, "batch": SUPPORTED}
    told |= {f"data_enough_{name}": REFUTED for name in NAMES}
    odd = [id for id, verdict in told.items() if by_id[id].verdict != verdict]
    if odd:
        return f"This run does not confirm the picture: see {', '.join(odd)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    alone = ", ".join(f"{effect[f'data_enough_{name}']:.1f} ({name})" for name in NAMES)
    return (
        "Data and hidden units must both be centered: together that divides the steps to the "
        f"target by {effect['both']:.1f} or more. With only the data centered, networks need "
        f"{alone} times the steps of both; with only hidden units centered, at least "
        f"{effect['hidden_enough']:.1f} times. Subtracting the batch's own means instead of "
        f"constants, which go stale, saves another factor of {effect['batch']:.1f}."
    )
