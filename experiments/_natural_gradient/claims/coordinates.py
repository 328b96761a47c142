"""Whether natural gradients, and what approximates them, see coordinates."""

import itertools

from experiments._natural_gradient.claims.common import COORDINATES, DIFFERENT, GAP, SAME, WORDS
from experiments._natural_gradient.plan import PAIRS
from experiments._natural_gradient.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, above, below, exact_evidence, mean_evidence


def exact_claims(results: Results) -> Stated:
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


def approximation_claims(results: Results) -> Stated:
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
