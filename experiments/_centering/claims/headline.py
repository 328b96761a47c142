"""The answer in a paragraph, with this run's numbers."""

from experiments._fisher_spectrum.activation import NAMES
from experiments._headline import effects, needed, open_ones, unconfirmed
from signdyn.claims import REFUTED, Finding


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    enough = [f"{site}_enough_{name}" for site in ("data", "hidden") for name in NAMES]
    needs = needed(("both", "batch", "means_return"), **dict.fromkeys(enough, REFUTED))
    if odd := open_ones(findings, needs):
        return unconfirmed(odd)
    effect = effects(findings)
    data, hidden = (
        ", ".join(f"{effect[f'{site}_enough_{name}']:.1f} ({name})" for name in NAMES)
        for site in ("data", "hidden")
    )
    return (
        "Data and hidden units must both be centered: together that divides the steps to the "
        f"target by {effect['both']:.1f} or more. With only the data centered, networks need "
        f"{data} times the steps of both; with only hidden units centered, {hidden} times. "
        "Subtracting the batch's own means instead of constants, which go stale, saves another "
        f"factor of {effect['batch']:.1f} on average."
    )
