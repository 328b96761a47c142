"""Negative controls: other seeds, inputs centered already."""

from experiments._sign_flip.claims.common import ratio
from experiments._sign_flip.results import Results
from experiments._stated import NO_DIFFERENCE, Stated
from signdyn.claims import Claim


def control_claims(results: Results) -> Stated:
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
        ratio(results, "steps", "full", first, "raw", "again"),
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
        ratio(results, "tortuosity", "full", first, "raw", "again"),
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
            ratio(results, "steps", "full", "tanh", "input", "centered"),
        )
