"""Do momentum, Adam and sign descent suffer from the activations' mean, and do they zig-zag?

The sentences tested: "the mean makes training slow because the path zig-zags", and what is made of
it: momentum averages the zig-zag away, Adam rescales every coordinate, sign descent sees no sizes
at all, so they should not mind the mean. Arms raw, flipped (signs of inputs and hidden outputs, and
of the weights that read them) and centered (by constants of the start) begin as one function and
train with every optimizer on a ladder of learning rates, which is widened until no best rate lies
on its edge. A seed's best rate is chosen on the *other* seeds, among those at which no more than a
quarter of the seeds fail to arrive.

An average of gradients turns back rarely even where the gradients alternate. So turns are counted
twice: of the updates, which are the path, and of the gradients along it.

Gradient centralization subtracts from each unit's gradient its mean over the incoming weights,
W <- W - rate P g with P = 1 - 11^T / fan_in. It is gradient descent for a network that reads P h
with the sum of each unit's weights frozen: it takes out of every example what lies along the
all-ones vector. That is the direction of the mean as long as activations are positive, and is not
after random signs are flipped: the 2 x 2 of centralization and flip tells cause from coincidence.

Claims and their decision rules: `experiments._optimizers.claims`. Negative controls: raw against
raw with other seeds; plain gradient descent, which does move the sums of weights that
centralization freezes.

    python -m experiments.optimizers                   about half a minute on two cores
    python -m experiments.optimizers --preset=default  about a minute
"""

import math

from experiments._data import load_data
from experiments._ladder import Climb, run_ladder
from experiments._optimizers.claims import answer, decide_claims
from experiments._optimizers.figures import draw_figures
from experiments._optimizers.plan import NAME, PRESETS, Config, Course, Plan, make_ladders
from experiments._optimizers.results import Results
from experiments._progress import SweepProgress
from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax

QUESTION = "Do momentum, Adam and sign descent suffer from the mean, and do they zig-zag?"


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
        target_loss=config.target_fraction * math.log(data.num_classes),
        session=Session(NAME, config, {"fingerprint": data.fingerprint}),
    )


def measure(plan: Plan) -> None:
    """Run what is missing."""
    ladders = make_ladders(plan)
    jobs = {ladder.job.group.name: ladder.job for _, ladder in ladders}
    sizes = dict.fromkeys(jobs, 0)
    for _, ladder in ladders:
        sizes[ladder.job.group.name] += len(ladder.arms) * len(ladder.rungs)
    plan.session.announce([(job, sizes[name]) for name, job in jobs.items()], QUESTION)
    total = plan.config.seeds * sum(ladder.replica_steps for _, ladder in ladders)
    with SweepProgress(total) as progress:
        for course, ladder in ladders:
            run_ladder(plan.session, ladder, _reader(plan, course), progress)
    plan.session.finish()


def conclude(plan: Plan) -> Outcome:
    """Decide the claims from the record, draw, write."""
    results = Results(plan)
    findings = decide_claims(results)
    return publish(
        plan.session.folder,
        Publication(
            title="Other optimizers and the mean",
            question=QUESTION,
            answer=answer(findings),
            findings=findings,
            figures=draw_figures(results),
            config=plan.config,
            presets=PRESETS,
        ),
    )


def _reader(plan: Plan, course: Course):
    def read(arm: str) -> Climb:
        return Results(plan).climb(course, arm)  # of the record as it is by now

    return read


if __name__ == "__main__":
    run_experiment(Config, PRESETS, prepare, measure, conclude)
