"""Generalizing and reach at toy size: closed forms, slow twins, hand-made records, a run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr

from experiments import _session, generalization
from experiments._generalization import spans
from experiments._generalization.claims import answer, decide_claims
from experiments._generalization.directions import (
    NUM_EIGENVALUES,
    NUM_IN_GRAM,
    NUM_UNITS,
    measure_layer,
    prefixes,
)
from experiments._generalization.figures import draw_figures
from experiments._generalization.plan import (
    DIRECTION_RATES,
    LARGE_SCALE,
    LEVELS,
    RUNGS,
    Config,
    Groups,
    Plan,
)
from experiments._generalization.results import MOST_THROWN, RISE, Results, at_level, steady_steps
from experiments._stated import NotRunError
from signdyn.claims import INCONCLUSIVE, REFUTED, SUPPORTED
from signdyn.records import load
from signdyn.sweeps import quick_to_compile
from tests.experiments.findings import altered
from tests.experiments.sessions import FastSession, IdleSession

SEEDS, WIDTHS, STEPS, DIRECTION_STEPS, BATCH = 2, (5, 4), 8, 24, 4


# --- a run at toy size ------------------------------------------------------------------------


def prepared(out: Path, session: type[_session.Session], **options) -> Plan:
    values = {
        "seeds": SEEDS,
        "num_train": 16,
        "widths": tuple(str(width) for width in WIDTHS),
        "steps": STEPS,
        "direction_steps": DIRECTION_STEPS,
        "batch_size": BATCH,
        "block": 16,
    }
    config = Config(out=str(out), **{**values, **options})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generalization, "Session", session)
        # JAX is set up already, by conftest.py
        patch.setattr(generalization, "start_jax", lambda config: None)
        return generalization.prepare(config)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def plan(out) -> Plan:
    return prepared(out, FastSession)


@pytest.fixture(scope="module")
def outcome(plan):
    generalization.measure(plan)
    return generalization.conclude(plan)


@pytest.fixture(scope="module")
def results(plan, outcome) -> Results:
    return Results(plan)


# --- against NumPy ----------------------------------------------------------------------------


class Twin:
    """The raw network of sigmoid units of one seed, in NumPy and float64."""

    def __init__(self, plan: Plan, seed: int, part: str):
        job = getattr(Groups(plan), part)["sigmoid"]
        # compiled already, for the run
        draw = jax.jit(job.group.train_fn.draw, compiler_options=quick_to_compile())(
            jax.random.fold_in(jax.random.key(0), seed)
        )
        layers = draw.params.values()
        self.layers = [np.vstack([d["kernel"], d["bias"]]).astype(np.float64) for d in layers]
        self.batches = None if draw.batches is None else np.asarray(draw.batches)

    def inputs(self, x: np.ndarray) -> list[np.ndarray]:
        """Return what each layer reads, and the outputs last."""
        read = [np.asarray(x, np.float64)]
        for layer in self.layers:
            z = read[-1] @ layer[:-1] + layer[-1]
            read.append(1.0 / (1.0 + np.exp(-z)))
        return [*read[:-1], z]

    def nll(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        z = self.inputs(x)[-1]
        return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(y)), y]

    def gradients(self, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
        """Return the mean nll's gradient, layer by layer, the bias's row last."""
        *read, z = self.inputs(x)
        delta = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) - np.eye(z.shape[1])[y]
        found = []
        for place in reversed(range(len(self.layers))):
            ones = np.column_stack([read[place], np.ones(len(x))])
            found.append(ones.T @ delta / len(x))
            delta = (delta @ self.layers[place][:-1].T) * read[place] * (1.0 - read[place])
        return found[::-1]

    def fisher(self, x: np.ndarray) -> np.ndarray:
        """Return the Fisher of the mean nll, from one gradient an example and class."""
        z = self.inputs(x)[-1]
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        total = 0.0
        for place in range(len(x)):
            for label, share in enumerate(p[place]):
                one = slice(place, place + 1)
                g = np.concatenate([v.ravel() for v in self.gradients(x[one], np.array([label]))])
                total = total + share * np.outer(g, g)
        return total / len(x)


def test_a_rate_is_in_units_of_the_largest_eigenvalue_of_the_starting_fisher(plan, results):
    rows = results.climb("clean", "sigmoid", "raw").rows
    for seed in range(SEEDS):
        exact = np.linalg.eigvalsh(Twin(plan, seed, "race").fisher(plan.data.x_train))[-1]
        measured = rows.lambda_max.sel(seed=seed).values
        assert np.all((measured < 1.0001 * exact) & (measured > 0.95 * exact))
    products = (rows.learning_rate * rows.lambda_max).values
    np.testing.assert_allclose(products, rows.rate.values[:, None].repeat(SEEDS, 1), rtol=1e-6)
    assert sorted(rows.rate.values) == [2.0**rung for rung in RUNGS["sigmoid"]]


def test_descents_are_gradient_descent_and_the_test_set_is_read_before_each_step(plan, results):
    x, y, x_test, y_test = plan.data[2:6]
    rows = results.climb("clean", "sigmoid", "raw").rows
    for seed in range(SEEDS):
        twin, row = Twin(plan, seed, "race"), rows.isel(variant=0).sel(seed=seed)
        for step in range(STEPS):
            assert row.loss[step] == pytest.approx(twin.nll(x, y).mean(), rel=1e-4)
            assert row.test_loss[step] == pytest.approx(twin.nll(x_test, y_test).mean(), rel=1e-4)
            wrong = twin.inputs(x_test)[-1].argmax(axis=1) != y_test
            # an example on the boundary may go either way in float32
            assert row.test_error[step] == pytest.approx(wrong.mean(), abs=2.1 / len(y_test))
            rate = float(row.learning_rate)
            twin.layers = [
                w - rate * g for w, g in zip(twin.layers, twin.gradients(x, y), strict=True)
            ]


@pytest.mark.parametrize("examples", [1, BATCH])
def test_directions_are_those_of_plain_sgd_on_the_first_examples_of_each_batch(
    plan, results, examples
):
    x, y = plan.data.x_train, plan.data.y_train
    for seed in range(SEEDS):
        twin = Twin(plan, seed, "directions")
        updates: list[list[np.ndarray]] = []
        read: list[list[np.ndarray]] = []
        losses = []
        for rows in twin.batches[:, :examples]:
            grads = twin.gradients(x[rows], y[rows])
            losses.append(twin.nll(x[rows], y[rows]).mean())
            read.append([inputs[0] for inputs in twin.inputs(x[rows])[:2]])
            steps = [-DIRECTION_RATES["sigmoid"] * g for g in grads]
            updates.append(steps)
            twin.layers = [w + u for w, u in zip(twin.layers, steps, strict=True)]

        def told(name, arm="raw", seed=seed):
            return results.directions(name, "sigmoid", arm, examples)[seed]

        np.testing.assert_allclose(told("loss"), losses, rtol=1e-4)
        flat = np.stack([np.concatenate([u.ravel() for u in step]) for step in updates])
        gram = flat @ flat.T
        np.testing.assert_allclose(
            told("gram"), gram[:NUM_IN_GRAM, :NUM_IN_GRAM], rtol=1e-3, atol=1e-6
        )
        assert told("network_dimension") == pytest.approx(
            np.trace(gram) ** 2 / (gram**2).sum(), rel=1e-4
        )
        for layer in range(2):
            kernels = np.stack([step[layer][:-1, :NUM_UNITS] for step in updates])
            inputs = np.stack([inputs[layer] for inputs in read])
            expected = measure_layer(
                kernels.astype(np.float32), inputs.astype(np.float32), single=examples == 1
            )
            for name in ("one_signed", "step_orthants", "rank", "rank_shown"):
                np.testing.assert_array_equal(told(name)[layer], expected[name], err_msg=name)
            for name in ("unit_dimension", "minority", "spectrum"):
                np.testing.assert_allclose(
                    told(name)[layer], expected[name], rtol=1e-3, atol=1e-5, err_msg=name
                )


# --- exact facts of the run -------------------------------------------------------------------


def test_flips_change_no_bit_of_any_loss_or_angle(results):
    assert results.largest_difference().tolist() == [0.0] * SEEDS
    assert results.direction_difference().tolist() == [0.0] * SEEDS
    # and yet other signs are stepped along
    raw, flipped = (results.directions("one_signed", "sigmoid", a, 1) for a in ("raw", "flipped"))
    assert raw.min() == 1.0
    assert flipped.max() < 1.0


def test_raw_single_examples_use_two_orthants_and_span_what_they_have_shown(results):
    assert results.directions("most_step_orthants", "sigmoid", "raw", 1).max() <= 2.0
    ranks, shown = (results.directions(n, "sigmoid", "raw", 1) for n in ("rank", "rank_shown"))
    np.testing.assert_array_equal(ranks, shown)
    assert results.directions("rank_gap", "sigmoid", "raw", 1).max() == 0.0
    assert np.isnan(results.directions("rank", "sigmoid", "raw", BATCH)).all()


def test_all_arms_of_a_seed_start_as_one_function_and_seeds_differ(results):
    for name in ("loss", "test_loss"):
        starts = {
            arm: results.climb("clean", "relu", arm).rows[name].isel(variant=0, step=0).values
            for arm in ("raw", "flipped", "centered", "again", "large")
        }
        np.testing.assert_array_equal(starts["raw"], starts["flipped"])
        np.testing.assert_allclose(starts["raw"], starts["centered"], rtol=2e-6)
        assert np.all(np.abs(starts["raw"] - starts["again"]) > 1e-3)
        assert np.all(starts["large"] > starts["raw"])


def test_noise_is_in_the_training_labels_only(results):
    clean, noisy = (results.climb(r, "relu", "raw").rows.isel(variant=0) for r in LEVELS)
    np.testing.assert_allclose(clean.test_loss[:, 0], noisy.test_loss[:, 0], rtol=1e-6)
    assert np.all(clean.loss[:, 0] != noisy.loss[:, 0])


def test_a_run_too_short_to_arrive_decides_nothing_but_exact_claims(outcome):
    verdicts = {row["id"]: row["verdict"] for row in outcome.rows}
    exact = {"flip_losses", "flip_directions", "span_sigmoid", "two_orthants_sigmoid"}
    assert {id for id, verdict in verdicts.items() if verdict != INCONCLUSIVE} <= exact
    assert {verdicts[id] for id in exact - {"two_orthants_sigmoid"}} == {SUPPORTED}
    assert "does not confirm" in outcome.answer


def test_the_page_shows_every_figure_that_a_claim_names(plan, outcome):
    folder = plan.session.folder
    content = json.loads((folder / "claims.json").read_text())
    names = [figure["name"] for figure in content["figures"]]
    assert names == ["matched_loss", "matched_steps", "orthants", "spectrum"]
    assert {row["figure"] for row in outcome.rows} <= {*names, None}
    for figure in content["figures"]:
        assert figure["caption"].endswith(f"{SEEDS} seeds.")
        assert list((folder / "figures").glob(f"{figure['name']}.*"))
    assert (folder.parent / "report.html").read_text().count("<svg") >= 4


def test_figures_show_the_record(results):
    figure = draw_figures(results)["orthants"][0]
    expected = np.median(results.directions("path_orthants", "sigmoid", "raw", 1)[:, 1], axis=0)
    lines = [np.asarray(line.get_ydata(), float) for line in figure.axes[1].lines]
    assert any(line.shape == expected.shape and np.allclose(line, expected) for line in lines)


def test_the_same_command_again_compiles_nothing_and_writes_no_cell(plan, outcome, out):
    folder = plan.session.folder
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    again = prepared(out, IdleSession)
    generalization.measure(again)
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before


def test_no_variant_is_run_twice(plan, results):
    for part, keys in (
        ("race", ("activation", "regime", "arm", "rate")),
        ("directions", ("activation", "arm", "examples")),
    ):
        rows = load(plan.session.folder, part=part)
        found = list(zip(*(rows[key].values.tolist() for key in keys), strict=True))
        assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"activations": ("relu", "tanh")},
            "--activations must be .*of relu, sigmoid.*'relu,tanh'",
        ),
        ({"activations": ("relu", "relu")}, "each once"),
        ({"activations": ()}, "one or more"),
        ({"widths": ("4", "x")}, "--widths must be integers"),
        ({"batch_size": 64}, "at most the 16 training examples, got 64"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(tmp_path, options, words):
    with pytest.raises(ValueError, match=words):
        prepared(tmp_path, IdleSession, **options)
    assert not list(tmp_path.iterdir())


# --- spans: theorems --------------------------------------------------------------------------


def test_one_signed_steps_span_every_dimension_and_lead_into_any_orthant():
    rng = np.random.default_rng(0)
    examples = rng.uniform(0.0, 1.0, (9, 6))
    steps = examples * rng.choice([-1.0, 1.0], (9, 1))
    assert spans.one_signed(steps).all()
    assert spans.orthants_met(steps)[-1] == 2
    assert [spans.rank(steps[:k]) for k in range(1, 10)] == [1, 2, 3, 4, 5, 6, 6, 6, 6]
    for signs in rng.choice([-1.0, 1.0], (20, 6)):
        # some multiples, of either sign, of six examples sum to any point at all
        multiples = np.linalg.solve(examples[:6].T, signs)
        path = np.cumsum(multiples[:, None] * examples[:6], axis=0)
        np.testing.assert_allclose(path[-1], signs, atol=1e-9)


def test_zeros_put_no_one_signed_vector_into_a_third_orthant():
    rng = np.random.default_rng(1)
    vectors = rng.uniform(0.0, 1.0, (50, 8)) * rng.integers(0, 2, (50, 8))
    vectors *= rng.choice([-1.0, 1.0], (50, 1))
    assert spans.orthants_met(vectors)[-1] == 2
    assert spans.orthants_met(vectors * rng.choice([-1.0, 1.0], 8))[-1] > 2


def test_orthants_are_counted_once_each():
    plane = np.array([[1.0, 1.0], [2.0, 3.0], [-1.0, 1.0], [1.0, 1.0], [0.0, 0.0], [-1.0, -1.0]])
    assert spans.orthants_met(plane).tolist() == [1, 1, 2, 2, 2, 3]
    angles = np.linspace(0.1, 0.1 + 2 * np.pi, 40)
    assert spans.orthants_met(np.column_stack([np.cos(angles), np.sin(angles)]))[-1] == 4


@pytest.mark.parametrize("dim", [2, 5, 16])
def test_the_effective_dimension_is_the_number_of_equal_directions_and_one_for_a_line(dim):
    rng = np.random.default_rng(dim)
    frame = np.linalg.qr(rng.normal(size=(16, 16)))[0][:dim]
    spectrum = spans.second_moment_spectrum(7.0 * frame)
    assert spans.effective_dimension(spectrum) == pytest.approx(dim)
    assert spans.effective_dimension_of_gram(frame @ frame.T) == pytest.approx(dim)
    line = rng.normal(size=(9, 1)) * frame[0]
    assert spans.effective_dimension(spans.second_moment_spectrum(line)) == pytest.approx(1.0)


def test_both_ways_to_the_effective_dimension_agree_and_flips_do_not_change_it():
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(12, 7)) * np.arange(1.0, 8.0)
    expected = spans.effective_dimension_of_gram(vectors @ vectors.T)
    flipped = vectors * rng.choice([-1.0, 1.0], 7)
    for one in (vectors, flipped):
        measured = spans.effective_dimension(spans.second_moment_spectrum(one))
        assert measured == pytest.approx(expected)


def test_a_mean_bounds_the_effective_dimension():
    # lambda_max >= the mean's share s of the trace, so (tr)^2 / tr^2 <= 1 / s^2
    rng = np.random.default_rng(3)
    x = rng.uniform(0.0, 1.0, (400, 20))
    share = (x.mean(axis=0) ** 2).sum() / (x**2).sum(axis=1).mean()
    raw, centered = (
        spans.effective_dimension(spans.second_moment_spectrum(one)) for one in (x, x - x.mean(0))
    )
    assert raw <= 1.0 / share**2
    assert centered > 15.0


def test_rank_counts_directions_not_rounding_and_not_lengths():
    rng = np.random.default_rng(4)
    basis = rng.normal(size=(3, 30))
    multiples = (rng.normal(size=(40, 3)) @ basis).astype(np.float32)
    assert spans.rank(multiples) == 3
    assert spans.rank(multiples * np.geomspace(1e-6, 1e6, 40, dtype=np.float32)[:, None]) == 3
    assert spans.rank(np.zeros((4, 3))) == 0


def test_minority_share_is_half_at_most_and_undefined_for_nothing():
    assert spans.minority_share(np.array([1.0, 2.0])) == 0.0
    assert spans.minority_share(np.array([1.0, -2.0, 0.0])) == 0.5
    assert np.isnan(spans.minority_share(np.zeros(3)))


def test_a_unit_that_never_moves_is_left_out_and_a_layer_of_such_is_undefined():
    rng = np.random.default_rng(5)
    inputs = rng.uniform(size=(10, 6))
    kernels = inputs[:, :, None] * rng.normal(size=(10, 1, 2))
    silent = np.concatenate([kernels, np.zeros((10, 6, 1))], axis=2)
    one, other = (measure_layer(k, inputs, single=True) for k in (kernels, silent))
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)
        assert value.shape in ((), (len(prefixes(10)),), (NUM_EIGENVALUES,))
    none = measure_layer(np.zeros((10, 6, 2)), inputs, single=True)
    assert {name for name, value in none.items() if not np.isnan(value).all()} == {"rank_shown"}


def test_a_unit_that_pauses_spans_the_inputs_that_moved_it():
    inputs = np.eye(4)
    kernels = np.zeros((4, 4, 1))
    kernels[[0, 2], [0, 2], 0] = 1.0, -1.0
    measured = measure_layer(kernels, inputs, single=True)
    assert measured["rank"].tolist() == [1.0, 1.0, 2.0]
    assert measured["rank_shown"].tolist() == [1.0, 2.0, 4.0]
    assert measured["rank_gap"] == 0.0


# --- levels, rates and steps, on hand-made records --------------------------------------------


def test_what_depends_on_the_loss_alone_is_read_as_a_function_of_it_on_any_path():
    rng = np.random.default_rng(0)
    losses = np.exp(-np.cumsum(rng.uniform(-0.1, 0.5, (50, 30)), axis=1))
    for level in (0.6, 0.3, 0.1):
        np.testing.assert_allclose(at_level(losses, 3.0 - 2.0 * losses, level), 3.0 - 2.0 * level)


def test_a_level_is_read_at_its_first_crossing_and_is_undefined_if_never_crossed():
    losses = np.array([[4.0, 2.0, 5.0, 1.0], [4.0, 4.0, 4.0, np.nan], [1.0, 2.0, 0.5, 0.1]])
    values = np.array([[0.0, 1.0, 50.0, 60.0], [0.0] * 4, [7.0, 8.0, 9.0, 9.0]])
    np.testing.assert_allclose(at_level(losses, values, 3.0), [0.5, np.nan, 7.0])


def test_a_descent_that_is_thrown_up_first_does_not_count_as_arrived():
    falls = np.array([2.0, 1.5, 0.5, 0.1])
    dances = np.array([2.0, RISE * 2.0, 0.5, 0.1])
    thrown = np.array([2.0, RISE * 2.01, 0.5, 0.1])
    later = np.array([2.0, 1.0, 0.5, 9.0])  # has arrived before
    steps = steady_steps(np.array([[falls] * 13 + [dances, thrown, later]]), 0.6)
    assert steps[0].tolist()[:14] == [2.0] * 14
    assert np.isnan(steps[0, 14])
    assert steps[0, 15] == 2.0


@pytest.mark.parametrize(("bad", "known"), [(2, True), (3, False)])
def test_a_rate_that_throws_too_many_seeds_is_no_choice(bad, known):
    assert 2 / 16 <= MOST_THROWN < 3 / 16
    losses = np.array([[2.0, 0.1]] * (16 - bad) + [[2.0, np.nan]] * bad)[None]
    assert np.isfinite(steady_steps(losses, 0.6)).any() == known


def record(plan_: Any, **parts: xr.Dataset) -> Results:
    made = Results(plan_)
    made._parts = dict(parts)
    return made


def race(arrivals: Mapping[str, Mapping[float, Sequence[int]]]) -> Results:
    """Return a record in which a seed arrives after so many steps at a rate, arm by arm.

    The training loss halves from 2 nats until it is below the target, at step ``arrival``; the
    test loss is a tenth more, the test error the share of steps that are still to come.
    """
    rows, arms, rates = [], [], []
    for arm, by_rate in arrivals.items():
        for rate, steps in by_rate.items():
            arms.append(arm)
            rates.append(rate)
            rows.append([2.0 * 0.09 ** (np.arange(12) / step) for step in steps])
    losses = np.array(rows)
    errors = np.broadcast_to(1.0 - np.arange(12) / 12, losses.shape)
    dims = ("variant", "seed", "step")
    labels = {"arm": arms, "rate": rates, "activation": ["relu"] * len(arms)}
    labels["regime"] = ["clean"] * len(arms)
    table = xr.Dataset(
        {
            "loss": (dims, losses),
            "test_loss": (dims, 1.1 * losses),
            "test_error": (dims, errors),
        },
        {name: ("variant", values) for name, values in labels.items()},
    )
    return record(None, race=table)


def test_arms_are_read_at_their_best_rate_and_at_equal_losses():
    made = race(
        {
            "raw": {2.0: [8, 8, 8], 1.0: [9, 9, 9], 4.0: [10, 10, 10]},
            "centered": {1.0: [3, 3, 3], 0.5: [6, 6, 6], 2.0: [4, 4, 4]},
        }
    )
    assert made.best_rate("clean", "relu", "raw") == 2.0
    assert made.best_rate("clean", "relu", "centered") == 1.0
    assert made.at_best("steps", "clean", "relu", "raw").tolist() == [8.0] * 3
    for arm in ("raw", "centered"):
        matched = made.at_best("matched_test_loss", "clean", "relu", arm)
        np.testing.assert_allclose(matched, [[1.1 * level for level in LEVELS["clean"]]] * 3)
    # after three steps centered is there
    for arm in ("raw", "centered"):
        assert made.at_arrival("clean", "relu", arm).tolist() == [0.75] * 3
    assert made.at_rate(4.0, "test_error", "clean", "relu", "raw")[:, 0].tolist() == [1.0] * 3
    assert np.isnan(made.at_rate(np.nan, "test_error", "clean", "relu", "raw")).all()
    with pytest.raises(NotRunError, match="raw at rate x lambda_max = 16"):
        made.at_rate(16.0, "test_error", "clean", "relu", "raw")
    curves = made.curves("loss", "clean", "relu", "raw")
    assert curves is not None
    np.testing.assert_array_equal(curves[0], 2.0 * 0.09 ** (np.arange(12) / 8))


def test_nothing_is_known_where_no_rate_arrives():
    made = race({"raw": {1.0: [99, 99], 2.0: [99, 99], 4.0: [99, 99]}})
    assert np.isnan(made.best_rate("clean", "relu", "raw"))
    assert np.isnan(made.at_best("matched_test_loss", "clean", "relu", "raw")).all()
    assert made.curves("loss", "clean", "relu", "raw") is None


def test_a_flip_that_changes_one_bit_or_diverges_alone_is_noticed():
    made = race({"raw": {1.0: [5, 5, 5]}, "flipped": {1.0: [5, 5, 5]}})
    assert made.largest_difference().tolist() == [0.0] * 3
    table = made._parts["race"]
    losses = table.test_loss.values.copy()
    losses[1, 0, 7] = np.nextafter(losses[1, 0, 7], 9.0)
    losses[1, 1, 7] = np.nan
    losses[:, 2, 7] = np.nan  # of both: the same
    made._parts["race"] = table.assign(test_loss=(table.test_loss.dims, losses))
    differences = made.largest_difference()
    assert 0.0 < differences[0] < 1e-15
    assert differences[1:].tolist() == [np.inf, 0.0]


# --- verdicts ---------------------------------------------------------------------------------


class World(Results):
    """A record in which every claim is true, or every one false."""

    def __init__(self, plan: Plan, true: bool, **changed: float):
        super().__init__(plan)
        self._true, self._changed = true, changed
        # enough seeds for a corrected p below .05
        self._noise = 1.0 + 0.01 * np.random.default_rng(0).uniform(-1.0, 1.0, 16)

    def _told(self, name: str, if_true: float, if_false: float) -> np.ndarray:
        value = self._changed.get(name, if_true if self._true else if_false)
        return value * self._noise

    def at_best(self, name, regime, activation, arm):
        if name == "steps":
            return self._told(f"steps_{arm}", *((40.0, 12.0) if arm == "raw" else (10.0, 10.0)))
        if name == "matched_test_loss":
            told = (1.0, 2.0) if arm == "raw" else (1.0, 1.0)
        elif name == "test_error":  # its last column is read
            told = (0.1, 0.3) if arm == "raw" else (0.1, 0.1)
        else:
            told = (0.2, 0.1) if arm == "raw" else (0.1, 0.1)
        return self._told(f"{name}_{regime}_{arm}", *told)[:, None] * np.ones(3)

    def at_rate(self, rate, name, regime, activation, arm):
        told = {"raw": (1.0, 2.0), "centered": (1.0, 1.0), "again": (1.0, 1.0), "large": (2.0, 2.0)}
        return self._told(f"{name}_{arm}", *told[arm])[:, None] * np.ones(3)

    def best_rate(self, regime, activation, arm):
        return 2.0

    def at_arrival(self, regime, activation, arm):
        return self._told(f"arrival_{arm}", *((0.6, 0.1) if arm == "raw" else (0.1, 0.1)))

    def largest_difference(self, names=()):
        return self._told("flip", 0.0, 1e-9)

    def direction_difference(self):
        return self._told("flip", 0.0, 1e-9)

    def input_dimension(self, arm):
        return 2.0

    def directions(self, name, activation, arm, examples):
        told = {
            ("most_step_orthants", "raw"): (2.0, 3.0),
            ("path_orthants", "raw"): (2.0, 30.0),
            ("rank_gap", "raw"): (0.0, 1.0),
            ("rank", "raw"): (10.0, 40.0),
            ("rank", "centered"): (40.0, 40.0),
            ("one_signed", "raw"): (0.98, 0.3),
            ("one_signed", "centered"): (0.0, 0.5),
            ("unit_dimension", "raw"): (2.0, 16.0),
            ("unit_dimension", "centered"): (8.0, 8.0),
            ("unit_dimension", "again"): (2.0, 2.0),
        }[name, arm]
        values = self._told(f"{name}_{arm}", *told)[:, None] * np.ones(2)
        if name == "most_step_orthants":
            values = np.round(values)
        return values[:, :, None] * np.ones(5) if name in ("path_orthants", "rank") else values


@pytest.fixture(scope="module")
def worlds(plan):
    return tuple((world, decide_claims(world)) for world in (World(plan, True), World(plan, False)))


def test_every_claim_is_supported_where_it_is_true_and_refuted_where_it_is_false(worlds):
    true, false = ({f.claim.id: f.verdict for f in findings} for _, findings in worlds)
    # a unit's updates cannot span half as many dimensions and as many
    other = [id for id in true if id.startswith("space_same")]
    assert true == {id: REFUTED if id in other else SUPPORTED for id in true}
    assert false == {id: SUPPORTED if id in other else REFUTED for id in true}


def test_what_is_claimed_and_how_it_is_decided_does_not_depend_on_the_record(worlds, outcome):
    true, false = ([f.claim._replace(rule=f.claim.rule.text) for f in w] for _, w in worlds)
    assert true == false
    for name, of_claim in (("id", "id"), ("rule", "rule"), ("sentence", "sentence")):
        assert [row[name] for row in outcome.rows] == [getattr(c, of_claim) for c in true]


def test_claims_have_ids_of_their_own_and_answer_questions_that_are_asked(worlds):
    claims = [finding.claim for finding in worlds[0][1]]
    assert len({claim.id for claim in claims}) == len(claims)
    asked = {*(f"a{n}" for n in range(1, 9)), *(f"b{n}" for n in range(1, 16))}
    assert all(claim.questions and set(claim.questions) <= asked for claim in claims)
    assert {"b4", "b6", "b7"} <= {question for claim in claims for question in claim.questions}
    assert sum(claim.control for claim in claims) == 4


def test_a_difference_the_other_way_does_not_support_what_people_say(plan):
    fewer = World(plan, True, matched_test_error_clean_raw=0.05)
    verdicts = {f.claim.id: f.verdict for f in decide_claims(fewer)}
    assert verdicts["error_clean_relu"] == REFUTED
    assert verdicts["error_noisy_relu"] == SUPPORTED
    better = World(plan, True, matched_test_loss_noisy_raw=0.5)
    verdicts = {f.claim.id: f.verdict for f in decide_claims(better)}
    assert verdicts["loss_noisy_relu"] == REFUTED
    assert verdicts["loss_clean_relu"] == SUPPORTED


def test_fewer_errors_given_time_are_no_more_errors(plan):
    fewer = World(plan, True, test_error_clean_raw=0.05)
    verdicts = {f.claim.id: f.verdict for f in decide_claims(fewer)}
    assert verdicts["time_relu"] == verdicts["time_sigmoid"] == SUPPORTED


@pytest.mark.parametrize(("raw", "verdict"), [(24.0, REFUTED), (39.0, SUPPORTED), (60.0, REFUTED)])
def test_as_many_dimensions_are_neither_fewer_nor_more(plan, raw, verdict):
    verdicts = {f.claim.id: f.verdict for f in decide_claims(World(plan, True, rank_raw=raw))}
    assert verdicts["space_same_sigmoid"] == verdict
    assert verdicts["space_sigmoid"] == REFUTED


SAME_ERRORS = {f"matched_test_error_{regime}_raw": 0.1 for regime in ("clean", "noisy")}


def test_the_answer_tells_the_numbers_or_names_what_is_not_confirmed(plan, worlds):
    world = World(plan, True, path_orthants_raw=30.0, arrival_raw=0.45, **SAME_ERRORS)
    found = decide_claims(world)
    told = answer(world, found)
    for number in ("1.00 times", "another 35%", "through 30", "0.25 times"):
        assert number in told
    # where raw generalizes worse it does not hinder optimization alone
    refused = answer(world, altered(found, error_clean_sigmoid=0.1))
    assert refused == "This run does not confirm the picture: see error_clean_sigmoid."
    assert "orthants" not in answer(world, altered(found, dimension_1_sigmoid=1.5))
    # who did not see that more than two are reached says nothing of it
    two = World(plan, True, **SAME_ERRORS)
    assert "Uncentered" in answer(two, decide_claims(two))
    assert "orthants" not in answer(two, decide_claims(two))
    refused = answer(*worlds[1])
    assert refused.startswith("This run does not confirm the picture")
    assert "steps_clean_sigmoid" in refused


def test_a_share_of_seeds_that_never_arrive_decides_nothing(plan):
    class Lost(World):
        def at_best(self, name, regime, activation, arm):
            values = super().at_best(name, regime, activation, arm)
            values[:5] = np.nan
            return values

    verdicts = {f.claim.id: f.verdict for f in decide_claims(Lost(plan, True))}
    lost = [id for id in verdicts if id.startswith(("loss_clean", "error", "optimum", "large"))]
    assert len(lost) == 9
    assert {verdicts[id] for id in lost} == {INCONCLUSIVE}
    assert verdicts["loss_small_relu"] == SUPPORTED


def test_what_was_not_run_decides_nothing_and_the_table_says_why(plan):
    class Unrun(World):
        def at_rate(self, rate, name, regime, activation, arm):
            if arm == "again":
                raise NotRunError("again at rate x lambda_max = 2", num_seeds=16)
            return super().at_rate(rate, name, regime, activation, arm)

    findings = {f.claim.id: f for f in decide_claims(Unrun(plan, True))}
    unrun = [id for id, f in findings.items() if "not run" in f.evidence.left_out_why]
    assert unrun == ["again_loss"]
    assert findings["again_loss"].verdict == INCONCLUSIVE
    assert findings["again_loss"].evidence.left_out_why == (
        "16 not run (again at rate x lambda_max = 2)"
    )


def test_the_start_that_generalizes_worse_has_larger_kernels():
    assert LARGE_SCALE > 1.0
