"""K-FAC's product, eigenvalue by eigenvalue."""

import numpy as np

from experiments._fisher_spectrum.claims.common import DOSE, SPECTRUM
from experiments._fisher_spectrum.results import Results
from experiments._stated import Stated
from signdyn.claims import Claim, ratio_evidence, within


def product_claims(results: Results) -> Stated:
    raw = [results.digits(name, "raw") for name in results.activations]
    ratio = np.stack([(row.block_lambda_max / row.kfac_lambda_max).values for row in raw])
    product = np.exp(np.log(ratio).mean(axis=(0, 2)))
    yield (
        Claim(
            "kfac_product",
            ("b8", "b14"),
            "On average a raw layer's block has the lambda_max of E[(a,1)(a,1)^T] times that of "
            "E[delta delta^T], within 10%: the mean of the inputs enters the Fisher as a factor.",
            "lambda_max of block / of product, raw, geometric mean over layers and activations",
            within(0.9, 1.1),
            DOSE,
        ),
        ratio_evidence(product, np.ones_like(product)),
    )
    ratio = np.stack([(row.bias_input_lambda_max / (row.mean_length + 1)).values for row in raw])
    factors = np.exp(np.log(ratio).mean(axis=(0, 2)))
    yield (
        Claim(
            "mean_and_bias",
            ("b8", "b14"),
            "On average lambda_max(E[(a,1)(a,1)^T]) is the mean's, |E a|^2 + 1, within 5%.",
            "lambda_max(E[(a,1)(a,1)^T]) / (|E a|^2 + 1), raw, geometric mean over layers and "
            "activations",
            within(0.95, 1.05),
            DOSE,
        ),
        ratio_evidence(factors, np.ones_like(factors)),
    )
    centered = [results.digits(name, "centered") for name in results.activations]
    ratios = [(row.block_lambda_max / row.kfac_lambda_max).values[:, 0] for row in centered]
    product = np.exp(np.log(ratios).mean(axis=0))
    yield (
        Claim(
            "kfac_product_centered",
            ("b8",),
            "Where the mean is gone the product is as good: on average within 10% in the first "
            "layer.",
            "block / product, centered first layer, geometric mean over activations",
            within(0.9, 1.1),
            DOSE,
        ),
        ratio_evidence(product, np.ones_like(product)),
    )
    told = {
        "mean_lambda_max": (
            raw,
            "The means make the raw Fisher's lambda_max: on average it is, within 10%, what it "
            "would be if every example had its layers' mean inputs.",
        ),
        "bias_lambda_max": (
            centered,
            "After centering that mean is (0, 1), the bias' input, and what is left at the top "
            "is on average the biases', within 10%.",
        ),
    }
    for id, (rows, sentence) in told.items():
        arm = "raw" if rows is raw else "centered"
        ratios = [(row.lambda_max / row.mean_lambda_max).values for row in rows]
        whole = np.exp(np.log(ratios).mean(axis=0))
        yield (
            Claim(
                id,
                ("b8", "b14"),
                sentence,
                f"lambda_max / that of mean inputs, {arm}, geometric mean over activations",
                within(0.9, 1.1),
                SPECTRUM,
            ),
            ratio_evidence(whole, np.ones_like(whole)),
        )
