"""Can the weights of a network be negative when every activation is a ReLU, and what makes them?

The sentences tested: "only outputs are clipped, and weight decay prefers weights around zero";
"the gradient from above may have either sign"; "negate an input and its weights are negated";
"without leaky ReLU, weights after the first layer stay non-negative"; "a weight is like a number
of synapses, so how could there be -2 of them?".

A perceptron and a ConvNet learn digits from the usual start and from kernels that all start
positive; signs of weights, biases and deltas are counted along the way. From one positive start
the perceptron runs with and without weight decay, with decay and no data, with leaky ReLU, with
inputs and with hidden units negated. Then weights are held at zero or above: on XOR, and on
digits. Such a network's outputs never fall when inputs grow, and neither does the effect of one
input's growth after another's; XOR needs the second to fall. Claims and their decision rules:
`experiments._negative_weights.claims`. Negative controls: weight decay without data; the same
from other seeds.

    python -m experiments.negative_weights                   about 20 s on two cores
    python -m experiments.negative_weights --preset=default  about a minute on two cores
"""

from experiments._cli import UsageError
from experiments._data import check_images, first_examples, load_whole
from experiments._negative_weights.claims import answer, decide_claims
from experiments._negative_weights.figures import draw_figures
from experiments._negative_weights.plan import BATCH, NAME, PRESETS, Config, Plan, make_jobs
from experiments._negative_weights.problem import images, xor
from experiments._negative_weights.results import Results, held_table, shares_table
from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax
from signdyn.report.tables import write_table

QUESTION = "Can weights be negative with ReLU everywhere, and what makes them so?"


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, load the data; nothing is written.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    data = load_whole(config)
    check_images(data)
    own = images(first_examples(data, config.num_train))
    if len(own.x_train) < BATCH:
        raise UsageError(
            f"--dataset must hold at least the {BATCH} training examples of a minibatch, but "
            f"{data.name} has {len(own.x_train)}"
        )
    start_jax(config)
    extra = {"fingerprint": data.fingerprint, "num_examples": len(own.x_train)}
    return Plan(config, own, xor(), data.fingerprint, Session(NAME, config, extra))


def measure(plan: Plan) -> None:
    """Run what is missing."""
    plan.session.run_all(lambda: make_jobs(plan), QUESTION)


def conclude(plan: Plan) -> Outcome:
    """Decide the claims from the record, draw, write."""
    folder = plan.session.folder
    results = Results(folder)
    findings = decide_claims(results)
    write_table(shares_table(results), folder / "tables", "shares")
    write_table(held_table(results), folder / "tables", "held")
    return publish(
        folder,
        Publication(
            title="Negative weights with ReLU",
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
