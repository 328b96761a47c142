"""The answer in a paragraph, with this run's numbers."""

from collections.abc import Mapping

from experiments._optimizers.claims.common import WORDS
from experiments._optimizers.plan import OPTIMIZERS
from signdyn.claims import SUPPORTED, Finding


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    by_id = {finding.claim.id: finding for finding in findings}
    turning = {"sgd": "turns_sgd", "sign_descent": "turns_sign_descent"}
    smooth = {"momentum": "smooth_momentum", "adam": "smooth_adam"}
    gains = {name: f"gain_{name}" for name in OPTIMIZERS}
    interactions = [id for id in by_id if id.startswith("interaction_")]
    told = [*gains.values(), *turning.values(), *smooth.values(), *interactions]
    open_ones = [id for id in told if by_id[id].verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}

    def listed(ids: Mapping[str, str], digits: str) -> str:
        return ", ".join(f"{WORDS[name]} {effect[id]:{digits}}" for name, id in ids.items())

    activation = interactions[0].removeprefix("interaction_")
    raw, flipped = effect[f"central_{activation}"], effect[f"central_flipped_{activation}"]
    return (
        "All of them suffer from the mean, whether their updates turn back "
        f"({listed(turning, '.0%')} of all turns) or not ({listed(smooth, '.0%')}). Centering "
        "divides the steps to the target, each at its own best rate, by: "
        f"{listed(gains, '.1f')}. Gradient centralization helps as long as the mean points along "
        f"the all-ones vector: it divides the steps of the raw {activation} network by {raw:.1f}, "
        f"and after random signs are flipped by {flipped:.1f}."
    )
