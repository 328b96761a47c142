"""Test error at equal training loss, and how soon that loss is reached."""

from experiments._generalization.claims.common import ARMS, LOSS, STEPS, cases
from experiments._generalization.plan import LEVELS, RUNGS
from experiments._generalization.results import Results
from experiments._stated import NO_DIFFERENCE, Stated, evidence_if_run
from signdyn.claims import Claim, Evidence, above, below, mean_evidence, ratio_evidence

NO_MORE_ERRORS = 0.03
"""Fewer than three more of a hundred test examples wrong count as no more."""

WORDS = {"clean": "", "noisy": ", noisy labels"}


def generalization_claims(results: Results) -> Stated:
    for regime, activation in cases(results):
        level = LEVELS[regime][-1]
        words = f"({activation}{WORDS[regime]})"
        loss, error = (
            {arm: results.at_best(name, regime, activation, arm)[:, -1] for arm in ARMS}
            for name in ("matched_test_loss", "matched_test_error")
        )
        yield (
            Claim(
                f"loss_{regime}_{activation}",
                ("b6",),
                f"At the same training loss, each at its own best rate, the raw and the centered "
                f"network have the same test loss {words}.",
                f"test loss at a training loss of {level:g} nat, raw / centered",
                NO_DIFFERENCE,
                LOSS,
            ),
            ratio_evidence(loss["raw"], loss["centered"]),
        )
        yield (
            Claim(
                f"error_{regime}_{activation}",
                ("b6",),
                "What uncentered activations hinder is generalizing: at the same training loss "
                f"the raw network errs on at least three more of a hundred test examples {words}.",
                f"test error at a training loss of {level:g} nat, raw - centered",
                above(NO_MORE_ERRORS),
                LOSS,
            ),
            mean_evidence(error["raw"] - error["centered"]),
        )
    for activation in results.plan.activations:
        small = 2.0 ** RUNGS[activation][0]

        def loss_ratio(activation: str = activation, small: float = small) -> Evidence:
            return ratio_evidence(
                *(
                    results.at_rate(small, "matched_test_loss", "clean", activation, arm)[:, 1]
                    for arm in ARMS
                )
            )

        yield (
            Claim(
                f"loss_small_{activation}",
                ("b6",),
                "At the same training loss they have the same test loss at an equal, small rate x "
                f"lambda_max too ({activation}).",
                f"test loss at a training loss of {LEVELS['clean'][1]:g} nat, raw / centered, "
                f"rate x lambda_max = {small:g}",
                NO_DIFFERENCE,
                LOSS,
            ),
            evidence_if_run(loss_ratio, "ratio"),
        )


def optimization_claims(results: Results) -> Stated:
    for regime, activation in cases(results):
        steps = [results.at_best("steps", regime, activation, arm) for arm in ARMS]
        yield (
            Claim(
                f"optimum_{regime}_{activation}",
                ("b6", "b4"),
                "What uncentered activations hinder is finding the optimum: the raw network needs "
                f"more than twice as many steps ({activation}{WORDS[regime]}).",
                f"steps to a training loss of {LEVELS[regime][-1]:g} nat, raw / centered, best "
                "rates",
                above(2.0),
                STEPS,
            ),
            ratio_evidence(*steps),
        )
        raw, centered = (results.at_arrival(regime, activation, arm) for arm in ARMS)
        yield (
            Claim(
                f"steps_{regime}_{activation}",
                ("b6",),
                "At the same number of steps the raw network errs on at least five more of a "
                "hundred test examples, as its training is not done "
                f"({activation}{WORDS[regime]}).",
                f"test error when centered reaches {LEVELS[regime][-1]:g} nat, raw - centered, "
                "best rates",
                above(0.05),
                STEPS,
            ),
            mean_evidence(raw - centered),
        )
    for activation in results.plan.activations:
        final = [results.at_best("test_error", "clean", activation, arm)[:, -1] for arm in ARMS]
        yield (
            Claim(
                f"time_{activation}",
                ("b6",),
                "Given time, the raw network errs on no more test examples: on fewer than three "
                f"more of a hundred ({activation}).",
                f"test error before step {results.plan.config.steps}, raw - centered, best rates",
                below(NO_MORE_ERRORS),
                STEPS,
            ),
            mean_evidence(final[0] - final[1]),
        )
