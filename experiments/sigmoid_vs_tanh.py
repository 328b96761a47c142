"""Why does tanh train faster than sigmoid in TensorFlow Playground?

The sentence tested: "in the playground tanh trains faster than sigmoid although the two are
linearly related, tanh(z) = 2 sigmoid(2 z) - 1; perhaps because its labels are -1 and 1". The way
from one to the other is walked one change at a time, in the playground's own setting (its points,
inputs, start, loss, batches, rate):

    sigmoid as drawn -> sigmoid matched to tanh's function -> sigmoid(z) - 1/2
        -> 2 sigmoid(z) - 1 -> 2 sigmoid(2 z) - 1 = tanh(z)

All but the first start as one function, so that what differs is what start, centering, scale and
slope do to training; the factors multiply to the whole lead. The same again with every network at
its own best rate, and with labels 0 and 1.

Any setting of the playground's can be rerun over many seeds by its address, quoted; the page's
random numbers cannot, and a regression is refused. The two spirals are not in the presets: four
and two hidden units that read x and y do not learn them.

Claims and their decision rules: `experiments._sigmoid_vs_tanh.claims`. Negative controls: tanh
against tanh with other seeds; outputs of matched networks before the first step.

    python -m experiments.sigmoid_vs_tanh                   about half a minute on two cores
    python -m experiments.sigmoid_vs_tanh --preset=default  about a minute on two cores
    python -m experiments.sigmoid_vs_tanh \
        --playground_url="https://playground.tensorflow.org/#activation=tanh&networkShape=3&seed=1"
"""

from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax
from experiments._sigmoid_vs_tanh.claims import answer, decide_claims
from experiments._sigmoid_vs_tanh.figures import draw_figures
from experiments._sigmoid_vs_tanh.plan import NAME, PRESETS, Config, Plan, check_config
from experiments._sigmoid_vs_tanh.results import Results
from experiments._sigmoid_vs_tanh.setting import draw_points
from experiments._sigmoid_vs_tanh.sweep import QUESTION, run_sweeps


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, draw the points; nothing is written.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    setting, request = check_config(config)
    points = draw_points(setting)
    start_jax(config)
    extra = {"fingerprint": points.fingerprint, "dtype": "float64"}
    # float64: some networks are claimed to be the same, and rounding is not to tell them apart
    return Plan(config, setting, request, points, Session(NAME, config, extra, double=True))


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
            title="Sigmoid and tanh in the playground",
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
