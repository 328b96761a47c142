"""The flagship's claims: sentence, statistic, rule, and the numbers of the record that decide.

Each function states claims and returns them with their evidence; the rules do not depend on
the evidence. Ratios are geometric means over seeds of paired ratios, with bootstrap intervals.
"""

from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np

from experiments._best_rate import best_rate
from experiments._sign_flip.plan import EXACT_RATES
from experiments._sign_flip.results import Results
from experiments._sign_flip.start import batch_sizes
from signdyn.activations import get_activation
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
from signdyn.diagnostics.signs import coherence_chance_level

NO_DIFFERENCE = within(0.8, 1.25)
"""Less than a quarter either way counts as no difference."""

Stated = Iterator[tuple[Claim, Evidence]]


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    stated: list[tuple[Claim, Evidence]] = []
    for part in (
        _signs_at_the_start,
        _flips,
        _centering,
        _small_steps,
        _centralization,
        _chain,
        _controls,
    ):
        stated += part(results)
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


def answer(results: Results, findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers; it says only what the verdicts bear."""
    verdicts = {finding.claim.id: finding.verdict for finding in findings}
    exact = all(v == SUPPORTED for id, v in verdicts.items() if id.startswith("flip_exact"))
    cuts = all(v == SUPPORTED for id, v in verdicts.items() if id.startswith("center_steps_full"))
    numbers = []
    for activation in results.plan.activations:
        ratio = _steps_ratio(results, "full", activation).interval
        numbers.append(f"{activation} {ratio.estimate:.1f} [{ratio.low:.1f}, {ratio.high:.1f}]")
    flips = "changes the loss at no step, by no bit" if exact else "changes the loss"
    verdict = "The common sign is a symptom, the mean is the cause. " if exact and cuts else ""
    return (
        f"{verdict}Flipping random signs destroys the gradients' common sign and {flips}; "
        "subtracting the units' means divides the steps to the target loss, each arm at its own "
        f"best rate, by: {', '.join(numbers)}."
    )


def _signs_at_the_start(results: Results) -> Stated:
    sizes = batch_sizes(len(results.plan.data.x_train))
    place = int(np.abs(np.log2(sizes) - np.log2(results.plan.config.batch_size)).argmin())
    batch = sizes[place]
    for activation in results.plan.activations:
        rows = (
            results.rows("start", activation, "raw").isel(variant=0).transpose("seed", "layer", ...)
        )
        unanimous = rows.example_unanimity.values  # [seed, layer]
        yield (
            Claim(
                f"example_input_{activation}",
                ("b1", "b3", "b13"),
                f"On one example, all gradients into a unit that reads non-negative pixels have "
                f"one sign ({activation} network, first layer).",
                "share of (example, unit) pairs with gradients of one sign",
                always(1.0),
                "batch_size",
            ),
            exact_evidence(unanimous[:, 0]),
        )
        hidden = unanimous[:, 1:].mean(axis=1)
        if _non_negative(activation):
            yield (
                Claim(
                    f"example_hidden_{activation}",
                    ("b1", "b15"),
                    f"On one example, all gradients into a unit that reads {activation} units "
                    "have one sign.",
                    "share of (example, unit) pairs with gradients of one sign, hidden inputs",
                    always(1.0),
                    "batch_size",
                ),
                exact_evidence(hidden),
            )
        else:
            yield (
                Claim(
                    f"example_hidden_{activation}",
                    ("b1", "b15"),
                    f"Control: behind {activation} units, which take both signs, one example's "
                    "gradients into a unit do not share a sign.",
                    "share of (example, unit) pairs with gradients of one sign, hidden inputs",
                    below(0.05),
                    "batch_size",
                    control=True,
                ),
                mean_evidence(hidden),
            )
        if not _non_negative(activation):
            continue
        yield (
            Claim(
                f"batch_unanimity_{activation}",
                ("b3", "b12"),
                f"The sentence holds for minibatches too: summed over {batch} examples, the "
                f"gradients into a unit still all have one sign ({activation}).",
                f"share of units with gradients of one sign, batch of {batch}, mean over layers",
                above(0.95),
                "batch_size",
            ),
            mean_evidence(rows.unanimity.values[:, :, place].mean(axis=1)),
        )
        chance = coherence_chance_level(results.plan.data.x_train.shape[1])
        yield (
            Claim(
                f"batch_chance_{activation}",
                ("b12",),
                "Summing over the whole training set brings the common sign down to chance "
                f"(first layer, {activation}).",
                "sign coherence of the full-batch gradient above that of random signs",
                below(0.05),
                "batch_size",
            ),
            mean_evidence(rows.coherence.values[:, 0, -1] - chance),
        )


def _flips(results: Results) -> Stated:
    for activation in results.plan.activations:
        coherence = {
            arm: results.at_best("coherence", "full", activation, arm)[:, 0]
            for arm in ("raw", "flipped")
        }
        yield (
            Claim(
                f"flip_coherence_{activation}",
                ("b4", "a4"),
                f"Flipping random signs destroys the common sign of the gradients ({activation}, "
                "first layer).",
                "sign coherence of the batch gradient, raw minus flipped, mean until the target",
                above(0.1),
                "sign_and_mean",
            ),
            mean_evidence(coherence["raw"] - coherence["flipped"]),
        )
    sentence = "Flipping random signs changes the training loss at no step, by no bit, with {}."
    for part, optimizer, words in (
        ("full", "sgd", "gradient descent at every rate of the ladder"),
        ("minibatch", "sgd", "minibatch SGD at every rate of the ladder"),
        *(
            ("exact", name, f"{name.replace('_', ' ')} ({', '.join(results.plan.extras)})")
            for name in EXACT_RATES
            if results.plan.extras
        ),
    ):
        yield (
            Claim(
                f"flip_exact_{part if part != 'exact' else optimizer}",
                ("b4", "a4"),
                sentence.format(words),
                "largest |loss difference| over all steps, rates and activations, nats",
                always(0.0),
                "sign_and_mean",
            ),
            exact_evidence(_largest_difference(results, part, optimizer)),
        )


def _centering(results: Results) -> Stated:
    for activation in results.plan.activations:
        for part, words in (("full", "full batch"), ("minibatch", "minibatch")):
            yield (
                Claim(
                    f"center_steps_{part}_{activation}",
                    ("b4", "b5"),
                    f"Centering inputs and hidden units cuts the steps to the target, each arm at "
                    f"its own best rate ({activation}, {words}).",
                    "steps to target, raw / centered",
                    above(1.0),
                    "rates",
                ),
                _steps_ratio(results, part, activation),
            )
            yield (
                Claim(
                    f"center_tortuosity_{part}_{activation}",
                    ("b4",),
                    f"At their own best rates the raw path winds more than the centered one "
                    f"({activation}, {words}).",
                    "path length / displacement until the target, raw / centered",
                    above(1.0),
                    "small_steps",
                ),
                _ratio(results, "tortuosity", part, activation, "raw", "centered"),
            )
        yield (
            Claim(
                f"center_rate_{activation}",
                ("b4", "b5"),
                f"Centering raises the best learning rate ({activation}, full batch).",
                "best rate, centered / raw",
                above(1.0),
                "rates",
            ),
            _ratio(results, "learning_rate", "full", activation, "centered", "raw"),
        )
        yield (
            Claim(
                f"same_rate_zigzag_{activation}",
                ("b4",),
                f"At raw's best rate the centered network, the same function at the start, does "
                f"not zig-zag ({activation}).",
                "share of turns with negative cosine, centered at raw's best rate",
                below(0.05),
                "small_steps",
            ),
            mean_evidence(_centered_at_raws_best(results, activation)),
        )


def _small_steps(results: Results) -> Stated:
    rate = results.plan.config.small_rate
    for activation in results.plan.activations:
        own = (
            _small(results, activation, "raw", "own"),
            _small(results, activation, "centered", "own"),
        )
        common = _small(results, activation, "centered", "common")
        yield (
            Claim(
                f"large_zigzag_{activation}",
                ("b4",),
                f"At its best rate the raw network zig-zags: most turns go back ({activation}).",
                "share of turns with negative cosine until the target, raw at its best rate",
                above(0.5),
                "small_steps",
            ),
            mean_evidence(results.at_best("reversal_fraction", "full", activation, "raw")),
        )
        yield (
            Claim(
                f"small_zigzag_{activation}",
                ("b4",),
                f"At a small step (rate x lambda_max = {rate:g}) the raw network does not "
                f"zig-zag ({activation}).",
                "share of turns with negative cosine until the target, raw",
                below(0.05),
                "small_steps",
            ),
            mean_evidence(own[0]["reversal_fraction"]),
        )
        yield (
            Claim(
                f"small_slower_{activation}",
                ("b4", "b8"),
                f"Without any zig-zag, at equal rate x lambda_max = {rate:g}, raw still needs "
                f"more steps to the same loss ({activation}).",
                "steps to the loss that the slower one ends at, raw / centered",
                above(1.0),
                "small_steps",
            ),
            ratio_evidence(*_steps_to_equal_loss(own[0]["loss"], own[1]["loss"])),
        )
        yield (
            Claim(
                f"common_rate_{activation}",
                ("b5",),
                f"At one common small learning rate centering already speeds training up by more "
                f"than a quarter ({activation}).",
                "steps to the loss that the slower one ends at, raw's small rate, raw / centered",
                above(1.25),
                "small_steps",
            ),
            ratio_evidence(*_steps_to_equal_loss(own[0]["loss"], common["loss"])),
        )


def _centralization(results: Results) -> Stated:
    for activation in results.plan.extras:
        plain, central = (
            {
                arm: results.at_best("steps", "full", activation, arm, optimizer)
                for arm in ("raw", "flipped")
            }
            for optimizer in ("sgd", "centralized_sgd")
        )
        yield (
            Claim(
                f"centralization_helps_{activation}",
                ("b4", "b8"),
                f"Gradient centralization cuts the steps of the raw network ({activation}).",
                "steps to target, plain / centralized, raw",
                above(1.0),
                "centralization",
            ),
            ratio_evidence(plain["raw"], central["raw"]),
        )
        yield (
            Claim(
                f"centralization_flipped_{activation}",
                ("b4", "b8"),
                "Flipping takes that help away: it rests on the outlier pointing along the "
                f"all-ones vector ({activation}).",
                "gain of centralization, raw / flipped",
                above(1.0),
                "centralization",
            ),
            ratio_evidence(plain["raw"] / central["raw"], plain["flipped"] / central["flipped"]),
        )


def _chain(results: Results) -> Stated:
    for activation in results.plan.activations:
        raw, flipped, centered = (
            results.rows("start", activation, arm).isel(variant=0).transpose("seed", ...)
            for arm in ("raw", "flipped", "centered")
        )
        yield (
            Claim(
                f"lambda_centered_{activation}",
                ("b8",),
                "Centering lowers the largest eigenvalue of the Fisher at the start "
                f"({activation}).",
                "lambda_max, raw / centered",
                above(1.0),
                "rates",
            ),
            ratio_evidence(raw.lambda_max.values, centered.lambda_max.values),
        )
        yield (
            Claim(
                f"lambda_flipped_{activation}",
                ("b8",),
                f"Flipping leaves the Fisher's largest eigenvalue where it is ({activation}).",
                "lambda_max, raw / flipped",
                within(0.9999, 1.0001),
                "rates",
            ),
            ratio_evidence(raw.lambda_max.values, flipped.lambda_max.values),
        )
        best = results.at_best("learning_rate", "full", activation, "raw")
        yield (
            Claim(
                f"rate_cap_{activation}",
                ("b8",),
                "Raw's best rate is 2 / lambda_max of the Fisher at the start, within a factor of "
                f"two ({activation}).",
                "best rate x lambda_max / 2",
                within(0.5, 2.0),
                "rates",
            ),
            ratio_evidence(best, 2.0 / raw.lambda_max.values),
        )


def _controls(results: Results) -> Stated:
    first = results.plan.activations[0]
    yield (
        Claim(
            "aa_steps",
            ("b4",),
            f"Control: raw and raw with other seeds need equally many steps ({first}).",
            "steps to target, raw / raw with other seeds",
            NO_DIFFERENCE,
            "rates",
            control=True,
        ),
        _ratio(results, "steps", "full", first, "raw", "again"),
    )
    yield (
        Claim(
            "aa_tortuosity",
            ("b4",),
            f"Control: raw and raw with other seeds wind equally much ({first}).",
            "path length / displacement, raw / raw with other seeds",
            NO_DIFFERENCE,
            "small_steps",
            control=True,
        ),
        _ratio(results, "tortuosity", "full", first, "raw", "again"),
    )
    if "tanh" in results.plan.activations:
        yield (
            Claim(
                "tanh_centered_inputs",
                ("b5",),
                "Control: behind centered inputs, tanh units have next to no mean, and centering "
                "them too changes nothing that matters.",
                "steps to target, inputs centered / inputs and hidden centered",
                NO_DIFFERENCE,
                "rates",
                control=True,
            ),
            _ratio(results, "steps", "full", "tanh", "input", "centered"),
        )


def _ratio(
    results: Results,
    name: str,
    part: str,
    activation: str,
    top: str,
    bottom: str,
) -> Evidence:
    numerator, denominator = (results.at_best(name, part, activation, arm) for arm in (top, bottom))
    return ratio_evidence(numerator, denominator)


def _steps_ratio(results: Results, part: str, activation: str) -> Evidence:
    return _ratio(results, "steps", part, activation, "raw", "centered")


def _small(results: Results, activation: str, arm: str, rule: str) -> dict[str, np.ndarray]:
    """Return the losses [seed, step] and reversal fractions [seed] of a small-step descent."""
    row = results.rows("full", activation, arm, rule=rule).isel(variant=0)
    return {
        "loss": row.loss.transpose("seed", "step").values.astype(np.float64),
        "reversal_fraction": row.reversal_fraction.values.astype(np.float64),
    }


def _steps_to_equal_loss(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return [seed] evaluations until two descents [seed, step] are at the same loss.

    That loss is the higher one, seed by seed, of what both have reached in the end: small steps
    may be far from any target when the slower one stops.
    """
    level = np.maximum(a.min(axis=1), b.min(axis=1))[:, None]
    steps = [1.0 + (losses <= level).argmax(axis=1) for losses in (a, b)]
    return steps[0], steps[1]


def _centered_at_raws_best(results: Results, activation: str) -> np.ndarray:
    place = best_rate(results.steps("full", activation, "raw"))
    rows = results.rows("full", activation, "centered")
    values = rows.reversal_fraction.transpose("variant", "seed").values
    return values[place].astype(np.float64) if place is not None else np.full(len(values.T), np.nan)


def _largest_difference(results: Results, part: str, optimizer: str) -> np.ndarray:
    """Return [activation * seed] max |loss raw - loss flipped|; NaN agrees with NaN only."""
    largest = []
    for activation in results.plan.extras if part == "exact" else results.plan.activations:
        raw, flipped = (
            results.rows(part, activation, arm, optimizer)
            .loss.transpose("seed", ...)
            .values.astype(np.float64)
            for arm in ("raw", "flipped")
        )
        with np.errstate(invalid="ignore"):
            gap = np.abs(raw - flipped)
        same = (raw == flipped) | (np.isnan(raw) & np.isnan(flipped))
        gap = np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
        largest.append(gap.reshape(len(gap), -1).max(axis=1))
    return np.concatenate(largest)


def _non_negative(activation: str) -> bool:
    return bool(
        (np.asarray(get_activation(activation).fn(jnp.linspace(-9.0, 9.0, 999))) >= 0).all()
    )
