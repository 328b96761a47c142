"""Is the common sign of gradients the cause of the zig-zag, or the activations' mean?

The sentence tested: "if a unit's inputs are all positive, the gradients on its weights are all
positive or all negative, so only zig-zag paths reach a good weight". The intervention: flip the
signs of random inputs and hidden outputs, and of the weights that read them. Each network stays
the same function, its gradients lose their common sign, and nothing else changes: the loss is
the same at every step, bit for bit. Subtracting each unit's mean instead, again without changing
the function, changes everything. The sign is a symptom; the mean is the cause.

Arms raw, flipped, centered (input and hidden units, constants of the start) train from the
same function with the same data order, for every activation, on a ladder of rates that is
widened until no best rate lies on its edge. A seed's best rate is chosen on the *other* seeds.
Claims and their decision rules: `experiments._sign_flip.claims`. Negative controls: raw against
raw with other seeds; tanh units behind centered inputs, which have little mean left to remove.

    python -m experiments.sign_flip                   about a minute on two cores
    python -m experiments.sign_flip --preset=default  estimated at 4 minutes on two cores
"""

import math

from experiments._cli import UsageError
from experiments._data import load_data
from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax
from experiments._sign_flip.claims import answer, decide_claims
from experiments._sign_flip.figures import draw_figures
from experiments._sign_flip.plan import NAME, PRESETS, RECORD_EVERY, Config, Plan
from experiments._sign_flip.results import Results
from experiments._sign_flip.steps import make_steps
from experiments._sign_flip.sweep import run_sweeps


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, load the data; nothing is written.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    if config.steps % RECORD_EVERY:
        raise UsageError(f"--steps must be a multiple of {RECORD_EVERY}, got {config.steps}")
    data = load_data(config, batch_size=config.batch_size)
    start_jax(config)
    return Plan(
        config=config,
        data=data,
        widths=tuple(map(int, config.widths)),
        activations=config.activations,
        extras=tuple(name for name in config.activations if name in config.extras),
        target_loss=config.target_fraction * math.log(data.num_classes),
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
            title="Is the common sign the cause, or the mean?",
            question="If all inputs of a unit are positive, its gradients share one sign: "
            "is that why training zig-zags?",
            answer=answer(findings),
            findings=findings,
            figures=draw_figures(results),
            config=plan.config,
            presets=PRESETS,
            steps=make_steps(results),
        ),
    )


if __name__ == "__main__":
    run_experiment(Config, PRESETS, prepare, measure, conclude)
