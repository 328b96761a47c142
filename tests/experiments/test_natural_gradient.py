"""Natural gradients at toy size: slow twins, hand-made records, and a run from start to page."""

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
import xarray as xr

from experiments import _session, natural_gradient
from experiments._natural_gradient.claims import answer, decide_claims
from experiments._natural_gradient.claims.common import SAME, WORDS
from experiments._natural_gradient.figures import FLOOR, draw_figures
from experiments._natural_gradient.plan import (
    ACTIVATION,
    DAMPINGS,
    FRAME_DAMPINGS,
    FRAME_RATE,
    FRAME_STEPS,
    PAIRS,
    Config,
    Plan,
)
from experiments._natural_gradient.probes import NUM_KEPT
from experiments._natural_gradient.problem import Problem, digits, regression
from experiments._natural_gradient.results import Results, directions_table
from experiments._natural_gradient.start import METHODS
from signdyn.claims import INCONCLUSIVE, REFUTED, SUPPORTED
from signdyn.data import Dataset
from signdyn.records import load
from signdyn.replicas import draw_replica
from tests.experiments.findings import altered
from tests.experiments.sessions import HASTY, FastSession, IdleSession

SEEDS, WIDTH = 2, 2


# --- a run at toy size ------------------------------------------------------------------------


# Compiling is all that takes time here, and emitters of fusions are half of that.


def prepared(out: Path, session: type[_session.Session]) -> Plan:
    config = Config(
        out=str(out), seeds=SEEDS, num_train=64, num_points=128, width=WIDTH, steps=8, block=16
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(natural_gradient, "Session", session)
        # JAX is set up already, by conftest.py
        patch.setattr(natural_gradient, "start_jax", lambda config: None)
        return natural_gradient.prepare(config)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def plan(out) -> Plan:
    return prepared(out, FastSession)


@pytest.fixture(scope="module")
def outcome(plan):
    natural_gradient.measure(plan)
    return natural_gradient.conclude(plan)


@pytest.fixture(scope="module")
def results(plan, outcome) -> Results:
    return Results(plan.session.folder)


# --- the problems -----------------------------------------------------------------------------


@functools.cache
def draw_fn(model, shape: tuple[int, int]) -> Callable:
    draw = functools.partial(draw_replica, model, shape, "float64", None)
    return jax.jit(draw, compiler_options=HASTY)


def drawn(problem: Problem, seed: int) -> list[np.ndarray]:
    """Return the raw network's layers before the first step, [fan_in + 1, units], bias last."""
    key = jax.random.fold_in(jax.random.key(0), seed)
    params = draw_fn(problem.model, problem.data.x_train.shape)(key).params
    return [np.vstack([layer["kernel"], layer["bias"]]) for layer in params.values()]


def with_ones(x: np.ndarray) -> np.ndarray:
    return np.column_stack([x, np.ones(len(x))])


def forward(layers: list[np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return hidden activations and outputs of the network with one layer of tanh units."""
    hidden = np.tanh(with_ones(x) @ layers[0])
    return hidden, with_ones(hidden) @ layers[1]


def jacobian(layers: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Return d outputs / d parameters, [example, output, parameter], by the chain rule."""
    hidden, outputs = forward(layers, x)
    n, k = outputs.shape
    slopes = np.einsum("nu,uk->nku", 1.0 - hidden**2, layers[1][:-1])
    first = np.einsum("nf,nku->nkfu", with_ones(x), slopes).reshape(n, k, -1)
    second = np.einsum("nf,ku->nkfu", with_ones(hidden), np.eye(k)).reshape(n, k, -1)
    return np.concatenate([first, second], axis=2)


def test_the_regressions_fisher_has_an_inverse_at_every_start():
    problem = regression(32, ACTIVATION)
    for seed in range(8):
        factor = jacobian(drawn(problem, seed), problem.data.x_train)
        factor = factor.reshape(-1, problem.num_params)
        assert np.linalg.matrix_rank(factor) == problem.num_params
        # of the factor: F's is the square, and undamped steps of float64 need it below 1e15
        assert np.linalg.cond(factor) < 1e7


def test_the_regression_is_the_same_on_every_call_and_its_inputs_have_a_mean():
    one, two = regression(4096, ACTIVATION).data, regression(4096, ACTIVATION).data
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first, second)
    # six standard errors of 4096 values
    np.testing.assert_allclose(one.x_train.mean(axis=0), 1.0, atol=0.1)
    np.testing.assert_allclose(one.x_train.std(axis=0), 1.0, atol=0.1)


def test_inputs_on_digits_are_means_of_two_by_two_pixels_and_labels_are_odd():
    images = np.arange(3 * 4 * 6, dtype=np.float32).reshape(3, 24)
    labels = np.array([6, 3, 9], np.int32)
    data = Dataset("toy", "toy", images, labels, images[::-1], labels[::-1], 10, (4, 6))
    problem = digits(data, 2, 5, ACTIVATION)
    # of the pixels 0 1 2 3 4 5 / 6 7 ...; an image is 24 further than the one before
    squares = np.array([3.5, 5.5, 7.5, 15.5, 17.5, 19.5])
    np.testing.assert_array_equal(problem.data.x_train, [squares, squares + 24.0])
    np.testing.assert_array_equal(problem.data.x_test[0], squares + 48.0)
    assert problem.data.x_train.dtype == np.float64
    assert problem.data.y_train.tolist() == [0, 1]
    assert problem.data.y_test.tolist() == [1, 1, 0]


def test_the_number_of_parameters_is_that_of_the_model(plan):
    assert plan.regression.num_params == 39
    for problem in (plan.regression, plan.digits):
        x = problem.data.x_train
        params = jax.eval_shape(problem.model.init, jax.random.key(0), x)["params"]
        size = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params))
        assert problem.num_params == size


# --- before the first step, against dense matrices --------------------------------------------


class Twin(NamedTuple):
    """One layer in NumPy: its inputs, the Fisher's deltas, and the loss's gradient, bias last."""

    inputs: np.ndarray
    deltas: np.ndarray
    grad: np.ndarray


def twins(problem: Problem, seed: int, arm: str) -> list[Twin]:
    """Return both layers on digits; centering moves what is read, and no delta."""
    layers, x, y = drawn(problem, seed), problem.data.x_train, problem.data.y_train
    hidden, outputs = forward(layers, x)
    p = 1.0 / (1.0 + np.exp(-outputs))
    slopes = layers[1][:-1].T * (1.0 - hidden**2)
    found = []
    for inputs, slope in ((x, slopes), (hidden, np.ones_like(outputs))):
        own = inputs - inputs.mean(axis=0) if arm == "centered" else inputs
        grad = with_ones(own).T @ ((p - y[:, None]) * slope) / len(x)
        found.append(Twin(own, np.sqrt(p * (1.0 - p)) * slope, grad))
    return found


def theorem_2(twin: Twin, means: np.ndarray) -> np.ndarray:
    """Return k of every unit, inputs centered by [unit, fan_in] means."""
    factors = []
    for delta, g, mean in zip(twin.deltas.T, twin.grad.T, means, strict=True):
        a, q = twin.inputs - mean, delta**2 / np.sum(delta**2)
        m = q @ a
        variance = (a - m).T @ (q[:, None] * (a - m))
        ratio = g[:-1] / g[-1] - mean  # E[delta a] / E[delta], of what is read
        factor = 1.0 + (m - ratio) @ np.linalg.solve(variance, m)
        # and what the theorem is about: the bias's part of the unit's natural gradient
        rows = delta[:, None] * with_ones(a)
        step = np.linalg.solve(rows.T @ rows, np.append(ratio, 1.0) * g[-1])
        assert step[-1] * np.sum(delta**2) / g[-1] == pytest.approx(factor, rel=1e-6)
        factors.append(factor)
    return np.array(factors)


def test_corrections_are_those_of_theorem_2_unit_by_unit(plan, results):
    for arm in ("raw", "centered"):
        for seed in range(SEEDS):
            for place, twin in enumerate(twins(plan.digits, seed, arm)):
                none = np.zeros((twin.deltas.shape[1], twin.inputs.shape[1]))
                q = twin.deltas**2 / np.sum(twin.deltas**2, axis=0)
                shown = {
                    "bias_factor": none,
                    "plain_bias_factor": none + twin.inputs.mean(axis=0),
                    "weighted_bias_factor": q.T @ twin.inputs,
                }
                for name, means in shown.items():
                    expected = np.abs(theorem_2(twin, means) - 1.0).max()
                    measured = results.start(name, arm)[seed, place]
                    assert measured == pytest.approx(expected, rel=1e-6, abs=1e-8), name
    assert results.start("weighted_bias_factor").max() < 1e-8
    assert results.start("weighted_weight_step").max() < 1e-8
    assert results.start("bias_factor").min() > 0.01


def test_directions_are_those_of_dense_matrices(plan, results):
    damping = float(np.float32(plan.config.damping))  # a point of a sweep is float32
    for arm in ("raw", "centered"):
        for seed in range(SEEDS):
            layers = twins(plan.digits, seed, arm)
            n = len(layers[0].inputs)
            scores = [np.einsum("nf,nu->nfu", with_ones(t.inputs), t.deltas) for t in layers]
            factor = np.concatenate([s.reshape(n, -1) for s in scores], axis=1) / np.sqrt(n)
            grad = np.concatenate([t.grad.ravel() for t in layers])
            fisher = factor.T @ factor
            unit = np.concatenate(
                [100 * i + np.indices(t.grad.shape)[1].ravel() for i, t in enumerate(layers)]
            )
            kfac, start = np.zeros_like(fisher), 0
            for t in layers:
                ones, size = with_ones(t.inputs), t.grad.size
                own = slice(start, start + size)
                kfac[own, own] = np.kron(ones.T @ ones / n, t.deltas.T @ t.deltas / n)
                start += size
            matrices = {
                "natural_diagonal": np.diag(np.diag(fisher)),
                "natural_unit": np.where(unit[:, None] == unit, fisher, 0.0),
                "natural_kfac": kfac,
            }
            assert set(METHODS) == {"gradient", *matrices}
            identity = damping * np.eye(len(grad))
            exact = np.linalg.solve(fisher + identity, grad)
            for place, method in enumerate(METHODS):
                direction = grad
                if method != "gradient":
                    direction = np.linalg.solve(matrices[method] + identity, grad)
                pairs = {
                    "cosine": (direction, exact),
                    "function_cosine": (factor @ direction, factor @ exact),
                }
                for name, (a, b) in pairs.items():
                    expected = a @ b / np.sqrt((a @ a) * (b @ b))
                    measured = results.start(name, arm)[seed, place]
                    assert measured == pytest.approx(expected, rel=1e-7), (name, method)
                expected = np.mean(np.sign(direction) == np.sign(exact))
                measured = results.start("sign_agreement", arm)[seed, place]
                assert measured == pytest.approx(expected), method


# --- the run, from start to page --------------------------------------------------------------


def test_natural_gradient_on_the_regression_is_gauss_newton(plan, results):
    x, y = plan.regression.data.x_train, plan.regression.data.y_train
    for seed in range(SEEDS):
        layers = drawn(plan.regression, seed)
        recorded = results.outputs("natural", "raw")[seed]
        assert len(recorded) == FRAME_STEPS
        for outputs in recorded:
            expected = forward(layers, x)[1]
            np.testing.assert_allclose(outputs, expected[:NUM_KEPT], rtol=1e-7, atol=1e-7)
            factor = jacobian(layers, x).reshape(-1, plan.regression.num_params)
            step, *_ = np.linalg.lstsq(factor, (expected - y).ravel(), rcond=None)
            first = layers[0].size
            layers = [
                layer - FRAME_RATE * part.reshape(layer.shape)
                for layer, part in zip(layers, (step[:first], step[first:]), strict=True)
            ]


def test_undamped_natural_gradient_takes_the_same_steps_in_all_coordinates(results):
    for arm in WORDS:
        assert results.gap("natural", arm).max() < SAME, arm
    for optimizer in ("natural_unit", "natural_kfac"):
        for arm in PAIRS:
            assert results.gap(optimizer, arm).max() < SAME, (optimizer, arm)
    for optimizer in ("sgd", "natural_diagonal"):
        assert results.gap(optimizer, "centered").min() > 0.01, optimizer
    assert results.gap("natural", "again").min() > 0.01


def test_damping_of_raws_coordinates_gives_raws_steps_and_damping_of_its_own_does_not(results):
    for arm in PAIRS:
        for damping in FRAME_DAMPINGS:
            assert results.gap("natural", arm, damping, frame="raw").max() < SAME
            assert results.gap("natural", arm, damping).min() > 1000.0 * SAME


def test_flips_change_no_bit_of_the_outputs(results):
    np.testing.assert_array_equal(results.gap("sgd", "flipped"), 0.0)


def test_a_run_too_short_to_arrive_decides_nothing_about_the_race(plan, outcome, results):
    verdicts = {row["id"]: row["verdict"] for row in outcome.rows}
    assert {v for id, v in verdicts.items() if id.startswith("race_")} == {INCONCLUSIVE}
    assert verdicts["again"] == INCONCLUSIVE
    assert verdicts["flip"] == SUPPORTED  # exact: two seeds are enough
    assert "does not confirm" in outcome.answer
    assert results.num_seeds == SEEDS
    assert results.target_loss == plan.config.target_loss


def test_the_page_shows_four_figures_and_the_tables_every_arm_and_method(plan, outcome, results):
    folder = plan.session.folder
    content = json.loads((folder / "claims.json").read_text())
    names = [figure["name"] for figure in content["figures"]]
    assert len(names) == 4
    assert {row["figure"] for row in outcome.rows} <= {*names, None}
    for figure in content["figures"]:
        assert figure["caption"].endswith(f"{SEEDS} seeds.")
        assert list((folder / "figures").glob(f"{figure['name']}.*"))
    page = (folder.parent / "report.html").read_text()
    assert page.count("<svg") >= 4
    lines = (folder / "tables" / "claims.csv").read_text().splitlines()
    assert len(lines) == 1 + len(outcome.rows)
    table = directions_table(results)
    expected = [(arm, method) for arm in ("raw", "centered") for method in METHODS]
    assert [row[:2] for row in table.rows] == expected
    assert len((folder / "tables" / "directions.csv").read_text().splitlines()) == 1 + len(expected)


def test_figures_show_the_record(results):
    figures = draw_figures(results)
    ladder = figures["damping"][0]
    for ax, arm in zip(ladder.axes, PAIRS, strict=False):
        lines = [np.asarray(line.get_ydata(), float) for line in ax.lines]
        gaps = [results.gap("natural", arm, damping) for damping in DAMPINGS[1:]]
        expected = np.median(np.maximum(gaps, FLOOR), axis=1)
        assert any(line.shape == expected.shape and np.allclose(line, expected) for line in lines)
        plain = np.median(results.gap("sgd", arm))
        assert any(np.allclose(line, plain) for line in lines)


def test_the_same_command_again_compiles_nothing_and_writes_no_cell(plan, outcome, out):
    folder = plan.session.folder
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    run, ledger = ((folder / name).read_bytes() for name in ("run.json", "ledger.jsonl"))
    again = prepared(out, IdleSession)
    natural_gradient.measure(again)
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before
    assert (folder / "run.json").read_bytes() == run
    assert (folder / "ledger.jsonl").read_bytes() == ledger


def test_a_cell_holds_no_variant_twice(results, plan):
    for part in ("frames", "frames_raw", "race", "race_gradient"):
        rows = load(plan.session.folder, part=part)
        keys = ["optimizer", "arm", "rate", "damping"]
        found = list(zip(*(rows[key].values.tolist() for key in keys), strict=True))
        assert len(set(found)) == len(found)


# --- hand-made records ------------------------------------------------------------------------


def record(target_loss: float = 0.5, **parts: xr.Dataset) -> Results:
    made = Results.__new__(Results)
    made._parts, made.target_loss = parts, target_loss
    return made


def rows_of(
    labels: Mapping[str, Sequence], **values: tuple[tuple[str, ...], np.ndarray]
) -> xr.Dataset:
    coords = {name: ("variant", column) for name, column in labels.items()}
    return xr.Dataset({k: (("variant", "seed", *d), v) for k, (d, v) in values.items()}, coords)


def two_paths(raw: np.ndarray, other: np.ndarray) -> Results:
    """Return a record of two arms' outputs, [seed, step, example, output]."""
    labels = {"arm": ["raw", "centered"], "optimizer": ["natural"] * 2, "damping": [1e-3] * 2}
    dims = ("record", "example", "output")
    return record(frames=rows_of(labels, outputs=(dims, np.stack([raw, other]))))


def test_a_gap_is_none_for_the_same_path_and_one_for_a_network_that_stays():
    raw = np.random.default_rng(0).normal(size=(3, 5, 4, 2))
    assert two_paths(raw, raw).gap("natural", "centered", 1e-3).tolist() == [0.0, 0.0, 0.0]
    stays = np.tile(raw[:, :1], (1, 5, 1, 1))
    np.testing.assert_allclose(two_paths(raw, stays).gap("natural", "centered", 1e-3), 1.0)


def test_a_gap_is_a_share_of_the_largest_movement_seed_by_seed():
    raw = np.zeros((2, 3, 1, 1))
    raw[:, :, 0, 0] = [[5.0, 5.0, 1.0], [1.0, 2.0, 1.0]]  # moved by 4, and by 1
    other = raw.copy()
    other[:, 1] -= 1.0
    assert two_paths(raw, other).gap("natural", "centered", 1e-3).tolist() == [0.25, 1.0]
    # whatever unit the outputs are in, and whatever they start from
    scaled = two_paths(8.0 * raw + 3.0, 8.0 * other + 3.0)
    assert scaled.gap("natural", "centered", 1e-3).tolist() == [0.25, 1.0]


def race(
    steps: Sequence[Sequence[float]], rates: Sequence[float], turns: np.ndarray | None = None
) -> Results:
    """Return a record in which a rate's seeds arrive after so many steps, or never (NaN)."""
    arrivals = np.array(steps)
    losses = np.where(np.arange(10) >= arrivals[..., None], 0.4, 0.6)
    turns = np.zeros_like(arrivals) if turns is None else turns
    labels = {"arm": ["raw"] * len(rates), "optimizer": ["natural"] * len(rates), "rate": rates}
    rows = rows_of(labels, train_loss=(("record",), losses), reversal_fraction=((), turns))
    return record(race=rows, race_gradient=rows.isel(variant=[]))


def test_steps_are_counted_to_the_target_in_the_order_of_the_rates():
    made = race([[3, 4], [np.nan, np.nan], [9, 8]], rates=[0.5, 1.0, 0.25])
    assert made.climb("natural", "raw").rates.tolist() == [0.25, 0.5, 1.0]
    expected = [[9.0, 8.0], [3.0, 4.0], [np.nan, np.nan]]
    np.testing.assert_array_equal(made.climb("natural", "raw").steps, expected)
    assert made.climb("natural", "raw").best == 1
    losses = made.losses_at_best("natural", "raw")
    np.testing.assert_array_equal((losses <= made.target_loss).argmax(axis=1), [3, 4])


def test_readings_are_taken_at_the_best_rate_of_the_other_seeds():
    turns = np.arange(16.0).reshape(4, 4) / 16.0
    # seed 0 alone likes the third rate; the others, the second
    arrivals = [[9, 9, 9, 9], [5, 3, 3, 4], [2, 6, 6, 6], [np.nan] * 4]
    made = race(arrivals, rates=[0.1, 0.2, 0.3, 0.4], turns=turns)
    assert made.at_best("natural", "raw").tolist() == [5.0, 3.0, 3.0, 4.0]
    assert made.at_best("natural", "raw", "reversal_fraction").tolist() == turns[1].tolist()


@pytest.mark.parametrize(
    "arrivals",
    [
        [[2, 2, 2], [5, 5, 5], [9, 9, 9]],
        [[9, 9, 9], [5, 5, 5], [2, 2, 2]],
        [[np.nan] * 3] * 3,
    ],
)
def test_nothing_is_known_where_the_best_rate_lies_on_an_edge_or_none_arrives(arrivals):
    made = race(arrivals, rates=[0.1, 0.2, 0.3])
    assert np.isnan(made.at_best("natural", "raw")).all()
    assert np.isnan(made.at_best("natural", "raw", "reversal_fraction")).all()


def test_where_none_arrives_there_is_no_best_rate_and_no_losses_of_it():
    made = race([[np.nan, np.nan]] * 3, rates=[0.1, 0.2, 0.3])
    assert made.climb("natural", "raw").best is None
    assert made.losses_at_best("natural", "raw").shape == (2, 0)


def test_a_seed_that_does_not_arrive_at_the_best_rate_is_left_out():
    made = race([[9] * 4, [2, 2, 2, np.nan], [5] * 4], rates=[0.1, 0.2, 0.3])
    np.testing.assert_array_equal(made.at_best("natural", "raw"), [2.0, 2.0, 2.0, np.nan])


# --- verdicts ---------------------------------------------------------------------------------


class World(Results):
    """A record in which every claim is true, or every one false."""

    def __init__(self, true: bool, **changed: float):
        self._true, self._changed = true, changed
        # enough seeds for a corrected p below .05
        self._noise = 1.0 + 0.01 * np.random.default_rng(0).uniform(-1.0, 1.0, 12)

    def _told(self, name: str, if_true: float, if_false: float) -> np.ndarray:
        value = if_true if self._true else if_false
        return self._changed.get(name, value) * self._noise

    def gap(self, optimizer, arm, damping=0.0, *, frame="own"):
        if arm == "flipped":
            return self._told("flipped", 0.0, 1e-16)
        if arm == "again":
            return self._told("other_seeds", 1.0, 1e-3)
        if optimizer in ("sgd", "natural_diagonal"):
            return self._told(f"{optimizer}_{arm}", 0.5, 5e-3)
        if frame == "raw" or optimizer != "natural":
            return self._told(f"{optimizer}_{frame}", 1e-12, 1e-3)
        rung = DAMPINGS.index(damping)
        return self._told(f"natural_{arm}", *(1e-12 * 64.0**rung, 1e-3 / 2.0**rung))

    def start(self, name, arm="raw"):
        told = {
            "weighted_bias_factor": (1e-12, 1e-3),
            "weighted_weight_step": (1e-12, 1e-3),
            "bias_factor": (5.0, 0.01),
            "plain_bias_factor": (1e-3, 0.1),
        }
        return self._told(name, *told[name])[:, None] * np.array([0.5, 1.0])

    def at_best(self, optimizer, arm, name="steps"):
        steps = {
            ("sgd", "raw"): (100.0, 4.0),
            ("sgd", "centered"): (40.0, 8.0),
            ("natural", "raw"): (4.0, 20.0),
            ("natural", "centered"): (4.0, 10.0),
            ("natural_kfac", "raw"): (4.0, 20.0),
            ("natural_kfac", "centered"): (4.0, 10.0),
            ("natural", "again"): (4.0, 5.0),
        }
        turns = (0.9, 0.1) if optimizer == "sgd" else (0.01, 0.6)
        told = steps[optimizer, arm] if name == "steps" else turns
        return self._told(f"{name}_{optimizer}_{arm}", *told)


@pytest.fixture(scope="module")
def worlds():
    return tuple(decide_claims(World(true)) for true in (True, False))


def test_every_claim_is_supported_where_it_is_true_and_refuted_where_it_is_false(worlds):
    true, false = ({f.claim.id: f.verdict for f in findings} for findings in worlds)
    assert true == dict.fromkeys(true, SUPPORTED)
    assert false == dict.fromkeys(true, REFUTED)


def test_what_is_claimed_and_how_it_is_decided_does_not_depend_on_the_record(worlds, outcome):
    true, false = ([f.claim._replace(rule=f.claim.rule.text) for f in w] for w in worlds)
    assert true == false
    assert [row["id"] for row in outcome.rows] == [claim.id for claim in true]
    assert [row["rule"] for row in outcome.rows] == [claim.rule for claim in true]
    assert [row["sentence"] for row in outcome.rows] == [claim.sentence for claim in true]


def test_claims_have_ids_of_their_own_and_answer_questions_that_are_asked(worlds):
    claims = [finding.claim for finding in worlds[0]]
    assert len({claim.id for claim in claims}) == len(claims)
    asked = {*(f"a{n}" for n in range(1, 9)), *(f"b{n}" for n in range(1, 16))}
    assert all(claim.questions and set(claim.questions) <= asked for claim in claims)
    assert sum(claim.control for claim in claims) == 3


def test_the_answer_tells_the_numbers_or_names_what_is_not_confirmed(worlds):
    told = answer(worlds[0])
    # to the digits shown: exactness, gradient descent's difference, turns and how many fewer, steps
    for number in ("1e-12", "50%", "90%", "lower by 0.89", "25 times fewer"):
        assert number in told
    refused = answer(worlds[1])
    assert refused.startswith("This run does not confirm the picture")
    assert "same_sigmoid" in refused
    assert "race_steps" in refused
    one = answer(decide_claims(World(True, steps_sgd_raw=2.0)))
    assert one == "This run does not confirm the picture: see race_steps."
    few = answer(altered(worlds[0], race_sgd_zigzag=0.3))
    assert few == "This run does not confirm the picture: see race_sgd_zigzag."
    # whether it hardly ever turns back is another claim, and may stay open
    assert "lower by" in answer(altered(worlds[0], race_no_turns=np.nan))


def test_a_share_of_seeds_that_never_arrive_decides_nothing():
    class Lost(World):
        def at_best(self, optimizer, arm, name="steps"):
            values = super().at_best(optimizer, arm, name)
            return np.where(np.arange(len(values)) < 4, np.nan, values)

    verdicts = {f.claim.id: f.verdict for f in decide_claims(Lost(True))}
    race_claims = [id for id in verdicts if id.startswith("race_")] + ["again"]
    assert {verdicts[id] for id in race_claims} == {INCONCLUSIVE}
    assert verdicts["same_centered"] == SUPPORTED
