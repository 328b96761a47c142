"""The two-weight picture at toy size: closed forms, slow twins, and a run from start to record."""

import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from scipy import optimize

from experiments._session import Session
from experiments._two_weights import descent, problem
from experiments._two_weights.claims import answer, decide_claims
from experiments._two_weights.descent import Method, measure
from experiments._two_weights.figure import _spokes, draw_figure
from experiments._two_weights.plan import (
    ARMS,
    FLIPPED_RATES,
    NAME,
    SINGLE_RATE,
    SMALL_RATE,
    Config,
    Plan,
    make_jobs,
)
from experiments._two_weights.problem import Draw, find_minimum
from experiments._two_weights.results import Results, descents_table, outputs_along
from signdyn.claims import SUPPORTED
from signdyn.likelihoods import gaussian
from signdyn.report.style import restyle
from signdyn.training import Hyper
from tests.experiments.findings import altered

STEPS = 12


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Forty positive inks whose label depends on them, but is not decided by them."""
    rng = np.random.default_rng(0)
    ink = rng.uniform(0.1, 4.0, 40)
    return ink, (rng.uniform(size=40) < 1.0 / (1.0 + np.exp(3.0 - 1.5 * ink))) * 1.0


def measured(out: Path, digits) -> Path:
    config = Config(out=str(out), seeds=2, steps=STEPS, block=4)
    ink, labels = digits
    plan = Plan(config, ink, labels, "toy", Session(NAME, config, {}, double=True))
    plan.session.run_all(lambda: make_jobs(plan), "toy?")
    return plan.session.folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits) -> Path:
    return measured(tmp_path_factory.mktemp("out"), digits)


@pytest.fixture(scope="module")
def results(folder) -> Results:
    return Results(folder)


def of_seed(results: Results, part: str, arm: str, rate: float | None = None) -> xr.Dataset:
    return results.rows(part, arm, rate).isel(seed=1)


def logistic(logits: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-logits))


def test_the_minimum_is_where_another_optimizer_finds_it(results):
    data = of_seed(results, "natural", "raw")
    x, y = data.inputs.values, data.labels.values
    found = optimize.minimize(
        lambda theta: np.mean(np.logaddexp(0.0, x @ theta) - y * (x @ theta)),
        np.zeros(2),
        jac=lambda theta: x.T @ (logistic(x @ theta) - y) / len(y),
        tol=1e-10,
    )
    np.testing.assert_allclose(data.minimum, found.x, rtol=1e-5)
    assert data.target_loss == pytest.approx(found.fun + problem.TARGET, rel=1e-9)


def test_gradient_descent_is_the_one_that_a_loop_makes(results):
    data, rows = of_seed(results, "natural", "raw"), of_seed(results, "gradient", "raw", 0.95)
    x, y, theta = data.inputs.values, data.labels.values, rows.weights.values[0]
    for step in range(STEPS):
        np.testing.assert_allclose(rows.weights[step], theta, rtol=1e-9)
        deltas = logistic(x @ theta) - y
        theta = theta - rows.learning_rate.item() * x.T @ deltas / len(y)
    p = logistic(x @ data.minimum.values)
    steepest = np.linalg.eigvalsh(x.T @ (x * (p * (1.0 - p))[:, None]) / len(y))[-1]
    assert rows.learning_rate == pytest.approx(0.95 * 2.0 / steepest, rel=1e-6)


def test_single_example_updates_are_the_deltas_times_the_inputs(results):
    data, rows = of_seed(results, "natural", "raw"), of_seed(results, "single", "raw")
    x, y, weights = data.inputs.values, data.labels.values, rows.weights.values
    assert rows.rate == SINGLE_RATE
    for step in range(len(y) - 1):
        delta = logistic(x[step] @ weights[step]) - y[step]
        update = -rows.learning_rate.item() * delta * x[step]
        np.testing.assert_allclose(weights[step + 1] - weights[step], update, rtol=1e-9)
    assert rows.updates_of_one_sign == 1.0


def test_every_arm_starts_as_the_same_function(results):
    raw = results.rows("natural", "raw")
    for arm in ("flipped", "centered"):
        rows = results.rows("natural", arm)
        expected, actual = outputs_along(raw, raw)[:, 0], outputs_along(rows, rows)[:, 0]
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12)
    means = results.rows("natural", "centered").inputs.mean("example")
    np.testing.assert_allclose(means, [[0.0, 1.0]] * 2, atol=1e-14)


def test_the_largest_curvature_anywhere_is_that_of_the_textbook_formula(results):
    # a quarter of the larger eigenvalue of [[v + m^2, m], [m, 1]], whose determinant is v
    data = of_seed(results, "natural", "raw")
    m, v = data.inputs.values[:, 0].mean(), data.inputs.values[:, 0].var()
    trace = 1.0 + v + m**2
    larger = (trace + np.sqrt(trace**2 - 4.0 * v)) / 2.0
    assert data.lambda_max_anywhere == pytest.approx(larger / 4.0, rel=1e-12)
    centered = of_seed(results, "natural", "centered").lambda_max_anywhere
    assert centered == pytest.approx(max(v, 1.0) / 4.0, rel=1e-12)


def test_positive_inputs_bind_single_gradients_to_two_quadrants_and_a_flip_to_the_others(results):
    for part, rate in (("gradient", SMALL_RATE), ("single", None), ("natural", None)):
        shares = {arm: results.rows(part, arm, rate).examples_of_one_sign for arm in ARMS}
        np.testing.assert_array_equal(shares["raw"], 1.0)
        np.testing.assert_array_equal(shares["flipped"], 0.0)
        assert np.all((shares["centered"] > 0.0) & (shares["centered"] < 1.0))


def test_a_flip_mirrors_the_path_and_changes_no_bit_of_the_loss(results):
    for part, rate in (*(("gradient", rate) for rate in FLIPPED_RATES), ("single", SINGLE_RATE)):
        raw, flipped = (results.rows(part, arm, rate) for arm in ("raw", "flipped"))
        np.testing.assert_array_equal(flipped.loss, raw.loss)
        np.testing.assert_array_equal(flipped.weights, raw.weights * np.array([-1.0, 1.0]))


def test_natural_gradient_walks_the_same_functions_raw_and_centered(results):
    raw, centered = (results.rows("natural", arm) for arm in ("raw", "centered"))
    path = outputs_along(raw, raw)
    np.testing.assert_allclose(outputs_along(centered, centered), path, rtol=1e-10, atol=1e-10)
    assert np.ptp(path, axis=1).max() > 0.5  # it moved


def test_steps_below_one_over_the_largest_curvature_never_turn_back(results):
    for arm in ARMS:
        rows = results.rows("gradient", arm, SMALL_RATE)
        assert np.all(rows.learning_rate * rows.lambda_max_anywhere < 1.0)
        assert np.all(rows.reversal_fraction == 0.0)
        assert np.all(np.diff(rows.loss) < 0.0)


def quadratic(monkeypatch, digits, rate: float, method: Method):
    """The same descent with a Gaussian likelihood: the loss is exactly quadratic."""
    for module in (problem, descent):
        monkeypatch.setattr(module, "LIKELIHOOD", gaussian())
    ink, labels = (jnp.asarray(values) for values in digits)
    minimum = find_minimum(jnp.stack([ink, jnp.ones_like(ink)], axis=1), labels)
    draw = Draw(ink, labels, jnp.array([0.2, -0.1]), minimum)
    hyper = jax.tree.map(jnp.asarray, Hyper(rate, centering=ARMS["raw"]))
    return jax.tree.map(np.asarray, measure(draw, hyper, method=method, steps=STEPS))


def test_one_natural_step_reaches_the_least_squares_solution_of_a_linear_neuron(
    monkeypatch, digits
):
    result = quadratic(monkeypatch, digits, 1.0, "natural")
    solution, *_ = np.linalg.lstsq(result["inputs"], result["labels"], rcond=None)
    np.testing.assert_allclose(result["weights"][1], solution, rtol=1e-11)
    assert result["steps_to_target"] == 1.0


def test_descent_on_a_quadratic_is_the_power_of_one_minus_rate_times_curvature(monkeypatch, digits):
    rate = 0.9
    result = quadratic(monkeypatch, digits, rate, "gradient")
    values, vectors = np.linalg.eigh(result["inputs"].T @ result["inputs"] / 40)
    assert result["lambda_max"] == pytest.approx(values[-1], rel=1e-12)
    assert result["learning_rate"] == pytest.approx(2.0 * rate / values[-1], rel=1e-6)
    off = (result["weights"] - result["minimum"]) @ vectors
    shrink = 1.0 - result["learning_rate"] * values
    expected = off[0] * shrink ** np.arange(STEPS)[:, None]
    np.testing.assert_allclose(off, expected, rtol=1e-9, atol=1e-12)


def test_spokes_are_unit_vectors_one_a_degree():
    path = np.array([[0.0, 0.0], [3.0, 0.0], [4.0, 0.001], [4.0, 2.0]])
    lines = _spokes(path).reshape(-1, 3, 2)
    np.testing.assert_allclose(lines[:, 1], [[1.0, 0.0], [0.0, 1.0]], atol=1e-12)
    assert np.all(lines[:, 0] == 0.0)
    assert np.all(np.isnan(lines[:, 2]))


def test_a_second_call_runs_nothing_and_a_damaged_cell_is_redone_to_the_bit(
    tmp_path, folder, digits
):
    copy = Path(shutil.copytree(folder, tmp_path / NAME))
    cells = {path: path.read_bytes() for path in (copy / "cells").iterdir()}
    ledger = (copy / "ledger.jsonl").read_bytes()
    measured(tmp_path, digits)
    assert (copy / "ledger.jsonl").read_bytes() == ledger
    damaged = next(path for path in cells if path.name.startswith("gradient"))
    damaged.write_bytes(b"damaged")
    measured(tmp_path, digits)
    assert {path: path.read_bytes() for path in cells} == cells


def test_the_answer_tells_the_numbers_or_names_what_is_not_confirmed(results):
    known = {"large_zigzag": 0.9, "center_steps": 20.0, "small_zigzag": 0.0, "small_slower": 50.0}
    known |= {"condition_number": 40.0, "batch_quadrants": 0.01, "example_quadrants": 1.0}
    found = altered(decide_claims(results), **known)
    for number in ("90% of its turns", "20x", "0% go back", "50x"):
        assert number in answer(found)
    for id in known:
        refused = answer(altered(found, **{id: np.nan}))
        assert refused == f"This run does not confirm the picture: see {id}."


def test_a_run_too_short_to_arrive_decides_nothing_that_needs_arriving(results):
    findings = {finding.claim.id: finding for finding in decide_claims(results)}
    exact = ("example_quadrants", "flip_quadrants", "flip_exact", "small_zigzag")
    assert all(findings[id].verdict == SUPPORTED for id in exact)
    assert all(findings[id].verdict != SUPPORTED for id in ("center_steps", "again"))
    assert findings["again"].claim.control
    assert len(descents_table(results).rows) == 17


@pytest.mark.parametrize(("width", "cols"), [(6.5, 3), (3.25, 2)])
def test_the_figure_shows_each_arms_path_from_its_start(results, width, cols):
    with restyle(column_width=width):
        figure, caption = draw_figure(results)
    axes = [ax for ax in figure.axes if ax.get_title(loc="left")]
    assert len(axes) == 6
    places = [ax.get_subplotspec() for ax in axes]
    assert {place.get_gridspec().ncols for place in places if place} == {cols}
    small = next(ax for ax in axes if ax.get_title(loc="left") == "raw, small step")
    start = results.rows("gradient", "raw", SMALL_RATE).weights.values[0, 0]
    np.testing.assert_array_equal(np.asarray(small.lines[0].get_xydata())[0], start)
    assert all(ax.get_aspect() == 1.0 for ax in axes)
    assert caption
