"""Negative weights at toy size: theorems on held networks, counts, and a run from start to page."""

import functools
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import _session, negative_weights
from experiments._negative_weights.arms import GAIN, STRONG_DECAY, XOR_RATE
from experiments._negative_weights.claims import answer, decide_claims
from experiments._negative_weights.claims.common import NETWORKS, STRONG
from experiments._negative_weights.figures import draw_figures
from experiments._negative_weights.networks import (
    NON_DECREASING_LOSS,
    Network,
    falls,
    growing_inputs,
    interaction,
    mirrored,
    negate_hidden,
)
from experiments._negative_weights.plan import PRESETS, XOR_STEPS, XOR_UNITS, Config, Plan
from experiments._negative_weights.problem import (
    leaky,
    mirror_data,
    mirror_draw,
    weighted,
    xor,
)
from experiments._negative_weights.results import LAYERS, Results, held_table, shares_table
from experiments._negative_weights.signs import READINGS, marks, read_signs, rows_of
from experiments._questions import QUESTIONS
from signdyn.claims import INCONCLUSIVE, REFUTED, SUPPORTED
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.optimizers import make_optimizer
from signdyn.replicas import Draw, draw_replica
from tests.experiments.sessions import HASTY, FastSession, IdleSession

SEEDS, WIDTH, CHANNELS, STEPS, CONV_STEPS = 2, 6, 2, 12, 6

LN2 = math.log(2.0)

LABELS = np.array([0, 1, 1, 0])
"""Of the four points of XOR."""


# --- a run at toy size ------------------------------------------------------------------------


# Compiling is all that takes time here, and emitters of fusions are half of that.


def prepared(out: Path, session: type[_session.Session]) -> Plan:
    config = Config(
        out=str(out),
        seeds=SEEDS,
        num_train=64,
        width=WIDTH,
        channels=CHANNELS,
        steps=STEPS,
        conv_steps=CONV_STEPS,
        block=8,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(negative_weights, "Session", session)
        # JAX is set up already, by conftest.py
        patch.setattr(negative_weights, "start_jax", lambda config: None)
        return negative_weights.prepare(config)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def plan(out) -> Plan:
    return prepared(out, FastSession)


@pytest.fixture(scope="module")
def outcome(plan):
    negative_weights.measure(plan)
    return negative_weights.conclude(plan)


@pytest.fixture(scope="module")
def results(plan, outcome) -> Results:
    return Results(plan.session.folder)


# --- weight decay alone -----------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "momentum"])
def test_weight_decay_without_a_gradient_multiplies_and_flips_no_sign(optimizer):
    rate, decay, steps = 0.1, 0.3, 200
    numbers = {"learning_rate": rate, "momentum": 0.9, "weight_decay": decay}
    hyper = SimpleNamespace(**numbers, damping=math.nan, damping_decay=1.0)
    start = {"layer": {"kernel": jax.random.normal(jax.random.key(0), (20, 30))}}
    nothing = jax.tree.map(jnp.zeros_like, start)
    transform = make_optimizer(optimizer, hyper)

    def step(_, carry):
        params, state = carry
        updates, state = transform.update(nothing, state, params)
        return optax.apply_updates(params, updates), state

    params, _ = jax.lax.fori_loop(0, steps, step, (start, transform.init(start)))
    before, after = start["layer"]["kernel"], params["layer"]["kernel"]
    np.testing.assert_array_equal(jnp.sign(before), jnp.sign(after))
    np.testing.assert_allclose(after, (1.0 - rate * decay) ** steps * before, rtol=1e-12)


def test_an_nll_of_weight_zero_has_no_gradient_and_one_of_weight_one_is_the_likelihood():
    logits, labels = jnp.array([[1.0, -2.0], [0.5, 0.0]]), jnp.array([1, 0])

    def loss(weight):
        return lambda outputs: jnp.sum(weighted(categorical(), weight).nll(outputs, labels))

    np.testing.assert_array_equal(jax.grad(loss(0.0))(logits), 0.0)
    own = categorical().nll(logits, labels)
    np.testing.assert_array_equal(weighted(categorical(), 1.0).nll(logits, labels), own)


def test_in_the_run_weight_decay_alone_leaves_its_law_and_no_negative_weight(results):
    assert results.value("perceptron", "decay_alone", "flipped").max() == 0.0
    assert results.value("perceptron", "decay_alone", "negative").max() == 0.0
    law = (1.0 - 0.1 * STRONG_DECAY) ** np.array(marks(STEPS))
    mean = results.mean_weight("decay_alone")
    np.testing.assert_allclose(mean, np.broadcast_to(law[:, None], mean.shape), rtol=1e-5)


# --- what held networks can do ----------------------------------------------------------------


@functools.cache
def drawn(widths: tuple[int, ...], outputs: int, features: int) -> dict[str, Any]:
    """Return the parameters that seed 0 draws, in float64."""
    draw = functools.partial(draw_replica, MLP(widths, outputs), (4, features), "float32", None)
    key = jax.random.fold_in(jax.random.key(0), 0)
    params = jax.jit(draw, compiler_options=HASTY)(key).params
    return jax.tree.map(lambda leaf: np.asarray(leaf, float), params)


def random_network(seed: int, sizes: Sequence[int], held: Sequence[bool]) -> Network:
    rng = np.random.default_rng(seed)
    shapes = list(itertools.pairwise(sizes))
    kernels = [rng.normal(size=shape) for shape in shapes]
    kernels = [np.abs(k) if h else k for k, h in zip(kernels, held, strict=True)]
    return Network(kernels, [rng.normal(size=shape[1]) for shape in shapes])


def plain(seed: int, sizes: Sequence[int] = (5, 8, 8, 3)) -> Network:
    """Return a network held throughout that reads x, in the form that takes x and -x."""
    network = random_network(seed, sizes, [True] * (len(sizes) - 1))
    first, *rest = network.kernels
    return network._replace(kernels=[np.concatenate([first, 0.0 * first]), *rest])


def nll_on_xor(logits: np.ndarray) -> float:
    return float(np.mean(np.logaddexp(0.0, np.where(LABELS == 1, -logits, logits))))


def on_xor(network: Network) -> np.ndarray:
    return network(mirrored(xor().x_train.astype(float)))[:, 0]


def test_a_network_computes_what_the_model_computes():
    network = random_network(0, (4, 6, 5, 3), [False] * 3)
    layers = zip(network.kernels, network.biases, strict=True)
    params = {f"dense_{i}": {"kernel": k, "bias": b} for i, (k, b) in enumerate(layers)}
    x = np.random.default_rng(1).normal(size=(7, 4))
    expected = MLP((6, 5), 3).apply({"params": params}, jnp.asarray(x))
    np.testing.assert_allclose(network(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_a_held_network_never_falls_and_growths_never_weaken_each_other(seed):
    assert falls(plain(seed)) == 0.0
    assert interaction(plain(seed)) > -1e-13
    free = random_network(seed, (10, 8, 8, 3), [False] * 3)
    assert falls(free) > 0.1
    assert interaction(free) < -1e-3


def test_growths_are_those_of_a_few_inputs_and_the_same_on_every_call():
    x, one, other = growing_inputs(64)
    assert 0.0 <= x.min() <= x.max() <= 1.0
    assert min(one.min(), other.min()) == 0.0
    assert 2.0 < (one > 0).sum(axis=1).mean() < 6.0
    for first, second in zip(growing_inputs(64), (x, one, other), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", range(20))
def test_on_xor_a_held_network_has_a_loss_of_ln_2_at_least_and_never_all_four_points(seed):
    logits = on_xor(plain(seed, (2, 6, 4, 1)))
    f00, f01, f10, f11 = logits
    assert f11 - f01 - f10 + f00 >= -1e-12
    assert nll_on_xor(logits) >= LN2
    assert not np.array_equal(logits > 0, LABELS == 1)


def test_a_non_decreasing_function_alone_can_be_right_on_three_points_of_xor():
    best = np.array([-60.0, LN2, LN2, LN2])
    assert nll_on_xor(best) == pytest.approx(NON_DECREASING_LOSS, abs=1e-12)
    assert ((best > 0) == (LABELS == 1)).sum() == 3
    rng = np.random.default_rng(0)
    f00, f01, f10, f11 = rng.normal(scale=3.0, size=(4, 4000))
    f01, f10 = np.maximum(f01, f00), np.maximum(f10, f00)
    f11 = np.maximum(f11, np.maximum(f01, f10))
    losses = [nll_on_xor(np.array(f)) for f in zip(f00, f01, f10, f11, strict=True)]
    assert min(losses) >= NON_DECREASING_LOSS


def test_with_the_first_layer_free_or_both_signs_of_the_inputs_xor_is_a_held_sum():
    free_first = Network([np.array([[1.0, -1.0], [-1.0, 1.0]])], [np.zeros(2)])
    held = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    both = Network([held], [np.zeros(2)])
    x = xor().x_train.astype(float)
    hidden = np.maximum(free_first(x), 0.0)
    np.testing.assert_array_equal(hidden, np.maximum(both(mirrored(x)), 0.0))
    np.testing.assert_array_equal(hidden.sum(axis=1), LABELS)


def test_negating_the_weights_around_a_hidden_relu_unit_is_another_function():
    one_unit = Network([np.array([[1.0]]), np.array([[1.0]])], [np.zeros(1), np.zeros(1)])
    x = np.array([[-2.0], [3.0]])
    np.testing.assert_array_equal(one_unit(x)[:, 0], [0.0, 3.0])
    np.testing.assert_array_equal(negate_hidden(one_unit)(x)[:, 0], [-2.0, 0.0])


def test_in_the_run_held_kernels_stay_at_zero_or_above_and_xor_is_lost(results):
    for part, arm in (("xor", "held"), ("xor", "mirrored"), ("held", "plain")):
        for network in results.networks(part, arm):
            assert min(kernel.min() for kernel in network.kernels) >= 0.0, (part, arm)
    later = results.networks("xor", "later")
    assert min(network.kernels[1].min() for network in later) >= 0.0
    assert min(network.kernels[0].min() for network in later) < 0.0
    np.testing.assert_allclose(results.value("xor", "held", "final_train_loss"), LN2, atol=1e-3)
    for arm in ("free", "later", "mirrored"):
        np.testing.assert_array_equal(results.value("xor", arm, "final_train_accuracy"), 1.0)


def test_networks_on_record_have_the_losses_on_record(plan, results):
    for arm in results.arms("xor"):
        losses = results.of_networks("xor", arm, lambda network: nll_on_xor(on_xor(network)))
        recorded = results.value("xor", arm, "final_train_loss")
        np.testing.assert_allclose(losses, recorded, rtol=1e-4, err_msg=arm)
    x = mirrored(plan.images.x_train.astype(float))
    for arm in results.arms("held"):
        for seed, network in enumerate(results.networks("held", arm)):
            logits = network(x)
            nll = categorical().nll(jnp.asarray(logits), jnp.asarray(plan.images.y_train))
            recorded = results.value("held", arm, "final_train_loss")[seed]
            assert float(jnp.mean(nll)) == pytest.approx(recorded, rel=1e-4)


def test_weights_of_inputs_that_are_not_mirrored_stay_zero(results):
    for part, arm, features in (("xor", "held", 2), ("xor", "free", 2), ("held", "plain", 64)):
        for network in results.networks(part, arm):
            assert network.kernels[0].shape[0] == 2 * features
            np.testing.assert_array_equal(network.kernels[0][features:], 0.0)
    for network in results.networks("held", "mirrored"):
        assert network.kernels[0][64:].max() > 0.0


def test_held_training_on_xor_is_projected_gradient_descent(results):
    x, y = xor().x_train.astype(float), LABELS
    layers = [np.abs(layer["kernel"]) for layer in drawn((XOR_UNITS,), 1, 2).values()]
    biases = [np.zeros(XOR_UNITS), np.zeros(1)]
    for _ in range(XOR_STEPS):
        z = x @ layers[0] + biases[0]
        h = np.maximum(z, 0.0)
        delta = (1.0 / (1.0 + np.exp(-(h @ layers[1] + biases[1]))) - y[:, None]) / 4.0
        below = (delta @ layers[1].T) * (z > 0)
        layers = [
            np.maximum(layers[0] - XOR_RATE * x.T @ below, 0.0),
            np.maximum(layers[1] - XOR_RATE * h.T @ delta, 0.0),
        ]
        biases = [biases[0] - XOR_RATE * below.sum(0), biases[1] - XOR_RATE * delta.sum(0)]
    network = results.networks("xor", "held")[0]
    np.testing.assert_allclose(network.kernels[0][:2], layers[0], atol=1e-4)
    np.testing.assert_allclose(network.kernels[1], layers[1], atol=1e-4)


# --- what a point of the sweep switches -------------------------------------------------------


def test_a_slope_of_zero_is_relu_to_the_bit_and_so_is_its_derivative():
    z = jnp.concatenate([jnp.linspace(-3.0, 3.0, 13), jnp.array([1e-30, -1e30, 0.0])])
    relu, other = jax.nn.relu, leaky(jnp.array(0.0)).fn
    np.testing.assert_array_equal(other(z), relu(z))
    np.testing.assert_array_equal(jax.vmap(jax.grad(other))(z), jax.vmap(jax.grad(relu))(z))


def test_mirrored_inputs_whose_weights_start_at_zero_leave_the_function_alone():
    params = drawn((XOR_UNITS,), 1, 2)
    x, signs = xor().x_train.astype(float), (np.array([1.0, -1.0]), np.ones(XOR_UNITS))
    own = mirror_draw(Draw(params, signs, np.zeros((2, 4)), None))
    first, last = own.params.values()
    network = Network([first["kernel"], last["kernel"]], [first["bias"], last["bias"]])
    expected = np.maximum(x @ params["dense_0"]["kernel"], 0.0) @ params["dense_1"]["kernel"]
    for mirror in (0.0, 1.0):
        both = np.asarray(mirror_data(xor(), mirror).inputs(jnp.asarray(xor().x_train)))
        np.testing.assert_array_equal(both, np.concatenate([x, -mirror * x], axis=1))
        np.testing.assert_allclose(network(both), expected, rtol=1e-12)
    assert own.signs[0].tolist() == [1.0, -1.0, 1.0, 1.0]
    assert len(own.signs[1]) == XOR_UNITS


def test_the_four_points_are_xor():
    data = xor()
    np.testing.assert_array_equal(data.y_train, data.x_train.sum(axis=1) == 1.0)
    assert len({tuple(x) for x in data.x_train.tolist()}) == 4
    np.testing.assert_array_equal(data.y_train, LABELS)


# --- counting signs ---------------------------------------------------------------------------


counted = jax.jit(read_signs, compiler_options=HASTY)


def layers_of(seed: int) -> list[dict[str, jax.Array]]:
    rng = np.random.default_rng(seed)
    kernels = [rng.normal(size=(3, 3, 2, 4)), rng.normal(size=(9, 5))]
    kernels[1][0, :2] = 0.0
    biases = [rng.normal(size=4), np.array([-1.0, -1.0, 0.0, 1.0, 1.0])]
    return [
        {"kernel": jnp.asarray(k), "bias": jnp.asarray(b)}
        for k, b in zip(kernels, biases, strict=True)
    ]


def test_signs_are_counted_layer_by_layer_whatever_the_layers_shapes():
    start, layers = layers_of(0), layers_of(1)
    rng = np.random.default_rng(2)
    deltas = [jnp.asarray(rng.normal(size=shape)) for shape in ((7, 6, 4), (7, 5))]
    deltas[1] = deltas[1].at[0].set(0.0)
    read = counted(rows_of([layer["kernel"] for layer in start]), layers, deltas)
    assert set(read) == set(READINGS)
    for place, (old, new, delta) in enumerate(zip(start, layers, deltas, strict=True)):
        kernel, bias = np.asarray(new["kernel"]), np.asarray(new["bias"])
        expected = {
            "negative": (kernel < 0).sum(),
            "positive": (kernel > 0).sum(),
            "flipped": (np.asarray(old["kernel"]) * kernel < 0).sum(),
            "mean_weight": kernel.mean(),
            "negative_biases": (bias < 0).mean(),
            "positive_deltas": (delta > 0).sum() / (delta != 0).sum(),
        }
        for name, value in expected.items():
            assert float(read[name][place]) == pytest.approx(float(value), rel=1e-6), name


def test_a_layer_that_diverged_has_no_count_and_leaves_the_other_ones_alone():
    layers = layers_of(1)
    start = rows_of([layer["kernel"] for layer in layers])
    broken = [layers[0], {**layers[1], "kernel": layers[1]["kernel"].at[0, 0].set(jnp.nan)}]
    deltas = [jnp.ones((2, 4)), jnp.ones((2, 5))]
    whole, read = (counted(start, given, deltas) for given in (layers, broken))
    for name in ("negative", "positive", "flipped", "mean_weight"):
        assert float(read[name][0]) == float(whole[name][0])
        assert math.isnan(float(read[name][1])), name


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 64, 100])
def test_marks_ascend_from_the_start_to_what_the_last_step_starts_from(steps):
    places = marks(steps)
    assert places[0] == 0
    assert places[-1] == steps - 1
    assert list(places) == sorted(set(places))


def test_starts_are_half_negative_or_all_positive_and_every_mark_is_read(results):
    for part, layers in LAYERS.items():
        sizes = results.sizes(part)
        assert len(sizes) == len(layers)
        for arm in results.arms(part):
            counts = {name: results.value(part, arm, name) for name in READINGS}
            if arm == "decay_alone":  # whose deltas are all zero
                assert np.isnan(counts.pop("positive_deltas")).all()
            assert all(np.isfinite(values).all() for values in counts.values())
            total = counts["negative"] + counts["positive"]
            np.testing.assert_array_equal(total, np.broadcast_to(sizes, total.shape))
            np.testing.assert_array_equal(counts["flipped"][:, 0], 0.0)
        np.testing.assert_array_equal(results.share(part, "positive")[:, 0], 0.0)
        np.testing.assert_array_equal(
            results.value(part, "positive", "flipped"), results.value(part, "positive", "negative")
        )
        assert 0.3 < results.share_of_all(part, "symmetric")[:, 0].mean() < 0.7
    assert results.sizes("perceptron").tolist() == [64 * WIDTH, WIDTH**2, 10 * WIDTH]
    conv = 9 * CHANNELS
    assert results.sizes("convnet").tolist() == [conv, conv * CHANNELS, conv * CHANNELS, 40 * 2]
    assert results.epoch == 64 // 32
    assert results.marks("perceptron")[results.mark_within("perceptron", 2)] == 2


def test_the_positive_start_is_the_drawn_one_made_positive_and_scaled(results):
    kernels = [layer["kernel"] for layer in drawn((WIDTH, WIDTH), 10, 64).values()]
    expected = [GAIN / WIDTH**0.5 * np.abs(kernel).mean() for kernel in kernels]
    recorded = results.value("perceptron", "positive", "mean_weight")[0, 0]
    np.testing.assert_allclose(recorded, expected, rtol=1e-5)
    negative = [(kernel < 0).sum() for kernel in kernels]
    assert results.value("perceptron", "symmetric", "negative")[0, 0].tolist() == negative


# --- symmetries, in the run -------------------------------------------------------------------


@pytest.mark.parametrize(("arm", "layers"), [("input", [0]), ("hidden", [1, 2])])
def test_negated_activations_change_no_bit_and_shares_of_their_readers_add_up_to_one(
    results, arm, layers
):
    raw, other = (results.value("perceptron", a, "loss") for a in ("positive", f"{arm}_inverted"))
    np.testing.assert_array_equal(raw, other)
    for layer in range(3):
        shares = [results.share("perceptron", a) for a in ("positive", f"{arm}_inverted")]
        shares = [share[..., layer] for share in shares]
        if layer in layers:
            np.testing.assert_allclose(shares[0] + shares[1], 1.0, rtol=1e-12)
        else:
            np.testing.assert_array_equal(shares[0], shares[1])


def test_a_softmax_moves_no_mean_of_output_weights(results):
    for arm in ("symmetric", "positive", "leaky"):
        mean = results.value("perceptron", arm, "mean_weight")[..., -1]
        np.testing.assert_allclose(mean, mean[:, :1].repeat(mean.shape[1], axis=1), atol=1e-6)
    hidden = results.mean_weight("positive")[..., 0]
    assert np.abs(hidden[:, -1] - 1.0).min() > 1e-4


# --- from start to page -----------------------------------------------------------------------


def test_a_toy_run_decides_what_is_exact_and_nothing_else(outcome, results):
    verdicts = {row["id"]: row["verdict"] for row in outcome.rows}
    exact = ("decay_alone", "input_loss", "input_share", "hidden_loss", "hidden_share")
    for name in (*exact, "held_rises", "free_xor", "later_xor", "mirrored_xor"):
        assert verdicts[name] == SUPPORTED, name
    assert verdicts["hidden_plain"] == REFUTED
    assert verdicts["later_stay"] == REFUTED
    for name in ("convnet_half", "arises", "decay_needed", "leaky_same", "again"):
        assert verdicts[name] == INCONCLUSIVE, name
    assert "does not confirm" in outcome.answer
    assert results.num_seeds == SEEDS


def test_the_page_shows_four_figures_and_the_tables_every_arm(plan, outcome, results):
    folder = plan.session.folder
    content = json.loads((folder / "claims.json").read_text())
    names = [figure["name"] for figure in content["figures"]]
    assert len(names) == 4
    assert {row["figure"] for row in outcome.rows} <= {*names, None}
    for figure in content["figures"]:
        assert figure["caption"].endswith(f"{SEEDS} seeds.")
        assert list((folder / "figures").glob(f"{figure['name']}.*"))
    shares = shares_table(results).rows
    expected = [(p, arm, name) for p in LAYERS for arm in results.arms(p) for name in LAYERS[p]]
    assert [row[:3] for row in shares] == expected
    assert [row[1] for row in held_table(results).rows] == [
        *("free", "later", "held", "mirrored"),
        *("positive", "plain", "mirrored"),
    ]
    for table in ("shares", "held"):
        assert (folder / "tables" / f"{table}.csv").exists()


def test_figures_show_the_record(results):
    figure = draw_figures(results)["shares"][0]
    shown = [(part, start) for start in ("symmetric", "positive") for part in NETWORKS]
    for ax, (part, start) in zip(figure.axes, shown, strict=True):
        lines = [np.asarray(line.get_ydata(), float) for line in ax.lines]
        for layer in range(len(LAYERS[part])):
            expected = np.median(results.share(part, start)[..., layer], axis=0)
            assert any(
                line.shape == expected.shape and np.allclose(line, expected) for line in lines
            )


def test_the_same_command_again_compiles_nothing_and_writes_no_cell(plan, outcome, out):
    folder = plan.session.folder
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    negative_weights.measure(prepared(out, IdleSession))
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before


def test_every_preset_is_a_configuration():
    assert set(PRESETS) == {"quick", "default", "paper"}
    for preset in PRESETS.values():
        assert Config(**preset).steps > 16


# --- verdicts ---------------------------------------------------------------------------------


class World(Results):
    """A record in which every claim is true, or every one false.

    Claims of the thread contradict each other, so what they read is told apart from the rest.
    """

    data_name = "digits"
    epoch = 4

    def __init__(self, true: bool):
        self._true = true
        # enough seeds for a corrected p below .05
        self._noise = 1.0 + 0.01 * np.random.default_rng(0).uniform(-1.0, 1.0, 14)

    def _told(self, if_true, if_false) -> np.ndarray:
        """Return [seed, ...] with a little noise, which leaves zeros as they are."""
        value = np.asarray(if_true if self._true else if_false, float)
        return self._noise.reshape(-1, *[1] * value.ndim) * value

    def arms(self, part):
        return ["free", "later", "held", "mirrored"]

    def steps(self, part):
        return 8  # marks 0, 1, 2, 4, 7

    def share(self, part, arm):
        if arm == "symmetric":
            return self._told(np.full((5, 3), 0.5), np.full((5, 3), 0.1))
        if arm == "positive":
            few = np.array(
                [[0, 0, 0], [0, 0, 0.1], [0.1, 0, 0.1], [0.3, 0.02, 0.1], [0.3, 0.02, 0.1]]
            )
            many = np.array([[0, 0, 0], *[[0.01] * 3] * 3, [0.5, 0.3, 0.3]])
            return self._told(many, few)
        assert (part, arm) == ("perceptron", STRONG)
        return self._told(np.full((5, 3), 0.5), np.full((5, 3), 0.3))

    def share_of_all(self, part, arm, *, first=0):
        if first:  # of later layers, for leaky ReLU
            if part == "convnet":
                return self._told([0.0, 0.0], [0.0, 0.3])
            return (
                self._told([0.0, 0.03], [0.0, 0.4])
                if arm == "leaky"
                else self._told([0.0, 0.01], [0.0, 0.3])
            )
        if arm == "symmetric":
            return self._told([0.5, 0.5], [0.5, 0.3])
        told = {
            ("convnet", "positive"): ([0.0, 0.0, 0.0, 0.02, 0.4], [0.0, 0.0, 0.0, 0.02, 0.01]),
            ("perceptron", "positive"): ([0.0, 0.1], [0.0, 0.3]),
            ("perceptron", "again"): ([0.0, 0.1], [0.0, 0.1]),
            ("perceptron", STRONG): ([0.0, 0.4], [0.0, 0.3]),
        }
        return self._told(*told[part, arm])

    def value(self, part, arm, name):
        if name == "final_train_loss" and part == "xor":
            return self._told(0.0, 0.0) + (LN2 if self._true else 0.6)
        if name == "final_train_loss":
            told = {"positive": (0.1, 0.5), "plain": (0.5, 0.1), "mirrored": (0.3, 0.3)}
            return self._told(*told[arm])
        if name == "final_train_accuracy":
            return self._told(0.0, 0.0) + (1.0 if self._true else 0.75)
        if name == "loss":
            other = arm.endswith("inverted")
            return self._told(0.0, 0.0)[:, None] + np.ones(3) * (1.0 + (not self._true) * other)
        if arm == "decay_alone":
            assert name == "flipped"
            return self._told(np.zeros((2, 3)), [[0.0] * 3, [1.0, 0.0, 0.0]])
        if arm == "symmetric":
            told = {
                "negative": ([[50.0], [50.0]], [[50.0], [50.0]]),
                "flipped": ([[0.0], [20.0]], [[0.0], [80.0]]),
                "negative_biases": ([[0.0, 0.0], [0.3, 0.3]], [[0.0, 0.0], [0.01, 0.01]]),
            }
            return self._told(*told[name])
        if name == "positive_deltas":
            return self._told(np.full((2, 3), 0.5), np.full((2, 3), 0.02))
        # of weights that read negated activations: as many as were positive, or one more
        counts = np.full((len(self._noise), 5, 3), 7.0)
        return counts + (name == "negative" and not self._true)

    def mean_weight(self, arm):
        rate = 0.1 * (0.0 if arm == "positive" else float(arm.removeprefix("decay_")))
        law = (1.0 - rate) ** self.marks("perceptron")
        law = np.broadcast_to(law[:, None], (len(self._noise), 5, 3))
        return law + (0.0 if self._true else 0.1)

    def of_networks(self, part, arm, measure):
        told = {
            ("_change_when_negated", "free"): (0.0, 5.0),
            ("falls", "plain"): (0.0, 0.1),
            ("falls", "mirrored"): (0.2, 0.001),
            ("interaction", "plain"): (-1e-15, -0.1),
        }
        return self._told(*told[measure.__name__, arm])


@pytest.fixture(scope="module")
def worlds():
    return tuple(decide_claims(World(true)) for true in (True, False))


def test_every_claim_is_supported_where_it_is_true_and_refuted_where_it_is_false(worlds):
    true, false = ({f.claim.id: f.verdict for f in findings} for findings in worlds)
    # twice as many negative weights as none at all would be none
    assert true == {**dict.fromkeys(true, SUPPORTED), "later_stay": REFUTED}
    assert false == dict.fromkeys(true, REFUTED)


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [((0.0, 0.0), SUPPORTED), ((0.0, 0.3), REFUTED), ((0.3, 0.0), REFUTED)],
)
def test_negative_weights_in_one_network_refute_that_later_layers_stay(shares, verdict):
    class Later(World):
        def share_of_all(self, part, arm, *, first=0):
            values = super().share_of_all(part, arm, first=first)
            share = dict(zip(NETWORKS, shares, strict=True))[part]
            return np.full_like(values, share) if first and arm == "positive" else values

    verdicts = {f.claim.id: f.verdict for f in decide_claims(Later(True))}
    assert verdicts["later_stay"] == verdict


@pytest.mark.parametrize(
    ("layers", "verdict"),
    [((0.48, 0.5, 0.52), SUPPORTED), ((0.48, 0.7, 0.7), REFUTED), ((0.3, 0.5, 0.7), REFUTED)],
)
def test_half_of_every_layer_is_half_of_the_layer_farthest_from_it(layers, verdict):
    class Decayed(World):
        def share(self, part, arm):
            return (
                self._told([layers] * 5, [layers] * 5)
                if arm == STRONG
                else super().share(part, arm)
            )

    verdicts = {f.claim.id: f.verdict for f in decide_claims(Decayed(True))}
    assert verdicts["decay_half"] == verdict


def test_the_headline_gives_numbers_where_the_picture_holds_and_names_what_fails(worlds):
    true, false = (answer(findings) for findings in worlds)
    assert "50%" in true
    assert "does not confirm" in false
    assert "held_xor" in false


def test_what_is_claimed_and_how_it_is_decided_does_not_depend_on_the_record(worlds, outcome):
    true, false = ([f.claim._replace(rule=f.claim.rule.text) for f in w] for w in worlds)
    assert true == false
    for name in ("id", "rule", "sentence", "statistic"):
        assert [row[name] for row in outcome.rows] == [getattr(claim, name) for claim in true]


def test_claims_have_ids_of_their_own_and_answer_every_question_of_the_first_thread(worlds):
    claims = [finding.claim for finding in worlds[0]]
    assert len({claim.id for claim in claims}) == len(claims)
    asked = {question for claim in claims for question in claim.questions}
    assert asked == {id for id in QUESTIONS if id.startswith("a")}
    assert all(claim.questions for claim in claims)
    assert any(claim.control for claim in claims)
