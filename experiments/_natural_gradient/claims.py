"""The claims on natural gradients: sentence, statistic, rule, and what decides them.

Each function states claims and returns them with their evidence; the rules do not depend on
the evidence. Ratios are geometric means over seeds of paired ratios, with bootstrap intervals.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from scipy import stats

from experiments._natural_gradient.plan import DAMPINGS, FRAME_DAMPINGS, PAIRS
from experiments._natural_gradient.results import Results
from signdyn.claims import (
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

COORDINATES, LADDER, RACE, UNITS = "coordinates", "damping", "race", "units"
"""Figures."""

SAME, DIFFERENT = 1e-6, 0.01
"""Shares of the way moved: what counts as the same function, and as another one."""

GAP = "largest |output difference| to raw over steps, over raw's largest movement"

WORDS = {
    "input": "inputs centered",
    "hidden": "hidden units centered",
    "centered": "inputs and hidden units centered",
    "sigmoid": "a sigmoid for the tanh",
}

Stated = Iterator[tuple[Claim, Evidence]]


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    parts = (_exact, _approximations, _damping, _units, _race, _controls)
    stated = [pair for part in parts for pair in part(results)]
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = ("same_centered", "same_sigmoid", "sgd_differs_centered", "race_zigzag", "race_steps")
    open_ones = [id for id in told if by_id[id].verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    exact = max(by_id[id].evidence.interval.high for id in told[:2])
    return (
        "Natural gradient takes the same path of functions whether units are centered or not, "
        f"tanh or sigmoid: outputs agree to {exact:.0e} of the way moved, where gradient descent's "
        f"differ by {effect['sgd_differs_centered']:.0%} when units are centered. On raw digits "
        f"{effect['race_no_turns']:.0%} of its turns go back, of gradient descent's at its best "
        f"rate {effect['race_sgd_zigzag']:.0%}, and it needs {1 / effect['race_steps']:.0f} times "
        "fewer steps."
    )


def _exact(results: Results) -> Stated:
    for arm, words in WORDS.items():
        yield (
            Claim(
                f"same_{arm}",
                ("b8", "b11") if arm == "sigmoid" else ("b8", "b5"),
                f"Undamped natural gradient takes the same function-space steps with {words}.",
                f"{GAP}, natural gradient",
                below(SAME),
                COORDINATES,
            ),
            exact_evidence(results.gap("natural", arm)),
        )
    for arm in PAIRS:
        yield (
            Claim(
                f"sgd_differs_{arm}",
                ("b8", "b11") if arm == "sigmoid" else ("b8", "b5"),
                f"Gradient descent does not: with {WORDS[arm]} it takes other steps.",
                f"{GAP}, gradient descent",
                above(DIFFERENT),
                COORDINATES,
            ),
            mean_evidence(results.gap("sgd", arm)),
        )


def _approximations(results: Results) -> Stated:
    pairs = itertools.product((("unit", "Every unit's own block"), ("kfac", "K-FAC")), PAIRS)
    for (method, words), arm in pairs:
        yield (
            Claim(
                f"{method}_same_{arm}",
                ("b8", "b14"),
                f"{words} is enough to be blind to the mean: undamped, it takes the same "
                f"function-space steps with {WORDS[arm]}.",
                f"{GAP}, natural_{method}",
                below(SAME),
                COORDINATES,
            ),
            exact_evidence(results.gap(f"natural_{method}", arm)),
        )
    for arm in PAIRS:
        yield (
            Claim(
                f"diagonal_differs_{arm}",
                ("b8", "b14"),
                "The diagonal of the Fisher, which methods like Adam approximate, is not enough: "
                f"with {WORDS[arm]} it takes other steps.",
                f"{GAP}, natural_diagonal",
                above(DIFFERENT),
                COORDINATES,
            ),
            mean_evidence(results.gap("natural_diagonal", arm)),
        )


def damping_gaps(results: Results, arm: str) -> np.ndarray:
    """Return [damping, seed] the gaps along the ladder."""
    return np.stack([results.gap("natural", arm, damping) for damping in DAMPINGS])


def _damping(results: Results) -> Stated:
    for arm in PAIRS:
        gaps = damping_gaps(results, arm)
        order = [stats.spearmanr(DAMPINGS, column).statistic for column in gaps.T]
        yield (
            Claim(
                f"damping_gradual_{arm}",
                ("b8",),
                f"Damping undoes the invariance gradually, with {WORDS[arm]}: the more, the larger "
                "the difference.",
                "rank correlation of damping and output difference along the ladder",
                above(0.0),
                LADDER,
            ),
            mean_evidence(np.array(order)),
        )
        yield (
            Claim(
                f"damping_breaks_{arm}",
                ("b8",),
                f"At a damping of {DAMPINGS[-1]:g} it depends on coordinates at least half as much "
                f"as gradient descent does, with {WORDS[arm]}.",
                f"{GAP}: natural gradient at a damping of {DAMPINGS[-1]:g} / gradient descent",
                above(0.5),
                LADDER,
            ),
            ratio_evidence(gaps[-1], results.gap("sgd", arm)),
        )
        restored = [results.gap("natural", arm, damping, frame="raw") for damping in FRAME_DAMPINGS]
        yield (
            Claim(
                f"damping_covariant_{arm}",
                ("b8",),
                f"Damping that is carried along with the coordinates restores it, with "
                f"{WORDS[arm]}.",
                f"{GAP}, natural gradient damped in raw's coordinates, largest over dampings",
                below(SAME),
                LADDER,
            ),
            exact_evidence(np.max(restored, axis=0)),
        )


def _units(results: Results) -> Stated:
    yield (
        Claim(
            "unit_correction",
            ("b8", "b14"),
            "What a unit's natural gradient corrects is the inputs' delta^2-weighted mean: with "
            "inputs centered by it, the bias's step needs no correction (k = 1).",
            "largest |k - 1| over units, inputs centered by the weighted mean",
            below(SAME),
            UNITS,
        ),
        exact_evidence(results.start("weighted_bias_factor").max(axis=1)),
    )
    yield (
        Claim(
            "unit_weights",
            ("b8", "b14"),
            "That centering changes no weight's natural step.",
            "largest change of a weight's step, over the largest step",
            below(SAME),
            UNITS,
        ),
        exact_evidence(results.start("weighted_weight_step").max(axis=1)),
    )
    yield (
        Claim(
            "unit_uncentered",
            ("b8", "b5"),
            "On raw inputs the correction is not small.",
            "largest |k - 1| over units, raw inputs",
            above(0.1),
            UNITS,
        ),
        _geometric(results.start("bias_factor").max(axis=1)),
    )
    yield (
        Claim(
            "unit_plain_mean",
            ("b5", "b14"),
            "Centering by the plain mean over examples does the same.",
            "largest |k - 1| over units, inputs centered by the plain mean",
            below(0.01),
            UNITS,
        ),
        exact_evidence(results.start("plain_bias_factor").max(axis=1)),
    )


def _geometric(values: np.ndarray) -> Evidence:
    return ratio_evidence(values, np.ones_like(values))


def _race(results: Results) -> Stated:
    turns = {
        (optimizer, arm): results.at_best(optimizer, arm, "reversal_fraction")
        for optimizer in ("sgd", "natural", "natural_kfac")
        for arm in ("raw", "centered")
    }
    steps = {key: results.at_best(*key) for key in turns}
    yield (
        Claim(
            "race_sgd",
            ("b4", "b5"),
            "Gradient descent needs more steps on the raw network than on the centered one.",
            "steps to target, raw / centered, gradient descent at its best rates",
            above(1.0),
            RACE,
        ),
        ratio_evidence(steps["sgd", "raw"], steps["sgd", "centered"]),
    )
    yield (
        Claim(
            "race_zigzag",
            ("b4", "b8"),
            "On raw data natural gradient has none of the zig-zag that gradient descent has at its "
            "best rate: its turns go back less often.",
            "share of turns with negative cosine until the target on raw, natural - plain",
            below(0.0),
            RACE,
        ),
        mean_evidence(turns["natural", "raw"] - turns["sgd", "raw"]),
    )
    yield (
        Claim(
            "race_no_turns",
            ("b4", "b8"),
            "It hardly ever turns back at all.",
            "share of turns with negative cosine until the target, natural gradient on raw",
            below(0.05),
            RACE,
        ),
        mean_evidence(turns["natural", "raw"]),
    )
    yield (
        Claim(
            "race_sgd_zigzag",
            ("b4",),
            "At its best rate gradient descent zig-zags on the raw network: most turns go back.",
            "share of turns with negative cosine until the target, gradient descent on raw",
            above(0.5),
            RACE,
        ),
        mean_evidence(turns["sgd", "raw"]),
    )
    for other, words in (("raw", "on raw data"), ("centered", "on the centered network")):
        yield (
            Claim(
                "race_steps" if other == "raw" else "race_centered",
                ("b8",),
                f"On raw data it needs fewer steps than gradient descent {words}.",
                f"steps to target, natural gradient on raw / gradient descent {words}",
                below(1.0),
                RACE,
            ),
            ratio_evidence(steps["natural", "raw"], steps["sgd", other]),
        )
    for method, words in (("natural", "Natural gradient"), ("natural_kfac", "K-FAC")):
        yield (
            Claim(
                f"race_blind_{method}",
                ("b8", "b5"),
                f"{words} with a little damping needs as many steps raw as centered.",
                f"steps to target, raw / centered, {method}",
                within(0.9, 1.1),
                RACE,
            ),
            ratio_evidence(steps[method, "raw"], steps[method, "centered"]),
        )


def _controls(results: Results) -> Stated:
    yield (
        Claim(
            "flip",
            ("b4", "a4"),
            "Control: under sign flips gradient descent takes the same function-space steps.",
            f"{GAP}, gradient descent",
            always(0.0),
            COORDINATES,
            control=True,
        ),
        exact_evidence(results.gap("sgd", "flipped")),
    )
    yield (
        Claim(
            "other_seeds",
            ("b8",),
            "Control: natural gradient from other seeds does not take the same steps.",
            f"{GAP}, natural gradient from other starts",
            above(DIFFERENT),
            control=True,
        ),
        mean_evidence(results.gap("natural", "again")),
    )
    yield (
        Claim(
            "again",
            ("b8",),
            "Control: raw against raw with other seeds makes no difference to the race.",
            "steps to target on raw, natural gradient / natural gradient from other seeds",
            within(0.8, 1.25),
            control=True,
        ),
        ratio_evidence(results.at_best("natural", "raw"), results.at_best("natural", "again")),
    )
