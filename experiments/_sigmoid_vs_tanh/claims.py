"""The claims on sigmoid and tanh: sentence, statistic, rule, and what decides them.

Each function states claims and returns them with their evidence; the rules do not depend on
the evidence. Ratios are geometric means over seeds, and over data sets where none is named.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from experiments._sigmoid_vs_tanh.plan import AGAIN, PATH
from experiments._sigmoid_vs_tanh.results import Results
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

PLAYGROUND, PATHWAY, LABELS, RATES = "playground", "path", "labels", "rates"
"""Figures."""

NO_DIFFERENCE = within(0.8, 1.25)
"""Less than a quarter either way counts as no difference."""

MATTERS = above(1.25)

SAME = 1e-9
"""Difference of outputs up to which two networks are one function."""

COUNTED = "a sigmoid network that has not arrived counts with its last step"

Stated = Iterator[tuple[Claim, Evidence]]


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    parts = (_lead, _path, _disguise, _labels, _best_rates, _curvature, _other, _controls)
    stated = [pair for part in parts for pair in part(results)]
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


def answer(results: Results, findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = (
        *(f"lead_{name}" for name in results.datasets),
        *("start", "scale", "slope", "in_disguise", "labels_same", "best_start", "best_disguise"),
    )
    open_ones = [id for id in told if by_id[id].verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    leads = ", ".join(f"{effect[f'lead_{name}']:.0f} ({name})" for name in results.datasets)
    return (
        f"In the playground's own setting sigmoid needs {leads} times the steps of tanh. Of that "
        f"the drawn weights, which mean a flatter function with sigmoid units, make a factor of "
        f"{effect['start']:.1f}, the missing centering {effect['centering']:.2f}, scale "
        f"{effect['scale']:.1f} and slope {effect['slope']:.1f}; these two are learning rates in "
        "disguise, bit for bit, and so is the coding of the labels. At best rates the start is "
        f"worth {effect['best_start']:.1f}, centering {effect['best_centering']:.1f}, slope and "
        f"scale together {effect['best_disguise']:.0%} of what they were."
    )


def pooled(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return [seed] the geometric mean of one array [seed] a data set; NaN where one is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.exp(np.mean(np.log(np.stack(values)), axis=0))


def lead(results: Results, dataset: str, labels: str = "") -> np.ndarray:
    """Return the steps of sigmoid over those of tanh, both from the drawn weights.

    Args:
        results: The record.
        dataset: The data set.
        labels: "01" for labels 0 and 1 behind a sigmoid output unit.
    """
    slow = results.steps(dataset, f"drawn{labels}", at_least=True)
    return slow / results.steps(dataset, f"tanh{labels}")


def _over(results: Results, change: str, *, best: bool = False) -> np.ndarray:
    names = results.raced if best else results.datasets
    return pooled([results.factor(change, name, best=best) for name in names])


def _geometric(values: np.ndarray) -> Evidence:
    return ratio_evidence(values, np.ones_like(values))


def _lead(results: Results) -> Stated:
    for name in results.datasets:
        yield (
            Claim(
                f"lead_{name}",
                ("b11",),
                f"In the playground's own setting tanh trains faster than sigmoid ({name}).",
                f"steps to target, sigmoid / tanh, from the same drawn weights; {COUNTED}",
                above(1.0),
                PLAYGROUND,
            ),
            _geometric(lead(results, name)),
        )
    matched = [results.steps(n, "sigmoid") / results.steps(n, "tanh") for n in results.datasets]
    yield (
        Claim(
            "linearly_related",
            ("b11",),
            "Being linearly related, the two train alike once weights and biases are matched, so "
            "that both networks start as one function.",
            "steps to target, sigmoid / tanh, matched",
            NO_DIFFERENCE,
            PLAYGROUND,
        ),
        _geometric(pooled(matched)),
    )


def _path(results: Results) -> Stated:
    sentences = {
        "start": "A part of tanh's lead is the start: from the same drawn weights sigmoid units "
        "make another function, from which it takes longer.",
        "scale": "A part of tanh's lead is the scale of the outputs: 2 sigmoid(z) - 1 trains "
        "faster than sigmoid(z) - 1/2.",
        "slope": "A part of tanh's lead is the slope: tanh(z) trains faster than tanh(z / 2) = "
        "2 sigmoid(z) - 1.",
    }
    for change, sentence in sentences.items():
        yield (
            Claim(
                change,
                ("b11",),
                sentence,
                "steps to target, without / with the change",
                MATTERS,
                PATHWAY,
            ),
            _geometric(_over(results, change)),
        )
    drawn, plain = (
        pooled([results.start(name, arm, "spread") for name in results.datasets])
        for arm in ("drawn", "tanh")
    )
    yield (
        Claim(
            "flat_start",
            ("b11", "b9"),
            "From the same drawn weights the network of sigmoid units is the flatter function, by "
            "more than a factor of four.",
            "standard deviation over examples of the output's pre-activation, sigmoid / tanh",
            below(0.25),
            PATHWAY,
        ),
        ratio_evidence(drawn, plain),
    )
    yield (
        Claim(
            "centering",
            ("b5", "b11"),
            "At the playground's rate centering the sigmoid, sigmoid(z) - 1/2, makes no "
            "difference that matters.",
            "steps to target, sigmoid(z) / sigmoid(z) - 1/2",
            NO_DIFFERENCE,
            PATHWAY,
        ),
        _geometric(_over(results, "centering")),
    )
    shares = [
        np.log(results.factor("centering", name)) / np.log(results.factor("all", name))
        for name in results.datasets
    ]
    yield (
        Claim(
            "centering_is_why",
            ("b5", "b11"),
            "Sigmoid is slow because it is not zero-centered: centering makes half or more of "
            "tanh's lead.",
            "log of the factor of centering / log of the lead, mean over data sets",
            above(0.5),
            PATHWAY,
        ),
        mean_evidence(np.mean(shares, axis=0)),
    )


def _disguise(results: Results) -> Stated:
    yield (
        Claim(
            "in_disguise",
            ("b11", "b8"),
            "Slope and scale are learning rates in disguise: a tanh network whose parameters' "
            "rates are multiplied by their squares has the losses of sigmoid(z) - 1/2, bit for "
            "bit.",
            "largest |loss difference| over all looks and data sets, nats",
            always(0.0),
            PATHWAY,
        ),
        exact_evidence(_largest_difference(results, "shifted", "rates")),
    )


def _labels(results: Results) -> Stated:
    yield (
        Claim(
            "labels_same",
            ("b11",),
            "The coding of the labels is a learning rate, too: with 0 and 1 for -1 and 1, and the "
            "output unit scaled and shifted along, four times the rate gives the same losses, bit "
            "for bit.",
            "largest |loss difference| over all looks and data sets, tanh units, nats",
            always(0.0),
            LABELS,
        ),
        exact_evidence(_largest_difference(results, "tanh", "labels01_rate")),
    )
    for name in results.datasets:
        yield (
            Claim(
                f"labels_are_why_{name}",
                ("b11",),
                "tanh is faster because the labels are -1 and 1: with labels 0 and 1 and a sigmoid "
                f"for the output unit it has no lead ({name}).",
                f"steps to target, sigmoid / tanh units, labels 0 and 1; {COUNTED}",
                NO_DIFFERENCE,
                LABELS,
            ),
            _geometric(lead(results, name, "01")),
        )
    shares = [
        1.0 - np.log(lead(results, name, "01")) / np.log(lead(results, name))
        for name in results.datasets
    ]
    yield (
        Claim(
            "labels_share",
            ("b11",),
            "Labels -1 and 1 make less than a quarter of tanh's lead.",
            "1 - log of the lead with labels 0 and 1 / log of the lead, mean over data sets",
            below(0.25),
            LABELS,
        ),
        mean_evidence(np.mean(shares, axis=0)),
    )


def _best_rates(results: Results) -> Stated:
    best, usual = (
        pooled(
            [
                results.factor("scale", name, best=best) * results.factor("slope", name, best=best)
                for name in results.raced
            ]
        )
        for best in (True, False)
    )
    at_best = "steps to target at best rates"
    yield (
        Claim(
            "best_lead",
            ("b11",),
            "tanh is faster, too, when each has the learning rate that is best for it.",
            f"{at_best}, sigmoid / tanh, from the same drawn weights; {COUNTED}",
            above(1.0),
            RATES,
        ),
        _geometric(_over(results, "all", best=True)),
    )
    yield (
        Claim(
            "best_start",
            ("b11",),
            "At best rates the start is a part of that.",
            f"{at_best}, sigmoid from the drawn weights / sigmoid matched to tanh; {COUNTED}",
            MATTERS,
            RATES,
        ),
        _geometric(_over(results, "start", best=True)),
    )
    yield (
        Claim(
            "best_centering",
            ("b5", "b8", "b11"),
            "At best rates centering the sigmoid does cut the steps.",
            f"{at_best}, sigmoid(z) / sigmoid(z) - 1/2",
            above(1.0),
            RATES,
        ),
        _geometric(_over(results, "centering", best=True)),
    )
    yield (
        Claim(
            "best_disguise",
            ("b11",),
            "Most of what slope and scale cost at the playground's rate is that rate: best rates "
            "cut the factor by half or more.",
            "steps to target, sigmoid(z) - 1/2 / tanh(z): at best rates / at the playground's",
            below(0.5),
            RATES,
        ),
        ratio_evidence(best, usual),
    )


def _curvature(results: Results) -> Stated:
    caps = [
        results.plan.setting.learning_rate * results.start(name, arm, "lambda_max") / 2.0
        for name in results.datasets
        for arm in PATH
    ]
    yield (
        Claim(
            "rate_far_below",
            ("b8", "b11"),
            "The playground's rate is less than a tenth of what curvature allows at the start, "
            "2 / lambda_max, in all networks on the way from sigmoid to tanh.",
            "learning rate x lambda_max / 2, largest over networks and data sets",
            below(0.1),
            RATES,
        ),
        mean_evidence(np.max(caps, axis=0)),
    )
    ratios = [
        results.start(name, "sigmoid", "lambda_max") / results.start(name, "shifted", "lambda_max")
        for name in results.datasets
    ]
    yield (
        Claim(
            "lambda_centering",
            ("b5", "b8"),
            "Centering the sigmoid lowers the largest eigenvalue of the Fisher at the start.",
            "lambda_max, sigmoid(z) / sigmoid(z) - 1/2",
            above(1.0),
            RATES,
        ),
        _geometric(pooled(ratios)),
    )


def _other(results: Results) -> Stated:
    name = results.plan.other
    if name is None:
        return
    (dataset,) = results.datasets
    yield (
        Claim(
            f"lead_over_{name}",
            ("b11",),
            f"In the address's setting tanh trains faster than {name}.",
            f"steps to target, {name} / tanh, from the same drawn weights",
            above(1.0),
            PLAYGROUND,
        ),
        ratio_evidence(results.steps(dataset, name), results.steps(dataset, "tanh")),
    )


def _controls(results: Results) -> Stated:
    first, second = (
        pooled([_mean_over_arms(results, name, arms) for name in results.datasets])
        for arms in AGAIN
    )
    yield (
        Claim(
            "again",
            ("b11",),
            "Control: tanh and tanh with other seeds need equally many steps.",
            f"steps to target, tanh / tanh with other seeds, {len(AGAIN[0])} of each for a seed",
            NO_DIFFERENCE,
            control=True,
        ),
        ratio_evidence(first, second),
    )
    gaps = [
        np.abs(results.start(name, arm, "outputs") - results.start(name, "tanh", "outputs"))
        for name in results.datasets
        for arm in ("sigmoid", "shifted", "doubled", "offset", "scale")
    ]
    yield (
        Claim(
            "same_start",
            ("b11",),
            "Control: matched networks start as one function.",
            "largest |output difference| to tanh before the first step, over examples and networks",
            below(SAME),
            control=True,
        ),
        exact_evidence(np.max(gaps, axis=(0, 2))),
    )


def _mean_over_arms(results: Results, dataset: str, arms: Sequence[str]) -> np.ndarray:
    """Return [seed] the geometric mean of the steps of those arms that have some."""
    steps = np.stack([results.steps(dataset, arm) for arm in arms])
    known = ~np.isnan(steps)
    logs = np.log(np.where(known, steps, 1.0))
    with np.errstate(invalid="ignore"):
        return np.exp(logs.sum(axis=0) / known.sum(axis=0))


def _largest_difference(results: Results, one: str, other: str) -> np.ndarray:
    """Return [seed] the largest |loss difference| over looks and data sets."""
    largest = []
    for name in results.datasets:
        a, b = results.losses(name, one), results.losses(name, other)
        # where one descent has ended and the other goes on, the whole loss is the difference
        largest.append(np.abs(np.nan_to_num(a) - np.nan_to_num(b)).max(axis=1))
    return np.max(largest, axis=0)
