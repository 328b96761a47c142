"""The claims on vanishing gradients: sentence, statistic, rule, and what decides them.

Each function states claims and returns them with their evidence; the rules do not depend on
the evidence. Ratios are geometric means over seeds of paired ratios, with bootstrap intervals.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from experiments._fisher_spectrum.activation import NAMES
from experiments._vanishing_gradients.plan import AGAIN, FALLS, Race
from experiments._vanishing_gradients.results import Results
from experiments._vanishing_gradients.start import FALLING, PAIR
from signdyn.activations import get_activation
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

PROFILE, DEPTH, FACTORIAL = "profile", "depth", "factorial"
"""Figures."""

EXACT = 1e-12
"""Shares up to which float64 numbers count as the same; rounding makes some 1e-14."""

NO_DIFFERENCE = within(0.8, 1.25)
"""Less than a quarter either way counts as no difference."""

OFF_CENTER = ("relu", "sigmoid")
"""Activations with a mean."""

UNITS = {"relu": "ReLU", "sigmoid": "sigmoid", "tanh": "tanh"}

Stated = Iterator[tuple[Claim, Evidence]]


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    parts = (
        _identities,
        _cures,
        _vanishing,
        _means,
        _speed,
        _factorial,
        _sigmoid,
        _depth,
        _controls,
    )
    stated = [pair for part in parts for pair in part(results)]
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    by_id = {finding.claim.id: finding for finding in findings}
    needed = {
        "deltas_same": SUPPORTED,
        "centering_cures": REFUTED,
        "keep_relu": SUPPORTED,
        "steps_relu": SUPPORTED,
        "steps_sigmoid": SUPPORTED,
        "only_vanishing_relu": REFUTED,
        "only_vanishing_sigmoid": REFUTED,
    }
    open_ones = [id for id, verdict in needed.items() if by_id[id].verdict != verdict]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    return (
        "No: the two are separate. Centering hidden units leaves every delta as it is, to "
        f"{by_id['deltas_same'].evidence.interval.high:.0e}, and divides the steps to target by "
        f"{effect['steps_relu']:.1f} in ReLU networks, whose deltas do not vanish (first layer's "
        f"over last layer's {effect['keep_relu']:.1f}), and by {effect['steps_sigmoid']:.1f} in "
        "sigmoid networks. Where slopes are chosen such that no delta vanishes, it still divides "
        f"them by {effect['only_vanishing_relu']:.1f} and {effect['only_vanishing_sigmoid']:.1f}."
    )


def deepest(results: Results) -> int:
    """Return the largest depth that is measured at the start."""
    return results.depths[-1]


def trained(results: Results) -> int:
    """Return the largest depth that is trained."""
    return results.trained_depths[-1]


def best_steps(
    results: Results, activation: str, arm: str, slopes: str = "own", depth: int | None = None
) -> np.ndarray:
    """Return [seed] steps to the target at the best rate, at the largest depth if not told."""
    race = Race(activation, trained(results) if depth is None else depth, slopes, arm)
    return results.at_best(race)


def steps_ratio(results: Results, activation: str, slopes: str, depth: int | None = None) -> tuple:
    """Return numerator and denominator [seed] of steps to the target, raw / centered."""
    raw, centered = (best_steps(results, activation, arm, slopes, depth) for arm in PAIR)
    return raw, centered


def lambda_ratio(results: Results, activation: str, depth: int) -> np.ndarray:
    """Return [seed] lambda_max of the Fisher at the start, raw / centered."""
    raw, centered = (results.start("lambda_max", activation, depth, arm) for arm in PAIR)
    return raw / centered


def predicted_fall(activation: str) -> float:
    """Return the factor a layer, backward, of the rms delta at the start, by mean-field theory.

    Weights keep the second moment of pre-activations at 1, sigma_w^2 = 1 / E[phi(z)^2], so that
    deltas are multiplied by (E[phi'(z)^2] / E[phi(z)^2])^(1/2), z ~ N(0, 1).
    """
    known = get_activation(activation)
    return (known.gaussian_derivative_second_moment / known.gaussian_second_moment) ** 0.5


def first_and_last(results: Results, activation: str, depth: int, arm: str = "raw") -> tuple:
    """Return [seed] the first hidden layer's rms delta at the start, and the last one's."""
    rms = results.start("delta_rms", activation, depth, arm)
    return rms[:, 0], rms[:, -1]


def mean_energy_behind(results: Results, activation: str, depth: int, arm: str) -> np.ndarray:
    """Return [seed] the mean energy of what reads hidden units, averaged over layers."""
    return results.start("mean_energy", activation, depth, arm)[:, 1:].mean(axis=1)


def _worst(results: Results, name: str, *arms: str) -> np.ndarray:
    """Return [seed] the largest of a measurement over activations, depths, arms and layers."""
    values = [
        results.start(name, activation, depth, arm).reshape(results.num_seeds, -1).max(axis=1)
        for activation in NAMES
        for depth in results.depths
        for arm in arms
    ]
    return np.max(values, axis=0)


def _ratio(values: np.ndarray) -> Evidence:
    """Return the evidence on ratios that are made already."""
    return ratio_evidence(values, np.ones_like(values))


def _identities(results: Results) -> Stated:
    yield (
        Claim(
            "kernel_gradients",
            ("b9", "b5", "b8"),
            "Centering what a layer reads by mu turns its kernel's gradient into g_W - mu (x) g_b, "
            "and changes no other: at every depth, before and after some steps.",
            "largest difference from that, over the largest gradient of the kernel",
            below(EXACT),
        ),
        exact_evidence(_worst(results, "kernel_gap", "centered")),
    )
    both = [_worst(results, name, "centered") for name in ("delta_gap", "bias_gap")]
    yield (
        Claim(
            "deltas_same",
            ("b9", "b13"),
            "Centering leaves every delta, and with it every bias's gradient, as it is.",
            "largest difference to raw, over the largest delta or bias gradient of the layer",
            below(EXACT),
            PROFILE,
        ),
        exact_evidence(np.max(both, axis=0)),
    )
    sloped = ("raw, level", "raw, falling")
    gaps = [_worst(results, name, *sloped) for name in ("delta_gap", "kernel_gap", "bias_gap")]
    yield (
        Claim(
            "slopes_scale",
            ("b9", "b13"),
            "A unit whose slope is k times as steep, with its weights divided by k, is the same "
            "function and has k times the delta and k times the gradients.",
            "largest difference from that, over the largest delta or gradient of the layer",
            below(EXACT),
        ),
        exact_evidence(np.max(gaps, axis=0)),
    )
    moved = [
        np.abs(results.start("mean_energy", a, d, arm) - results.start("mean_energy", a, d, "raw"))
        for a in NAMES
        for d in results.depths
        for arm in sloped
    ]
    yield (
        Claim(
            "slopes_keep_means",
            ("b9",),
            "Slopes that multiply deltas leave the means of units as they are.",
            "largest change of |E h|^2 / E|h|^2 over layers",
            below(EXACT),
        ),
        exact_evidence(np.max([change.max(axis=1) for change in moved], axis=0)),
    )


def _cures(results: Results) -> Stated:
    depth = deepest(results)
    first = {arm: first_and_last(results, "sigmoid", depth, arm)[0] for arm in PAIR}
    yield (
        Claim(
            "centering_cures",
            ("b9",),
            "Centering cures vanishing gradients: in the deepest sigmoid network it makes the "
            "first layer's deltas larger by a tenth or more.",
            "rms delta of the first layer before the first step, centered / raw",
            above(1.1),
            PROFILE,
        ),
        ratio_evidence(first["centered"], first["raw"]),
    )
    norms = {arm: results.start("kernel_gradient", "sigmoid", depth, arm)[:, 1:] for arm in PAIR}
    mean_log = np.log(norms["centered"] / norms["raw"]).mean(axis=1)
    yield (
        Claim(
            "centering_amplifies",
            ("b9", "b5"),
            "Centering makes the gradients of kernels that read sigmoid units larger.",
            "norm of a kernel's gradient before the first step, centered / raw, geometric mean "
            "over layers",
            above(1.0),
        ),
        _ratio(np.exp(mean_log)),
    )


def _vanishing(results: Results) -> Stated:
    depth = deepest(results)
    statistic = "rms delta before the first step, first / last hidden layer, deepest network"
    told = {
        "sigmoid": ("vanish", "Deltas vanish in deep sigmoid networks", below(0.1)),
        "tanh": (
            "vanish",
            "Deltas vanish in deep tanh networks, whose units saturate",
            below(0.5),
        ),
        "relu": ("keep", "Deltas do not vanish in deep ReLU networks", above(0.5)),
    }
    for activation, (name, sentence, rule) in told.items():
        yield (
            Claim(
                f"{name}_{activation}",
                ("b9",),
                f"{sentence} (weights scaled to keep the second moment of pre-activations).",
                statistic,
                rule,
                PROFILE,
            ),
            ratio_evidence(*first_and_last(results, activation, depth)),
        )
    for activation in told:
        first, last = first_and_last(results, activation, depth)
        yield (
            Claim(
                f"theory_{activation}",
                ("b9", "b14"),
                f"The slope of {UNITS[activation]} units says by how much deltas fall or grow, "
                "without looking at any mean: (E[phi'^2] / E[phi^2])^(1/2) a layer.",
                "factor a layer by which the rms delta falls, measured / predicted",
                within(0.9, 1.1),
                PROFILE,
            ),
            ratio_evidence(
                (first / last) ** (1.0 / (depth - 1)),
                np.full_like(first, predicted_fall(activation)),
            ),
        )


def _means(results: Results) -> Stated:
    depth = deepest(results)
    told = {
        "relu": ("ReLU networks, whose deltas do not vanish, are off center", above(0.25)),
        "tanh": ("Networks of tanh units behind centered inputs are not off center", below(0.05)),
    }
    for activation, (sentence, rule) in told.items():
        yield (
            Claim(
                f"mean_{activation}",
                ("b9", "b15"),
                f"{sentence}.",
                "|E h|^2 / E|h|^2 of hidden units before the first step, mean over layers",
                rule,
                PROFILE,
            ),
            mean_evidence(mean_energy_behind(results, activation, depth, "raw")),
        )
    for activation in OFF_CENTER:
        ratios = []
        for slopes in FALLS:
            raw, centered = (
                results.lambda_max(Race(activation, trained(results), slopes, arm)) for arm in PAIR
            )
            ratios.append(raw / centered)
        yield (
            Claim(
                f"lambda_{activation}",
                ("b9", "b8", "b5"),
                f"Whether deltas vanish or not, the mean of {UNITS[activation]} units makes the "
                "Fisher's largest eigenvalue larger.",
                "lambda_max at the start, raw / centered, smallest over the activation's own "
                "slopes, level deltas and falling deltas",
                above(1.5),
                DEPTH,
            ),
            _ratio(np.min(ratios, axis=0)),
        )


def _speed(results: Results) -> Stated:
    statistic = "steps to target, raw / centered, each at its best rate"
    for activation in OFF_CENTER:
        yield (
            Claim(
                f"steps_{activation}",
                ("b9", "b5"),
                f"Centering hidden units cuts the steps of {UNITS[activation]} networks, though it "
                "touches no delta at the start.",
                statistic,
                above(1.0),
                DEPTH,
            ),
            ratio_evidence(*steps_ratio(results, activation, "own")),
        )
    for activation in OFF_CENTER:
        yield (
            Claim(
                f"only_vanishing_{activation}",
                ("b9",),
                "Off-center activations are a problem because gradients vanish: where slopes make "
                f"all layers' deltas alike, centering {UNITS[activation]} units gains nothing.",
                f"{statistic}, level deltas",
                NO_DIFFERENCE,
                FACTORIAL,
            ),
            ratio_evidence(*steps_ratio(results, activation, "level")),
        )


def _factorial(results: Results) -> Stated:
    share = FALLING ** (trained(results) - 1)
    cost = {
        (activation, arm): best_steps(results, activation, arm, "falling")
        / best_steps(results, activation, arm, "level")
        for activation in NAMES
        for arm in PAIR
    }
    for activation in OFF_CENTER:
        yield (
            Claim(
                f"vanishing_costs_{activation}",
                ("b9",),
                f"Vanishing has a price of its own in raw {UNITS[activation]} networks: first-"
                f"layer deltas of {share:.1%} of the last layer's, at unchanged means, cost steps.",
                "steps to target, falling / level deltas, each at its best rate, raw",
                above(1.0),
                FACTORIAL,
            ),
            _ratio(cost[activation, "raw"]),
        )
        yield (
            Claim(
                f"mean_adds_{activation}",
                ("b9", "b5"),
                f"Centering lowers the price of vanishing deltas in {UNITS[activation]} networks.",
                "steps to target, falling / level deltas, of raw / of centered",
                above(1.0),
                FACTORIAL,
            ),
            ratio_evidence(cost[activation, "raw"], cost[activation, "centered"]),
        )
    yield (
        Claim(
            "vanishing_costs_tanh",
            ("b9",),
            "Networks of tanh units, which have no mean, pay less for the same vanishing than "
            "networks of ReLUs.",
            "steps to target, falling / level deltas, raw, of ReLU / of tanh",
            above(1.0),
            FACTORIAL,
        ),
        ratio_evidence(cost["relu", "raw"], cost["tanh", "raw"]),
    )


def _sigmoid(results: Results) -> Stated:
    told = {
        "vanishing_is_all": (
            "raw",
            "The sigmoid's slowness is all vanishing: with level deltas",
        ),
        "both_are_all": (
            "centered",
            "The sigmoid's slowness is all vanishing and the mean: without both",
        ),
    }
    for name, (arm, sentence) in told.items():
        yield (
            Claim(
                name,
                ("b9", "b11"),
                f"{sentence} it trains as fast as tanh.",
                f"steps to target, sigmoid / tanh, level deltas, {arm}, each at its best rate",
                NO_DIFFERENCE,
                FACTORIAL,
            ),
            ratio_evidence(
                best_steps(results, "sigmoid", arm, "level"),
                best_steps(results, "tanh", arm, "level"),
            ),
        )
    depth = trained(results)
    first, last = first_and_last(results, "sigmoid", depth)
    end = results.at_best(Race("sigmoid", depth, "own", "raw"), "end_fall")
    yield (
        Claim(
            "vanishing_heals",
            ("b9",),
            "Vanishing is a matter of the start: at the target, raw sigmoid networks' first-layer "
            "deltas are three times larger or more, against the last layer's.",
            "rms delta, first / last hidden layer, at the target / before the first step",
            above(3.0),
        ),
        ratio_evidence(end, first / last),
    )


def _depth(results: Results) -> Stated:
    told = {
        "relu": (
            "The deeper a ReLU network, the larger the factor by which centering cuts its steps.",
            above(1.0),
        ),
        "sigmoid": (
            "The factor by which centering cuts the steps of sigmoid networks depends on depth by "
            "less than half either way: one layer is almost all mean.",
            within(2.0 / 3.0, 1.5),
        ),
    }
    for activation in OFF_CENTER:
        many, one = (lambda_ratio(results, activation, d) for d in (deepest(results), 1))
        yield (
            Claim(
                f"deeper_lambda_{activation}",
                ("b15", "b9"),
                f"The deeper a {UNITS[activation]} network, the more its units' means add to the "
                "Fisher's largest eigenvalue.",
                "lambda_max at the start, raw / centered, of the deepest / with one hidden layer",
                above(1.0),
                DEPTH,
            ),
            ratio_evidence(many, one),
        )
        ratios = [
            np.divide(*steps_ratio(results, activation, "own", depth))
            for depth in (trained(results), 1)
        ]
        sentence, rule = told[activation]
        yield (
            Claim(
                f"deeper_steps_{activation}",
                ("b15", "b9"),
                sentence,
                "steps to target, raw / centered, of the deepest trained / with one hidden layer",
                rule,
                DEPTH,
            ),
            ratio_evidence(*ratios),
        )


def _controls(results: Results) -> Stated:
    yield (
        Claim(
            "flip_deltas",
            ("b9", "b4"),
            "Control: sign flips of inputs and hidden units change no delta by any bit.",
            "largest difference of a delta, over the largest",
            always(0.0),
            control=True,
        ),
        exact_evidence(_worst(results, "delta_gap", "flipped")),
    )
    yield (
        Claim(
            "flip_losses",
            ("b9", "b4"),
            "Control: flipped networks have raw networks' losses at every step, bit for bit.",
            "largest difference of a loss along a descent, nat",
            always(0.0),
            control=True,
        ),
        exact_evidence(_loss_gaps(results)),
    )
    pairs = {
        "tanh": [steps_ratio(results, "tanh", "own", d) for d in results.trained_depths],
        "again": [
            [best_steps(results, AGAIN, arm, "own", d) for arm in ("raw", "again")]
            for d in results.trained_depths[:-1]
        ],
    }
    ratios = {name: _geometric_mean_ratio(pair) for name, pair in pairs.items()}
    yield (
        Claim(
            "steps_tanh",
            ("b9", "b5"),
            "Control: tanh units behind centered inputs have no mean, and centering them gains "
            "nothing.",
            "steps to target, raw / centered, each at its best rate, geometric mean over depths",
            NO_DIFFERENCE,
            DEPTH,
            control=True,
        ),
        _ratio(ratios["tanh"]),
    )
    yield (
        Claim(
            "again",
            ("b9",),
            f"Control: raw against raw with other seeds makes no difference ({AGAIN}).",
            "steps to target on raw, seeds / other seeds, geometric mean over all depths but the "
            "largest",
            NO_DIFFERENCE,
            control=True,
        ),
        _ratio(ratios["again"]),
    )


def _geometric_mean_ratio(pairs: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Return [seed] the geometric mean of ratios of several pairs."""
    return np.exp(np.mean([np.log(one / other) for one, other in pairs], axis=0))


def _loss_gaps(results: Results) -> np.ndarray:
    """Return [seed] the largest difference of flipped and raw losses; inf if one is missing."""
    largest = []
    for activation in NAMES:
        flipped, raw = (
            Race(activation, trained(results), "own", arm) for arm in ("flipped", "raw")
        )
        place = results.climb(raw).rates.tolist().index(results.climb(flipped).rates[0])
        pair = results.losses(flipped)[0], results.losses(raw)[place]
        gap = np.abs(pair[0] - pair[1])
        gap[np.isnan(pair[0]) & np.isnan(pair[1])] = 0.0
        largest.append(np.where(np.isnan(gap), np.inf, gap).max(axis=1))
    return np.max(largest, axis=0)
