"""The claims on when weights move together: sentence, statistic, rule, and what decides them.

Each function states claims and returns them with their evidence; the rules do not depend on
the evidence. Means over seeds have bootstrap intervals. Agreement: of two weights of a unit, the
share of pairs whose gradients have one sign, 1/2 for random signs.
"""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from experiments._sign_coherence.features import NUM_WEIGHTS
from experiments._sign_coherence.plan import (
    CONTROLLED,
    CORRELATIONS,
    DELTA_MEANS,
    FAMILIES,
    FLIPPED_FAMILY,
    NARROW,
    NORMAL_MEAN,
    RATIOS,
    TRAINED_ARMS,
)
from experiments._sign_coherence.results import (
    Results,
    predicted_agreement,
    predicted_bias_agreement,
    predicted_delta_agreement,
    predicted_unanimity,
)
from experiments._sign_coherence.start import TOO_SMALL
from experiments._sign_coherence.training import ACTIVATIONS as TRAINED
from signdyn.claims import (
    SUPPORTED,
    Claim,
    Evidence,
    Finding,
    Rule,
    above,
    always,
    below,
    decide,
    exact_evidence,
    mean_evidence,
    within,
)

BATCH, TRAINING, CONVOLUTION, SCOPES = "batch_size", "training", "convolution", "scopes"
"""Figures."""

SETTLED = 32
"""Examples from which on closed forms for large batches are held against what is measured."""

POSITIVE = ("relu", "softplus", "sigmoid")
"""Activations without negative values."""

SIGNED = ("tanh", "elu")
"""Activations whose units' means take both signs."""

CHANCE = 0.5

LATER = 32
"""Steps after which a descent is under way."""

EXAMPLE, MINIBATCH, ALL = 0, 1, 2
"""Last axis of what is read in training: which gradients."""

HIDDEN = slice(1, None)
"""Layers that read hidden units."""

ABOVE_CHANCE = "agreement above 1/2"

Stated = Iterator[tuple[Claim, Evidence]]


def decide_claims(results: Results) -> list[Finding]:
    """Return all findings of the run, decided from the record on disk."""
    parts = (_batches, _layers, _scopes, _deltas, _training, _convolution, _controls)
    stated = [pair for part in parts for pair in part(results)]
    evidence = {claim.id: one for claim, one in stated}
    return decide([claim for claim, _ in stated], evidence)


def answer(findings: Sequence[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = ("example", "plateau", "attributed")
    told += tuple(f"{id}_{name}" for id in ("noise", "oscillation") for name in TRAINED)
    open_ones = [id for id in told if by_id[id].verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    effect = {id: finding.evidence.interval.estimate for id, finding in by_id.items()}
    return (
        "All gradients into a unit have one sign on one example, and only there. Summed over a "
        "batch, of two weights that read ReLUs of normal numbers "
        f"{CHANCE + effect['mixed']:.0%} move the same way however large the batch, as the "
        f"uncentered cosine says; all {NUM_WEIGHTS[-1]} weights that read sigmoids, "
        f"{effect['all_weights']:.0%} of the time. In training, gradients of all examples lose "
        f"even that in small steps ({CHANCE + effect['late_relu']:.0%} relu, "
        f"{CHANCE + effect['late_sigmoid']:.0%} sigmoid), and keep it where large steps or the "
        "noise of minibatches shake the network along the mean. In a convolution one example is a "
        f"batch of positions: of its first layer's units {effect['convolution_first']:.0%} have "
        "gradients of one sign on it."
    )


def _batches(results: Results) -> Stated:
    settled, last = results.sizes >= SETTLED, f"{results.sizes[-1]} examples"

    def claim(id: str, sentence: str, statistic: str, rule: Rule, *questions: str) -> Claim:
        return Claim(id, questions or ("b12", "b14"), sentence, statistic, rule, BATCH)

    relu, sigmoid = (results.features("agreement", name) for name in TRAINED)
    yield (
        claim(
            "mixing",
            "Adding up a batch mixes signs: weights that read ReLUs of normal numbers agree less "
            f"often on {last} than on one.",
            f"agreement on one example - on {last}, drawn features and deltas",
            above(0.2),
            "b12",
        ),
        mean_evidence(relu[:, 0] - relu[:, -1]),
    )
    yield (
        claim(
            "mixed",
            f"Adding up a batch of {last} mixes the signs until they are as good as random.",
            f"{ABOVE_CHANCE}, ReLUs of normal numbers, {last}",
            below(0.02),
            "b12",
        ),
        mean_evidence(relu[:, -1] - CHANCE),
    )
    change = [
        values[:, -1] - values[:, results.sizes == SETTLED].mean(axis=1)
        for values in (relu, sigmoid, results.features("agreement", "uniform"))
    ]
    yield (
        claim(
            "plateau_reached",
            f"Signs mix down to a plateau: from {SETTLED} examples on, more change nothing.",
            f"agreement on {last} - on {SETTLED}, mean of relu, sigmoid, uniform features",
            within(-0.02, 0.02),
        ),
        mean_evidence(np.mean(change, axis=0)),
    )
    variants = [("normal", {"shift": ratio}) for ratio in RATIOS]
    variants += [(family, {}) for family in FAMILIES]
    correlated = [("normal", {"shift": NORMAL_MEAN, "correlation": rho}) for rho in CORRELATIONS]
    errors = [
        _settled(results, "agreement", settled, family, **more)
        - predicted_agreement(family, **more)
        for family, more in [*variants, *correlated]
    ]
    yield (
        claim(
            "plateau",
            "The plateau is 1/2 + asin(c) / pi with c the uncentered cosine of two inputs, (m^2 + "
            "r s^2) / (m^2 + s^2) at every mean m, spread s and correlation r.",
            "mean |agreement - predicted| over activations of normal numbers, uniform numbers, "
            f"{len(RATIOS)} m / s and {len(CORRELATIONS)} r; batches of {SETTLED} and more",
            below(0.02),
        ),
        mean_evidence(np.abs(errors).mean(axis=0)),
    )
    errors = [
        _settled(results, "bias_agreement", settled, family, **more)
        - predicted_bias_agreement(family, **more)
        for family, more in variants
    ]
    yield (
        claim(
            "with_bias",
            "A weight moves with its unit's bias with probability 1/2 + atan(m / s) / pi.",
            "mean |share - predicted|, over the same but the correlated features, same batches",
            below(0.03),
            "b12",
            "b13",
            "b14",
        ),
        mean_evidence(np.abs(errors).mean(axis=0)),
    )
    errors = [
        _settled(results, "unanimity", settled, family)[:, place] - predicted_unanimity(family, n)
        for family in ("relu", "sigmoid", "uniform")
        for place, n in enumerate(NUM_WEIGHTS)
    ]
    yield (
        claim(
            "unanimity",
            "All n weights of a unit move the same way with probability "
            "2 int phi(u) Phi(m u / s)^n du.",
            f"mean |share - predicted| over n = {', '.join(map(str, NUM_WEIGHTS))}; relu, sigmoid, "
            f"uniform features, batches of {SETTLED} and more",
            below(0.05),
            "b1",
            "b12",
            "b14",
        ),
        mean_evidence(np.abs(errors).mean(axis=0)),
    )
    yield (
        claim(
            "all_weights",
            f"In a batch too, all {NUM_WEIGHTS[-1]} gradients into a unit that reads sigmoids have "
            "one sign.",
            f"share of units, sigmoids of normal numbers, {last}",
            above(0.95),
            "b1",
            "b12",
        ),
        mean_evidence(results.features("unanimity", "sigmoid")[:, -1, -1]),
    )
    yield from _delta_means(results, claim)


def _delta_means(results: Results, claim) -> Stated:
    last = f"{results.sizes[-1]} examples"
    shares = [
        results.features("bias_agreement", "normal", shift=NORMAL_MEAN, delta_mean=mean)[:, -1]
        for mean in DELTA_MEANS
    ]
    errors = [
        share - predicted_delta_agreement(mean, int(results.sizes[-1]))
        for share, mean in zip(shares, DELTA_MEANS, strict=True)
    ]
    yield (
        claim(
            "delta_mean",
            "The closed form for deltas that have a mean says how often a weight moves with its "
            "unit's bias.",
            f"mean |share - predicted| over deltas of mean / sd "
            f"{' and '.join(f'{mean:g}' for mean in DELTA_MEANS)}, {last}",
            below(0.05),
        ),
        mean_evidence(np.abs(errors).mean(axis=0)),
    )
    values = results.features("agreement", "normal", shift=NORMAL_MEAN, delta_mean=DELTA_MEANS[-1])
    yield (
        claim(
            "unmixing",
            "Where deltas have a mean, adding up examples does not mix signs but brings the "
            "common one back.",
            f"agreement on {last} - on one, deltas of mean / sd {DELTA_MEANS[-1]:g}",
            above(0.2),
            "b12",
        ),
        mean_evidence(values[:, -1] - values[:, 0]),
    )


def _layers(results: Results) -> Stated:
    place = int(np.flatnonzero(results.sizes == results.batch_size)[0])
    size = f"batches of {results.batch_size}"

    def claim(id: str, sentence: str, statistic: str, rule: Rule, *questions: str) -> Claim:
        return Claim(id, questions, sentence, statistic, rule, BATCH)

    errors = [
        np.abs(results.start("random_agreement", name)[..., -1] - results.start("plateau", name))
        for name in (*POSITIVE, *SIGNED)
    ]
    yield (
        claim(
            "plateau_on_digits",
            "The closed form holds for pixels and hidden units too, if deltas are drawn.",
            f"mean |agreement - predicted| over layers and activations, {results.sizes[-1]} "
            f"{results.examples}, deltas N(0, 1)",
            below(0.05),
            "b12",
            "b14",
        ),
        mean_evidence(np.mean(errors, axis=(0, 2))),
    )
    least = [results.start("agreement", name)[..., place].min(axis=1) for name in POSITIVE]
    yield (
        claim(
            "every_layer",
            "Behind activations without negative values the common sign reaches every layer.",
            f"{ABOVE_CHANCE}, least over layers and over {', '.join(POSITIVE)}; {size}, start",
            above(0.05),
            "b15",
        ),
        mean_evidence(np.min(least, axis=0) - CHANCE),
    )
    signed = [results.start("agreement", name)[:, HIDDEN, place] for name in SIGNED]
    yield (
        claim(
            "signed_layers",
            f"Behind {' and '.join(SIGNED)} units there is no common sign.",
            f"agreement, mean over layers that read them; {size}, start",
            within(0.48, 0.52),
            "b5",
            "b15",
        ),
        mean_evidence(np.mean(signed, axis=(0, 2))),
    )
    aligned = [results.start("aligned_agreement", name)[:, HIDDEN, place] for name in SIGNED]
    yield (
        claim(
            "signed_means",
            f"{' and '.join(SIGNED)} units only hide it: with the units flipped whose mean is "
            "negative, and the weights that read them, which changes no function, there is a "
            "common sign.",
            f"{ABOVE_CHANCE}, {' and '.join(SIGNED)} flipped to positive means, mean over the same",
            above(0.05),
            "b4",
            "b5",
        ),
        mean_evidence(np.mean(aligned, axis=(0, 2)) - CHANCE),
    )
    narrow, wide = (
        [results.start("random_agreement", name, arm)[:, HIDDEN, place:] for name in CONTROLLED]
        for arm in ("narrow", "raw")
    )
    yield (
        claim(
            "width_pairs",
            f"Width does not matter to two weights: in layers {NARROW} times narrower they agree "
            "as often.",
            f"agreement, narrow - wide, mean of {' and '.join(CONTROLLED)}, hidden layers, and "
            f"{size} and more; deltas N(0, 1)",
            within(-0.05, 0.05),
            "b12",
        ),
        mean_evidence(np.mean(narrow, axis=(0, 2, 3)) - np.mean(wide, axis=(0, 2, 3))),
    )
    narrow, wide = (
        results.start("unanimity", "relu", arm)[:, HIDDEN, place].mean(axis=1)
        for arm in ("narrow", "raw")
    )
    yield (
        claim(
            "width_all",
            f"Width matters to all of them: in layers {NARROW} times narrower all weights of a "
            "unit have one sign more often.",
            f"share of units, narrow - wide, relu, mean over hidden layers; {size}, start",
            above(0.05),
            "b1",
            "b3",
        ),
        mean_evidence(narrow - wide),
    )


def _scopes(results: Results) -> Stated:
    def claim(id: str, sentence: str, statistic: str, rule: Rule) -> Claim:
        return Claim(id, ("b1", "b3"), sentence, statistic, rule, SCOPES)

    hidden = slice(None, -1)  # layers whose units are hidden: the readout's deltas are residuals
    layer = [results.start("layer_unanimity", name)[:, hidden] for name in POSITIVE]
    yield (
        claim(
            "layer",
            "On one example all gradients of a layer's matrix have one sign.",
            f"share of examples, mean over hidden layers of {', '.join(POSITIVE)}, start",
            above(0.95),
        ),
        mean_evidence(np.mean(layer, axis=(0, 2))),
    )
    excess = [
        results.start("layer_coherence", name)[:, hidden]
        - results.start("layer_chance", name)[:, hidden]
        for name in POSITIVE
    ]
    yield (
        claim(
            "layer_chance",
            "Within a matrix it is as if each unit tossed a coin for the sign of all its weights.",
            "|sum of signs| / number of signs on one example - what such coins give, mean over the "
            "same layers",
            within(-0.05, 0.05),
        ),
        mean_evidence(np.mean(excess, axis=(0, 2))),
    )
    network = [results.start("network_unanimity", name) for name in POSITIVE]
    yield (
        claim(
            "network",
            "On no example do all gradients of the network have one sign: residuals of softmax "
            "have both.",
            f"share of examples, {', '.join(POSITIVE)}, start",
            always(0.0),
        ),
        exact_evidence(np.stack(network)),
    )


def _deltas(results: Results) -> Stated:
    names = (*POSITIVE, *SIGNED)

    def claim(id: str, sentence: str, statistic: str, rule: Rule) -> Claim:
        return Claim(id, ("b2", "b13"), sentence, statistic, rule, SCOPES)

    yield (
        claim(
            "positive_deltas",
            "A sigmoid's slope is positive, so the deltas of sigmoid units are.",
            "share of positive deltas, hidden sigmoid layers, start",
            above(0.95),
        ),
        mean_evidence(results.start("positive_deltas", "sigmoid")[:, :-1].mean(axis=1)),
    )
    half = [results.start("positive_deltas", name)[:, :-1] for name in names]
    yield (
        claim(
            "half",
            "As weights are drawn, about half of the hidden deltas are positive.",
            f"share of positive deltas, mean over hidden layers of {', '.join(names)}, start",
            within(0.4, 0.6),
        ),
        mean_evidence(np.mean(half, axis=(0, 2))),
    )
    yield (
        claim(
            "from_above",
            "A hidden delta has the sign of the deltas above it times the weights between, "
            "wherever it is not zero.",
            f"share of deltas above {TOO_SMALL:.0%} of the layer's largest, hidden layers of "
            f"{', '.join(names)}, start",
            always(1.0),
        ),
        exact_evidence(np.stack([results.start("signs_from_above", name) for name in names])),
    )
    tied = np.stack([results.start("tied", name) for name in names])
    yield (
        claim(
            "tied_as_drawn",
            "As weights are drawn, a hidden delta has the sign of its example's residual half of "
            "the time.",
            "share of deltas, one output, mean over hidden layers and activations, start",
            within(0.4, 0.6),
        ),
        mean_evidence(tied[:, :, 0].mean(axis=(0, 2))),
    )
    yield (
        claim(
            "tied_if_positive",
            "With all weights positive every hidden delta has the sign of its example's residual.",
            "share of deltas, one output, all weights at their absolute values, start",
            always(1.0),
        ),
        exact_evidence(tied[:, :, 1]),
    )
    whole = [results.start("parity_network_unanimity", name)[:, 1] for name in names]
    yield (
        claim(
            "network_if_positive",
            "With all weights positive, and pixels as inputs, all gradients of the network on one "
            "example have one sign.",
            "share of examples, one output, all weights at their absolute values, start",
            always(1.0),
        ),
        exact_evidence(np.stack(whole)),
    )
    residuals = [results.start("positive_residuals", name)[:, 1] for name in names]
    yield (
        claim(
            "positive_if_positive",
            "With all weights positive, as slopes and pixels are, all gradients are positive.",
            "share of examples on which they are: whose residual is positive, one output, mean "
            "over activations",
            above(0.95),
        ),
        mean_evidence(np.mean(residuals, axis=0)),
    )


def _training(results: Results) -> Stated:
    def claim(id: str, sentence: str, statistic: str, rule: Rule, *questions: str) -> Claim:
        return Claim(id, questions, sentence, statistic, rule, TRAINING)

    every = tuple(product(TRAINED, TRAINED_ARMS))
    first = [results.training("agreement", name, arm)[..., EXAMPLE] for name, arm in every]
    yield (
        claim(
            "example",
            "On one example all gradients into a unit have one sign, in every layer and at every "
            "step of training.",
            "least agreement on single examples over layers and recorded steps, "
            f"{' and '.join(TRAINED)}, all arms",
            always(1.0),
            "b1",
            "b13",
            "b15",
        ),
        exact_evidence(np.stack([values.min(axis=(1, 2)) for values in first])),
    )
    for name in TRAINED:
        yield from _common_sign_in_training(results, name, claim)
    rises = [results.training("loss_rises", name, "large") for name in TRAINED]
    yield (
        claim(
            "large_steps",
            "The large full-batch steps do oscillate: they raise the loss again and again.",
            f"share of steps that raise the training loss, mean of {' and '.join(TRAINED)}",
            above(0.05),
            "b4",
        ),
        mean_evidence(np.mean(rises, axis=0)),
    )
    gaps = [
        results.training("plateau", name)[:, -1]
        - results.training("agreement", name)[:, -1, :, ALL]
        for name in TRAINED
    ]
    yield (
        claim(
            "plateau_trained",
            "The closed form for deltas of mean zero, independent of the inputs, holds for the "
            "full-batch gradients of trained networks.",
            "mean |agreement - predicted| over layers, relu and sigmoid, last of small full-batch "
            "steps",
            below(0.05),
            "b12",
            "b14",
        ),
        mean_evidence(np.abs(gaps).mean(axis=(0, 2))),
    )
    gaps, centered = [], []
    for name, arm in every:
        agreement, attributed, rest = (
            results.training(kind, name, arm)[..., MINIBATCH:]
            for kind in ("agreement", "attributed", "centered_agreement")
        )
        gaps.append(np.abs(agreement - attributed))
        centered.append(rest)
    yield (
        claim(
            "attributed",
            "The agreement is what the mean's part of the gradient makes it, at every step and in "
            "every layer, for minibatches and all examples: the rest is noise to it.",
            "mean |agreement - that of the mean's part plus noise|, all layers and recorded steps, "
            f"{' and '.join(TRAINED)}, all arms",
            below(0.05),
            "b5",
            "b12",
            "b14",
        ),
        mean_evidence(np.mean(gaps, axis=(0, 2, 3, 4))),
    )
    yield (
        claim(
            "centered",
            "Without the mean's part nothing is left of it: gradients for centered inputs agree "
            "no more than by chance.",
            "agreement of gradients for centered inputs, mean over the same",
            within(0.45, 0.55),
            "b5",
        ),
        mean_evidence(np.mean(centered, axis=(0, 2, 3, 4))),
    )


def _common_sign_in_training(results: Results, name: str, claim) -> Stated:
    agreement = {
        arm: results.training("agreement", name, arm).mean(axis=2) - CHANCE for arm in TRAINED_ARMS
    }
    yield (
        claim(
            f"late_{name}",
            "The common sign goes along with training: gradients of all examples together still "
            f"have it after many small full-batch steps ({name}).",
            f"{ABOVE_CHANCE}, full-batch gradients, mean over layers, last step",
            above(0.1),
            "b1",
            "b12",
            "b15",
        ),
        mean_evidence(agreement["full"][:, -1, ALL]),
    )
    share = results.training("mean_share", name)[..., ALL].mean(axis=2)
    yield (
        claim(
            f"equilibrium_{name}",
            "With small full-batch steps the biases' gradients die out first, and take the mean's "
            f"part of all gradients with them ({name}).",
            "share of the mean's part in squared full-batch gradients, last - first step, mean "
            "over layers",
            below(-0.2),
            "b5",
            "b12",
        ),
        mean_evidence(share[:, -1] - share[:, 0]),
    )
    yield (
        claim(
            f"minibatch_{name}",
            f"Gradients of minibatches of {results.batch_size} have a common sign after many small "
            f"full-batch steps ({name}).",
            f"{ABOVE_CHANCE}, minibatch gradients, mean over layers, last small full-batch step",
            above(0.03),
            "b12",
            "b15",
        ),
        mean_evidence(agreement["full"][:, -1, MINIBATCH]),
    )
    yield (
        claim(
            f"noise_{name}",
            "The noise of minibatches keeps the common sign alive: trained by them, from the same "
            "start at the same rate, a network has more of it in gradients of all examples too "
            f"({name}).",
            "agreement of full-batch gradients, mean over layers, last step, minibatches - full "
            "batches",
            above(0.02),
            "b4",
            "b12",
        ),
        mean_evidence(agreement["mini"][:, -1, ALL] - agreement["full"][:, -1, ALL]),
    )
    later = results.steps >= LATER
    gap = agreement["large"][:, later, ALL] - agreement["full"][:, later, ALL]
    yield (
        claim(
            f"oscillation_{name}",
            "The common sign comes of oscillating, too: full-batch steps large enough to oscillate "
            f"keep it in gradients of all examples ({name}).",
            f"agreement of full-batch gradients, mean over layers and recorded steps from {LATER} "
            "on, large steps - small steps",
            above(0.05),
            "b4",
        ),
        mean_evidence(gap.mean(axis=1)),
    )


def _convolution(results: Results) -> Stated:
    def claim(id: str, sentence: str, statistic: str, rule: Rule, *questions: str) -> Claim:
        return Claim(id, ("b10", *questions), sentence, statistic, rule, CONVOLUTION)

    unanimity = results.convolution("unanimity")  # [seed, step, convolution, positions]
    everywhere = f"{results.positions[-1]} positions"
    yield (
        claim(
            "convolution_position",
            "At one position of one example all gradients into a unit have one sign.",
            "share of (example, unit), both convolutions, first and last step",
            always(1.0),
            "b1",
        ),
        exact_evidence(unanimity[..., 0]),
    )
    for place, name in enumerate(("first", "second")):
        yield (
            claim(
                f"convolution_{name}",
                "On one example all gradients into a unit of a convolution have one sign, as in a "
                f"dense layer ({name} convolution).",
                f"share of (example, unit), {everywhere}, mean of first and last step",
                above(0.95),
                "b1",
            ),
            mean_evidence(unanimity[:, :, place, -1].mean(axis=1)),
        )
    left = results.convolution("agreement")[..., -1] - CHANCE
    yield (
        claim(
            "convolution_left",
            "Weight sharing does not mix signs until none is left.",
            f"{ABOVE_CHANCE} on one example, {everywhere}, least of both convolutions, mean of "
            "first and last step",
            above(0.05),
            "b12",
        ),
        mean_evidence(left.mean(axis=1).min(axis=1)),
    )
    error = results.convolution("random_agreement")[..., -1] - results.convolution("plateau")
    yield (
        claim(
            "convolution_plateau",
            "To a convolution positions are what examples are to a dense layer: with deltas drawn, "
            "the closed form for batches holds.",
            f"agreement on one example - predicted from its patches, {everywhere}, mean of both "
            "convolutions, first and last step",
            within(-0.02, 0.02),
            "b12",
            "b14",
        ),
        mean_evidence(error.mean(axis=(1, 2))),
    )
    yield (
        claim(
            "convolution_readout",
            "In the same network the dense layer behind the convolutions has one sign a unit.",
            "share of (example, unit), readout, first and last step",
            always(1.0),
            "b1",
        ),
        exact_evidence(results.convolution("readout_unanimity")),
    )


def _controls(results: Results) -> Stated:
    place = int(np.flatnonzero(results.sizes == results.batch_size)[0])
    size, last = f"batches of {results.batch_size}", f"{results.sizes[-1]} examples"

    def claim(id: str, sentence: str, statistic: str, rule: Rule, *questions: str) -> Claim:
        text = f"Control: {sentence}"
        return Claim(id, questions, text, statistic, rule, BATCH, control=True)

    yield (
        claim(
            "no_mean",
            "weights that read features of mean zero agree by chance.",
            f"agreement, normal features of mean 0, {last}",
            within(0.48, 0.52),
            "b5",
            "b12",
        ),
        mean_evidence(results.features("agreement", "normal")[:, -1]),
    )
    yield (
        claim(
            "flipped_features",
            "with the signs of random features flipped, their means' lengths kept, weights agree "
            "by chance.",
            f"agreement, {FLIPPED_FAMILY} features with random signs, {last}",
            within(0.48, 0.52),
            "b4",
            "b12",
        ),
        mean_evidence(results.features("agreement", FLIPPED_FAMILY, flip=1.0)[:, -1]),
    )
    flipped = [results.start("agreement", name, "flipped")[..., place] for name in CONTROLLED]
    yield (
        claim(
            "flipped_networks",
            "flipping random inputs and hidden units, and the weights that read them, leaves no "
            "common sign in any layer of the same network.",
            f"agreement, mean of {' and '.join(CONTROLLED)} and over layers; {size}, start",
            within(0.48, 0.52),
            "b4",
            "a4",
        ),
        mean_evidence(np.mean(flipped, axis=(0, 2))),
    )
    rises = [results.training("loss_rises", name) for name in TRAINED]
    yield (
        claim(
            "small_steps",
            "the small full-batch steps do not oscillate: they hardly ever raise the loss.",
            f"share of steps that raise the training loss, mean of {' and '.join(TRAINED)}",
            below(0.02),
            "b4",
        ),
        mean_evidence(np.mean(rises, axis=0)),
    )
    raw, again = (
        results.start("agreement", CONTROLLED[0], arm)[..., place].mean(axis=1)
        for arm in ("raw", "again")
    )
    yield (
        claim(
            "again",
            "raw against raw with other seeds makes no difference.",
            f"agreement, {CONTROLLED[0]}, mean over layers, raw - again; {size}, start",
            within(-0.05, 0.05),
            "b12",
        ),
        mean_evidence(raw - again),
    )


def _settled(
    results: Results, name: str, settled: np.ndarray, family: str, **more: float
) -> np.ndarray:
    """Return a share [seed, ...] of drawn features, mean over large batch sizes."""
    return results.features(name, family, **more)[:, settled].mean(axis=1)
