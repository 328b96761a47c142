"""Sign coherence at toy size: slow twins, theorems, hand-made records, a run from start to page."""

import dataclasses
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from experiments import _session, sign_coherence
from experiments._cli import UsageError
from experiments._sign_coherence import convolution, features, networks, plan, scopes, training
from experiments._sign_coherence.claims import answer, decide_claims
from experiments._sign_coherence.claims.common import ALL, EXAMPLE, MINIBATCH, SIGNED
from experiments._sign_coherence.features import NUM_WEIGHTS
from experiments._sign_coherence.figures import draw_figures
from experiments._sign_coherence.plan import RATES, TRAINED_ARMS, Config, Plan
from experiments._sign_coherence.readings import (
    attributed,
    batches,
    mean_by_size,
)
from experiments._sign_coherence.results import (
    Results,
    predicted_agreement,
    predicted_bias_agreement,
    predicted_delta_agreement,
    predicted_unanimity,
)
from experiments._sign_coherence.start import ACTIVATIONS
from experiments._sign_coherence.training import recorded_steps, snapshot_probe
from signdyn.activations import get_activation
from signdyn.claims import REFUTED, SUPPORTED
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.models.traces import trace_batch
from signdyn.sweeps import quick_to_compile
from signdyn.training import Observation
from tests.experiments.findings import altered
from tests.experiments.sessions import HASTY, FastSession, IdleSession

SEEDS, NUM_TRAIN, WIDTH, STEPS, BATCH = 2, 64, 16, 64, 32


# --- a run at toy size ------------------------------------------------------------------------


def prepared(out: Path, session: type[_session.Session], **options) -> Plan:
    values = {
        "seeds": SEEDS,
        "num_train": NUM_TRAIN,
        "width": WIDTH,
        "steps": STEPS,
        "batch_size": BATCH,
        "convolution_steps": 2,
        "block": 8,
    }
    config = Config(out=str(out), **{**values, **options})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sign_coherence, "Session", session)
        # JAX is set up already, by conftest.py
        patch.setattr(sign_coherence, "start_jax", lambda config: None)
        return sign_coherence.prepare(config)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def toy(out) -> Plan:
    return prepared(out, FastSession)


@pytest.fixture(scope="module")
def outcome(toy):
    sign_coherence.measure(toy)
    return sign_coherence.conclude(toy)


@pytest.fixture(scope="module")
def results(toy, outcome) -> Results:
    return Results(toy)


@pytest.fixture(scope="module")
def draws(toy) -> Mapping[str, Any]:
    """What the first seed of every part but the features is drawn as."""
    key = jax.random.fold_in(jax.random.key(0), 0)
    parts = {job.group.part: job.group.train_fn.draw for job, _ in plan.make_jobs(toy)}
    return {
        part: jax.tree.map(np.asarray, jax.jit(draw, compiler_options=quick_to_compile())(key))
        for part, draw in parts.items()
        if part != "features"
    }


def quick(function, **options):
    return jax.jit(function, compiler_options=HASTY, **options)


# --- slow twins -------------------------------------------------------------------------------


def pairs_that_agree(grad: np.ndarray) -> float:
    """Return the share over pairs of a unit's nonzero entries, mean over units, one by one."""
    shares = []
    for column in grad.T:
        signs = np.sign(column[column != 0])
        pairs = [a == b for a, b in itertools.combinations(signs, 2)]
        shares += [np.mean(pairs)] if pairs else []
    return float(np.mean(shares)) if shares else np.nan


def by_batches(x: np.ndarray, d: np.ndarray, size: int, most: int) -> float:
    starts = range(0, len(x) - size + 1, size)[:most]
    grads = [x[i : i + size].T @ d[i : i + size] for i in starts]
    return float(np.mean([pairs_that_agree(grad) for grad in grads]))


def layers_of(draw: Any, width: int, x: np.ndarray, y: np.ndarray, phi, slope, moment: float):
    """Return inputs and deltas of every layer of a network that really is so narrow."""
    last = len(draw.kernels) - 1
    kernels = []
    for index, kernel in enumerate(draw.kernels):
        rows = slice(None) if index == 0 else slice(width)
        columns = slice(None) if index == last else slice(width)
        own = kernel[rows, columns].astype(float)
        kernels.append(own / np.sqrt(len(own) * (1.0 if index == 0 else moment)))
    inputs, zs = [x.astype(float)], []
    for kernel in kernels:
        zs.append(inputs[-1] @ kernel)
        inputs.append(phi(zs[-1]))
    outputs = np.exp(zs[-1] - zs[-1].max(axis=1, keepdims=True))
    deltas = [outputs / outputs.sum(axis=1, keepdims=True) - np.eye(outputs.shape[1])[y]]
    for kernel, z in zip(kernels[:0:-1], zs[-2::-1], strict=True):
        deltas.insert(0, deltas[0] @ kernel.T * slope(z))
    return inputs[:-1], deltas


SLOPES = {
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: (z > 0).astype(float)),
    "sigmoid": (scipy.special.expit, lambda z: scipy.special.expit(z) * scipy.special.expit(-z)),
}


def start_layers(
    toy: Plan, draws: Mapping[str, Any], activation: str = "relu", width: int = WIDTH
) -> Any:
    draw = draws["start"]
    x, y = toy.data.x_train[draw.order], toy.data.y_train[draw.order]
    moment = get_activation(activation).gaussian_second_moment
    return draw, *layers_of(draw, width, x, y, *SLOPES[activation], moment)


@pytest.mark.parametrize(
    ("activation", "arm", "width"),
    [
        ("relu", "raw", WIDTH),
        ("sigmoid", "raw", WIDTH),
        ("sigmoid", "narrow", WIDTH // plan.NARROW),
    ],
)
def test_agreement_on_digits_is_that_of_gradients_added_up_and_compared_pair_by_pair(
    toy, draws, results, activation, arm, width
):
    draw, inputs, deltas = start_layers(toy, draws, activation, width)
    for kind, units in (("agreement", deltas), ("random_agreement", [draw.deltas] * 3)):
        measured = results.start(kind, activation, arm)[0]
        for layer, place in itertools.product(range(3), (2, 5, 6)):
            size = results.sizes[place]
            expected = by_batches(inputs[layer], units[layer], size, 4)
            assert measured[layer, place] == pytest.approx(expected, abs=0.003)


def test_the_plateau_is_the_mean_over_pairs_of_inputs_that_are_not_always_zero(toy, draws, results):
    _, inputs, _ = start_layers(toy, draws)
    for layer, x in enumerate(inputs):
        moments = x.T @ x
        live = np.flatnonzero(np.diag(moments) > 0)
        cosines = [
            moments[i, k] / np.sqrt(moments[i, i] * moments[k, k])
            for i, k in itertools.combinations(live, 2)
        ]
        expected = np.mean(0.5 + np.arcsin(np.minimum(cosines, 1.0)) / np.pi)
        measured = results.start("plateau", "relu")[0, layer]
        assert measured == pytest.approx(expected, abs=1e-5)


def test_scopes_count_the_signs_of_outer_products(toy, draws, results):
    _, inputs, deltas = start_layers(toy, draws)
    coherences, unanimous, whole = [], [], []
    for n in range(NUM_TRAIN):
        layers = [np.sign(np.outer(x[n], d[n])) for x, d in zip(inputs, deltas, strict=True)]
        signs = [layer[layer != 0] for layer in layers]
        with np.errstate(invalid="ignore"):
            coherences.append([abs(one.sum()) / np.float64(len(one)) for one in signs])
        unanimous.append([abs(one.sum()) == len(one) if len(one) else np.nan for one in signs])
        together = np.concatenate(signs)
        whole.append(abs(together.sum()) / len(together))
    measured = results.start("layer_coherence", "relu")[0]
    np.testing.assert_allclose(measured, np.nanmean(coherences, axis=0), atol=1e-5)
    measured = results.start("layer_unanimity", "relu")[0]
    np.testing.assert_allclose(measured, np.nanmean(unanimous, axis=0), atol=1e-5)
    assert results.start("network_coherence", "relu")[0] == pytest.approx(np.mean(whole), abs=1e-5)


def test_signs_of_outer_products_are_those_of_their_factors():
    rng = np.random.default_rng(0)
    x, d = rng.integers(-1, 2, (7, 5)), rng.integers(-1, 2, (7, 4))
    outer = np.einsum("nf,nu->nfu", x, d)
    counts = scopes.outer_counts(jnp.asarray(x, float), jnp.asarray(d, float))
    np.testing.assert_array_equal(counts[0], (outer > 0).sum(axis=(1, 2)))
    np.testing.assert_array_equal(counts[1], (outer < 0).sum(axis=(1, 2)))


def test_positive_deltas_and_chance_are_counted_over_deltas_that_are_not_zero(toy, draws, results):
    _, _, deltas = start_layers(toy, draws)
    measured = results.start("positive_deltas", "relu")[0]
    expected = [np.mean(d[d != 0] > 0) for d in deltas]
    np.testing.assert_allclose(measured, expected, atol=1e-6)
    signs = np.random.default_rng(0).choice([-1, 1], (20_000, 5)).sum(axis=1)
    chance = scopes.chance(jnp.array([[1.0, -1.0, 2.0, 3.0, 1.0, 0.0]]))
    assert float(chance[0]) == pytest.approx(np.mean(np.abs(signs)) / 5, abs=0.01)


def test_training_takes_the_steps_of_plain_gradient_descent(toy, draws, results):
    draw = draws["training"]
    x, y = jnp.asarray(toy.data.x_train), jnp.asarray(toy.data.y_train)
    point = networks.Point(0.0, float(WIDTH))
    _, params = networks.network(draw, point, training.ACTIVATIONS)
    model, likelihood = MLP((WIDTH, WIDTH), 10, "relu"), categorical()
    trace = quick(lambda p, x, y: trace_batch(model, likelihood, p, x, y))
    for arm, (factor, minibatches) in TRAINED_ARMS.items():
        rate = factor * RATES["relu"] * plan.RATE_WIDTH / WIDTH
        now, losses = params, []
        for step in range(STEPS):
            losses.append(float(trace(now, x, y).loss))
            rows = draw.batches[step] if minibatches else np.arange(NUM_TRAIN)
            # a shape of its own would be compiled anew; a mean over repeated rows is the same
            rows = np.repeat(rows, NUM_TRAIN // len(rows))
            grads = trace(now, x[rows], y[rows]).grads
            now = jax.tree.map(lambda p, g, rate=rate: p - rate * g, now, grads)
        measured = results.training("loss", "relu", arm)[0]
        expected = [losses[step] for step in results.steps]
        np.testing.assert_allclose(measured, expected, rtol=2e-5)
        if arm != "mini":
            rises = np.mean(np.diff(losses) > 0)
            assert results.training("loss_rises", "relu", arm)[0] == pytest.approx(rises)


def test_minibatches_hold_their_own_examples_only(draws):
    draw = draws["training"]
    _, params = networks.network(draw, networks.Point(0.0, float(WIDTH)), training.ACTIVATIONS)
    own, _ = networks.replica(draw, networks.Point(0.0, float(WIDTH), minibatches=1.0), params)
    for read, batch in zip(np.asarray(own.batches), draw.batches, strict=True):
        values, counts = np.unique(read, return_counts=True)
        assert values.tolist() == sorted(batch.tolist())
        assert set(counts) == {NUM_TRAIN // BATCH}


def test_readings_in_training_start_with_those_of_the_start(results):
    for name, kind in itertools.product(RATES, ("agreement", "plateau")):
        first = {arm: results.training(kind, name, arm)[:, 0] for arm in TRAINED_ARMS}
        for arm in TRAINED_ARMS:
            np.testing.assert_array_equal(first[arm], first["full"])


# --- theorems ---------------------------------------------------------------------------------


def test_a_common_sign_on_one_example_and_positive_weights_are_exact(results):
    for name in RATES:
        for arm in TRAINED_ARMS:
            assert (results.training("agreement", name, arm)[..., EXAMPLE] == 1.0).all()
    for name in ACTIVATIONS:
        assert (results.start("signs_from_above", name) == 1.0).all()
        assert (results.start("tied", name)[:, 1] == 1.0).all()
        assert (results.start("parity_network_unanimity", name)[:, 1] == 1.0).all()
        assert (results.start("network_unanimity", name) == 0.0).all()
        np.testing.assert_allclose(results.start("positive_deltas", name)[:, -1], 0.9, rtol=1e-6)
    assert (results.convolution("unanimity")[..., 0] == 1.0).all()
    assert (results.convolution("readout_unanimity") == 1.0).all()


def test_flipped_networks_are_raw_ones_once_their_means_are_made_positive(results):
    for name in plan.CONTROLLED:
        aligned = results.start("aligned_agreement", name, "flipped")
        np.testing.assert_array_equal(aligned, results.start("aligned_agreement", name))
        raw = results.start("agreement", name)
        np.testing.assert_array_equal(aligned, raw)  # units without negative values need no flip
        assert (results.start("agreement", name, "flipped") != raw).any()
    for name in SIGNED:
        aligned, raw = (
            results.start(kind, name)[:, 1:] for kind in ("aligned_agreement", "agreement")
        )
        assert aligned.mean() > raw.mean()


def test_a_convolutions_gradient_is_the_sum_over_the_positions_that_are_kept(toy, draws, results):
    draw, shown = draws["convolution"], convolution.SHOWN
    padded = np.pad(toy.data.x_train[:shown].reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    patches = windows.reshape(shown, 64, 9).astype(float)
    for place, number in enumerate(results.positions):
        kept = np.flatnonzero(draw.order < number)
        assert len(kept) == number
        grads = np.einsum("npf,npu->nfu", patches[:, kept], draw.deltas[:, kept])
        expected = np.nanmean([pairs_that_agree(grad) for grad in grads])
        measured = results.convolution("random_agreement")[0, 0, 0, place]
        # an example is worth as many units as have a pair; here nearly all have
        assert measured == pytest.approx(expected, abs=0.02 if number < 16 else 0.003)


def test_drawn_features_have_the_moments_and_signs_that_closed_forms_assume():
    draw = quick(lambda at: features._drawn(jax.random.key(3), at, 4096))
    for family, more in (("sigmoid", {}), ("uniform", {}), ("normal", {"shift": 0.7})):
        x, deltas = draw(features.point(family, **more))
        mean, std = features.moments(family, **more)
        assert float(x.mean()) == pytest.approx(mean, abs=0.01)
        assert float(x.std()) == pytest.approx(std, abs=0.01)
        assert float(deltas.mean()) == pytest.approx(0.0, abs=0.01)
    at = features.point("normal", shift=0.7, correlation=0.8, delta_mean=0.5)
    x, deltas = draw(at)
    moments = np.asarray(x.T @ x) / len(x)
    cosine = moments[0, 1] / np.sqrt(moments[0, 0] * moments[1, 1])
    assert cosine == pytest.approx(features.cosine("normal", 0.7, 0.8), abs=0.02)
    assert float(deltas.mean()) == pytest.approx(0.5, abs=0.01)
    flipped, _ = draw(features.point("sigmoid", flip=1.0))
    assert ((flipped > 0).all(axis=0) | (flipped < 0).all(axis=0)).all()
    with pytest.raises(ValueError, match="only normal features"):
        features.cosine("relu", correlation=0.5)


def attributed_pair_by_pair(x: np.ndarray, bias_grad: float, noise: np.ndarray) -> float:
    mean, spread = x.mean(axis=0), x.std(axis=0)
    size = np.sqrt(np.mean((noise / spread) ** 2))
    p = scipy.special.ndtr(mean * bias_grad / (spread * size))
    pairs = list(itertools.combinations(range(len(p)), 2))
    return float(np.mean([p[i] * p[k] + (1 - p[i]) * (1 - p[k]) for i, k in pairs]))


def test_the_means_part_predicts_gradients_made_of_a_mean_and_noise():
    rng = np.random.default_rng(1)
    mean, spread = rng.uniform(0.2, 1.0, 40), rng.uniform(0.2, 1.0, 40)
    mean[:2], spread[:3] = 0.0, 0.0  # two inputs that are absent, and one that is constant
    x = mean + spread * rng.normal(size=(4000, 40))
    bias = np.array([*np.full(300, 0.8), 0.0, 1e6, -1e6])
    noise = 0.6 * spread[:, None] * rng.normal(size=(40, len(bias)))
    predicted = quick(attributed)(jnp.asarray(x), jnp.asarray(bias), jnp.asarray(noise))
    for unit in (0, 299, 300):
        expected = attributed_pair_by_pair(x[:, 3:], bias[unit], noise[3:, unit])
        assert float(predicted[unit]) == pytest.approx(expected, rel=1e-9)
    grads = (mean[:, None] * bias + noise)[3:, :300]  # of the inputs that vary
    assert float(predicted[:300].mean()) == pytest.approx(pairs_that_agree(grads), abs=0.01)
    # nobody follows a bias that stays, all one that outweighs everything
    np.testing.assert_allclose(predicted[300:], [0.5, 1.0, 1.0], atol=1e-6)


def test_batches_are_disjoint_and_their_means_leave_out_what_is_undefined():
    made = batches(16, (1, 4, 16), most=3)
    for size, members in zip(made.sizes, made.members, strict=True):
        own = made.masks[members > 0]
        assert (own.sum(axis=1) == size).all()
        assert own.sum(axis=0).max() == 1.0
        assert len(own) == min(3, 16 // size)
    values = jnp.array([1.0, jnp.nan, 3.0, jnp.nan, jnp.nan, jnp.nan, 7.0])
    np.testing.assert_array_equal(mean_by_size(made, values), [2.0, np.nan, 7.0])


def test_snapshots_are_taken_before_the_steps_that_are_recorded():
    assert recorded_steps(2) == (0, 1)
    assert recorded_steps(9) == (0, 1, 2, 4, 8)
    probe = snapshot_probe(lambda params: {"seen": params}, (0, 2, 3))
    state = probe.init(jnp.zeros(()))
    for step in range(5):
        seen = Observation(jnp.array(step), None, jnp.array(10.0 + step), None, None)
        state = probe.observe(state, seen)
    assert state["seen"].tolist() == [10.0, 12.0, 13.0]


# --- the run ----------------------------------------------------------------------------------


def test_every_figure_that_a_claim_names_is_drawn_and_written(results, outcome, out):
    figures = draw_figures(results)
    named = {row["figure"] for row in outcome.rows}
    assert named == set(figures)
    for name, (_, caption) in figures.items():
        assert f"{SEEDS} seeds" in caption
        assert (out / "sign_coherence" / "figures" / f"{name}.svg").exists()
    assert (out / "report.html").read_text().count("<svg") >= len(figures)


def test_too_few_seeds_decide_nothing_but_exact_claims(outcome):
    decided = {row["id"] for row in outcome.rows if row["verdict"] != "inconclusive"}
    assert decided == {
        "network",
        "from_above",
        "tied_if_positive",
        "network_if_positive",
        "example",
        "convolution_position",
        "convolution_readout",
    }


def test_the_same_command_again_computes_nothing_and_changes_nothing(out, outcome):
    folder = out / "sign_coherence"
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    again = prepared(out, IdleSession)
    sign_coherence.measure(again)
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_train": 100}, "--num_train must be a power of two, got 100"),
        ({"batch_size": 24}, "--batch_size must be a power of two, got 24"),
        ({"batch_size": 64}, "--batch_size must be below --num_train=64"),
    ],
)
def test_numbers_that_do_not_fit_together_are_refused(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        prepared(tmp_path, IdleSession, **options)


def test_presets_name_options_and_keep_batches_settled():
    names = {field.name for field in dataclasses.fields(Config)}
    for preset, values in plan.PRESETS.items():
        assert set(values) <= names
        plan.check_config(Config(preset=preset, **values))


# --- verdicts ---------------------------------------------------------------------------------


class World(Results):
    """A record in which every claim is true, or every one false."""

    def __init__(self, true: bool):
        self._true = true
        self.dataset = "digits"
        self.sizes = 2 ** np.arange(10)
        self.batch_size = 32
        self.steps = np.array([0, 1, 2, 4, 8, 16, 32, 63])
        self.positions = np.array([1, 4, 16])
        # enough seeds for a corrected p below .05
        self._jitter = 1e-4 * np.random.default_rng(0).uniform(-1.0, 1.0, 12)

    def _told(self, value: Any, *, exact: bool = False) -> np.ndarray:
        value = np.asarray(value, float)
        jitter = 0.0 * self._jitter if exact else self._jitter
        return value + jitter.reshape(-1, *[1] * value.ndim)

    def features(self, name, family, **more):
        shift, delta_mean = more.get("shift", 0.0), more.get("delta_mean", 0.0)
        if name == "unanimity":
            told = np.array([predicted_unanimity(family, n) for n in NUM_WEIGHTS])
            told = np.tile(told if self._true else told + 0.2, (len(self.sizes), 1))
            told[-1, -1] = 1.0 if self._true and family == "sigmoid" else told[-1, -1]
            return self._told(told)
        if name == "bias_agreement":
            told = predicted_bias_agreement(family, shift)
            if delta_mean:
                told = predicted_delta_agreement(delta_mean, int(self.sizes[-1]))
            return self._told(np.full(len(self.sizes), told if self._true else told + 0.2))
        if more.get("flip") or (family == "normal" and not more):
            return self._told(np.full(len(self.sizes), 0.5 if self._true else 0.7))
        rising, falling = np.linspace(0.5, 1.0, len(self.sizes)), np.linspace(1.0, 0.9, 10)
        if delta_mean:
            return self._told(rising if self._true else np.full(len(self.sizes), 0.6))
        if not self._true:
            return self._told(falling if family == "relu" else rising)
        told = predicted_agreement(family, shift, more.get("correlation", 0.0))
        told = 0.5 if family == "relu" else told  # where a batch mixes signs until none is left
        return self._told([1.0, *[told] * (len(self.sizes) - 1)])

    def start(self, name, activation, arm="raw"):
        layers, sizes = np.ones(3), np.ones((3, len(self.sizes)))
        by_arm = {
            "agreement": {"raw": (0.8, 0.5), "again": (0.8, 0.9), "flipped": (0.5, 0.7)},
            "random_agreement": {"raw": (0.7, 0.7), "narrow": (0.7, 0.9)},
            "unanimity": {"raw": (0.1, 0.1), "narrow": (0.4, 0.1)},
        }
        if name in by_arm:
            signed = name == "agreement" and activation in SIGNED
            told = (0.5, 0.7) if signed else by_arm[name][arm]
            return self._told(sizes * told[0 if self._true else 1])
        told = {
            "aligned_agreement": (0.7, 0.5, sizes),
            "plateau": (0.7, 0.5, layers),
            "layer_unanimity": (1.0, 0.1, layers),
            "layer_coherence": (0.2, 0.5, layers),
            "layer_chance": (0.2, 0.2, layers),
            "positive_deltas": (1.0, 0.1, layers)
            if activation == "sigmoid"
            else (0.4, 0.9, layers),
            "positive_residuals": (1.0, 0.5, np.ones(2)),
            "network_unanimity": (0.0, 0.5, np.ones(())),
            "signs_from_above": (1.0, 0.9, np.ones(2)),
            "parity_network_unanimity": (1.0, 0.9, np.ones(2)),
            "tied": (1.0, 0.9, np.ones((2, 2))),
        }
        if_true, if_false, shape = told[name]
        exact = ("network_unanimity", "signs_from_above", "parity_network_unanimity", "tied")
        values = self._told((if_true if self._true else if_false) * shape, exact=name in exact)
        if name == "tied" and self._true:
            values[:, 0] = 0.5 + self._jitter[:, None]
        return values

    def training(self, name, activation, arm="full"):
        shape = np.ones((len(self.steps), 3))
        if name == "loss_rises":
            return self._told(0.3 if (arm == "large") == self._true else 0.0)
        if name == "plateau":
            return self._told(shape * (0.7 if self._true else 0.9))
        share = np.linspace(0.9, 0.1, len(self.steps)) if self._true else 0.5 * shape[:, 0]
        if name == "mean_share":
            return self._told(share[:, None, None] * np.ones((3, 3)))
        if name == "centered_agreement":
            return self._told(np.full((len(self.steps), 3, 3), 0.5 if self._true else 0.7))
        agreement = np.ones((len(self.steps), 3, 3))
        agreement[..., EXAMPLE] = 1.0 if self._true else 0.9
        agreement[..., MINIBATCH] = 0.7 if self._true else 0.5
        agreement[..., ALL] = (0.7 if arm == "full" else 0.9) if self._true else 0.52
        if name == "attributed":
            agreement += 0.0 if self._true else 0.2
        values = self._told(agreement)
        values[..., EXAMPLE] = agreement[..., EXAMPLE]
        return values

    def convolution(self, name):
        positions = np.ones((2, 2, len(self.positions)))
        told = {
            "unanimity": (1.0, 0.5, positions),
            "agreement": (0.8, 0.5, positions),
            "random_agreement": (0.7, 0.7, positions),
            "plateau": (0.7, 0.6, np.ones((2, 2))),
            "readout_unanimity": (1.0, 0.5, np.ones(2)),
        }
        if_true, if_false, shape = told[name]
        values = self._told((if_true if self._true else if_false) * shape)
        if name in ("unanimity", "readout_unanimity"):
            values[..., 0] = if_true if self._true else if_false
        if name == "readout_unanimity":
            values[:] = if_true if self._true else if_false
        return values


@pytest.fixture(scope="module")
def worlds():
    return tuple(decide_claims(World(true)) for true in (True, False))


def test_every_claim_is_supported_where_it_is_true_and_refuted_where_it_is_false(worlds):
    true, false = ({f.claim.id: f.verdict for f in findings} for findings in worlds)
    assert true == dict.fromkeys(true, SUPPORTED)
    assert false == dict.fromkeys(true, REFUTED)


def test_how_claims_are_decided_does_not_depend_on_the_record(worlds, outcome):
    true, false = ([f.claim._replace(rule=f.claim.rule.text) for f in w] for w in worlds)
    assert true == false
    assert [row["id"] for row in outcome.rows] == [claim.id for claim in true]
    assert [row["rule"] for row in outcome.rows] == [claim.rule for claim in true]


def test_claims_have_ids_of_their_own_and_answer_questions_that_are_asked(worlds):
    claims = [finding.claim for finding in worlds[0]]
    assert len({claim.id for claim in claims}) == len(claims)
    asked = {*(f"a{n}" for n in range(1, 9)), *(f"b{n}" for n in range(1, 16))}
    assert all(claim.questions and set(claim.questions) <= asked for claim in claims)
    answered = {question for claim in claims for question in claim.questions}
    assert answered >= {"b1", "b2", "b3", "b10", "b12", "b13", "b15"}
    controls = {claim.id for claim in claims if claim.control}
    assert controls == {
        "no_mean",
        "flipped_features",
        "flipped_networks",
        "small_steps",
        "again",
    }


MIXED = {"mixed": 0.1, "all_weights": 0.4, "late_relu": 0.04, "late_sigmoid": 0.02}
MIXED["convolution_first"] = 0.3
"""What people say of batches and convolutions is wrong; the rest is as they say."""


def test_the_answer_tells_the_numbers_or_names_what_is_not_confirmed(worlds):
    found = altered(worlds[0], **MIXED)
    told = answer(found)
    for number in ("60% move the same way", "40% of the time", "54% relu", "52% sigmoid"):
        assert number in told
    undone = {"late_relu": 0.35, "plateau_reached": 0.1, "all_weights": 1.0, "mixed": np.nan}
    undone["convolution_first"] = 1.0
    for id, effect in undone.items():
        one = answer(altered(found, **{id: effect}))
        assert one == f"This run does not confirm the picture: see {id}."
    refused = answer(worlds[1])
    assert refused.startswith("This run does not confirm the picture")
    for id in ("example", "plateau", "noise_relu", "oscillation_sigmoid", "attributed"):
        assert id in refused
