"""Which centering buys what: the data's, the hidden units', by constants or by batch means?

The sentences tested: "is it the data or the activations that must be centered?", "it is enough to
center the data", "tanh needs no centering", "batch norm centers activations". Every arm writes
the same function in other coordinates, with inputs and hidden units centered or not, shifted by
doses, scaled or whitened; so arms of a seed differ in nothing but the descent's geometry. On
digits, at every arm's own best rate, the steps to a target loss are counted, beside the largest
eigenvalue of the Gauss-Newton matrix (the Fisher, where no batch mean couples examples) before
the first step. Networks with batch or layer norm race with them.

All activations and arms are points of one program, on ladders of rates that are widened until no
best rate lies on an edge; a seed's best rate is chosen on the *other* seeds. Claims and their
decision rules: `experiments._centering.claims`. Negative controls: a network against itself with
other seeds; centering tanh units that have no mean; that all arms start as one function.

    python -m experiments.centering                   about 20 s on two cores
    python -m experiments.centering --preset=default  about a minute on two cores
"""

import math

from experiments._centering.claims import answer, decide_claims
from experiments._centering.figures import draw_figures
from experiments._centering.networks import Problem
from experiments._centering.plan import (
    NAME,
    PRESETS,
    Config,
    Plan,
    pooled,
)
from experiments._centering.results import Results, arms_table, inputs_table
from experiments._centering.sweep import run_sweeps
from experiments._data import load_digits
from experiments._fisher_spectrum.activation import NAMES
from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax
from signdyn.report.tables import write_table


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, load the digits; nothing is written.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    digits = load_digits(config)
    start_jax(config)
    target_loss = config.target_fraction * math.log(digits.num_classes)
    extra = {"fingerprint": digits.fingerprint, "target_loss": target_loss}
    return Plan(
        config,
        Problem(pooled(digits, config.num_train), tuple(map(int, config.widths))),
        target_loss,
        digits.fingerprint,
        Session(NAME, config, extra),
    )


def measure(plan: Plan) -> None:
    """Run what is missing."""
    run_sweeps(plan)


def conclude(plan: Plan) -> Outcome:
    """Decide the claims from the record, draw, write."""
    folder = plan.session.folder
    results = Results(folder)
    findings = decide_claims(results)
    write_table(arms_table(results, NAMES), folder / "tables", "arms")
    write_table(inputs_table(results), folder / "tables", "inputs")
    return publish(
        folder,
        Publication(
            title="Which centering buys what?",
            question="Is it the data or the activations that must be centered, and how?",
            answer=answer(findings),
            findings=findings,
            figures=draw_figures(results),
            config=plan.config,
            presets=PRESETS,
        ),
    )


if __name__ == "__main__":
    run_experiment(Config, PRESETS, prepare, measure, conclude)
