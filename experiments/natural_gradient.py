"""Does natural gradient remove what the mean does to training, and which of its versions do?

The sentence tested: "there is something about the Fisher matrix and natural gradients that makes
this rigorous". Centering, and putting a sigmoid for a tanh, are changes of coordinates: with the
next layer's parameters matched the network stays the same function. Gradient descent depends on
coordinates; (F + D)^{-1} g with the full Fisher does not, as long as the damping D is zero, or is
carried along with the coordinates. So what an activation's mean does to gradient descent it
cannot do to natural gradient, and each approximation is as blind to the mean as the coordinates
that it keeps together: a unit's weights with its bias, a layer's Kronecker factors, or, for the
diagonal, none.

On a small regression with an invertible Fisher every method takes the same few steps in several
coordinates, and functions are compared after each, in float64. On digits, even against odd, the
descents race to a target loss, and turns are counted. Claims and their decision rules:
`experiments._natural_gradient.claims`. Negative controls: gradient descent under sign flips,
which no method can feel; natural gradient from other seeds.

    python -m experiments.natural_gradient                   about a minute on two cores
    python -m experiments.natural_gradient --preset=default  about a minute on two cores
"""

from experiments._data import load_digits
from experiments._natural_gradient.claims import answer, decide_claims
from experiments._natural_gradient.figures import draw_figures
from experiments._natural_gradient.plan import ACTIVATION, NAME, PRESETS, Config, Plan, make_jobs
from experiments._natural_gradient.problem import digits, regression
from experiments._natural_gradient.results import Results, directions_table
from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import Session, start_jax
from signdyn.report.tables import write_table

QUESTION = "Is natural gradient blind to the mean, and which of its approximations are?"


def prepare(config: Config) -> Plan:
    """Check everything a user can get wrong, load the digits; nothing is written.

    Raises:
        ValueError: With one sentence on what was wrong.
    """
    data = load_digits(config)
    start_jax(config)
    extra = {"fingerprint": data.fingerprint, "dtype": "float64"}
    return Plan(
        config,
        regression(config.num_points, ACTIVATION),
        digits(data, config.num_train, config.width, ACTIVATION),
        data.fingerprint,
        # float64: methods are compared, not rounding
        Session(NAME, config, extra, double=True),
    )


def measure(plan: Plan) -> None:
    """Run what is missing."""
    plan.session.run_all(lambda: make_jobs(plan), QUESTION)


def conclude(plan: Plan) -> Outcome:
    """Decide the claims from the record, draw, write."""
    folder = plan.session.folder
    results = Results(folder)
    findings = decide_claims(results)
    write_table(directions_table(results), folder / "tables", "directions")
    return publish(
        folder,
        Publication(
            title="Natural gradient and the mean",
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
