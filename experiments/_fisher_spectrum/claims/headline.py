"""The answer in a paragraph, with this run's numbers."""

from signdyn.claims import SUPPORTED, Finding

HEADLINE = (
    "relu_grows",
    "relu_centered",
    "mean_lambda_max",
    "digits_lambda_relu",
    "digits_lambda_tanh",
    "digits_lambda_sigmoid",
)
"""Claims whose numbers the answer tells; it needs all of them supported."""


def answer(findings: list[Finding]) -> str:
    """Return the headline with this run's numbers."""
    by_id = {finding.claim.id: finding for finding in findings}
    told = [by_id[id] for id in HEADLINE]
    open_ones = [finding.claim.id for finding in told if finding.verdict != SUPPORTED]
    if open_ones:
        return f"This run does not confirm the picture: see {', '.join(open_ones)}."
    slope, ratio, mean, relu, tanh, sigmoid = (
        finding.evidence.interval.estimate for finding in told
    )
    field = by_id["relu_lambda_max"].evidence.interval.estimate
    share = by_id["tanh_is_centered"].evidence.interval.estimate
    return (
        f"A random ReLU network's lambda_max grows like width^{slope:.2f}, {field:.2f} times what "
        "mean-field theory predicts at the largest width; with hidden units centered the largest "
        f"width has {ratio:.2f} times the smallest's. With random biases tanh has a mean, too, "
        f"which makes {share:.0%} of its lambda_max. On digits mean inputs alone would make "
        f"lambda_max, up to a factor of {mean:.3f}; centering divides it by {relu:.1f} (relu), "
        f"{tanh:.1f} (tanh), {sigmoid:.1f} (sigmoid)."
    )
