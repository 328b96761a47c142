"""The answer in a paragraph, with this run's numbers."""

from collections.abc import Mapping

from experiments._headline import effects, needed, open_ones, unconfirmed
from experiments._optimizers.claims.common import WORDS
from experiments._optimizers.plan import OPTIMIZERS
from signdyn.claims import Finding


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    turning = {"sgd": "turns_sgd", "sign_descent": "turns_sign_descent"}
    smooth = {"momentum": "smooth_momentum", "adam": "smooth_adam"}
    gains = {name: f"gain_{name}" for name in OPTIMIZERS}
    prefix = "interaction_"
    ids = [finding.claim.id for finding in findings]
    central = [id.removeprefix(prefix) for id in ids if id.startswith(prefix)]
    kinds = ("central", "central_flipped", "interaction")
    centralization = [f"{kind}_{activation}" for activation in central for kind in kinds]
    told = [*gains.values(), *turning.values(), *smooth.values(), *centralization]
    if odd := open_ones(findings, needed(told)):
        return unconfirmed(odd)
    effect = effects(findings)

    def listed(ids: Mapping[str, str], digits: str) -> str:
        return ", ".join(f"{WORDS[name]} {effect[id]:{digits}}" for name, id in ids.items())

    raw, flipped = effect[f"central_{central[0]}"], effect[f"central_flipped_{central[0]}"]
    return (
        "All of them suffer from the mean, whether their updates turn back "
        f"({listed(turning, '.0%')} of all turns) or not ({listed(smooth, '.0%')}). Centering "
        "divides the steps to the target, each at its own best rate, by: "
        f"{listed(gains, '.1f')}. Gradient centralization helps as long as the mean points along "
        f"the all-ones vector: it divides the steps of the raw {central[0]} network by {raw:.1f}, "
        f"and after random signs are flipped by {flipped:.1f}."
    )
