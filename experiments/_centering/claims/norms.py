"""What batch norm and layer norm leave to centering."""

from experiments._centering.claims.common import NO_MORE, NORM, STEPS, steps_to_target
from experiments._centering.plan import NORM_ACTIVATION
from experiments._centering.results import Results
from experiments._stated import NO_DIFFERENCE, Stated
from signdyn.claims import Claim, below, mean_evidence, ratio_evidence


def norm_claims(results: Results) -> Stated:
    if "batch" in results.norms:
        yield from _batch_norm_claims(results)
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
                steps_to_target(results, NORM_ACTIVATION, "none", "layer"),
                steps_to_target(results, NORM_ACTIVATION, "input", "layer"),
            ),
        )


def _batch_norm_claims(results: Results) -> Stated:
    raw, centered = (
        steps_to_target(results, NORM_ACTIVATION, arm, "batch") for arm in ("none", "input")
    )
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
        ratio_evidence(raw, steps_to_target(results, NORM_ACTIVATION, "both")),
    )
