"""The answer in a paragraph, with this run's numbers."""

from collections.abc import Sequence

from experiments._generalization.claims.common import cases
from experiments._generalization.results import Results
from signdyn.claims import REFUTED, SUPPORTED, Finding


def answer(results: Results, findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    by_id = {finding.claim.id: finding for finding in findings}
    first = results.plan.activations[0]
    told = [f"{name}_{regime}_{a}" for name in ("loss", "optimum") for regime, a in cases(results)]
    told += [f"steps_clean_{activation}" for activation in results.plan.activations]
    open_ones = [id for id in told if by_id[id].verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    reach = ""
    for activation in results.plan.directions[-1:]:
        expected = {"two_orthants": SUPPORTED, "reach": REFUTED, "span": SUPPORTED}
        if all(by_id[f"{id}_{activation}"].verdict == v for id, v in expected.items()):
            reach = (
                " Steps of single examples lie in two orthants, but take a unit through "
                f"{effect[f'reach_{activation}']:.0f} and span every dimension of its inputs, "
                f"with {effect[f'dimension_1_{activation}']:.2f} times the effective dimension of "
                f"a centered unit's ({activation})."
            )
    return (
        "Uncentered units hinder finding the optimum, not generalizing: at the same training loss "
        f"the raw network's test loss is {effect[f'loss_clean_{first}']:.2f} times the centered "
        f"one's ({first}), while at the step at which the centered one has arrived raw errs on "
        f"another {effect[f'steps_clean_{first}']:.0%} of the test set." + reach
    )
