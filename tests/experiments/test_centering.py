"""Centering at toy size: slow twins of start and race, worlds for every claim, and a whole run."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments import _session, centering
from experiments._centering.claims import answer, decide_claims
from experiments._centering.figures import draw_figures
from experiments._centering.networks import FLOOR
from experiments._centering.plan import (
    CENTERED,
    DOSED,
    NORMED,
    NORMS,
    SCALED,
    SHIFTED,
    Config,
    Plan,
    arms,
)
from experiments._centering.results import (
    INPUT_ARMS,
    Results,
    doses,
    input_eigenvalues,
    inputs_table,
    of_doses,
)
from experiments._centering.sweep import first_rungs
from experiments._cli import UsageError
from experiments._fisher_spectrum.activation import NAMES
from experiments._questions import QUESTIONS
from signdyn.activations import get_activation
from signdyn.claims import INCONCLUSIVE, REFUTED, SUPPORTED
from signdyn.models.mlp import MLP
from signdyn.models.traces import init_params
from signdyn.records import load
from tests.experiments.findings import altered
from tests.experiments.sessions import HASTY, FastSession, IdleSession

SEEDS, WIDTHS, STEPS = 2, (8, 4), 8

# Compiling is all that takes time here, and emitters of fusions are half of that.


# --- a run at toy size ------------------------------------------------------------------------


def prepared(out: Path, session: type[_session.Session]) -> Plan:
    config = Config(
        out=str(out),
        seeds=SEEDS,
        num_train=40,
        widths=tuple(map(str, WIDTHS)),
        norms=tuple(NORMS),
        steps=STEPS,
        target_fraction=0.95,
        block=32,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(centering, "Session", session)
        # JAX is set up already, by conftest.py
        patch.setattr(centering, "start_jax", lambda config: None)
        return centering.prepare(config)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def plan(out) -> Plan:
    return prepared(out, FastSession)


@pytest.fixture(scope="module")
def outcome(plan):
    centering.measure(plan)
    return centering.conclude(plan)


@pytest.fixture(scope="module")
def results(plan, outcome) -> Results:
    return Results(plan.session.folder)


# --- twins: the network written by hand, in float64 -------------------------------------------


@functools.cache
def drawn_kernels(units: tuple[int, ...], seed: int) -> list[np.ndarray]:
    key = jax.random.split(jax.random.fold_in(jax.random.key(0), seed), 4)[0]
    model = MLP(units[1:-1], units[-1], "relu")
    draw = jax.jit(
        lambda key: init_params(model, key, jnp.zeros((1, units[0]), jnp.float32)),
        compiler_options=HASTY,
    )
    return [np.asarray(layer["kernel"], np.float64) for layer in draw(key).values()]


def drawn(plan: Plan, activation: str, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the raw network's kernels and biases, one pair a layer, before the first step."""
    moment = get_activation(activation).gaussian_second_moment
    # drawn for ReLU: N(0, 2 / fan_in) behind the first layer
    first, *hidden = drawn_kernels(plan.problem.units, seed)
    kernels = [first, *(np.sqrt(0.5 / moment) * kernel for kernel in hidden)]
    return [(kernel, np.zeros(kernel.shape[1])) for kernel in kernels]


def function_of(activation: str):
    return {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}[activation]


def activations(layers, x, activation: str) -> list[np.ndarray]:
    """Return what each layer of the raw network reads."""
    a, inputs = x, []
    for kernel, bias in layers:
        inputs.append(np.asarray(a))
        a = function_of(activation)(a @ kernel + bias)
    return inputs


def mean_nll(outputs, y):
    return -jnp.mean(jax.nn.log_softmax(outputs)[jnp.arange(len(y)), y])


class Twin:
    """A network whose units are centered, by constants or by the batch's means.

    Its layers are those that give the raw function; ``maps`` are the T of T W'.
    """

    def __init__(self, layers, x, activation: str, centered: str, maps=None):
        self.x, self.activation, self.centered = x, activation, centered
        self.means = [h.mean(0) for h in activations(layers, x, activation)]
        self.maps = maps or [np.eye(len(kernel)) for kernel, _ in layers]
        self.params = [
            (np.linalg.solve(T, kernel), bias + mean @ kernel)
            for T, (kernel, bias), mean in zip(self.maps, layers, self.means, strict=True)
        ]

    def outputs(self, params):
        a = self.x
        for T, mean, (kernel, bias) in zip(self.maps, self.means, params, strict=True):
            own = jnp.mean(a, axis=0) if self.centered == "batch" else mean
            z = (a - own) @ T @ kernel + bias
            a = function_of(self.activation)(z)
        return z

    def lambda_max(self) -> float:
        flat, unravel = jax.flatten_util.ravel_pytree(self.params)
        jacobian = jax.jit(jax.jacrev(lambda t: self.outputs(unravel(t))), compiler_options=HASTY)
        J = np.asarray(jacobian(flat))
        p = np.asarray(jax.nn.softmax(self.outputs(self.params)))
        H = np.einsum("nk,kl->nkl", p, np.eye(p.shape[1])) - p[:, :, None] * p[:, None]
        G = np.einsum("nkp,nkl,nlq->pq", J, H, J) / len(p)
        return float(np.linalg.eigvalsh(G)[-1])

    def descent(self, y, rate: float, steps: int) -> list[float]:
        value_and_grad = jax.jit(
            jax.value_and_grad(lambda params: mean_nll(self.outputs(params), y)),
            compiler_options=HASTY,
        )
        params, losses = self.params, []
        for _ in range(steps):
            loss, grads = value_and_grad(params)
            losses.append(float(loss))
            params = jax.tree.map(lambda p, g: p - rate * g, params, grads)
        return losses


def data_of(plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    data = plan.problem.data
    return np.asarray(data.x_train, np.float64), np.asarray(data.y_train)


def test_every_arm_starts_as_the_function_of_the_drawn_weights(plan, results):
    x, y = data_of(plan)
    for activation in NAMES:
        for seed in range(SEEDS):
            layers = drawn(plan, activation, seed)
            shifted = [(layers[0][0], -x.mean(0) @ layers[0][0]), *layers[1:]]
            expected = {
                start: float(mean_nll(twin.outputs(twin.params), y))
                for start, twin in (
                    ("raw", Twin(layers, x, activation, "constant")),
                    ("shifted", Twin(shifted, x, activation, "constant")),
                )
            }
            for arm in (name for name in arms(activation) if name != "again"):
                measured = results.start("start_loss", activation, arm)[seed]
                told = expected["shifted" if arm in SHIFTED else "raw"]
                assert measured == pytest.approx(told, rel=1e-5), (activation, arm)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("arm", ["both", "batch"])
def test_lambda_max_is_that_of_the_dense_gauss_newton_matrix(plan, results, activation, arm):
    x, _ = data_of(plan)
    twin = Twin(drawn(plan, activation, 1), x, activation, arm)
    measured = results.start("lambda_max", activation, arm)[1]
    assert measured == pytest.approx(twin.lambda_max(), rel=2e-3)


def whitening(h: np.ndarray) -> np.ndarray:
    """Return (C + floor I)^(-1/2) of the covariance of ``h``."""
    C = np.cov(h.T, bias=True)
    values, vectors = np.linalg.eigh(C)
    return (
        vectors
        @ np.diag((np.maximum(values, 0.0) + FLOOR * np.trace(C) / len(C)) ** -0.5)
        @ (vectors.T)
    )


@pytest.mark.parametrize("arm", ["both", "batch", "whitened", "whitened all"])
def test_the_race_is_gradient_descent_on_the_arms_parameters(plan, results, arm):
    x, y = data_of(plan)
    rows = results.climb("relu", arm)
    losses = rows.rows.train_loss.transpose("variant", "seed", "record").values
    for seed in range(SEEDS):
        layers = drawn(plan, "relu", seed)
        inputs = activations(layers, x, "relu")
        maps = [np.eye(h.shape[1]) for h in inputs]
        if arm.startswith("whitened"):
            maps[0] = whitening(inputs[0])
        if arm == "whitened all":
            maps = [whitening(h) for h in inputs]
        twin = Twin(layers, x, "relu", arm, maps)
        # the smallest rate: no step is so large that rounding is blown up
        expected = twin.descent(y, float(rows.rates[0]), STEPS)
        np.testing.assert_allclose(losses[0, seed], expected, rtol=2e-3)


# --- what is measured -------------------------------------------------------------------------


def test_the_inputs_moments_are_the_second_moments_with_the_biass_one(plan, results):
    x, _ = data_of(plan)
    centered, sd = x - x.mean(0), np.sqrt(x.var(0) + FLOOR * x.var(0).mean())
    read = {
        "none": x,
        "scaled": x / sd,
        "both": centered,
        "standardized": centered / sd,
        "whitened": centered @ whitening(x),
    }
    assert set(read) == set(INPUT_ARMS)
    for arm, rows in read.items():
        with_one = np.column_stack([rows, np.ones(len(rows))])
        expected = np.linalg.eigvalsh(with_one.T @ with_one / len(x))[::-1]
        found = input_eigenvalues(results, arm)
        np.testing.assert_allclose(found, np.tile(expected, (SEEDS, 1)), atol=1e-5 * expected[0])
    largest = {row[0]: row[1] for row in inputs_table(results).rows}
    # without a mean the bias's one stands alone
    expected = max(1.0, float(np.linalg.eigvalsh(np.cov(x.T, bias=True))[-1]))
    assert largest["both"] == pytest.approx(expected, rel=1e-4)


def test_signs_are_mixed_where_half_of_the_mean_is_put_back_and_one_in_raw_pixels(results):
    half = results.start("one_signed", "tanh", "fraction 0.5")
    np.testing.assert_array_equal(half[:, 0], 0.0)
    np.testing.assert_array_equal(results.start("one_signed", "tanh", "none")[:, 0], 1.0)
    np.testing.assert_array_equal(results.start("one_signed", "sigmoid", "none"), 1.0)


def test_centered_units_start_without_a_mean_and_the_batchs_stay_without(plan, results):
    rows = results.part("race")
    energy = {
        arm: {
            when: rows[f"mean_energy_{when}"].values[(rows.arm == arm).values]
            for when in ("first", "last")
        }
        for arm in CENTERED
    }
    assert energy["none"]["first"].min() > 0.1
    assert energy["input"]["first"][..., 0].max() < 1e-10
    assert energy["input"]["first"][..., 1:].min() > 0.1
    assert energy["both"]["first"].max() < 1e-10
    assert energy["batch"]["last"].max() < 1e-10
    assert energy["both"]["last"][..., 0].max() < 1e-10  # inputs do not move
    assert np.nanmax(energy["both"]["last"][..., 1:]) > 1e-4  # constants go stale


def test_behind_batch_norm_centered_data_change_nothing_and_behind_layer_norm_they_do(results):
    losses = {
        (norm, arm): results.climb("relu", arm, norm)
        .rows.train_loss.transpose("variant", "seed", "record")
        .values
        for norm in NORMS
        for arm in NORMED
    }
    # slow rates: descents at the edge of stability blow rounding up
    raw, centered = (losses["batch", arm][0] for arm in NORMED)
    np.testing.assert_allclose(raw, centered, rtol=1e-4)
    raw, centered = (losses["layer", arm][0] for arm in NORMED)
    np.testing.assert_allclose(raw[:, 0], centered[:, 0], rtol=1e-5)  # one function
    assert np.abs(raw[:, -1] / centered[:, -1] - 1.0).max() > 1e-3  # another descent


def test_networks_with_norms_start_with_the_weights_of_those_without(plan, results):
    x, y = data_of(plan)
    for seed in range(SEEDS):
        a = x
        *hidden, (kernel, bias) = drawn(plan, "relu", seed)
        for W, _ in hidden:
            z = a @ W
            a = np.maximum((z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5), 0.0)
        expected = float(mean_nll(jnp.asarray(a @ kernel + bias), y))
        rows = results.climb("relu", "none", "batch").rows.train_loss
        measured = rows.transpose("variant", "seed", "record").values[:, seed, 0]
        np.testing.assert_allclose(measured, expected, rtol=1e-4)


# --- the run, from start to page --------------------------------------------------------------


def test_arms_are_races_of_every_activation_and_no_point_is_run_twice(results):
    rows = results.part("race")
    keys = list(zip(*(rows[k].values.tolist() for k in ("activation", "arm", "rate")), strict=True))
    assert len(set(keys)) == len(keys)
    assert {key[:2] for key in keys} == {(name, arm) for name in NAMES for arm in arms(name)}
    assert set(arms("tanh")) == {*CENTERED, *DOSED, *SHIFTED, "again"}
    assert set(arms("relu")) == {*CENTERED, *SCALED}
    assert set(arms("sigmoid")) == set(CENTERED)


def test_two_seeds_decide_nothing_but_what_is_exact(outcome):
    verdicts = {row["id"]: row["verdict"] for row in outcome.rows}
    exact = {"mixed_signs", "matched"}
    assert verdicts["mixed_signs"] != INCONCLUSIVE
    assert {id for id, verdict in verdicts.items() if verdict != INCONCLUSIVE} <= exact
    assert "does not confirm" in outcome.answer


def test_the_page_shows_four_figures_and_tables_of_arms_and_inputs(plan, outcome, results):
    folder = plan.session.folder
    content = json.loads((folder / "claims.json").read_text())
    names = [figure["name"] for figure in content["figures"]]
    assert len(names) == 4
    assert {row["figure"] for row in outcome.rows} <= {*names, None}
    assert all(figure["caption"].endswith(f"{SEEDS} seeds.") for figure in content["figures"])
    lines = (folder / "tables" / "inputs.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == list(INPUT_ARMS)
    lines = (folder / "tables" / "arms.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * len(CENTERED) + len(SCALED)
    assert results.num_seeds == SEEDS


def test_the_dose_figure_shows_the_medians_of_lambda_max(results):
    figure = draw_figures(results)["doses"][0]
    expected = np.median(of_doses(results, "offset", "lambda_max"), axis=0)
    lines = [np.asarray(line.get_ydata(), float) for line in figure.axes[0].lines]
    assert any(line.shape == expected.shape and np.allclose(line, expected) for line in lines)


def test_the_same_command_again_compiles_nothing_and_writes_no_cell(plan, outcome, out):
    cells = plan.session.folder / "cells"
    before = {path: path.stat().st_mtime_ns for path in cells.iterdir()}
    centering.measure(prepared(out, IdleSession))
    assert {path: path.stat().st_mtime_ns for path in cells.iterdir()} == before


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"widths": ("8", "wide")}, "--widths must be integers from 1 to 65536"),
        ({"widths": ()}, "--widths must be integers from 1 to 65536"),
        ({"norms": ("group",)}, "--norms must be names with commas between, of batch, layer"),
        ({"norms": ("batch", "batch")}, "each once"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_sentence(tmp_path, wrong, said):
    with pytest.raises(UsageError, match=said):
        centering.prepare(Config(out=str(tmp_path), **wrong))
    assert not list(tmp_path.iterdir())


# --- reading of hand-made records -------------------------------------------------------------


def race(arm: str, arrivals: Sequence[Sequence[float]]) -> Results:
    """Return a record in which a rate's seeds arrive after so many steps; rates double from 1."""
    steps = np.array(arrivals)
    losses = np.where(np.arange(10) >= steps[..., None], 0.4, 0.6)
    rates = 2.0 ** np.arange(len(steps))
    labels = {"arm": [arm] * len(steps), "activation": ["relu"] * len(steps), "rate": rates}
    coords = {name: ("variant", column) for name, column in labels.items()}
    rows = xr.Dataset({"train_loss": (("variant", "seed", "record"), losses)}, coords)
    made = Results.__new__(Results)
    made.target_loss, made.part = 0.5, lambda name: rows
    made.climb = made._climb
    return made


def test_the_best_rate_is_that_of_the_other_seeds_and_unknown_on_an_edge():
    made = race("none", [[9, 9, 9, 9], [5, 3, 3, 4], [2, 6, 6, 6], [np.nan] * 4])
    # seed 0 alone likes the third rate
    assert made.best_rate("relu", "none").tolist() == [2.0, 2.0, 2.0, 2.0]
    assert made.at_best("steps", "relu", "none").tolist() == [5.0, 3.0, 3.0, 4.0]
    edge = race("none", [[2, 2, 2], [5, 5, 5], [9, 9, 9]])
    assert np.isnan(edge.best_rate("relu", "none")).all()


def test_doses_ascend_from_the_centered_network():
    for family in ("offset", "fraction"):
        positions, names = doses(family)
        assert positions[0] == 0.0
        assert names[0] == "both"
        assert np.all(np.diff(positions) > 0)
        assert set(names) <= set(arms("tanh"))


def test_first_rates_surround_two_over_the_median_of_lambda_max():
    assert first_rungs(np.array([0.25, 0.5, 100.0])) == [1, 2, 3]
    assert first_rungs(np.array([0.5]), below=3) == [-2, -1, 0]


# --- verdicts ---------------------------------------------------------------------------------

FOLK = {
    *(f"data_enough_{name}" for name in NAMES),
    *(f"hidden_enough_{name}" for name in NAMES),
    "mixed_signs_free",
    "tanh_centered",
    "scale_alone",
    "mean_part_kappa",
    "batch_norm_centers",
    "layer_norm_inputs",
}
"""Sentences that are repeated and false in a world where the mean matters."""

MEAN_MATTERS = {
    "none": 100.0,
    "again": 100.0,
    "input": 40.0,
    "hidden": 60.0,
    "both": 10.0,
    "batch": 5.0,
    "scaled": 90.0,
    "standardized": 8.0,
    "whitened": 6.0,
    "whitened all": 8.0,
    "offset -1": 40.0,
    "offset 0.5": 20.0,
    "offset 1": 40.0,
    "offset 1.5": 80.0,
    "fraction 0.25": 15.0,
    "fraction 0.5": 25.0,
    "shifted input": 10.0,
    "shifted both": 10.0,
    "batch none": 6.0,
    "batch input": 6.0,
    "layer none": 90.0,
    "layer input": 30.0,
}

NOTHING_HELPS = {
    **dict.fromkeys(MEAN_MATTERS, 10.0),
    "none": 12.0,
    "input": 10.5,
    "hidden": 10.5,
    "batch": 14.0,
    "again": 20.0,
    "scaled": 11.0,
    "standardized": 13.0,
    "whitened": 3.0,
    "offset -1": 30.0,
    "shifted input": 20.0,
    "batch none": 30.0,
    "layer none": 11.0,
}


class World(Results):
    """A record in which means matter, or one in which they do not."""

    norms = tuple(NORMS)

    def __init__(self, mean_matters: bool, **changed: float):
        self._matters = mean_matters
        self._steps_of = {**(MEAN_MATTERS if mean_matters else NOTHING_HELPS), **changed}
        # enough seeds for a corrected p below .05
        self._noise = 1.0 + 0.01 * np.random.default_rng(0).uniform(-1.0, 1.0, 14)

    def _lambda(self, arm: str) -> float:
        if self._matters:
            return MEAN_MATTERS[arm] / 10.0
        return {"both": 9.0, "batch": 10.0}.get(arm, 100.0 / MEAN_MATTERS[arm])

    def start(self, name, activation, arm):
        if name == "input_moment":
            centered = 1e-3 if self._matters else 0.5
            small = {"none": 1e-4, "both": centered}[arm]
            return np.tile(np.diag([1.0, small]), (len(self._noise), 1, 1))
        told = {
            "lambda_max": self._lambda(arm),
            "start_loss": 2.0 if self._matters or arm == "none" else 2.1,
            "one_signed": 0.0 if self._matters else 0.2,
        }
        if name == "one_signed":
            return told[name] * np.ones((len(self._noise), 3))
        return told[name] * (np.ones_like(self._noise) if name == "start_loss" else self._noise)

    def best_rate(self, activation, arm):
        return self._lambda(arm) ** (-0.7 if self._matters else -1.5) * self._noise

    def at_best(self, name, activation, arm, norm="none"):
        arm = arm if norm == "none" else f"{norm} {arm}"
        if name == "steps":
            return self._steps_of[arm] * self._noise
        if name == "tortuosity":
            rising = self._steps_of[arm] if self._matters else 100.0 / MEAN_MATTERS[arm]
            return rising * self._noise
        told = {"mean_energy_first": (0.3, 0.01), "mean_energy_last": (0.2, 0.01)}[name]
        values = told[0 if self._matters else 1] * self._noise
        return np.stack([np.zeros_like(values), values, values], axis=1)


@pytest.fixture(scope="module")
def worlds():
    return tuple(decide_claims(World(matters)) for matters in (True, False))


def test_every_claim_is_decided_one_way_where_means_matter_and_the_other_where_they_do_not(worlds):
    matters, not_so = ({f.claim.id: f.verdict for f in findings} for findings in worlds)
    assert matters == {id: REFUTED if id in FOLK else SUPPORTED for id in matters}
    assert not_so == {id: SUPPORTED if id in FOLK else REFUTED for id in matters}
    assert set(matters) >= FOLK


def test_what_is_claimed_and_how_it_is_decided_does_not_depend_on_the_record(worlds, outcome):
    one, other = ([f.claim._replace(rule=f.claim.rule.text) for f in w] for w in worlds)
    assert one == other
    for field in ("id", "rule", "sentence"):
        assert [row[field] for row in outcome.rows] == [getattr(claim, field) for claim in one]


def test_claims_have_ids_of_their_own_and_answer_questions_that_are_asked(worlds):
    claims = [finding.claim for finding in worlds[0]]
    assert len({claim.id for claim in claims}) == len(claims)
    assert all(claim.questions and set(claim.questions) <= set(QUESTIONS) for claim in claims)
    assert {claim.id for claim in claims if claim.control} == {
        "again",
        "nothing_to_center",
        "matched",
    }


def test_norms_that_were_not_raced_are_not_claimed_about():
    class Plain(World):
        norms = ()

    ids = {finding.claim.id for finding in decide_claims(Plain(True))}
    every = {finding.claim.id for finding in decide_claims(World(True))}
    assert every - ids == {
        "batch_norm_inputs",
        "batch_norm_centers",
        "batch_norm_buys",
        "layer_norm_inputs",
    }


def test_the_answer_tells_the_numbers_or_names_what_is_not_confirmed(worlds):
    told = answer(worlds[0])
    # none / both, input / both and hidden / both of every activation, both / batch
    for number in ("by 10.0 or more", "4.0 (relu), 4.0 (tanh), 4.0 (sigmoid)", "2.0 on"):
        assert number in told
    assert "6.0 (relu), 6.0 (tanh), 6.0 (sigmoid) times" in told
    refused = answer(worlds[1])
    assert refused.startswith("This run does not confirm the picture: see both")
    one = answer(decide_claims(World(True, batch=10.0)))
    assert one == "This run does not confirm the picture: see batch."


@pytest.mark.parametrize(
    ("id", "effect"), [("means_return", 0.01), ("hidden_enough_tanh", 1.05), ("both", np.nan)]
)
def test_the_answer_tells_no_number_whose_words_a_verdict_does_not_bear(worlds, id, effect):
    told = answer(altered(worlds[0], **{id: effect}))
    assert told == f"This run does not confirm the picture: see {id}."


def test_hidden_units_enough_for_one_activation_are_not_enough_for_the_others():
    class OnlyRelu(World):
        def at_best(self, name, activation, arm, norm="none"):
            values = super().at_best(name, activation, arm, norm)
            is_it = (name, activation, arm, norm) == ("steps", "relu", "hidden", "none")
            return values * 10.5 / 60.0 if is_it else values

    verdicts = {f.claim.id: f.verdict for f in decide_claims(OnlyRelu(True))}
    found = {name: verdicts[f"hidden_enough_{name}"] for name in NAMES}
    assert found == {"relu": SUPPORTED, "tanh": REFUTED, "sigmoid": REFUTED}


def test_seeds_that_never_arrive_decide_nothing():
    class Lost(World):
        def at_best(self, name, activation, arm, norm="none"):
            values = super().at_best(name, activation, arm, norm)
            lost = np.arange(len(values)) < 5
            return np.where(lost.reshape(-1, *[1] * (values.ndim - 1)), np.nan, values)

    verdicts = {f.claim.id: f.verdict for f in decide_claims(Lost(True))}
    known = {"batch_curvature", "mixed_signs", "mean_part_kappa", "matched"}
    known |= {"dose_rate_offset", "dose_rate_fraction"}  # of rates, not of steps
    assert {id for id, verdict in verdicts.items() if verdict != INCONCLUSIVE} == known


def test_a_cell_is_labeled_by_activation_arm_and_rate(plan, outcome):
    rows = load(plan.session.folder, part="norms")
    assert set(rows.norm.values.tolist()) == set(NORMS)
    assert set(rows.arm.values.tolist()) == set(NORMED)
