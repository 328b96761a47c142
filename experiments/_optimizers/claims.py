"""The claims on optimizers: sentence, statistic, rule, and what decides them.

Each function states claims and returns them with their evidence; the rules do not depend on
the evidence. Ratios are geometric means over seeds of paired ratios, with bootstrap intervals.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from experiments._optimizers.plan import CENTRAL, MAIN, OPTIMIZERS, Course
from experiments._optimizers.results import COMMON, Results
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

RATES, GAINS, TURNS, CENTRALIZATION = "rates", "gains", "turns", "centralization"
"""Figures."""

NO_DIFFERENCE = within(0.8, 1.25)
"""Less than a quarter either way counts as no difference."""

ROUNDING = 1e-5
"""Share of a unit's way that its weight sum may move by rounding."""

WORDS = {
    "sgd": "plain gradient descent",
    "momentum": "momentum",
    "adam": "Adam",
    "sign_descent": "sign descent",
}

FOLK = {
    "momentum": "Momentum averages the zig-zag away, so centering is no longer needed.",
    "adam": "Adam rescales every coordinate, so centering is no longer needed.",
    "sign_descent": "Sign descent sees no sizes, so a mean in the inputs does not matter to it.",
}

Stated = Iterator[tuple[Claim, Evidence]]


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    parts = (_gains, _turns, _directions, _centralization, _controls, _minibatch)
    stated = [pair for part in parts for pair in part(results)]
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


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


def gain(results: Results, course: Course) -> np.ndarray:
    """Return [seed] steps of raw over steps of centered, each at its best rate."""
    raw, centered = (results.at_best("steps", course, arm) for arm in ("raw", "centered"))
    return raw / centered


def central_gain(results: Results, arm: str, activation: str) -> np.ndarray:
    """Return [seed] steps of plain gradient descent over steps of centralized, best rates."""
    plain, central = (
        results.at_best("steps", Course(activation, optimizer), arm)
        for optimizer in ("sgd", CENTRAL)
    )
    return plain / central


def _gains(results: Results) -> Stated:
    plain = gain(results, Course(MAIN, "sgd"))
    for optimizer, words in WORDS.items():
        yield (
            Claim(
                f"gain_{optimizer}",
                ("b4", "b5"),
                f"Centering inputs and hidden units cuts the steps to the target under {words}.",
                "steps to target, raw / centered, each at its own best rate",
                above(1.0),
                GAINS,
            ),
            _ratio(gain(results, Course(MAIN, optimizer))),
        )
    for optimizer, sentence in FOLK.items():
        yield (
            Claim(
                f"folk_{optimizer}",
                ("b5", "b8"),
                sentence,
                f"steps to target, raw / centered, {WORDS[optimizer]}, best rates",
                NO_DIFFERENCE,
                GAINS,
            ),
            _ratio(gain(results, Course(MAIN, optimizer))),
        )
        yield (
            Claim(
                f"less_{optimizer}",
                ("b5", "b8"),
                f"Centering is worth less under {WORDS[optimizer]} than under plain gradient "
                "descent.",
                f"gain from centering, plain gradient descent / {WORDS[optimizer]}",
                above(1.0),
                GAINS,
            ),
            _ratio(plain / gain(results, Course(MAIN, optimizer))),
        )
    for optimizer in ("momentum", "adam"):
        yield (
            Claim(
                f"common_rate_{optimizer}",
                ("b5",),
                f"Centering speeds {WORDS[optimizer]} up by more than a quarter at one and the "
                f"same small rate, raw's best / {2**COMMON}.",
                f"steps to target, raw / centered, both at raw's best rate / {2**COMMON}",
                above(1.25),
                RATES,
            ),
            ratio_evidence(*results.at_common_rate(Course(MAIN, optimizer))),
        )


def _turns(results: Results) -> Stated:
    turns = {
        (name, optimizer): results.at_best(name, Course(MAIN, optimizer), "raw")
        for name in ("reversal_fraction", "gradient_reversals")
        for optimizer in OPTIMIZERS
    }
    share = "share of successive {} with negative cosine until the target, raw at its best rate"
    yield (
        Claim(
            "turns_sgd",
            ("b4",),
            "Plain gradient descent on the raw network zig-zags: most turns go back.",
            share.format("updates"),
            above(0.5),
            TURNS,
        ),
        mean_evidence(turns["reversal_fraction", "sgd"]),
    )
    yield (
        Claim(
            "turns_sign_descent",
            ("b4",),
            "So does sign descent, which has no memory either: a quarter of its turns and more go "
            "back.",
            share.format("updates"),
            above(0.25),
            TURNS,
        ),
        mean_evidence(turns["reversal_fraction", "sign_descent"]),
    )
    for optimizer in ("momentum", "adam"):
        words = WORDS[optimizer]
        yield (
            Claim(
                f"smooth_{optimizer}",
                ("b4",),
                f"The updates of {words} hardly ever turn back, not even on the raw network.",
                share.format("updates"),
                below(0.05),
                TURNS,
            ),
            mean_evidence(turns["reversal_fraction", optimizer]),
        )
        yield (
            Claim(
                f"hidden_{optimizer}",
                ("b4",),
                f"The gradients that {words} averages turn back more often than its updates do: "
                "the path hides a part of the zig-zag.",
                "share of successive gradients with negative cosine, minus that of updates, raw",
                above(0.0),
                TURNS,
            ),
            mean_evidence(
                turns["gradient_reversals", optimizer] - turns["reversal_fraction", optimizer],
            ),
        )
        yield (
            Claim(
                f"calmer_{optimizer}",
                ("b4",),
                f"Yet they alternate less than under plain gradient descent: {words} calms the "
                "zig-zag down, and does not only hide it.",
                f"share of successive gradients with negative cosine, plain - {words}, raw",
                above(0.2),
                TURNS,
            ),
            mean_evidence(
                turns["gradient_reversals", "sgd"] - turns["gradient_reversals", optimizer],
            ),
        )


def _directions(results: Results) -> Stated:
    for optimizer in ("adam", "sign_descent"):
        words = WORDS[optimizer]
        raw, flipped = (
            results.at_best("coherence", Course(MAIN, optimizer), arm) for arm in ("raw", "flipped")
        )
        yield (
            Claim(
                f"along_mean_{optimizer}",
                ("b5", "b8"),
                f"Rescaling coordinates does not take {words} off the inputs' mean, which is no "
                "coordinate: a tenth and more of what its first layer's updates move lies along "
                f"that one of {results.fan_in} directions.",
                "share of the kernel update's energy along the inputs' mean, first layer, raw",
                above(0.1),
                TURNS,
            ),
            mean_evidence(results.at_best("along_mean", Course(MAIN, optimizer), "raw")),
        )
        yield (
            Claim(
                f"coherence_{optimizer}",
                ("b4", "b7"),
                f"Flipping random signs destroys the common sign of the updates of {words} (first "
                "layer).",
                "sign coherence of the update, raw minus flipped, mean until the target",
                above(0.1),
            ),
            mean_evidence(raw - flipped),
        )
    yield (
        Claim(
            "flip_exact",
            ("b4", "a4"),
            "And changes nothing else: with plain gradient descent, momentum, Adam and sign "
            "descent the loss is the same at every step and rate, bit for bit.",
            "largest |loss difference|, raw and flipped, over optimizers, rates and steps, nats",
            always(0.0),
            RATES,
        ),
        exact_evidence(
            np.max([results.flip_gap(Course(MAIN, name)) for name in OPTIMIZERS], axis=0)
        ),
    )
    yield (
        Claim(
            "flip_exact_path",
            ("b4",),
            "Turns of updates and gradients, tortuosity and the share along the mean are the same "
            "bit for bit, too.",
            "largest difference of a path's measures, raw and flipped, over optimizers and rates",
            always(0.0),
        ),
        exact_evidence(
            np.max([results.flip_gap_of_path(Course(MAIN, name)) for name in OPTIMIZERS], axis=0)
        ),
    )


def _centralization(results: Results) -> Stated:
    for activation in results.central:
        raw, flipped, centered = (
            central_gain(results, arm, activation) for arm in ("raw", "flipped", "centered")
        )
        yield (
            Claim(
                f"central_{activation}",
                ("b5", "b8"),
                f"Gradient centralization cuts the steps of the raw network ({activation}).",
                "steps to target, plain / centralized, raw, best rates",
                above(1.0),
                CENTRALIZATION,
            ),
            _ratio(raw),
        )
        yield (
            Claim(
                f"central_flipped_{activation}",
                ("b4", "b8"),
                "After random signs are flipped, the same function with the same mean, it neither "
                f"helps nor hurts ({activation}).",
                "steps to target, plain / centralized, flipped, best rates",
                NO_DIFFERENCE,
                CENTRALIZATION,
            ),
            _ratio(flipped),
        )
        yield (
            Claim(
                f"interaction_{activation}",
                ("b4", "b8"),
                "It rests on the mean's pointing along the all-ones vector: its gain is larger on "
                f"the raw network than on the flipped one ({activation}).",
                "gain of centralization, raw / flipped",
                above(1.0),
                CENTRALIZATION,
            ),
            _ratio(raw / flipped),
        )
        yield (
            Claim(
                f"central_share_{activation}",
                ("b8",),
                "It takes the updates off the mean on the raw network, and not on the flipped one "
                f"({activation}).",
                "share of the first layer's update along the mean, what centralization takes off "
                "it: raw - flipped",
                above(0.25),
                CENTRALIZATION,
            ),
            mean_evidence(
                _taken(results, "raw", activation) - _taken(results, "flipped", activation),
            ),
        )
        yield (
            Claim(
                f"central_enough_{activation}",
                ("b5",),
                "Centering the gradients does as much as centering what the units read "
                f"({activation}).",
                "steps to target, centralized on raw / plain on centered, best rates",
                NO_DIFFERENCE,
                CENTRALIZATION,
            ),
            _ratio(
                results.at_best("steps", Course(activation, CENTRAL), "raw")
                / results.at_best("steps", Course(activation, "sgd"), "centered"),
            ),
        )
        yield (
            Claim(
                f"central_centered_{activation}",
                ("b5",),
                "And on the mean's being there: on the centered network it gains less than on the "
                f"raw one ({activation}).",
                "gain of centralization, raw / centered",
                above(1.0),
                CENTRALIZATION,
            ),
            _ratio(raw / centered),
        )
    yield (
        Claim(
            "central_feels_flip",
            ("b4",),
            "Unlike the other four, centralized gradient descent feels the flip: it depends on "
            "which sign a unit has.",
            "largest |loss difference| over steps at raw's best rate, raw and flipped, nats, "
            f"{results.central[0]}",
            above(0.1),
        ),
        mean_evidence(results.losses_apart(Course(results.central[0], CENTRAL))),
    )


def _controls(results: Results) -> Stated:
    plain = Course(results.central[0], "sgd")
    yield (
        Claim(
            "central_sums",
            ("b8",),
            "Centralization freezes the sum of every unit's incoming weights, up to rounding.",
            "largest change of a weight sum over the largest absolute change of a unit's weights",
            below(ROUNDING),
        ),
        exact_evidence(_drift(results, CENTRAL)),
    )
    yield (
        Claim(
            "plain_sums",
            ("b8",),
            "Control: plain gradient descent moves those sums.",
            "largest change of a weight sum over the largest absolute change of a unit's weights",
            above(0.1),
            control=True,
        ),
        mean_evidence(_drift(results, "sgd")),
    )
    yield (
        Claim(
            "again",
            ("b4",),
            f"Control: the raw network and the raw network with other seeds need equally many "
            f"steps ({plain.activation}, plain gradient descent).",
            "steps to target, raw / raw with other seeds, best rates",
            NO_DIFFERENCE,
            control=True,
        ),
        _ratio(
            results.at_best("steps", plain, "raw") / results.at_best("steps", plain, "again"),
        ),
    )


def _minibatch(results: Results) -> Stated:
    if not results.batch_size:
        return
    yield (
        Claim(
            "gain_minibatch",
            ("b4", "b5"),
            f"With minibatches of {results.batch_size}, too, centering cuts the steps of momentum.",
            "steps to target, raw / centered, momentum with minibatches, best rates",
            above(1.0),
            GAINS,
        ),
        _ratio(gain(results, Course(MAIN, "momentum", minibatch=True))),
    )


def _ratio(ratios: np.ndarray) -> Evidence:
    return ratio_evidence(ratios, np.ones_like(ratios))


def _taken(results: Results, arm: str, activation: str) -> np.ndarray:
    """Return [seed] by how much centralization lowers the first layer's share along the mean."""
    plain, central = (
        results.at_best("along_mean", Course(activation, optimizer), arm)
        for optimizer in ("sgd", CENTRAL)
    )
    return plain - central


def _drift(results: Results, optimizer: str) -> np.ndarray:
    """Return [seed] how far a unit's weight sum moved, raw, the activations' largest."""
    drifts = [results.at_best("sum_drift", Course(a, optimizer), "raw") for a in results.central]
    return np.max(drifts, axis=0)
