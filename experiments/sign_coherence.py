"""When do all weights into a unit move together?

The sentence tested: "if all inputs of a unit are positive, the gradients on its weights are all
positive or all negative". On one example that is exact. What is asked here is how far it carries:
to a batch, a layer, a network, a convolution, and to later steps of training; and what sets the
sign, if it is not, as is also said, the positive slope of the activation.

* Drawn features of any mean, spread and correlation, against closed forms for batches
  (`experiments._sign_coherence.features`).
* Networks on digits before their first step, five activations, wide and narrow: by batch, by
  layer, by what "all" ranges over, and where deltas have their signs from
  (`experiments._sign_coherence.start`).
* The same in training, by full batches and by minibatches (`experiments._sign_coherence.training`).
* A convolutional network, by positions summed over (`experiments._sign_coherence.convolution`).

Claims and their decision rules: `experiments._sign_coherence.claims`. Negative controls: features
of mean zero; features and networks with random signs flipped; networks from other seeds.

    python -m experiments.sign_coherence                   about 20 s on two cores
    python -m experiments.sign_coherence --preset=default  about a minute on two cores
"""

from experiments._cli import UsageError
from experiments._data import check_images, first_examples, load_whole
from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax
from experiments._sign_coherence.claims import answer, decide_claims
from experiments._sign_coherence.figures import draw_figures
from experiments._sign_coherence.plan import (
    NAME,
    PRESETS,
    Config,
    Plan,
    check_config,
    make_jobs,
)
from experiments._sign_coherence.results import Results

QUESTION = "When do all weights into a unit move together?"


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, load the data; nothing is written.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    check_config(config)
    data = first_examples(load_whole(config), config.num_train)
    check_images(data)
    if len(data.x_train) < config.num_train:
        raise UsageError(
            f"--num_train must be at most the {len(data.x_train)} training examples of "
            f"{data.name}, got {config.num_train}"
        )
    start_jax(config)
    return Plan(config, data, Session(NAME, config, {"fingerprint": data.fingerprint}))


def measure(plan: Plan) -> None:
    """Run what is missing."""
    plan.session.run_all(lambda: make_jobs(plan), QUESTION)


def conclude(plan: Plan) -> Outcome:
    """Decide the claims from the record, draw, write."""
    results = Results(plan)
    findings = decide_claims(results)
    return publish(
        plan.session.folder,
        Publication(
            title="When all weights of a unit move together",
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
