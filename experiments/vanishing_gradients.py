"""Is the problem with activations that are not zero-centered just the vanishing gradient?

The sentence tested: "but ReLU is popular in convolutional networks; is this not the matter of
vanishing gradients?" Two changes of coordinates that leave a network the same function tell the
two apart. Centering what hidden units hand on, by mu, leaves every backpropagated delta as it is
and turns a kernel's gradient into g_W - mu (x) g_b. Slopes k times as steep, with weights divided
by k, multiply deltas by k and leave every activation, and so every mean, as it is. Crossed, they
say what each costs: deltas that are level over layers or fall by a factor a layer, by units with
their mean or without.

Depth, activation, centering and slopes are data to two programs, see
`experiments._vanishing_gradients.network`: one measures starts, also after a few steps, one runs
descents on digits at rates in units of 1 / lambda_max. Inputs are centered in every arm. Claims
and their decision rules: `experiments._vanishing_gradients.claims`. Negative controls: sign flips,
which change no loss by any bit; tanh units behind centered inputs, which have no mean to remove;
raw against raw with other seeds.

    python -m experiments.vanishing_gradients                   about half a minute on two cores
    python -m experiments.vanishing_gradients --preset=default  about a minute on two cores
"""

from experiments._data import load_digits
from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax
from experiments._vanishing_gradients.claims import answer, decide_claims
from experiments._vanishing_gradients.figures import draw_figures
from experiments._vanishing_gradients.plan import NAME, PRESETS, Config, Plan, check_config
from experiments._vanishing_gradients.problem import draw_fn, pooled
from experiments._vanishing_gradients.results import Results, facts_table
from experiments._vanishing_gradients.sweep import run_sweeps
from signdyn.report.tables import write_table

QUESTION = "Is an activation's mean a problem because gradients vanish?"


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, load the digits; nothing is written.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    check_config(config)
    data = load_digits(config)
    start_jax(config)
    pixels = pooled(data, config.side)
    draw = draw_fn(pixels, data.y_train, data.num_classes, config.max_depth, config.num_examples)
    extra = {"fingerprint": data.fingerprint, "dtype": "float64"}
    # float64: what is to be the same is told from what is nearly so
    session = Session(NAME, config, extra, double=True)
    return Plan(config, pixels.shape[1], data.num_classes, data.fingerprint, draw, session)


def measure(plan: Plan) -> None:
    """Run what is missing."""
    run_sweeps(plan, QUESTION)


def conclude(plan: Plan) -> Outcome:
    """Decide the claims from the record, draw, write."""
    folder = plan.session.folder
    results = Results(folder)
    findings = decide_claims(results)
    write_table(facts_table(results), folder / "tables", "facts")
    return publish(
        folder,
        Publication(
            title="Vanishing gradients and the mean",
            question="ReLU is popular in convolutional networks: is the problem with activations "
            "that are not zero-centered not just the vanishing gradient?",
            answer=answer(findings),
            findings=findings,
            figures=draw_figures(results),
            config=plan.config,
            presets=PRESETS,
        ),
    )


if __name__ == "__main__":
    run_experiment(Config, PRESETS, prepare, measure, conclude)
