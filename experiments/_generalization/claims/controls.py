"""Sign flips, and negative controls: other seeds."""

from experiments._generalization.claims.common import LOSS, SPECTRUM, over_layers
from experiments._generalization.plan import LARGE_RATE, LARGE_SCALE, LEVELS
from experiments._generalization.results import Results
from experiments._stated import NO_DIFFERENCE, Stated, evidence_if_run
from signdyn.claims import (
    Claim,
    Evidence,
    above,
    always,
    below,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
)


def flip_claims(results: Results) -> Stated:
    yield (
        Claim(
            "flip_losses",
            ("b6", "a4"),
            "Flipping random signs changes neither training nor test loss at any step, by any bit.",
            "largest |difference| to raw over steps, rates, regimes and activations, nats",
            always(0.0),
            LOSS,
        ),
        exact_evidence(results.largest_difference()),
    )
    if not results.plan.directions:
        return
    yield (
        Claim(
            "flip_directions",
            ("b7", "a4"),
            "Flipping turns updates about, each in its own orthants, and leaves every angle and "
            "length among them as it is.",
            "largest |difference| to raw of updates' inner products, and of losses",
            always(0.0),
            SPECTRUM,
        ),
        exact_evidence(results.direction_difference()),
    )


def control_claims(results: Results) -> Stated:
    first = results.plan.activations[0]
    raw = results.at_best("matched_test_loss", "clean", first, "raw")[:, -1]
    best = results.best_rate("clean", first, "raw")

    def again_ratio() -> Evidence:
        again = results.at_rate(best, "matched_test_loss", "clean", first, "again")[:, -1]
        return ratio_evidence(raw, again)

    yield (
        Claim(
            "again_loss",
            ("b6",),
            "Control: raw and raw with other seeds have the same test loss at the same training "
            f"loss ({first}).",
            "test loss at the last level, raw / raw with other seeds",
            NO_DIFFERENCE,
            control=True,
        ),
        evidence_if_run(again_ratio, "ratio"),
    )
    if "relu" in results.plan.activations:
        # at the middle level, where it has arrived with nearly every seed
        large = results.at_rate(LARGE_RATE, "matched_test_loss", "clean", "relu", "large")[:, 1]
        usual = results.at_best("matched_test_loss", "clean", "relu", "raw")[:, 1]
        yield (
            Claim(
                "large_start",
                ("b6",),
                "Control: the comparison would see a network that generalizes worse, as one does "
                f"whose kernels start {LARGE_SCALE:g} times as large (relu).",
                f"test loss at a training loss of {LEVELS['clean'][1]:g} nat, large start / raw",
                above(1.25),
                LOSS,
                control=True,
            ),
            ratio_evidence(large, usual),
        )
    for activation in results.plan.directions:
        yield (
            Claim(
                f"centered_signs_{activation}",
                ("b1", "b7"),
                "Control: with centered inputs a single example does not move all weights of a "
                f"unit one way ({activation}).",
                "share of a unit's updates with one sign, mean over two layers",
                below(0.05),
                control=True,
            ),
            mean_evidence(results.directions("one_signed", activation, "centered", 1).mean(axis=1)),
        )
    for activation in results.plan.directions[:1]:
        raw, again = (
            over_layers(results.directions("unit_dimension", activation, arm, 1))
            for arm in ("raw", "again")
        )
        yield (
            Claim(
                "again_dimension",
                ("b7",),
                "Control: raw and raw with other seeds have updates of the same effective "
                f"dimension ({activation}).",
                "effective dimension of a unit's updates, raw / raw with other seeds",
                NO_DIFFERENCE,
                control=True,
            ),
            ratio_evidence(raw, again),
        )
