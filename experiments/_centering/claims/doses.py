"""Dose and response: the mean that is left against the Fisher's largest eigenvalue."""

import numpy as np

from experiments._centering.claims.common import DOSE, rank_correlation
from experiments._centering.plan import DOSE_ACTIVATION
from experiments._centering.results import Results, doses, of_doses
from experiments._stated import Stated
from signdyn.claims import Claim, above, mean_evidence

FAMILIES = {
    "offset": "number c added to every centered hidden unit",
    "fraction": "share of the inputs' mean that is put back",
}


def dose_claims(results: Results) -> Stated:
    for family, words in FAMILIES.items():
        values = {
            name: of_doses(results, family, name)
            for name in ("lambda_max", "best_rate", "steps", "tortuosity")
        }
        told = f"dose: {words} ({DOSE_ACTIVATION})"
        yield (
            Claim(
                f"dose_steps_{family}",
                ("b5", "b8"),
                "The price of a mean is gradual: steps grow at least as the square root of "
                f"lambda_max with the {words}.",
                f"slope of log steps over log lambda_max at the start, {told}",
                above(0.5),
                DOSE,
            ),
            mean_evidence(_slopes(values["lambda_max"], values["steps"])),
        )
        yield (
            Claim(
                f"dose_rate_{family}",
                ("b8",),
                "The best rate falls less than in proportion to 1 / lambda_max of the start with "
                f"the {words}.",
                f"slope of log best rate over log lambda_max at the start, {told}",
                above(-1.0),
                DOSE,
            ),
            mean_evidence(_slopes(values["lambda_max"], values["best_rate"])),
        )
        positions = np.broadcast_to(doses(family)[0], values["tortuosity"].shape)
        yield (
            Claim(
                f"dose_tortuosity_{family}",
                ("b4", "b8"),
                f"The path winds the more, the larger the {words}.",
                f"rank correlation of the dose and length / displacement, {told}",
                above(0.5),
                DOSE,
            ),
            mean_evidence(rank_correlation(positions, values["tortuosity"])),
        )


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return [seed] the slope of log y over log x, both [seed, dose], by least squares.

    Example:
        >>> _slopes(np.array([[1.0, 2.0, 4.0]]), np.array([[3.0, 12.0, 48.0]])).round(12)
        array([2.])
    """
    u, v = np.log(x), np.log(y)
    u = u - u.mean(axis=1, keepdims=True)
    return (u * v).sum(axis=1) / (u * u).sum(axis=1)
