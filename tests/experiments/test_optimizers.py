"""Optimizers at toy size: identities, a slow twin of every descent, hand-made records, a run."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments import _session, optimizers
from experiments._ladder import Climb, climb
from experiments._optimizers.claims import answer, decide_claims
from experiments._optimizers.claims.controls import ROUNDING
from experiments._optimizers.figures import draw_figures
from experiments._optimizers.plan import (
    CENTRAL,
    MAIN,
    OPTIMIZERS,
    RUNGS,
    SECOND,
    Config,
    Course,
    Plan,
    arms,
    make_courses,
)
from experiments._optimizers.probe import optimizer_probe, share_along_mean, sum_drift
from experiments._optimizers.results import COMMON, Results, without_gambles
from experiments._questions import QUESTIONS
from experiments._stated import NotRunError
from signdyn.claims import INCONCLUSIVE, REFUTED, SUPPORTED
from signdyn.models.mlp import MLP
from signdyn.optimizers import centralize_per_unit
from signdyn.records import load
from signdyn.replicas import draw_replica
from signdyn.training import Observation
from tests.experiments.findings import altered
from tests.experiments.sessions import FastSession, IdleSession

SEEDS, WIDTH, STEPS, BATCH = 2, 4, 8, 6


# --- a run at toy size ------------------------------------------------------------------------


def prepared(out: Path, session: type[_session.Session], **options) -> Plan:
    values = {
        "seeds": SEEDS,
        "num_train": 24,
        "width": WIDTH,
        "steps": STEPS,
        "batch_size": BATCH,
        "target_fraction": 0.95,
        "block": 24,
    }
    config = Config(out=str(out), **{**values, **options})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizers, "Session", session)
        # JAX is set up already, by conftest.py
        patch.setattr(optimizers, "start_jax", lambda config: None)
        return optimizers.prepare(config)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def plan(out) -> Plan:
    return prepared(out, FastSession)


@pytest.fixture(scope="module")
def outcome(plan):
    optimizers.measure(plan)
    return optimizers.conclude(plan)


@pytest.fixture(scope="module")
def results(plan, outcome) -> Results:
    return Results(plan)


# --- what is measured -------------------------------------------------------------------------


def test_an_update_along_the_mean_has_all_its_energy_there_and_one_across_it_none():
    inputs = np.random.default_rng(0).normal(size=(7, 5)) + 1.0
    mean = inputs.mean(axis=0)
    across = np.eye(5)[:, :1] - np.outer(mean, mean[:1]) / (mean @ mean)
    along = np.outer(mean, [2.0, -3.0, 0.5])
    assert share_along_mean(jnp.asarray(inputs), jnp.asarray(along)) == pytest.approx(1.0)
    assert share_along_mean(jnp.asarray(inputs), jnp.asarray(across)) < 1e-30


def test_an_update_that_points_anywhere_has_one_over_fan_in_of_its_energy_along_the_mean():
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(9, 8)) + 1.0)
    # 20,000 units are as many draws; the standard error is .01 of 1/8
    assert share_along_mean(inputs, jnp.asarray(rng.normal(size=(8, 20_000)))) == pytest.approx(
        1 / 8, rel=0.04
    )


def test_flipped_signs_of_inputs_change_no_bit_of_the_share_along_the_mean():
    rng = np.random.default_rng(0)
    inputs, update = rng.uniform(size=(9, 8)), rng.normal(size=(8, 3))
    signs = rng.choice([-1.0, 1.0], 8)
    one = share_along_mean(jnp.asarray(inputs), jnp.asarray(update))
    other = share_along_mean(jnp.asarray(inputs * signs), jnp.asarray(update * signs[:, None]))
    assert one == other


def test_a_drift_is_one_where_all_weights_move_together_and_zero_where_sums_stay():
    start = [jnp.zeros((3, 2)), jnp.ones((2, 2))]
    together = [start[0] + jnp.array([[2.0, -1.0]]), start[1]]
    balanced = [start[0] + jnp.array([[1.0, 2.0], [1.0, -2.0], [-2.0, 0.0]]), start[1]]
    # a layer that did not move has no ratio, and neither has the network
    assert np.isnan(sum_drift(start, together))
    assert sum_drift(start[:1], together[:1]) == 1.0
    assert sum_drift(start[:1], balanced[:1]) == 0.0


def test_the_probe_counts_turns_of_updates_and_of_gradients_apart_and_stops_at_the_target():
    probe = optimizer_probe(1.0)
    params = {"dense_0": {"kernel": jnp.zeros((2, 1)), "bias": jnp.zeros(1)}}

    def tree(a: float, b: float) -> dict:
        return {"dense_0": {"kernel": jnp.array([[a], [b]]), "bias": jnp.zeros(1)}}

    class FakeTraces:
        def __init__(self, grads):
            self.grads, self.inputs = grads, (jnp.array([[1.0, 1.0]]),)

    # updates go straight on; gradients turn back once in two turns; the fourth step is too late
    steps = [((1.0, 1.0), (1.0, 0.0)), ((1.0, 0.0), (-1.0, 0.0)), ((1.0, 1.0), (0.0, 1.0))]
    steps.append(((-9.0, -9.0), (9.0, 9.0)))
    losses = [3.0, 2.0, 1.5, 0.9]
    state = probe.init(params)
    for index, ((update, grad), loss) in enumerate(zip(steps, losses, strict=True)):
        observation = Observation(
            jnp.array(index), jnp.array(loss), params, tree(*update), FakeTraces(tree(*grad))
        )
        state = probe.observe(state, observation)
        if loss > 1.0:
            params = jax.tree.map(jnp.add, params, tree(*update))
    read = {name: float(value) for name, value in probe.read(state).items()}
    assert read["reversal_fraction"] == 0.0
    assert read["gradient_reversals"] == 0.5
    assert read["tortuosity"] == pytest.approx((2 * math.sqrt(2) + 1) / math.sqrt(9 + 4))
    assert read["coherence"] == 1.0  # a zero has no sign
    assert read["along_mean"] == pytest.approx((1.0 + 0.5 + 1.0) / 3.0)
    assert read["sum_drift"] == 1.0


# --- gradient centralization ------------------------------------------------------------------


def test_centralized_descent_is_plain_descent_on_inputs_without_their_mean_over_features():
    """And with the sum of each unit's weights frozen: exactly, layer by layer."""
    rng = np.random.default_rng(0)
    x, y = jnp.asarray(rng.uniform(size=(20, 6))), jnp.asarray(rng.normal(size=(20, 2)))
    start = [jnp.asarray(rng.normal(size=shape)) for shape in ((6, 5), (5, 2))]
    sums = [kernel.sum(axis=0) for kernel in start]

    def centralized_outputs(kernels):
        return jax.nn.sigmoid(x @ kernels[0]) @ kernels[1]

    def projected_outputs(kernels):
        h = x
        for index, (kernel, total) in enumerate(zip(kernels, sums, strict=True)):
            mean = h.mean(axis=1, keepdims=True)
            z = (h - mean) @ kernel + mean * total
            h = jax.nn.sigmoid(z) if index == 0 else z
        return h

    def descend(outputs, transform):
        @jax.jit
        def step(kernels):
            grads = jax.grad(lambda k: jnp.mean((outputs(k) - y) ** 2))(kernels)
            return [k - 0.5 * g for k, g in zip(kernels, transform(grads), strict=True)]

        kernels = start
        for _ in range(20):
            kernels = step(kernels)
        return kernels

    central = centralize_per_unit()
    one = descend(centralized_outputs, lambda grads: central.update(grads, central.init(grads))[0])
    other = descend(projected_outputs, lambda grads: grads)
    np.testing.assert_allclose(centralized_outputs(one), projected_outputs(other), rtol=1e-12)
    assert np.abs(centralized_outputs(one) - centralized_outputs(start)).max() > 0.1
    for kernel, total in zip(one, sums, strict=True):
        np.testing.assert_allclose(kernel.sum(axis=0), total, rtol=1e-12)


# --- every descent, against NumPy -------------------------------------------------------------

Layers = list[dict[str, np.ndarray]]

PHI = {
    MAIN: (lambda z: np.maximum(z, 0.0), lambda z: (z > 0).astype(z.dtype)),
    SECOND: (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
}


def gradient(layers: Layers, x: np.ndarray, y: np.ndarray, activation: str, shifts: list):
    """Return the loss and its gradient; layer l reads its input less ``shifts[l]``."""
    phi, slope = PHI[activation]
    reads, before, a = [], [], x
    for index, (layer, shift) in enumerate(zip(layers, shifts, strict=True)):
        reads.append(a - shift)
        before.append(reads[-1] @ layer["kernel"] + layer["bias"])
        a = phi(before[-1]) if index < len(layers) - 1 else before[-1]
    top = a - a.max(axis=1, keepdims=True)
    log_p = top - np.log(np.exp(top).sum(axis=1, keepdims=True))
    delta = (np.exp(log_p) - np.eye(a.shape[1])[y]) / len(x)
    grads: Layers = []
    for index in reversed(range(len(layers))):
        grads.insert(0, {"kernel": reads[index].T @ delta, "bias": delta.sum(axis=0)})
        if index:
            delta = (delta @ layers[index]["kernel"].T) * slope(before[index - 1])
    return -log_p[np.arange(len(y)), y].mean(), grads


def directions(optimizer: str):
    """Return a function of the gradient, called once a step, as each method's paper has it."""
    velocity: dict = {}
    count = 0

    def direction(grads: Layers) -> Layers:
        nonlocal count
        count += 1
        moved: Layers = []
        for index, layer in enumerate(grads):
            moved.append({})
            for name, g in layer.items():
                first, second = velocity.get((index, name), (0.0 * g, 0.0 * g))
                if optimizer == "momentum":
                    first = g + 0.9 * first
                    step = first
                elif optimizer == "adam":
                    first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
                    unbiased = first / (1 - 0.9**count), second / (1 - 0.999**count)
                    step = unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
                else:
                    step = {"sgd": g, "sign_descent": np.sign(g)}.get(optimizer, g)
                    if optimizer == CENTRAL and name == "kernel":
                        step = g - g.mean(axis=0)
                velocity[index, name] = first, second
                moved[-1][name] = step
        return moved

    return direction


def twin(plan: Plan, course: Course, arm: str, rate: float, seed: int) -> dict[str, Any]:
    """Return what the record must hold of one descent."""
    x, y = np.asarray(plan.data.x_train, float), np.asarray(plan.data.y_train)
    layers = drawn(plan, course.activation, seed)
    # means of the start, which every arm shares
    phi, a, shifts = PHI[course.activation][0], x, []
    for layer in layers:
        shifts.append(a.mean(axis=0) if arm == "centered" else np.zeros(a.shape[1]))
        a = phi(a @ layer["kernel"] + layer["bias"])
    for layer, shift in zip(layers, shifts, strict=True):
        layer["bias"] = layer["bias"] + shift @ layer["kernel"]
    start = [layer["kernel"].copy() for layer in layers]
    direction = directions(course.optimizer)
    losses, updates, gradients, along = [], [], [], []
    mean = (x - shifts[0]).mean(axis=0)
    for _ in range(plan.config.steps):
        loss, grads = gradient(layers, x, y, course.activation, shifts)
        step = direction(grads)
        if not any(earlier <= plan.target_loss for earlier in [*losses, loss]):
            gradients.append(grads)
            updates.append([{k: -rate * v for k, v in layer.items()} for layer in step])
            kernel = updates[-1][0]["kernel"]
            along.append(((mean @ kernel) ** 2).sum() / (mean @ mean * (kernel**2).sum()))
            end = [a["kernel"] + b["kernel"] for a, b in zip(layers, updates[-1], strict=True)]
        losses.append(loss)
        layers = [
            {name: layer[name] - rate * part[name] for name in layer}
            for layer, part in zip(layers, step, strict=True)
        ]
    moved = [after - before for before, after in zip(start, end, strict=True)]
    return {
        "loss": losses,
        "reversal_fraction": turned(updates),
        "gradient_reversals": turned(gradients),
        "along_mean": np.mean(along),
        "sum_drift": max(np.abs(d.sum(axis=0)).max() / np.abs(d).sum(axis=0).max() for d in moved),
    }


def drawn(plan: Plan, activation: str, seed: int) -> Layers:
    model = MLP((plan.config.width,) * 2, plan.data.num_classes, activation)
    shape, dtype = plan.data.x_train.shape, str(plan.data.x_train.dtype)
    key = jax.random.fold_in(jax.random.key(0), seed)
    params = draw_replica(model, shape, dtype, None, key).params
    return [{k: np.asarray(v, float) for k, v in layer.items()} for layer in params.values()]


def turned(path: list[Layers]) -> float:
    flat = [np.concatenate([v.ravel() for part in one for v in part.values()]) for one in path]
    return np.mean([a @ b < 0 for a, b in zip(flat[1:], flat[:-1], strict=True)])


@pytest.mark.parametrize(
    ("course", "arm"),
    [
        *[(Course(MAIN, optimizer), "raw") for optimizer in OPTIMIZERS],
        (Course(MAIN, "adam"), "centered"),
        (Course(SECOND, CENTRAL), "raw"),
        (Course(SECOND, CENTRAL), "centered"),
    ],
    ids=str,
)
def test_a_descent_is_that_of_numpy(plan, results, course, arm):
    descents = results.climb(course, arm)
    rows = descents.rows
    # the slowest rate: the path before the target is longest, and rounding grows least
    expected = twin(plan, course, arm, float(descents.rates[0]), seed=1)
    row = rows.isel(variant=0).sel(seed=1)
    # the inputs are float32, whatever else is float64
    np.testing.assert_allclose(row.loss.values, expected.pop("loss"), rtol=2e-5)
    for name, value in expected.items():
        if name == "along_mean" and arm == "centered":
            continue  # there is no mean
        assert float(row[name]) == pytest.approx(value, rel=1e-3, abs=1e-5), name


# --- the run, from start to page --------------------------------------------------------------


def test_only_centralized_descent_feels_the_flip(results):
    for optimizer in OPTIMIZERS:
        np.testing.assert_array_equal(results.flip_gap(Course(MAIN, optimizer)), 0.0)
        np.testing.assert_array_equal(results.flip_gap_of_path(Course(MAIN, optimizer)), 0.0)
    np.testing.assert_array_equal(results.flip_gap(Course(SECOND, "sgd")), 0.0)
    assert results.flip_gap(Course(SECOND, CENTRAL)).min() > 0.0


def test_centralization_freezes_the_sums_of_weights_and_plain_descent_moves_them(results):
    for arm in ("raw", "flipped", "centered"):
        drifts = {
            optimizer: results.climb(Course(SECOND, optimizer), arm).rows.sum_drift.values
            for optimizer in (CENTRAL, "sgd")
        }
        assert np.nanmax(drifts[CENTRAL]) < ROUNDING
        assert np.nanmin(drifts["sgd"]) > 1e-3


def test_every_arm_starts_as_the_same_function_and_other_seeds_as_another(results):
    first = {
        arm: results.climb(Course(SECOND, "sgd"), arm).rows.loss.transpose("variant", "seed", ...)
        for arm in ("raw", "flipped", "centered", "again")
    }
    starts = {arm: losses.values[:, :, 0] for arm, losses in first.items()}
    np.testing.assert_array_equal(starts["raw"], starts["flipped"])
    np.testing.assert_allclose(starts["raw"], starts["centered"], rtol=1e-5)
    assert np.abs(starts["raw"] - starts["again"]).min() > 1e-3


def test_a_minibatch_descent_sees_minibatches_and_is_judged_by_the_training_set(plan, results):
    rows = results.climb(Course(MAIN, "momentum", minibatch=True), "raw").rows
    full = results.climb(Course(MAIN, "momentum"), "raw").rows
    assert rows.sizes["record"] == STEPS
    assert full.sizes["record"] == 1
    start, minibatch = rows.train_loss.isel(record=0), rows.loss.isel(step=0)
    np.testing.assert_allclose(start.values.T[:, 0], full.loss.isel(step=0).values.T[:, 0])
    assert np.abs(minibatch.values - start.values).min() > 1e-3


def test_each_course_is_a_table_of_its_own_with_every_arm_at_every_rate(plan, results):
    for course in make_courses(plan.config):
        rows = load(plan.session.folder, part=course.part)
        pairs = list(zip(rows.arm.values.tolist(), rows.learning_rate.values.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs)
        rates = {arm: {rate for a, rate in pairs if a == arm} for arm in arms(course, plan.config)}
        assert set(map(frozenset, rates.values())) == {frozenset(rates["raw"])}
        assert rates["raw"] >= {2.0**k for k in RUNGS[course.activation, course.optimizer]}


def test_a_run_too_small_decides_exact_claims_alone(outcome):
    verdicts = {row["id"]: row["verdict"] for row in outcome.rows}
    exact = {"flip_exact", "flip_exact_path"}
    assert {verdicts[id] for id in exact} == {SUPPORTED}
    assert {v for id, v in verdicts.items() if id not in exact} == {INCONCLUSIVE}
    assert "does not confirm" in outcome.answer


def test_the_page_shows_four_figures(plan, outcome):
    folder = plan.session.folder
    content = json.loads((folder / "claims.json").read_text())
    names = [figure["name"] for figure in content["figures"]]
    assert len(names) == 4
    assert {row["figure"] for row in outcome.rows} <= {*names, None}
    for figure in content["figures"]:
        assert figure["caption"].endswith(f"{SEEDS} seeds.")
        assert list((folder / "figures").glob(f"{figure['name']}.*"))
    lines = (folder / "tables" / "claims.csv").read_text().splitlines()
    assert len(lines) == 1 + len(outcome.rows)


def test_a_session_that_must_not_compile_notices_what_is_missing(tmp_path):
    with pytest.raises(AssertionError, match="compiles"):
        optimizers.measure(prepared(tmp_path, IdleSession))


def test_the_same_command_again_compiles_nothing_and_writes_no_cell(plan, outcome, out):
    folder = plan.session.folder
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    ledger = (folder / "ledger.jsonl").read_bytes()
    optimizers.measure(prepared(out, IdleSession))
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before
    assert (folder / "ledger.jsonl").read_bytes() == ledger


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"central": ("tanh",)}, "--central must be .*of relu, sigmoid.*'tanh'"),
        ({"central": ()}, "--central must be .*of relu, sigmoid.*''"),
        ({"batch_size": 25}, "--batch_size must be at most the 24 training examples, got 25"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(tmp_path, options, told):
    with pytest.raises(ValueError, match=told):
        prepared(tmp_path, IdleSession, **options)
    assert not list(tmp_path.iterdir())


# --- hand-made records ------------------------------------------------------------------------


def ladder_of(steps: Sequence[Sequence[float]], rates: Sequence[float]) -> Climb:
    values = np.array(steps, float)
    rows = xr.Dataset(
        {"steps": (("variant", "seed"), values)}, {"rate": ("variant", np.array(rates))}
    )
    return climb(rows, lambda rows: rows.steps.values, "rate")


class Record(Results):
    """Ladders as given."""

    def __init__(self, ladders: Mapping[str, Climb]):
        self._ladders = ladders
        self.num_seeds = next(iter(ladders.values())).steps.shape[1]

    def climb(self, course, arm):
        return self._ladders[arm]


def test_the_common_rate_is_two_octaves_below_raws_best():
    assert COMMON == 2
    rates = [0.25, 0.5, 1.0, 2.0]
    made = Record(
        {
            "raw": ladder_of([[40, 42], [20, 22], [10, 12], [30, 32]], rates),
            "centered": ladder_of([[41, 43], [21, 23], [11, 13], [6, 7]], rates),
        }
    )
    raw, centered = made.at_common_rate(Course(MAIN, "adam"))
    assert raw.tolist() == [40.0, 42.0]
    assert centered.tolist() == [41.0, 43.0]


def test_a_common_rate_without_a_best_one_is_undefined():
    raw = [[np.nan] * 2] * 2
    made = Record({arm: ladder_of(raw, [0.5, 1.0]) for arm in ("raw", "centered")})
    assert np.isnan(made.at_common_rate(Course(MAIN, "adam"))).all()


def test_a_common_rate_that_is_not_on_a_ladder_was_not_run():
    steps, rates = [[40, 42], [20, 22], [10, 12], [30, 32]], [0.25, 0.5, 1.0, 2.0]
    whole, short = ladder_of(steps, rates), ladder_of(steps[1:], rates[1:])
    for ladders, arm in ((short, whole), "raw"), ((whole, short), "centered"):
        made = Record(dict(zip(("raw", "centered"), ladders, strict=True)))
        with pytest.raises(NotRunError, match=f"{arm} at learning rate 0.25"):
            made.at_common_rate(Course(MAIN, "adam"))


def test_a_rate_at_which_a_quarter_of_the_seeds_is_lost_is_a_rate_and_with_more_lost_none():
    steps = np.array([[3.0, 3.0, 3.0, np.nan], [1.0, 1.0, np.nan, np.nan]])
    np.testing.assert_array_equal(
        without_gambles(steps), [[3.0, 3.0, 3.0, np.nan], [np.nan, np.nan, np.nan, np.nan]]
    )


def test_a_flip_gap_counts_every_rate_and_step_and_nan_agrees_with_nan_only():
    class Losses(Results):
        def __init__(self, flipped):
            self._losses = {"raw": np.array([[[1.0, np.nan], [2.0, 3.0]]]), "flipped": flipped}

        def climb(self, course, arm):
            rows = xr.Dataset({"loss": (("seed", "variant", "step"), self._losses[arm])})
            return Climb(rows, np.array([1.0, 2.0]), np.full((2, 1), 1.0))

    course = Course(MAIN, "sgd")
    same = np.array([[[1.0, np.nan], [2.0, 3.0]]])
    assert Losses(same).flip_gap(course).tolist() == [0.0]
    assert Losses(same + np.array([0.0, 0.5])).flip_gap(course).tolist() == [0.5]
    assert Losses(np.where(np.isnan(same), 1.0, same)).flip_gap(course).tolist() == [np.inf]


# --- verdicts ---------------------------------------------------------------------------------


class World(Results):
    """A record in which every claim is true, or every one false."""

    central, batch_size, fan_in, num_seeds = (SECOND, MAIN), 8, 64, 14

    def __init__(self, true: bool, **changed: float):
        self._true, self._changed = true, changed
        # enough seeds for a corrected p below .05
        self._noise = 1.0 + 0.01 * np.random.default_rng(0).uniform(-1.0, 1.0, self.num_seeds)

    def _told(self, name: str, if_true: float, if_false: float) -> np.ndarray:
        value = if_true if self._true else if_false
        return self._changed.get(name, value) * self._noise

    def at_best(self, name, course, arm):
        noise = np.ones(self.num_seeds)
        if arm == "centered":  # ratios of two arms must scatter, too
            noise = np.roll(self._noise, 1)
        told = {
            "steps": self._steps,
            "reversal_fraction": lambda o, a: {
                "sgd": (0.9, 0.1),
                "sign_descent": (0.8, 0.1),
            }.get(o, (0.01, 0.3)),
            "gradient_reversals": lambda o, a: (0.9, 0.2) if o == "sgd" else (0.2, 0.1),
            "along_mean": self._along,
            "coherence": lambda o, a: (0.7, 0.15) if a == "raw" else (0.1, 0.1),
            "sum_drift": lambda o, a: (1e-7, 1e-3) if o == CENTRAL else (0.5, 0.01),
        }[name](course.optimizer, arm)
        return noise * self._told(f"{name}_{course.part}_{arm}", *told)

    def _steps(self, optimizer, arm):
        if optimizer == CENTRAL:
            return {"raw": (10.0, 20.0), "flipped": (80.0, 5.0), "centered": (10.0, 40.0)}[arm]
        if arm == "again":
            return 80.0, 20.0
        if optimizer == "sgd":
            return (10.0, 40.0) if arm == "centered" else (80.0, 10.0)
        return (10.0, 20.0) if arm == "centered" else (11.0, 10.0)

    def _along(self, optimizer, arm):
        if optimizer in ("adam", "sign_descent"):
            return 0.5, 0.05
        return (0.2, 0.9) if (optimizer, arm) == (CENTRAL, "raw") else (0.9, 0.9)

    def at_common_rate(self, course):
        return self._told("common_raw", 40.0, 30.0), np.full(self.num_seeds, 30.0)

    def flip_gap(self, course):
        return self._told("flip", 0.0, 1e-16)

    def flip_gap_of_path(self, course):
        return self._told("flip_path", 0.0, 1e-16)

    def losses_apart(self, course):
        return self._told("apart", 3.0, 0.01)


@pytest.fixture(scope="module")
def worlds():
    return tuple(decide_claims(World(true)) for true in (True, False))


def test_every_claim_is_supported_where_it_is_true_and_refuted_where_it_is_false(worlds):
    true, false = ({f.claim.id: f.verdict for f in findings} for findings in worlds)
    assert true == dict.fromkeys(true, SUPPORTED)
    assert false == dict.fromkeys(true, REFUTED)


@pytest.mark.parametrize("activation", [MAIN, SECOND])
def test_plain_descent_must_move_the_sums_of_every_activation(activation):
    still = {f"sum_drift_{Course(activation, 'sgd').part}_raw": 0.01}
    verdicts = {f.claim.id: f.verdict for f in decide_claims(World(True, **still))}
    assert verdicts["plain_sums"] == REFUTED


def test_a_common_rate_that_was_not_run_decides_nothing_and_the_table_says_why():
    class Unrun(World):
        def at_common_rate(self, course):
            raise NotRunError("raw at learning rate 0.25", self.num_seeds)

    findings = {f.claim.id: f for f in decide_claims(Unrun(true=True))}
    unrun = {id: f for id, f in findings.items() if "not run" in f.evidence.left_out_why}
    assert list(unrun) == ["common_rate_momentum", "common_rate_adam"]
    for finding in unrun.values():
        assert finding.verdict == INCONCLUSIVE
        assert finding.evidence.left_out_why == "14 not run (raw at learning rate 0.25)"


def test_what_is_claimed_and_how_it_is_decided_does_not_depend_on_the_record(worlds):
    true, false = ([f.claim._replace(rule=f.claim.rule.text) for f in w] for w in worlds)
    assert true == false


def test_claims_have_ids_of_their_own_and_answer_questions_that_are_asked(worlds, outcome):
    claims = [finding.claim for finding in worlds[0]]
    assert len({claim.id for claim in claims}) == len(claims)
    assert all(claim.questions and set(claim.questions) <= set(QUESTIONS) for claim in claims)
    assert sum(claim.control for claim in claims) == 2
    # the run has one activation less to centralize the gradients of
    assert {row["id"] for row in outcome.rows} == {
        claim.id for claim in claims if not (claim.id[:8] == "central_" and MAIN in claim.id)
    } - {f"interaction_{MAIN}"}


def test_the_answer_tells_the_numbers_or_names_what_is_not_confirmed(worlds):
    told = answer(worlds[0])
    for number in (
        "plain gradient descent 90%, sign descent 80%",
        "momentum 1%, Adam 1%",
        "plain gradient descent 8.0, momentum 1.1, Adam 1.1, sign descent 1.1",
        "raw sigmoid network by 8.0, and after random signs are flipped by 1.0",
    ):
        assert number in told
    assert answer(worlds[1]).startswith("This run does not confirm the picture: see gain_sgd")
    one = answer(decide_claims(World(True, **{f"steps_{MAIN}_adam_raw": 5.0})))
    assert one == "This run does not confirm the picture: see gain_adam."
    for id, effect in {"central_sigmoid": np.nan, "central_flipped_sigmoid": 0.5}.items():
        one = answer(altered(worlds[0], **{id: effect}))
        assert one == f"This run does not confirm the picture: see {id}."


def test_where_more_than_a_quarter_of_the_seeds_is_lost_nothing_is_decided():
    class Lost(World):
        def at_best(self, name, course, arm):
            values = super().at_best(name, course, arm)
            return np.where(np.arange(len(values)) < 4, np.nan, values)

    verdicts = {f.claim.id: f.verdict for f in decide_claims(Lost(True))}
    open_ones = {id for id, verdict in verdicts.items() if verdict == INCONCLUSIVE}
    assert set(verdicts) - open_ones == {
        "flip_exact",
        "flip_exact_path",
        "common_rate_momentum",
        "common_rate_adam",
        "central_feels_flip",
        "central_sums",  # of the seeds that arrived, every single one
    } - ({"central_sums"} & open_ones)


def test_figures_show_the_record(results):
    figures = draw_figures(results)
    lines = figures["rates"][0].axes[0].lines
    descents = results.climb(Course(MAIN, "sgd"), "raw")
    np.testing.assert_array_equal(lines[0].get_xdata(), descents.rates)
    assert np.isfinite(descents.steps).all(axis=1).any()
    arrived = np.isfinite(descents.steps).all(axis=1)
    drawn = np.asarray(lines[0].get_ydata(), float)
    np.testing.assert_array_equal(drawn[arrived], np.median(descents.steps[arrived], axis=1))
    assert not np.isfinite(drawn[~arrived]).any()
    for name in ("gains", "turns", "centralization"):
        assert all(ax.lines for ax in figures[name][0].axes), name
