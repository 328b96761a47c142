"""The claims on centering: sentence, statistic, rule, and what decides them.

Each function states claims and returns them with their evidence; the rules do not depend on
the evidence. Ratios are geometric means over seeds of paired ratios, with bootstrap intervals.
Sentences that people repeat are stated as they are repeated, for the measurement to refute.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from experiments._centering.plan import (
    AGAIN,
    CENTERED,
    DOSE_ACTIVATION,
    NORM_ACTIVATION,
    SHIFTED,
    arms,
    dosed,
)
from experiments._centering.results import Results, condition_numbers, doses, of_doses
from experiments._fisher_spectrum.activation import NAMES
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

ARMS, DOSE, SCALE, NORM = "arms", "doses", "scale", "norms"
"""Figures."""

NO_MORE = 1.25
"""Up to a quarter more steps count as no more."""

NO_DIFFERENCE = within(1.0 / NO_MORE, NO_MORE)

STEPS = "steps to target at the best rates"

Stated = Iterator[tuple[Claim, Evidence]]


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    parts = (_which, _batch, _doses, _signs, _scale, _norms, _controls)
    stated = [pair for part in parts for pair in part(results)]
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = {"both": SUPPORTED, "hidden_enough": REFUTED, "batch": SUPPORTED}
    told |= {f"data_enough_{name}": REFUTED for name in NAMES}
    odd = [id for id, verdict in told.items() if by_id[id].verdict != verdict]
    if odd:
        return f"This run does not confirm the picture: see {', '.join(odd)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    alone = ", ".join(f"{effect[f'data_enough_{name}']:.1f} ({name})" for name in NAMES)
    return (
        "Data and hidden units must both be centered: together that divides the steps to the "
        f"target by {effect['both']:.1f} or more. With only the data centered, networks need "
        f"{alone} times the steps of both; with only hidden units centered, at least "
        f"{effect['hidden_enough']:.1f} times. Subtracting the batch's own means instead of "
        f"constants, which go stale, saves another factor of {effect['batch']:.1f}."
    )


def _steps(results: Results, activation: str, arm: str, norm: str = "none") -> np.ndarray:
    return results.at_best("steps", activation, arm, norm)


def _least(ratio_of: Callable[[str], np.ndarray]) -> np.ndarray:
    """Return [seed] the least over activations; NaN where one is."""
    return np.min([ratio_of(name) for name in NAMES], axis=0)


def _ratio(values: np.ndarray) -> Evidence:
    return ratio_evidence(values, np.ones_like(values))


def _which(results: Results) -> Stated:
    steps = {(name, arm): _steps(results, name, arm) for name in NAMES for arm in CENTERED}
    yield (
        Claim(
            "both",
            ("b4", "b5"),
            "Centering inputs and hidden units by constants cuts the steps to the target to less "
            "than half, whatever the activation.",
            f"{STEPS}, none / both, least over activations",
            above(2.0),
            ARMS,
        ),
        _ratio(_least(lambda name: steps[name, "none"] / steps[name, "both"])),
    )
    for name in NAMES:
        yield (
            Claim(
                f"data_enough_{name}",
                ("b5", "b15"),
                "It is enough to center the data: with centered inputs, centering hidden units "
                f"saves hardly any steps ({name}).",
                f"{STEPS}, input / both",
                below(NO_MORE),
                ARMS,
            ),
            ratio_evidence(steps[name, "input"], steps[name, "both"]),
        )
    yield (
        Claim(
            "hidden_enough",
            ("b5",),
            "It is the activations that must be centered: with centered hidden units, centering "
            "the data saves hardly any steps.",
            f"{STEPS}, hidden / both, least over activations",
            below(NO_MORE),
            ARMS,
        ),
        _ratio(_least(lambda name: steps[name, "hidden"] / steps[name, "both"])),
    )
    yield (
        Claim(
            "synergy",
            ("b5", "b8"),
            "Data and hidden units are no separate matters: the two centerings together save more "
            "than the product of what each saves alone.",
            f"{STEPS}, (input x hidden) / (none x both), least over activations",
            above(1.0),
            ARMS,
        ),
        _ratio(
            _least(
                lambda name: (
                    (steps[name, "input"] * steps[name, "hidden"])
                    / (steps[name, "none"] * steps[name, "both"])
                )
            ),
        ),
    )
    yield (
        Claim(
            "lambda_tells",
            ("b5", "b8"),
            "Which centering buys more can be read off lambda_max before the first step: arms in "
            "its order are nearly in the order of their steps.",
            f"rank correlation of lambda_max and steps over {', '.join(CENTERED)}; mean over "
            "activations",
            above(0.7),
            ARMS,
        ),
        mean_evidence(
            np.mean(
                [
                    _rank_correlation(
                        np.stack([results.start("lambda_max", name, arm) for arm in CENTERED], 1),
                        np.stack([steps[name, arm] for arm in CENTERED], 1),
                    )
                    for name in NAMES
                ],
                axis=0,
            ),
        ),
    )


def _rank_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return [seed] the rank correlation of rows; NaN where a value is."""
    pairs = zip(a, b, strict=True)
    return np.array([stats.spearmanr(x, y).statistic for x, y in pairs])


def _batch(results: Results) -> Stated:
    yield (
        Claim(
            "batch",
            ("b5",),
            "Subtracting the batch's own mean at every step saves more than subtracting the mean "
            "of the start, though both start with the same values in all units.",
            f"{STEPS}, both / batch, geometric mean over activations",
            above(1.0),
            ARMS,
        ),
        _ratio(
            stats.gmean(
                [_steps(results, name, "both") / _steps(results, name, "batch") for name in NAMES]
            ),
        ),
    )
    yield (
        Claim(
            "batch_curvature",
            ("b5", "b8"),
            "Means that move along take more out of the curvature than constants do.",
            "lambda_max of the Gauss-Newton matrix at the start, both / batch, least over "
            "activations",
            above(1.0),
            ARMS,
        ),
        _ratio(
            _least(
                lambda name: (
                    results.start("lambda_max", name, "both")
                    / results.start("lambda_max", name, "batch")
                )
            ),
        ),
    )
    yield (
        Claim(
            "means_return",
            ("b5", "b15"),
            "Constants go stale: when the target is reached, hidden units that were centered by "
            "them have a mean again.",
            "|E h|^2 / E|h|^2, mean over hidden layers, at the target; least over activations, "
            "both",
            above(0.05),
            NORM,
        ),
        mean_evidence(
            _least(
                lambda name: results.at_best("mean_energy_last", name, "both")[:, 1:].mean(axis=1)
            ),
        ),
    )


FAMILIES = {
    "offset": "number c added to every centered hidden unit",
    "fraction": "share of the inputs' mean that is put back",
}


def _doses(results: Results) -> Stated:
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
            mean_evidence(_rank_correlation(positions, values["tortuosity"])),
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


def _signs(results: Results) -> Stated:
    negative, positive = (
        _steps(results, DOSE_ACTIVATION, dosed("offset")(dose)) for dose in (-1.0, 1.0)
    )
    yield (
        Claim(
            "dose_sign",
            ("b1", "b4"),
            "The mean's sign does not matter: with hidden units centered on -1 and on 1, nearly "
            "all negative and nearly all positive, networks need equally many steps.",
            f"{STEPS}, offset -1 / offset 1 ({DOSE_ACTIVATION})",
            NO_DIFFERENCE,
            DOSE,
        ),
        ratio_evidence(negative, positive),
    )
    mixed = dosed("fraction")(0.5)
    yield (
        Claim(
            "mixed_signs",
            ("b1", "b4"),
            "With half of the inputs' mean put back, and hidden units centered, every input and "
            "every hidden unit takes both signs.",
            f"share of units with one sign on all digits, all layers, at the start "
            f"({DOSE_ACTIVATION})",
            always(0.0),
            DOSE,
        ),
        exact_evidence(results.start("one_signed", DOSE_ACTIVATION, mixed)),
    )
    both = _steps(results, DOSE_ACTIVATION, "both")
    yield (
        Claim(
            "mixed_signs_free",
            ("b1", "b4"),
            "Where units take both signs there is no problem: these networks need hardly more "
            "steps than those with all means subtracted.",
            f"{STEPS}, half of the inputs' mean put back / both ({DOSE_ACTIVATION})",
            below(NO_MORE),
            DOSE,
        ),
        ratio_evidence(_steps(results, DOSE_ACTIVATION, mixed), both),
    )
    raw = _steps(results, "tanh", "none")
    yield (
        Claim(
            "tanh_centered",
            ("b5", "b11"),
            "tanh needs no centering, since it is centered: networks of it need hardly more steps "
            "as they are than with inputs and hidden units centered.",
            f"{STEPS}, none / both (tanh)",
            below(NO_MORE),
            ARMS,
        ),
        ratio_evidence(raw, _steps(results, "tanh", "both")),
    )


def _scale(results: Results) -> Stated:
    names = ("none", "scaled", "input", "both", "standardized", "whitened")
    steps = {arm: _steps(results, NORM_ACTIVATION, arm) for arm in names}
    yield (
        Claim(
            "scale_alone",
            ("b5",),
            "Scaling does it: dividing every input by its standard deviation, without centering, "
            "leaves hardly more steps than centering inputs.",
            f"{STEPS}, inputs scaled / inputs centered ({NORM_ACTIVATION})",
            below(NO_MORE),
            SCALE,
        ),
        ratio_evidence(steps["scaled"], steps["input"]),
    )
    yield (
        Claim(
            "scale_centered",
            ("b5", "b8"),
            "Once everything is centered, dividing inputs by their standard deviations saves more.",
            f"{STEPS}, both / both and inputs standardized ({NORM_ACTIVATION})",
            above(1.0),
            SCALE,
        ),
        ratio_evidence(steps["both"], steps["standardized"]),
    )
    yield (
        Claim(
            "mean_part_steps",
            ("b5", "b8"),
            "The mean is most of it: of the factor in steps that centering and whitened inputs "
            "save together, centering alone saves more than half, in logarithms.",
            f"log(none / both) / log(none / both and inputs whitened), {STEPS} ({NORM_ACTIVATION})",
            above(0.5),
            SCALE,
        ),
        mean_evidence(
            np.log(steps["none"] / steps["both"]) / np.log(steps["none"] / steps["whitened"]),
        ),
    )
    raw, centered = (condition_numbers(results, arm) for arm in ("none", "both"))
    yield (
        Claim(
            "mean_part_kappa",
            ("b8", "b14"),
            "The mean is most of the inputs' condition number, too: more than half of its "
            "logarithm is gone with the mean.",
            "1 - log(kappa centered) / log(kappa raw) of E[(x, 1)(x, 1)^T]",
            above(0.5),
            SCALE,
        ),
        exact_evidence(1.0 - np.log(centered) / np.log(raw)),
    )


def _norms(results: Results) -> Stated:
    if "batch" in results.norms:
        yield from _batch_norm(results)
    if "layer" in results.norms:
        yield (
            Claim(
                "layer_norm_inputs",
                ("b5",),
                "Behind layer norm the data need not be centered.",
                f"{STEPS}, none / input, layer norm ({NORM_ACTIVATION})",
                below(NO_MORE),
                NORM,
            ),
            ratio_evidence(
                _steps(results, NORM_ACTIVATION, "none", "layer"),
                _steps(results, NORM_ACTIVATION, "input", "layer"),
            ),
        )


def _batch_norm(results: Results) -> Stated:
    raw, centered = (_steps(results, NORM_ACTIVATION, arm, "batch") for arm in ("none", "input"))
    yield (
        Claim(
            "batch_norm_inputs",
            ("b5",),
            "Behind batch norm it makes no difference whether the data are centered: the norm of "
            "the first layer takes their mean away.",
            f"{STEPS}, none / input, batch norm ({NORM_ACTIVATION})",
            NO_DIFFERENCE,
            NORM,
        ),
        ratio_evidence(raw, centered),
    )
    energy = results.at_best("mean_energy_first", NORM_ACTIVATION, "none", "batch")[:, 1:]
    yield (
        Claim(
            "batch_norm_centers",
            ("b5", "b15"),
            f"Batch norm centers the activations: what a {NORM_ACTIVATION} behind it hands on has "
            "hardly any mean.",
            "|E h|^2 / E|h|^2 of hidden units at the start, mean over layers, batch norm",
            below(0.1),
            NORM,
        ),
        mean_evidence(energy.mean(axis=1)),
    )
    yield (
        Claim(
            "batch_norm_buys",
            ("b5",),
            "Still, with nothing centered batch norm needs no more steps than the network without "
            "norms does with inputs and hidden units centered.",
            f"{STEPS}, batch norm, none / no norm, both ({NORM_ACTIVATION})",
            below(1.0),
            NORM,
        ),
        ratio_evidence(raw, _steps(results, NORM_ACTIVATION, "both")),
    )


def _controls(results: Results) -> Stated:
    yield (
        Claim(
            "again",
            ("b5",),
            "Control: none and none with other seeds need equally many steps.",
            f"{STEPS}, none / none with other seeds ({DOSE_ACTIVATION})",
            NO_DIFFERENCE,
            ARMS,
            control=True,
        ),
        ratio_evidence(
            _steps(results, DOSE_ACTIVATION, "none"),
            _steps(results, DOSE_ACTIVATION, AGAIN),
        ),
    )
    inputs, both = (_steps(results, DOSE_ACTIVATION, arm) for arm in SHIFTED)
    yield (
        Claim(
            "nothing_to_center",
            ("b5", "b11"),
            "Control: behind centered inputs, where tanh units start with next to no mean, "
            "centering them makes no difference.",
            f"{STEPS}, input / both ({DOSE_ACTIVATION}, from the function of centered inputs)",
            NO_DIFFERENCE,
            ARMS,
            control=True,
        ),
        ratio_evidence(inputs, both),
    )
    gaps = []
    for name in NAMES:
        first = results.start("start_loss", name, "none")
        others = [arm for arm in arms(name) if arm != AGAIN and arm not in SHIFTED]
        gaps += [np.abs(results.start("start_loss", name, arm) - first) for arm in others]
    yield (
        Claim(
            "matched",
            ("b5",),
            "Control: all arms of a seed and an activation start as the same function.",
            "largest |difference of training losses at the start|, nats",
            below(1e-4),
            control=True,
        ),
        exact_evidence(np.max(gaps, axis=0)),
    )
