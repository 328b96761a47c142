"""Means and slopes told apart, each with and without the other."""

from experiments._fisher_spectrum.activation import NAMES
from experiments._stated import NO_DIFFERENCE, Stated, evidence_of_ratios
from experiments._vanishing_gradients.claims.common import FACTORIAL, OFF_CENTER, UNITS
from experiments._vanishing_gradients.claims.quantities import best_steps, first_and_last, trained
from experiments._vanishing_gradients.plan import Race
from experiments._vanishing_gradients.results import Results
from experiments._vanishing_gradients.start import FALLING, PAIR
from signdyn.claims import Claim, above, ratio_evidence


def factorial_claims(results: Results) -> Stated:
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
            evidence_of_ratios(cost[activation, "raw"]),
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


def sigmoid_claims(results: Results) -> Stated:
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
