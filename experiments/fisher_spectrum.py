"""What does the mean of inputs and hidden activations do to the Fisher?

The sentence tested: "activations that are not zero-centered are a problem", made rigorous by what
the lecture ends with, the Fisher matrix: a mean mu puts one outlier |mu|^2 into E[a a^T], the
Fisher inherits it, and its largest eigenvalue caps the learning rate. And the folk sentence that
tanh is free of this, since it takes both signs.

* Random networks of growing width (`experiments._fisher_spectrum.random_networks`): lambda_max,
  raw and centered, beside mean-field theory without a fitted number.
* The whole spectrum of a small network on digits (`experiments._fisher_spectrum.digit_networks`):
  raw, flipped, centered; the mean's spike; what is left; K-FAC's product, layer by layer.
* Dose and response: c added to centered hidden units, lambda_max = a + b c^2.

Claims and their decision rules: `experiments._fisher_spectrum.claims`. Negative controls: signs
flipped at random, which change no eigenvalue, and raw against raw with other weights and inputs.

    python -m experiments.fisher_spectrum                   about half a minute on two cores
    python -m experiments.fisher_spectrum --preset=default  estimated at half a minute on two cores
"""

from experiments._data import load_digits
from experiments._fisher_spectrum.claims import answer, decide_claims
from experiments._fisher_spectrum.digit_networks import pooled
from experiments._fisher_spectrum.figures import draw_figures
from experiments._fisher_spectrum.plan import (
    NAME,
    PRESETS,
    Config,
    Plan,
    check_config,
    make_jobs,
)
from experiments._fisher_spectrum.results import Results, spectrum_table, width_table
from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax
from signdyn.report.tables import write_table

QUESTION = "What does the mean of inputs and hidden activations do to the Fisher?"


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, load the digits; nothing is written.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    widths, hidden = check_config(config)
    data = load_digits(config)
    start_jax(config)
    extra = {"fingerprint": data.fingerprint, "dtype": "float64"}
    # float64: eigenvalues are compared with theory, and exact zeros told from small ones
    session = Session(NAME, config, extra, double=True)
    return Plan(config, widths, hidden, pooled(data), data.num_classes, data.fingerprint, session)


def measure(plan: Plan) -> None:
    """Run what is missing."""
    plan.session.run_all(lambda: make_jobs(plan), QUESTION)


def conclude(plan: Plan) -> Outcome:
    """Decide the claims from the record, draw, write."""
    folder = plan.session.folder
    results = Results(folder)
    findings = decide_claims(results)
    write_table(spectrum_table(results), folder / "tables", "spectra")
    write_table(width_table(results), folder / "tables", "widths")
    return publish(
        folder,
        Publication(
            title="The spectrum of the Fisher",
            question=QUESTION,
            answer=answer(findings),
            findings=findings,
            figures=draw_figures(results),
            config=plan.config,
            presets=PRESETS,
        ),
    )


if __name__ == "__main__":
    run_experiment(Config, PRESETS, prepare, measure, conclude)
