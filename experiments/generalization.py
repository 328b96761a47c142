"""Do uncentered activations hinder finding the optimum, or generalizing, or reaching places?

Two sentences are tested. "It is unclear what they hinder: the search for the optimum, or
generalizing." And: "whoever can only move with all coordinates of one sign must search a smaller
space: a single direction cannot span R^K."

The first: raw, flipped and centered networks start as one function and descend on few digits, with
clean labels and with noisy ones, on a ladder of rates x lambda_max. What they do on the test set
is read at every step, and compared at the same training loss and after as many steps. Rates are
chosen by training loss alone, on the other seeds, among those at which it does not jump up first.
The second: in runs of single examples, and of batches, every update of some units is kept: which
orthants the updates lie in, which orthants the weights get to, how many dimensions the updates
span, and how evenly.

Claims and their decision rules: `experiments._generalization.claims`. Negative controls: raw
against raw with other seeds; a start that is known to generalize worse, which the comparison has
to notice; centered units, whose updates are not one-signed.

    python -m experiments.generalization                   about 20 s on two cores
    python -m experiments.generalization --preset=default  about a minute on two cores
"""

from experiments._data import load_data
from experiments._generalization.claims import answer, decide_claims
from experiments._generalization.figures import draw_figures
from experiments._generalization.plan import NAME, PRESETS, Config, Plan
from experiments._generalization.results import Results
from experiments._generalization.sweep import QUESTION, run_sweeps
from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, load the data; nothing is written.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    data = load_data(config, batch_size=config.batch_size)
    start_jax(config)
    return Plan(
        config=config,
        data=data,
        widths=tuple(map(int, config.widths)),
        activations=config.activations,
        directions=tuple(name for name in config.activations if name in config.directions),
        session=Session(NAME, config, {"fingerprint": data.fingerprint}),
    )


def measure(plan: Plan) -> None:
    """Run what is missing."""
    run_sweeps(plan)


def conclude(plan: Plan) -> Outcome:
    """Decide the claims from the record, draw, write."""
    results = Results(plan)
    findings = decide_claims(results)
    return publish(
        plan.session.folder,
        Publication(
            title="Finding the optimum, generalizing, and reach",
            question=QUESTION,
            answer=answer(results, findings),
            findings=findings,
            figures=draw_figures(results),
            config=plan.config,
            presets=PRESETS,
        ),
    )


if __name__ == "__main__":
    run_experiment(Config, PRESETS, prepare, measure, conclude)
