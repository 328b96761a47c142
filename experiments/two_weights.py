"""What does the zig-zag look like? The lecture's picture of two weights, from real paths.

The sentence tested: "if all inputs of a neuron are positive, the gradients on its weights are
all positive or all negative; with two of the four quadrants out of reach, its path zig-zags".

A neuron tells 8 from 3 by the ink of twelve pixels and a constant input of 1: two positive
inputs, two weights, one plane that holds everything (`experiments._two_weights.problem` says why
this one). A seed draws digits and a start; every arm starts as the same function:

* one example after the other: the sentence is exactly true of every step, and the sum of the
  steps still leaves the two quadrants; flipping the ink's sign moves all steps into the *other*
  two quadrants and changes no loss by a bit;
* all examples: at a small step the gradient lies outside of the two quadrants almost always,
  nothing turns back, and the raw neuron is slow all the same;
* all examples at the best step: now it zig-zags, across the valley that the mean makes;
* centered: no valley. Natural gradient: blind to the valley, the same path raw and centered.

Claims and their decision rules: `experiments._two_weights.claims`. Negative control: raw against
raw with other digits and starts.

    python -m experiments.two_weights                   about 20 seconds on two cores
    python -m experiments.two_weights --preset=default  about half a minute

Headline of the quick run: at its best step 99% of the raw neuron's turns go back and it needs
20 times the steps of the centered one; at a small step none do, and it needs 49 times as many.
"""

from experiments._data import load_digits
from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax
from experiments._two_weights.claims import answer, decide_claims
from experiments._two_weights.claims.common import FIGURE
from experiments._two_weights.figure import draw_figure
from experiments._two_weights.plan import NAME, PRESETS, Config, Plan, make_jobs
from experiments._two_weights.problem import two_classes
from experiments._two_weights.results import Results, descents_table
from experiments._two_weights.steps import make_steps
from signdyn.report.tables import write_table

QUESTION = "What does the zig-zag look like, drawn from the real paths of two weights?"


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, load the digits; nothing is written.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    data = load_digits(config)
    start_jax(config)
    extra = {"fingerprint": data.fingerprint, "dtype": "float64"}
    # float64: methods are compared, not rounding
    session = Session(NAME, config, extra, double=True)
    return Plan(config, *two_classes(data), data.fingerprint, session)


def measure(plan: Plan) -> None:
    """Run what is missing."""
    plan.session.run_all(lambda: make_jobs(plan), QUESTION)


def conclude(plan: Plan) -> Outcome:
    """Decide the claims from the record, draw, write."""
    folder = plan.session.folder
    results = Results(folder)
    findings = decide_claims(results)
    write_table(descents_table(results), folder / "tables", "descents")
    return publish(
        folder,
        Publication(
            title="The zig-zag of two weights",
            question=QUESTION,
            answer=answer(findings),
            findings=findings,
            figures={FIGURE: draw_figure(results)},
            config=plan.config,
            presets=PRESETS,
            steps=make_steps(results, plan.config.seeds),
        ),
    )


if __name__ == "__main__":
    run_experiment(Config, PRESETS, prepare, measure, conclude)
