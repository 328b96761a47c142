"""What does the zig-zag look like? The lecture's picture of two weights, from real paths.

The sentence tested: "if all inputs of a neuron are positive, the gradients on its weights are
all positive or all negative, so that its path to a good w zig-zags".
"""

from experiments._cli import run
from experiments._publish import Outcome, Publication, publish, show
from experiments._session import Session, check_out, start_jax
from experiments._two_weights.claims import FIGURE, answer, decide_claims
from experiments._two_weights.figure import draw_figure
from experiments._two_weights.plan import NAME, PRESETS, Config, Plan
from experiments._two_weights.problem import two_classes
from experiments._two_weights.results import Results
from experiments._two_weights.sweep import measure_all
from signdyn import data as datasets

QUESTION = "What does the zig-zag look like, drawn from the real paths of two weights?"


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, load the digits, open the folder.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    check_out(config.out)
    data = datasets.load("digits", data_dir=config.data_dir or None)
    start_jax(config)
    session = Session(NAME, config, {"fingerprint": data.fingerprint})
    return Plan(config, *two_classes(data), data.fingerprint, session)


def execute(plan: Plan) -> Outcome:
    """Run what is missing, decide the claims from the record, draw, write."""
    measure_all(plan, QUESTION)
    results = Results(plan.session.folder)
    findings = decide_claims(results)
    return publish(
        plan.session.folder,
        Publication(
            title="The zig-zag of two weights",
            question=QUESTION,
            answer=answer(findings),
            findings=findings,
            figures={FIGURE: draw_figure(results)},
            config=plan.config,
            presets=PRESETS,
        ),
    )


if __name__ == "__main__":
    run(Config, PRESETS, prepare, lambda plan: show([execute(plan)]))
