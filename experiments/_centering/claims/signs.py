"""Whether it is the signs of activations, or their mean."""

from experiments._centering.claims.common import ARMS, DOSE, NO_MORE, STEPS, steps_to_target
from experiments._centering.plan import DOSE_ACTIVATION, dosed
from experiments._centering.results import Results
from experiments._stated import NO_DIFFERENCE, Stated
from signdyn.claims import Claim, always, below, exact_evidence, ratio_evidence


def sign_claims(results: Results) -> Stated:
    negative, positive = (
        steps_to_target(results, DOSE_ACTIVATION, dosed("offset")(dose)) for dose in (-1.0, 1.0)
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
    both = steps_to_target(results, DOSE_ACTIVATION, "both")
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
        ratio_evidence(steps_to_target(results, DOSE_ACTIVATION, mixed), both),
    )
    raw = steps_to_target(results, "tanh", "none")
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
        ratio_evidence(raw, steps_to_target(results, "tanh", "both")),
    )
