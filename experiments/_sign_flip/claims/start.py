"""Signs before the first step: of one example, of a batch, flipped."""

import jax.numpy as jnp
import numpy as np

from experiments._sign_flip.results import Results
from experiments._sign_flip.start import batch_sizes
from experiments._stated import Stated
from signdyn.activations import get_activation
from signdyn.claims import Claim, above, always, below, exact_evidence, mean_evidence
from signdyn.diagnostics.signs import coherence_chance_level


def start_claims(results: Results) -> Stated:
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
                f"On one example, all gradients into a unit that reads non-negative inputs have "
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


def _non_negative(activation: str) -> bool:
    return bool(
        (np.asarray(get_activation(activation).fn(jnp.linspace(-9.0, 9.0, 999))) >= 0).all()
    )
