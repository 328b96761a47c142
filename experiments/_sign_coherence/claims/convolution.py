"""Convolutions, which sum over positions as dense layers sum over examples."""

from experiments._sign_coherence.claims.common import ABOVE_CHANCE, CHANCE, CONVOLUTION
from experiments._sign_coherence.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, Rule, above, always, exact_evidence, mean_evidence, within


def convolution_claims(results: Results) -> Stated:
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
            "the closed form for batches holds on average.",
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
