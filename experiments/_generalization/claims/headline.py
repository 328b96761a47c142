"""The answer in a paragraph, with this run's numbers."""

from collections.abc import Sequence

from experiments._generalization.claims.common import cases
from experiments._generalization.results import Results
from experiments._headline import effects, needed, open_ones, unconfirmed
from signdyn.claims import REFUTED, Finding


def answer(results: Results, findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    first = results.plan.activations[0]
    supported = [
        f"{name}_{regime}_{a}" for name in ("loss", "optimum") for regime, a in cases(results)
    ]
    supported += [f"steps_clean_{activation}" for activation in results.plan.activations]
    refuted = [f"error_{regime}_{a}" for regime, a in cases(results)]
    if odd := open_ones(findings, needed(supported, **dict.fromkeys(refuted, REFUTED))):
        return unconfirmed(odd)
    effect = effects(findings)
    reach = ""
    for a in results.plan.directions[-1:]:
        supported = [f"{id}_{a}" for id in ("two_orthants", "span", "dimension_1")]
        if not open_ones(findings, needed(supported, **{f"reach_{a}": REFUTED})):
            reach = (
                " Steps of single examples lie in two orthants, but take a unit through "
                f"{effect[f'reach_{a}']:.0f} or more and span every dimension of its inputs, "
                f"with {effect[f'dimension_1_{a}']:.2f} times the effective dimension of "
                f"a centered unit's ({a})."
            )
    return (
        "Uncentered units hinder finding the optimum, not generalizing: at the same training loss "
        f"the raw network's test loss is {effect[f'loss_clean_{first}']:.2f} times the centered "
        f"one's ({first}), while at the step at which the centered one has arrived raw errs on "
        f"another {effect[f'steps_clean_{first}']:.0%} of the test set." + reach
    )
