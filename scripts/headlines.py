"""Prints the README's headline numbers from the run recorded in docs/record.

./scripts/headlines.py --write puts them into README.md between its two markers.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = ROOT / "docs" / "record" / "quick"
MARKERS = "<!-- headlines -->", "<!-- /headlines -->"

ROWS = (
    ("sign_flip", "flip_coherence_relu", "common sign lost by flipping (coherence, relu)"),
    ("sign_flip", "flip_exact_full", "loss changed by flipping, largest over all steps (nat)"),
    ("sign_flip", "center_steps_full_sigmoid", "steps to target, raw / centered, sigmoid"),
    ("sign_flip", "center_steps_full_tanh", "the same, tanh"),
    ("sign_flip", "center_steps_full_relu", "the same, relu"),
    ("sign_flip", "small_zigzag_sigmoid", "turns that go back at a small step, raw sigmoid"),
    ("sign_flip", "small_slower_sigmoid", "steps there to equal loss, raw / centered, sigmoid"),
    ("two_weights", "center_steps", "two weights: steps to target, raw / centered"),
    ("fisher_spectrum", "digits_lambda_relu", "lambda_max of the Fisher, raw / centered, relu"),
    ("fisher_spectrum", "tanh_is_centered", "'tanh is centered': its means' share of lambda_max"),
    ("natural_gradient", "same_centered", "natural gradient: raw and centered differ by"),
    ("natural_gradient", "sgd_differs_centered", "gradient descent: raw and centered differ by"),
    ("natural_gradient", "race_zigzag", "turns that go back, natural minus plain, raw digits"),
    ("negative_weights", "convnet_half", "negative share of a trained ReLU ConvNet's weights"),
    ("negative_weights", "decay_alone", "weights whose sign weight decay alone changes"),
    ("centering", "both", "steps, raw / centered, least over activations"),
    ("optimizers", "gain_adam", "steps under Adam, raw / centered"),
    ("sign_coherence", "convolution_first", "one example, a convolution's units of one sign"),
    ("sigmoid_vs_tanh", "lead_circle", "playground (circle): steps, sigmoid / tanh"),
    ("vanishing_gradients", "deltas_same", "deltas changed by centering, largest, relative"),
    ("generalization", "loss_clean_relu", "test loss at equal training loss, raw / centered"),
)
"""Experiment, claim, and what the README calls it."""


def headlines() -> str:
    """Return the table of headline numbers as Markdown, with the run they are from."""
    lines = ["| measured | effect [interval] | seeds | verdict |", "|---|---|---|---|"]
    for experiment, claim, words in ROWS:
        findings = json.loads((RECORD / experiment / "claims.json").read_text())["findings"]
        found = next(finding for finding in findings if finding["id"] == claim)
        numbers = "{effect:.3g} [{low:.3g}, {high:.3g}]".format(**found)
        lines.append(f"| {words} | {numbers} | {found['n']} | {found['verdict']} |")
    environment = json.loads((RECORD / "sign_flip" / "run.json").read_text())["environment"]
    lines += [
        "",
        f"From `python -m experiments.all --out=docs/record/quick` ({environment['device']}, "
        f"{environment['devices']} devices, JAX {environment['packages']['jax']}); every claim "
        "with its rule is in `docs/record/quick/*/claims.json`, and in the page that the command "
        "writes.",
    ]
    return "\n".join(lines)


def updated(readme: str, block: str) -> str:
    """Return the README's text with the block between its markers replaced."""
    before, rest = readme.split(MARKERS[0])
    _, after = rest.split(MARKERS[1])
    return f"{before}{MARKERS[0]}\n{block}\n{MARKERS[1]}{after}"


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["--write"]):
        words = ascii(" ".join(sys.argv[1:]))
        print(f"error: headlines.py takes nothing or --write, got {words}.", file=sys.stderr)
        sys.exit(2)
    if sys.argv[1:]:
        path = ROOT / "README.md"
        path.write_text(updated(path.read_text(), headlines()))
    else:
        print(headlines())
