"""An experiment of your own: arms, measures and claims in one file, run like the shipped ones.

Put the file beside `experiments/` and end it with `run_own`; docs/extending.md has one. It gets the
options of every experiment, cells that are skipped when they are there, paired seeds, Holm's
correction, tables, a figure and a place on the page. The first arm runs a second time with other
seeds, as the arm ``again``: what a negative control compares it with.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array
from matplotlib.figure import Figure

from experiments._publish import Outcome, Publication, publish, run_experiment
from experiments._session import AGAIN_OFFSET, CommonConfig, Job, Session, start_jax
from signdyn.claims import Claim, Evidence, Finding, decide
from signdyn.data.dataset import Dataset
from signdyn.probes import NO_PROBE, Probe
from signdyn.records import Variable, load
from signdyn.replicas import Hyper, Structure
from signdyn.report.figures import panels, strip
from signdyn.report.names import check_name
from signdyn.resume import Group, Variant
from signdyn.sweeps import stack_hypers
from signdyn.training import Stages, TrainFn, Trajectory, make_train_fn

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {},
    "default": {"seeds": 48},
    "paper": {"seeds": 256, "block": 128},
}

AGAIN = "again"
"""Name of the arm that is the first one with other seeds."""


class Arm(NamedTuple):
    """What is compared: a program, and its numbers. Arms of equal structure share a program."""

    structure: Structure
    hyper: Hyper


class Measure(NamedTuple):
    """One quantity of a training.

    Attributes:
        read: Trajectory -> array; pure JAX, compiled with the training.
        units: ``"1"`` for none.
        long_name: What it is.
        dims: Names of the array's dimensions.
    """

    read: Callable[[Trajectory], Array]
    units: str
    long_name: str
    dims: tuple[str, ...] = ()


class Experiment(NamedTuple):
    """A question and how it is decided.

    Attributes:
        name: Of the folder: lower-case letters, digits, ``_`` and ``-``; and of the file, so that
            ``python -m NAME`` repeats it.
        question: One sentence.
        data: From `signdyn.data.load`.
        arms: Name -> arm; the first is the one to compare with.
        measures: Name -> quantity.
        claims: Results -> every claim with its evidence. The results are those of
            `signdyn.records.load`, with the arms' names along ``variant``.
        probe: What watches the steps.
    """

    name: str
    question: str
    data: Dataset
    arms: Mapping[str, Arm]
    measures: Mapping[str, Measure]
    claims: Callable[[xr.Dataset], Iterable[tuple[Claim, Evidence]]]
    probe: Probe = NO_PROBE


class Plan(NamedTuple):
    """A checked experiment with its programs, and the folder."""

    config: CommonConfig
    experiment: Experiment
    jobs: list[tuple[Job, list[Variant]]]
    session: Session


def run_own(experiment: Callable[[], Experiment]) -> None:
    """Run the experiment that ``experiment()`` returns, with the options of the command line.

    It is called once JAX is set up, so that it may load data and make arrays. The programs
    themselves are part of the run's configuration: a folder that holds results of other arms,
    measures or data is refused. Claims may change; they are decided from the results on disk.
    """

    def plan(config: CommonConfig) -> Plan:
        start_jax(config)
        return prepare(experiment(), config)

    run_experiment(CommonConfig, PRESETS, plan, measure, conclude)


def prepare(experiment: Experiment, config: CommonConfig) -> Plan:
    """Check the experiment and trace its programs; nothing is written.

    Raises:
        ValueError: If its name cannot be a folder's, it has no arms or no measures, an arm is
            called ``again``, or an arm cannot be trained.
    """
    check_name(experiment.name, "Experiment")
    if not experiment.arms or not experiment.measures or AGAIN in experiment.arms:
        raise ValueError(
            f"{experiment.name}: expected at least one arm, none of them called {AGAIN!r}, and at "
            f"least one measure, got arms {list(experiment.arms)} and measures "
            f"{list(experiment.measures)}."
        )
    jobs = _jobs(experiment)
    programs = [job.group.identity["program"] for job, _ in jobs]
    points = [[variant.labels["arm"], _numbers(variant.hyper)] for _, vs in jobs for variant in vs]
    session = Session(experiment.name, config, {"programs": programs, "arms": points})
    return Plan(config, experiment, jobs, session)


def measure(plan: Plan) -> None:
    """Run what is missing."""
    plan.session.run_all(lambda: plan.jobs, plan.experiment.question)


def conclude(plan: Plan) -> Outcome:
    """Decide the claims from the record, draw, write."""
    experiment, folder = plan.experiment, plan.session.folder
    results = load(folder)
    stated = list(experiment.claims(results))
    evidence = {claim.id: one for claim, one in stated}
    findings = decide([claim for claim, _ in stated], evidence)
    return publish(
        folder,
        Publication(
            title=experiment.name.replace("_", " "),
            question=experiment.question,
            answer=_answer(findings),
            findings=findings,
            figures=_draw(results),
            config=plan.config,
            presets=PRESETS,
            module=experiment.name,
        ),
    )


def _jobs(experiment: Experiment) -> list[tuple[Job, list[Variant]]]:
    first, *_ = experiment.arms.values()
    variants: dict[Structure, list[Variant]] = {}
    for name, arm, offset in (
        *((name, arm, 0) for name, arm in experiment.arms.items()),
        (AGAIN, first, AGAIN_OFFSET),
    ):
        point = Variant({"arm": name}, arm.hyper, offset)
        variants.setdefault(arm.structure, []).append(point)
    return [
        (_job(experiment, structure, points, f"program {number} of {len(variants)}"), points)
        for number, (structure, points) in enumerate(variants.items(), start=1)
    ]


def _job(experiment: Experiment, structure: Structure, points: list[Variant], name: str) -> Job:
    train_fn = measured(
        make_train_fn(structure, experiment.data, experiment.probe), experiment.measures
    )

    def tabulate(values: Mapping[str, Array]) -> Mapping[str, Variable]:
        return {
            key: Variable(one.dims, values[key], one.units, one.long_name)
            for key, one in experiment.measures.items()
        }

    example = _example(points)
    group = Group(
        name=name,
        part="measures",
        train_fn=train_fn,
        tabulate=tabulate,
        identity={"program": fingerprint(train_fn, example)},
        example=example,
    )
    draw = jax.eval_shape(train_fn.draw, jax.random.key(0))
    num_params = sum(leaf.size for leaf in jax.tree.leaves(draw.params))
    batch = structure.batch_size or len(experiment.data.x_train)
    # a product forward and two backward, of two operations a weight
    return Job(group, structure.steps, 6.0 * num_params * batch)


def measured(train_fn: TrainFn, measures: Mapping[str, Measure]) -> TrainFn:
    """Return the training that ends with its measures instead of its trajectory."""

    def read(trajectory: Trajectory) -> dict[str, Array]:
        return {name: jnp.asarray(one.read(trajectory)) for name, one in measures.items()}

    def in_parts(num_parts: int) -> Stages:
        whole = cast(Callable[[int], Stages], train_fn.stages)(num_parts)
        return whole._replace(finish=lambda *state: read(whole.finish(*state)))

    return dataclasses.replace(
        train_fn,
        run=lambda draw, hyper: read(train_fn.run(draw, hyper)),
        stages=train_fn.stages and in_parts,
    )


def fingerprint(train_fn: TrainFn, example: Any) -> str:
    """Return 16 hex digits of all that a program computes, the data in it included."""
    key = jax.random.key(0)
    draw = jax.eval_shape(train_fn.draw, key)
    hyper = jax.tree.map(lambda _: jax.ShapeDtypeStruct((), jnp.float32), example)
    digest = hashlib.sha256()
    for traced in (jax.jit(train_fn.draw).trace(key), jax.jit(train_fn.run).trace(draw, hyper)):
        for part in _parts_of(traced):
            digest.update(part)
    return digest.hexdigest()[:16]


def _parts_of(traced: Any) -> Iterator[bytes]:
    """Yield a traced program's text, and apart from it, for it may be large, its data."""
    jaxpr, constants = traced.jaxpr.jaxpr, traced.jaxpr.consts
    shapes = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in constants]
    arguments = [jax.ShapeDtypeStruct(one.shape, one.dtype) for one in traced.jaxpr.in_avals]

    def program(constants: list[Array], *flat: Array) -> list[Array]:
        return jaxpr_as_fun(ClosedJaxpr(jaxpr, constants))(*flat)

    yield jax.jit(program).lower(shapes, *arguments).as_text().encode()
    for one in constants:
        yield repr((one.shape, str(one.dtype))).encode()
        yield np.asarray(one).tobytes()


def _example(points: list[Variant]) -> Any:
    """Return a point that has every number which one of the points has."""
    return jax.tree.map(lambda leaf: 0.0, stack_hypers([point.hyper for point in points]))


def _numbers(hyper: Hyper) -> list[float]:
    return [float(leaf) for leaf in jax.tree.leaves(hyper)]


def _answer(findings: list[Finding]) -> str:
    """Return the verdicts in one sentence: an answer in words takes a person."""
    counts = Counter(finding.verdict for finding in findings)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"Of {len(findings)} claims: {told}."


def _draw(results: xr.Dataset) -> dict[str, tuple[Figure, str]]:
    """Return a figure of every measure that is one number a seed; none if there is no such."""
    shown = {n: v for n, v in results.data_vars.items() if set(v.dims) == {"variant", "seed"}}
    if not shown:
        return {}
    figure, axes = panels(1, len(shown), titles=list(map(str, shown)), sharey=False)
    places = np.arange(results.sizes["variant"])
    for ax, values in zip(axes.flat, shown.values(), strict=True):
        strip(ax, places, values.transpose("variant", "seed").values.astype(np.float64))
        ax.set_xticks(places, results.variant.values)
        ax.set_ylabel("" if values.units == "1" else values.units)
    told = "; ".join(f"{name}: {values.long_name}" for name, values in shown.items())
    return {"measures": (figure, f"Every seed by arm. {told}.")}
