"""The claims on generalizing and on reach: sentence, statistic, rule, and what decides them.

Each function states claims and returns them with their evidence; the rules do not depend on
the evidence. Ratios are geometric means over seeds of paired ratios, with bootstrap intervals.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from experiments._generalization.plan import LARGE_RATE, LARGE_SCALE, LEVELS, RUNGS, regimes
from experiments._generalization.results import Results
from signdyn.claims import (
    REFUTED,
    SUPPORTED,
    Claim,
    Evidence,
    Finding,
    above,
    always,
    below,
    decide,
    exact_evidence,
    mean_evidence,
    ratio_evidence,
    within,
)

NO_DIFFERENCE = within(0.8, 1.25)
"""Less than a quarter either way counts as no difference."""

SAME_ERROR = within(-0.03, 0.03)
"""Fewer than three more or fewer of a hundred test examples wrong counts as no difference."""

LOSS, STEPS, ORTHANTS, SPECTRUM = "matched_loss", "matched_steps", "orthants", "spectrum"
"""Figures."""

ARMS = ("raw", "centered")

WORDS = {"clean": "", "noisy": ", noisy labels"}

Stated = Iterator[tuple[Claim, Evidence]]


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    parts = (_generalizing, _optimizing, _reaching, _dimensions, _flips, _controls)
    stated = [pair for part in parts for pair in part(results)]
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


def answer(results: Results, findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    by_id = {finding.claim.id: finding for finding in findings}
    first = results.plan.activations[0]
    told = [f"{name}_{regime}_{a}" for name in ("loss", "optimum") for regime, a in _cases(results)]
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


def _cases(results: Results) -> list[tuple[str, str]]:
    activations = results.plan.activations
    return [(regime, a) for a in activations for regime in regimes(results.plan, a)]


def _generalizing(results: Results) -> Stated:
    for regime, activation in _cases(results):
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
                above(0.03),
                LOSS,
            ),
            mean_evidence(error["raw"] - error["centered"]),
        )
    for activation in results.plan.activations:
        small = 2.0 ** RUNGS[activation][0]
        loss = [
            results.at_rate(small, "matched_test_loss", "clean", activation, arm)[:, 1]
            for arm in ARMS
        ]
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
            ratio_evidence(*loss),
        )


def _optimizing(results: Results) -> Stated:
    for regime, activation in _cases(results):
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
                f"Given time, the raw network errs on no more test examples ({activation}).",
                f"test error before step {results.plan.config.steps}, raw - centered, best rates",
                SAME_ERROR,
                STEPS,
            ),
            mean_evidence(final[0] - final[1]),
        )


def _reaching(results: Results) -> Stated:
    batch = results.plan.config.batch_size
    for activation in results.plan.directions:

        def single(name: str, arm: str = "raw", activation: str = activation) -> np.ndarray:
            return results.directions(name, activation, arm, 1)

        yield (
            Claim(
                f"two_orthants_{activation}",
                ("b1", "b4", "b7"),
                "Trained one example at a time, a unit with non-negative inputs moves all its "
                f"weights up or all down: its updates lie in two orthants ({activation}).",
                "most orthants that the updates of one unit lie in, first and second layer",
                always(2.0),
                ORTHANTS,
            ),
            exact_evidence(single("most_step_orthants")),
        )
        yield (
            Claim(
                f"reach_{activation}",
                ("b4", "b7"),
                "So only two orthants around its start can be reached at all "
                f"({activation}, {results.plan.config.direction_steps} steps).",
                "orthants that a unit's weights have been in, mean over units, the layer with "
                "fewest",
                below(2.5),
                ORTHANTS,
            ),
            mean_evidence(single("path_orthants")[..., -1].min(axis=1)),
        )
        yield (
            Claim(
                f"span_{activation}",
                ("b7",),
                "One-signed updates span every dimension that the inputs span which moved the "
                f"unit ({activation}).",
                "largest |rank of updates - rank of inputs| over units and lengths of the run",
                always(0.0),
                ORTHANTS,
            ),
            exact_evidence(single("rank_gap")),
        )
        ranks = [single("rank", arm)[:, 0, -1] for arm in ARMS]
        yield (
            Claim(
                f"space_{activation}",
                ("b7",),
                "Moving with one sign shrinks the space that is searched: the updates of a "
                "first-layer unit span less than half as many dimensions as those of a centered "
                f"one ({activation}).",
                "rank of a unit's updates, raw / centered, single examples",
                below(0.5),
                ORTHANTS,
            ),
            ratio_evidence(*ranks),
        )
        yield (
            Claim(
                f"batch_{activation}",
                ("b7", "b12"),
                f"Steps of {batch} examples keep to the two orthants as well ({activation}).",
                "share of a unit's updates with one sign, mean over two layers",
                above(0.95),
            ),
            mean_evidence(results.directions("one_signed", activation, "raw", batch).mean(axis=1)),
        )


def _dimensions(results: Results) -> Stated:
    batch = results.plan.config.batch_size
    for activation in results.plan.directions:
        for examples, words in ((1, "single examples"), (batch, f"batches of {batch}")):
            raw, centered = (
                _over_layers(results.directions("unit_dimension", activation, arm, examples))
                for arm in ARMS
            )
            yield (
                Claim(
                    f"dimension_{'1' if examples == 1 else 'batch'}_{activation}",
                    ("b7", "b8"),
                    "What the mean shrinks is the effective dimension: the updates of a raw unit "
                    "point along fewer directions than those of a centered one at the same rate "
                    f"({activation}, {words}).",
                    "effective dimension of a unit's updates, raw / centered, geometric mean of "
                    "two layers",
                    below(1.0),
                    SPECTRUM,
                ),
                ratio_evidence(raw, centered),
            )
        measured = results.directions("unit_dimension", activation, "raw", 1)[:, 0]
        expected = np.full_like(measured, results.input_dimension("raw"))
        yield (
            Claim(
                f"inputs_{activation}",
                ("b7", "b8"),
                "A raw unit's updates have the effective dimension of its inputs' second moment, "
                f"as deltas that do not depend on the inputs give ({activation}, first layer).",
                "effective dimension, a unit's updates / training inputs, single examples",
                NO_DIFFERENCE,
                SPECTRUM,
            ),
            ratio_evidence(measured, expected),
        )


def _flips(results: Results) -> Stated:
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


def _controls(results: Results) -> Stated:
    first = results.plan.activations[0]
    raw = results.at_best("matched_test_loss", "clean", first, "raw")[:, -1]
    best = results.best_rate("clean", first, "raw")
    again = results.at_rate(best, "matched_test_loss", "clean", first, "again")[:, -1]
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
        ratio_evidence(raw, again),
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
            _over_layers(results.directions("unit_dimension", activation, arm, 1))
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


def _over_layers(values: np.ndarray) -> np.ndarray:
    """Return [seed] the geometric mean of [seed, layer]."""
    return np.exp(np.log(values).mean(axis=1))
