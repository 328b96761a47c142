"""What centering and slopes change of deltas and gradients, exactly."""

import numpy as np

from experiments._fisher_spectrum.activation import NAMES
from experiments._stated import Stated
from experiments._vanishing_gradients.claims.common import PROFILE
from experiments._vanishing_gradients.claims.quantities import worst
from experiments._vanishing_gradients.results import Results
from signdyn.claims import Claim, below, exact_evidence

EXACT = 1e-12
"""Shares up to which float64 numbers count as the same; rounding makes some 1e-14."""


def identity_claims(results: Results) -> Stated:
    yield (
        Claim(
            "kernel_gradients",
            ("b9", "b5", "b8"),
            "Centering what a layer reads by mu turns its kernel's gradient into g_W - mu (x) g_b, "
            "and changes no other: at every depth, before and after some steps.",
            "largest difference from that, over the largest gradient of the kernel",
            below(EXACT),
        ),
        exact_evidence(worst(results, "kernel_gap", "centered")),
    )
    both = [worst(results, name, "centered") for name in ("delta_gap", "bias_gap")]
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
    gaps = [worst(results, name, *sloped) for name in ("delta_gap", "kernel_gap", "bias_gap")]
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
