"""What the mean does to spectra of inputs and of networks that read digits."""

import numpy as np

from experiments._fisher_spectrum.claims.common import SPECTRUM
from experiments._fisher_spectrum.digit_networks import RCOND
from experiments._fisher_spectrum.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, Rule, above, below, mean_evidence, ratio_evidence, within


def input_claims(results: Results) -> Stated:
    raw = [results.digits(name, "raw") for name in results.activations]
    centered = [results.digits(name, "centered") for name in results.activations]

    def claim(id: str, sentence: str, statistic: str, rule: Rule) -> Claim:
        return Claim(id, ("b8", "b14", "b15"), sentence, statistic, rule, SPECTRUM)

    everywhere = "least over layers and activations, raw"
    shares = np.min([row.mean_share.min("layer") for row in raw], axis=0)
    yield (
        claim(
            "mean_share",
            "In every layer the mean makes most of the largest eigenvalue of E[a a^T].",
            f"|E a|^2 / lambda_max(E[a a^T]), {everywhere}",
            above(0.8),
        ),
        mean_evidence(shares),
    )
    cosines = np.min([row.top_cosine.min("layer") for row in raw], axis=0)
    yield (
        claim(
            "mean_direction",
            "In every layer the top eigenvector of E[a a^T] is the direction of the mean.",
            f"|cosine| of the two, {everywhere}",
            above(0.95),
        ),
        mean_evidence(cosines),
    )
    left = np.max([row.mean_share.max("layer") for row in centered], axis=0)
    yield (
        claim(
            "mean_share_centered",
            "Centering leaves no mean in any layer.",
            "|E a|^2 / lambda_max(E[a a^T]), largest over layers and activations, centered",
            below(1e-12),
        ),
        mean_evidence(left),
    )
    for arm, row in (("raw", raw[0]), ("centered", centered[0])):
        end = {"raw": "the spike", "centered": "the edge of what is left"}[arm]
        yield (
            claim(
                f"spiked_{arm}",
                f"Theory for independent features predicts {end} of E[x x^T] of the {arm} pixels "
                "within 5%, though pixels are correlated.",
                f"lambda_max(E[x x^T]) measured / predicted, {arm}",
                within(0.95, 1.05),
            ),
            ratio_evidence(
                row.input_lambda_max.values[:, 0],
                row.spiked_lambda_max.values[:, 0],
            ),
        )


def centering_claims(results: Results) -> Stated:
    for name in results.activations:
        raw, centered = results.digits(name, "raw"), results.digits(name, "centered")

        def claim(id: str, sentence: str, statistic: str, rule: Rule, name: str = name) -> Claim:
            text = f"{sentence} ({name})"
            return Claim(f"{id}_{name}", ("b5", "b8"), text, statistic, rule, SPECTRUM)

        yield (
            claim(
                "digits_lambda",
                "Centering inputs and hidden units divides the Fisher's lambda_max by more than 2.",
                "lambda_max, raw / centered",
                above(2.0),
            ),
            ratio_evidence(raw.lambda_max.values, centered.lambda_max.values),
        )
        yield (
            claim(
                "digits_rank",
                "Centering spreads the spectrum over more directions.",
                "effective rank trace^2 / sum lambda^2, centered / raw",
                above(1.0),
            ),
            ratio_evidence(centered.effective_rank.values, raw.effective_rank.values),
        )
        yield (
            claim(
                "digits_kappa",
                "Centering lowers the condition number.",
                f"lambda_max / smallest eigenvalue above {RCOND:g} lambda_max, raw / centered",
                above(1.0),
            ),
            ratio_evidence(raw.condition_number.values, centered.condition_number.values),
        )
        yield (
            claim(
                "well_conditioned",
                "A centered network is well conditioned: its condition number is below 100.",
                f"lambda_max / smallest eigenvalue above {RCOND:g} lambda_max, centered",
                below(100.0),
            ),
            ratio_evidence(
                centered.condition_number.values,
                np.ones_like(centered.condition_number.values),
            ),
        )
