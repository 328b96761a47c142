"""Vanishing gradients at toy size: identities, slow twins, verdicts, a run from start to page."""

import functools
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from experiments import _session, vanishing_gradients
from experiments._cli import UsageError
from experiments._fisher_spectrum.activation import NAMES
from experiments._questions import QUESTIONS
from experiments._vanishing_gradients import start
from experiments._vanishing_gradients.claims import answer, decide_claims
from experiments._vanishing_gradients.claims.quantities import predicted_fall
from experiments._vanishing_gradients.descent import LOST, crossing
from experiments._vanishing_gradients.figures import draw_figures
from experiments._vanishing_gradients.network import (
    Batch,
    Form,
    Traces,
    Weights,
    outputs,
    plain,
    predicted_grads,
    reparametrized,
    started,
    trace,
)
from experiments._vanishing_gradients.plan import (
    AGAIN,
    FIRST_RATES,
    PRESETS,
    Config,
    Plan,
    Race,
    check_config,
    races,
    start_job,
)
from experiments._vanishing_gradients.problem import pooled
from experiments._vanishing_gradients.results import Results, facts_table
from experiments._vanishing_gradients.start import ARMS, FALLING, PAIR
from signdyn.centering import CENTERINGS
from signdyn.claims import INCONCLUSIVE, REFUTED, SUPPORTED
from signdyn.data import Dataset
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.models.traces import trace_batch
from signdyn.records import load
from signdyn.replicas import Hyper, Structure, draw_replica, start_replica
from signdyn.resume import run_group
from tests.experiments.findings import altered
from tests.experiments.sessions import FastSession, IdleSession

WIDTH, LAYERS, CLASSES, EXAMPLES = 4, 3, 3, 10

PHI = {
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: 1.0 * (z > 0)),
    "tanh": (np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
    "sigmoid": (
        lambda z: 1.0 / (1.0 + np.exp(-z)),
        lambda z: np.exp(-z) / (1.0 + np.exp(-z)) ** 2,
    ),
}
"""Activations and their derivatives, once more."""


# --- networks of any weights, against NumPy ---------------------------------------------------


def some_weights(seed: int) -> Weights:
    """Return weights of no particular kind; biases too, as after some training."""
    rng = np.random.default_rng(seed)
    shapes = (LAYERS, WIDTH, WIDTH), (LAYERS, WIDTH), (WIDTH, CLASSES), (CLASSES,)
    return Weights(*(jnp.asarray(rng.normal(size=shape)) for shape in shapes))


def some_batch(seed: int) -> Batch:
    rng = np.random.default_rng(100 + seed)
    x, y = rng.normal(size=(EXAMPLES, WIDTH)), rng.integers(0, CLASSES, EXAMPLES)
    return Batch(jnp.asarray(x), jnp.asarray(y))


def some_signs(seed: int) -> jax.Array:
    rng = np.random.default_rng(200 + seed)
    return jnp.asarray(rng.choice([-1.0, 1.0], (LAYERS + 1, WIDTH)))


class Twin(NamedTuple):
    """A forward and backward pass in NumPy: lists over layers, the readout's last."""

    loss: float
    inputs: list[np.ndarray]
    deltas: list[np.ndarray]
    kernels: list[np.ndarray]
    biases: list[np.ndarray]
    lambda_max: float = math.nan


def twin(weights: Weights, batch: Batch, form: Form, activation: str, depth: int) -> Twin:
    phi, slope_of = PHI[activation]
    w = jax.tree.map(np.asarray, weights)
    kernels = [*w.kernels[:depth], w.readout_kernel]
    biases = [*w.biases[:depth], w.readout_bias]
    places = [*range(depth), -1]  # of the sites
    slopes, gains, shifts = (np.asarray(v) for v in (form.slopes, *form.sites[:2]))
    a, inputs, zs = np.asarray(batch.x), [], []
    for layer, place in enumerate(places):
        inputs.append(gains[place] * (a + shifts[place]))
        zs.append(inputs[-1] @ kernels[layer] + biases[layer])
        a = phi(slopes[layer] * zs[-1]) if layer < depth else a

    def backward(top: np.ndarray) -> list[np.ndarray]:
        deltas = [top]
        for layer in reversed(range(depth)):
            back = (deltas[0] @ kernels[layer + 1].T) * gains[places[layer + 1]]
            deltas.insert(0, back * slopes[layer] * slope_of(slopes[layer] * zs[layer]))
        return deltas

    p = np.exp(zs[-1] - zs[-1].max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    n, (rows, y) = len(p), (np.arange(len(p)), np.asarray(batch.y))
    deltas = backward(p - np.eye(p.shape[1])[y])
    # the Fisher's other Gram matrix: rows are examples and columns of the outputs' factor
    factor = np.eye(p.shape[1]) * np.sqrt(p)[:, None, :] - p[:, :, None] * np.sqrt(p)[:, None, :]
    scores = [backward(factor[:, :, r]) for r in range(p.shape[1])]
    gram = sum(
        np.einsum("nm,rnu,smu->nrms", h @ h.T + 1.0, d, d, optimize=True)
        for h, d in zip(inputs, (np.stack(each) for each in zip(*scores, strict=True)), strict=True)
    )
    return Twin(
        float(-np.log(p[rows, y]).mean()),
        inputs,
        deltas,
        [h.T @ d / n for h, d in zip(inputs, deltas, strict=True)],
        [d.mean(axis=0) for d in deltas],
        float(np.linalg.eigvalsh(gram.reshape(p.size, p.size))[-1]) / n,
    )


def as_twin(traces: Traces, depth: int) -> Twin:
    """Return the traces of the layers that count; the readout's delta is not among them."""
    grads = traces.grads
    return Twin(
        float(traces.loss),
        [*traces.inputs[:depth], traces.inputs[-1]],
        [*traces.deltas[:depth]],
        [*grads.kernels[:depth], grads.readout_kernel],
        [*grads.biases[:depth], grads.readout_bias],
    )


@functools.cache
def compiled(function: Any) -> Any:
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def arm_of(name: str, activation: str, depth: int, seed: int) -> tuple[Weights, Form, Traces]:
    """Return the weights and form of one arm, and the raw network's traces."""
    weights = some_weights(seed)
    form = plain(float(NAMES.index(activation)), float(depth), weights)
    traces = compiled(trace)(weights, some_batch(seed), form)
    own = compiled(reparametrized)(weights, form, traces, some_signs(seed), *ARMS[name])
    return *own, traces


@pytest.mark.parametrize("activation", NAMES)
def test_losses_gradients_and_deltas_are_those_of_the_chain_rule_in_every_arm(activation):
    for depth in (1, LAYERS):
        for name in ARMS:
            weights, form, _ = arm_of(name, activation, depth, seed=depth)
            batch = some_batch(depth)
            own = as_twin(compiled(trace)(weights, batch, form), depth)
            expected = twin(weights, batch, form, activation, depth)
            assert own.loss == pytest.approx(expected.loss, rel=1e-12)
            for field in ("inputs", "kernels", "biases"):
                for one, other in zip(getattr(own, field), getattr(expected, field), strict=True):
                    np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
            for one, other in zip(own.deltas, expected.deltas[:-1], strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("activation", NAMES)
@pytest.mark.parametrize("depth", range(1, LAYERS + 1))
def test_centering_takes_the_mean_times_the_biases_gradient_and_no_delta(activation, depth):
    weights, form, raw = arm_of("centered", activation, depth, seed=3)
    own = compiled(trace)(weights, some_batch(3), form)
    mu = np.asarray(raw.inputs).mean(axis=1)
    mu[0] = 0.0  # inputs are not centered by an arm
    g = raw.grads
    expected = np.asarray(g.kernels) - mu[:-1, :, None] * np.asarray(g.biases)[:, None, :]
    readout = np.asarray(g.readout_kernel) - np.outer(mu[-1], g.readout_bias)
    # gradients are of order one here
    np.testing.assert_allclose(own.grads.kernels, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(own.grads.readout_kernel, readout, rtol=0, atol=1e-14)
    np.testing.assert_allclose(own.grads.biases, g.biases, rtol=0, atol=1e-14)
    np.testing.assert_allclose(own.deltas, raw.deltas, rtol=0, atol=1e-14)
    # and it is no small thing
    assert np.abs(readout - np.asarray(g.readout_kernel)).max() > 1e-3


@pytest.mark.parametrize("name", ["raw, level", "raw, falling", "centered, falling"])
def test_slopes_multiply_deltas_and_gradients_and_leave_what_is_read(name):
    depth = LAYERS
    weights, form, raw = arm_of(name, "sigmoid", depth, seed=5)
    own = compiled(trace)(weights, some_batch(5), form)
    k = np.asarray(form.slopes)[:, None, None]
    assert not np.allclose(k[0], 1.0)
    np.testing.assert_allclose(own.deltas, k * raw.deltas, rtol=1e-12, atol=1e-15)
    expected = predicted_grads(raw.grads, form)
    for one, other in zip(own.grads, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-14 * float(k.max()))
    if name.startswith("raw"):
        np.testing.assert_allclose(own.inputs, raw.inputs, rtol=1e-14)


def test_chosen_slopes_make_deltas_level_or_fall_by_the_factor_a_layer():
    for name, fall in (("raw, level", 1.0), ("centered, falling", FALLING)):
        for depth in (1, 2, LAYERS):
            weights, form, raw = arm_of(name, "tanh", depth, seed=7)
            deltas = np.asarray(compiled(trace)(weights, some_batch(7), form).deltas)[:depth]
            rms = np.sqrt((deltas**2).mean(axis=(1, 2)))
            expected = fall ** np.arange(depth)[::-1]
            np.testing.assert_allclose(rms / rms[-1], expected, rtol=1e-12)
            last = np.sqrt(np.mean(np.asarray(raw.deltas)[depth - 1] ** 2))
            assert rms[-1] == pytest.approx(last, rel=1e-12)


def test_every_arm_is_the_same_function():
    for activation in NAMES:
        weights, form, _ = arm_of("raw", activation, LAYERS, seed=11)
        expected = compiled(outputs)(weights, some_batch(11).x, form)
        np.testing.assert_array_equal(weights.kernels, some_weights(11).kernels)
        for name in ARMS:
            weights, form, _ = arm_of(name, activation, LAYERS, seed=11)
            found = compiled(outputs)(weights, some_batch(11).x, form)
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_a_relu_below_which_all_units_are_off_has_the_same_delta_in_every_arm():
    weights, batch = some_weights(31), some_batch(31)
    dark = weights.biases.at[0].set(-99.0)  # the first layer is off on every example
    for second in (-0.01, 0.01):
        biases = dark.at[1].set(second)
        raw = weights._replace(biases=biases)
        form = plain(float(NAMES.index("relu")), 2.0, raw)
        traces = compiled(trace)(raw, batch, form)
        assert np.any(traces.deltas[1]) == (second > 0)
        arm = ARMS["centered"]
        own, new = compiled(reparametrized)(raw, form, traces, some_signs(31), *arm)
        found = compiled(trace)(own, batch, new)
        np.testing.assert_allclose(found.deltas, traces.deltas, rtol=0, atol=1e-14)


def test_no_unit_starts_on_its_kink(plan):
    for seed in range(SEEDS):
        assert np.all(np.abs(started(drawn(plan.draw, seed).normal, 0.0).biases) > 0)


def test_layers_beyond_the_depth_are_never_read():
    weights, form, _ = arm_of("centered", "tanh", 1, seed=13)
    other = weights._replace(kernels=weights.kernels.at[1:].set(99.0))
    one, two = (compiled(trace)(w, some_batch(13), form) for w in (weights, other))
    assert one.loss == two.loss
    assert not np.any(two.grads.kernels[1:])
    assert not np.any(two.grads.biases[1:])
    assert np.all(np.any(two.grads.kernels[0], axis=0))


def test_a_network_is_the_librarys_perceptron_with_the_librarys_sites():
    model = MLP((WIDTH,) * 2, CLASSES, "sigmoid")
    weights, batch = some_weights(17), some_batch(17)
    raw = {
        f"dense_{i}": {"kernel": weights.kernels[i], "bias": weights.biases[i]} for i in range(2)
    }
    raw["dense_2"] = {"kernel": weights.readout_kernel, "bias": weights.readout_bias}
    own, form, _ = arm_of("centered", "sigmoid", 2, seed=17)
    places = (0, 1, -1)
    sites = tuple(jax.tree.map(lambda leaf, p=p: leaf[p], form.sites) for p in places)
    means = tuple(jnp.zeros(WIDTH) for _ in places)
    matched = model.matched(raw, sites, means)
    np.testing.assert_allclose(matched["dense_1"]["bias"], own.biases[1], rtol=1e-12)
    np.testing.assert_allclose(matched["dense_2"]["bias"], own.readout_bias, rtol=1e-12)
    traces = trace_batch(model, categorical(), matched, batch.x, batch.y, sites)
    mine = as_twin(compiled(trace)(own, batch, form), 2)
    assert mine.loss == pytest.approx(float(traces.loss), rel=1e-12)
    for layer in range(3):
        grads = traces.grads[f"dense_{layer}"]
        np.testing.assert_allclose(mine.kernels[layer], grads["kernel"], rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(mine.inputs[layer], traces.inputs[layer], rtol=1e-12)
    for layer in range(2):
        np.testing.assert_allclose(mine.deltas[layer], traces.deltas[layer], rtol=1e-9, atol=1e-13)


def test_the_librarys_centering_obeys_the_identity_too():
    rng = np.random.default_rng(19)
    x = jnp.asarray(rng.uniform(size=(EXAMPLES, 5)))
    y = jnp.asarray(rng.integers(0, CLASSES, EXAMPLES))
    data = SimpleNamespace(x_train=x, y_train=y, num_classes=CLASSES)
    model = MLP((6, 6), CLASSES, "sigmoid")
    structure = Structure(model, categorical())

    def traced(centering):
        draw = draw_replica(model, x.shape, "float64", None, jax.random.key(0))
        begun = start_replica(structure, data, draw, Hyper(0.1, centering=centering))
        return trace_batch(model, categorical(), begun.params, x, y, begun.sites)

    raw, centered = (compiled(traced)(CENTERINGS[name]) for name in ("none", "both"))
    for place, name in enumerate(model.layer_names):
        g = raw.grads[name]
        expected = g["kernel"] - np.outer(raw.means[place], g["bias"])
        np.testing.assert_allclose(centered.grads[name]["kernel"], expected, rtol=0, atol=1e-14)
        np.testing.assert_allclose(centered.grads[name]["bias"], g["bias"], rtol=0, atol=1e-14)
        np.testing.assert_allclose(centered.deltas[place], raw.deltas[place], rtol=0, atol=1e-14)
        assert np.abs(expected - g["kernel"]).max() > 1e-3


def test_a_gap_shows_what_breaks_the_identity_and_says_by_how_much():
    weights, form, raw = arm_of("centered", "relu", 2, seed=29)
    own = compiled(trace)(weights, some_batch(29), form)
    find = compiled(start._gap)
    gap = {name: np.asarray(value) for name, value in find(own, raw, form).items()}
    assert np.nanmax(gap["kernel_gap"]) < 1e-14
    assert np.isnan(gap["delta_gap"]).tolist() == [False, False, True]
    assert np.isnan(gap["kernel_gap"]).tolist() == [False, False, True, False]
    largest = np.abs(raw.grads.kernels[1]).max()
    bent = own.grads.kernels.at[1, 0, 0].add(0.25 * largest)
    off = find(own._replace(grads=own.grads._replace(kernels=bent)), raw, form)
    np.testing.assert_allclose(off["kernel_gap"][1], 0.25, rtol=1e-10)
    assert off["kernel_gap"][0] < 1e-14
    # the raw network's own gradients are not what centering makes of them
    assert find(raw, raw, form)["kernel_gap"][1] > 0.01
    off = find(own._replace(deltas=1.5 * own.deltas), raw, form)
    assert float(off["delta_gap"][0]) == pytest.approx(0.5)


# --- the problem, the plan --------------------------------------------------------------------


def test_pixels_are_pooled_centered_and_of_mean_square_one():
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(50, 64)).astype(np.float32)
    labels = np.arange(50, dtype=np.int32) % 10
    data = Dataset("toy", "toy", images, labels, images[:1], labels[:1], 10, (8, 8))
    pixels = pooled(data, 4)
    assert pixels.shape == (50, 16)
    np.testing.assert_allclose(pixels.mean(axis=0), 0.0, atol=1e-12)
    assert np.mean(pixels**2) == pytest.approx(1.0)
    squares = images.reshape(50, 8, 8)[:, :2, 2:4].mean(axis=(1, 2), dtype=np.float64)
    assert np.corrcoef(pixels[:, 1], squares)[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "told"),
    [({"side": 3}, "--side must divide 8"), ({"trained_depth": 16}, "at most --max_depth=8")],
)
def test_what_cannot_be_run_is_refused_in_one_sentence(options, told):
    with pytest.raises(UsageError, match=told):
        check_config(Config(**options))


def test_presets_can_be_run():
    for preset in PRESETS.values():
        check_config(Config(**preset))


def test_every_race_is_entered_once_and_arms_come_in_pairs():
    entered = races(Config(trained_depth=4))
    assert len(set(entered)) == len({race.name for race in entered}) == len(entered)
    raw = {race[:3] for race in entered if race.arm == "raw"}
    assert raw == {race[:3] for race in entered if race.arm == "centered"}
    assert {race.depth for race in entered} == {1, 2, 4}
    assert [r for r in entered if r.slopes != "own" and r.depth != 4] == []
    again = {race[:3] for race in entered if race.arm == "again"}
    assert again == {(AGAIN, 1, "own"), (AGAIN, 2, "own")}
    assert again <= raw


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([2.0], 0.0),
        ([3.0], math.nan),
        ([4.0, 2.0], 1.0),
        ([8.0, 4.0, 1.0], 1.5),
        ([8.0, 9.0], math.nan),
    ],
)
def test_the_crossing_lies_between_steps_where_a_line_on_a_log_scale_has_it(losses, expected):
    padded = jnp.array([*losses, jnp.nan])
    np.testing.assert_allclose(crossing(padded, len(losses), 2.0), expected)


# --- a run at toy size ------------------------------------------------------------------------


# Compiling is all that takes time here, and emitters of fusions are half of that.

SEEDS, STEPS = 2, 24


def prepared(out: Path, session: type[_session.Session]) -> Plan:
    config = Config(
        out=str(out),
        seeds=SEEDS,
        side=4,
        num_examples=16,
        max_depth=3,
        trained_depth=2,
        steps=STEPS,
        target_fraction=0.9,
        block=16,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vanishing_gradients, "Session", session)
        # JAX is set up already, by conftest.py
        patch.setattr(vanishing_gradients, "start_jax", lambda config: None)
        return vanishing_gradients.prepare(config)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def plan(out) -> Plan:
    return prepared(out, FastSession)


@pytest.fixture(scope="module")
def outcome(plan):
    vanishing_gradients.measure(plan)
    return vanishing_gradients.conclude(plan)


@pytest.fixture(scope="module")
def results(plan, outcome) -> Results:
    return Results(plan.session.folder)


@functools.cache
def drawn(draw: Any, seed: int) -> Any:
    return draw(jax.random.fold_in(jax.random.key(0), seed))


def begun(plan: Plan, seed: int, activation: str, depth: int) -> tuple[Weights, Batch, Form]:
    """Return a raw network of the run as it starts, its kernels scaled here."""
    draw = drawn(plan.draw, seed)
    w = jax.tree.map(np.asarray, draw.normal)
    z = np.random.default_rng(0).normal(size=2_000_000)
    moment = {"relu": 0.5, "tanh": np.mean(np.tanh(z) ** 2)}.get(activation)
    if moment is None:
        moment = np.mean(PHI["sigmoid"][0](z) ** 2)
    scale = (plan.width * np.array([1.0] + [moment] * depth)) ** -0.5
    kernels = w.kernels[:depth] * scale[:depth, None, None]
    biases = 0.01 * w.biases[:depth]
    weights = Weights(kernels, biases, w.readout_kernel * scale[-1], w.readout_bias)
    return weights, draw.batch, plain(float(NAMES.index(activation)), float(depth), weights)


def test_two_devices_give_the_bits_of_one_in_float64(plan, tmp_path):
    """Laid over both as one program, these starts were seen to differ in their last bits."""

    def measured(devices):
        (tmp_path / str(len(devices))).mkdir()
        with plan.session.precision():
            job, variants = start_job(plan)
            layout = plan.session.layout._replace(block=4, devices=devices)
            run_group(tmp_path / str(len(devices)), job.group, variants, layout)
        cells = (tmp_path / str(len(devices)) / "cells").glob("*.nc")
        return {cell.name: cell.read_bytes() for cell in cells}

    one, two = measured(jax.devices()[:1]), measured(jax.devices()[:2])
    assert len(one) > 2
    assert one == two


def test_what_is_recorded_of_a_start_is_what_a_twin_measures(plan, results):
    for seed in range(SEEDS):
        for activation in NAMES:
            depth = results.depths[-1]
            one = twin(*begun(plan, seed, activation, depth), activation, depth)
            rms = [np.sqrt(np.mean(delta**2)) for delta in one.deltas[:-1]]
            norms = [np.linalg.norm(kernel) for kernel in one.kernels]
            energy = [
                np.sum(h.mean(axis=0) ** 2) / np.mean(np.sum(h**2, axis=1)) for h in one.inputs
            ]
            for name, expected in (
                ("delta_rms", rms),
                ("kernel_gradient", norms),
                ("mean_energy", energy),
            ):
                # the twin's moments are of a large sample
                measured = results.start(name, activation, depth, "raw")[seed]
                np.testing.assert_allclose(measured, expected, rtol=0.01, err_msg=name)
            assert results.start("loss", activation, depth, "raw")[seed, 0] == pytest.approx(
                one.loss, rel=0.01
            )
            assert results.start("lambda_max", activation, depth, "raw")[seed] == pytest.approx(
                one.lambda_max, rel=0.01
            )


def test_a_few_steps_later_losses_are_lower_and_the_same_in_all_arms(results):
    for activation in NAMES:
        for depth in results.depths:
            losses = results.start("loss", activation, depth)  # [seed, arm, time]
            np.testing.assert_allclose(losses, losses[:, :1].repeat(len(ARMS), axis=1), rtol=1e-12)
            assert np.all(losses[:, 0, 1] < losses[:, 0, 0])


def test_layers_beyond_the_depth_are_left_out_of_the_record(plan, results):
    rows = load(plan.session.folder, part="start")
    assert np.isnan(
        rows.delta_rms.isel(variant=(rows.depth == 1).values, layer=slice(1, None))
    ).all()
    assert results.start("delta_rms", "relu", 1).shape == (SEEDS, len(ARMS), 1)
    assert results.start("mean_energy", "relu", 2, "raw").shape == (SEEDS, 3)
    assert results.start("kernel_gap", "relu", 2, "raw").shape == (SEEDS, 2, 3)
    for name in ("delta_rms", "mean_energy", "kernel_gap", "bias_gap", "slope"):
        assert np.isfinite(results.start(name, "sigmoid", 3)).all()
    assert results.start("lambda_max", "tanh", 2, PAIR[1]).shape == (SEEDS,)


def test_a_descent_is_gradient_descent_at_its_rate_over_lambda_max(plan, results):
    activation, depth = "sigmoid", 2
    descents = results.climb(Race(activation, depth, "own", "raw"))
    rows = descents.rows.isel(variant=0)
    assert FIRST_RATES[activation] in descents.rates
    for seed in range(SEEDS):
        top = float(rows.lambda_max[seed])
        rate = float(rows.step_size[seed])
        assert rate * top == pytest.approx(descents.rates[0], rel=1e-6)
        assert top == pytest.approx(results.start("lambda_max", activation, depth, "raw")[seed])
        weights, batch, form = begun(plan, seed, activation, depth)
        weights = jax.tree.map(np.array, weights)
        losses = rows.loss.values[seed]
        for step, loss in enumerate(losses[np.isfinite(losses)][:5]):
            one = twin(weights, batch, form, activation, depth)
            assert loss == pytest.approx(one.loss, rel=0.02), step
            weights = Weights(
                weights.kernels - rate * np.stack(one.kernels[:depth]),
                weights.biases - rate * np.stack(one.biases[:depth]),
                weights.readout_kernel - rate * one.kernels[-1],
                weights.readout_bias - rate * one.biases[-1],
            )


def test_descents_end_with_the_first_loss_at_the_target_or_lost(plan, results):
    lost = LOST * math.log(plan.num_classes)
    ends = set()
    for race in races(plan.config):
        descents = results.climb(race)
        losses = results.losses(race)
        for row, steps in zip(losses.reshape(-1, STEPS), descents.steps.ravel(), strict=True):
            known = int(np.isfinite(row).sum())
            assert np.isnan(row[known:]).all()
            assert np.all((row[: known - 1] > plan.target_loss) & (row[: known - 1] < lost))
            arrived = row[known - 1] <= plan.target_loss
            assert known == STEPS or arrived or row[known - 1] >= lost
            # a rate at which one of two seeds does not arrive counts as one at which none does
            assert np.isnan(steps) or (arrived and known - 2 < steps <= known - 1)
            ends.add((bool(arrived), bool(np.isfinite(steps))))
    assert (True, True) in ends
    assert (False, True) not in ends


def test_a_rate_at_which_too_many_seeds_never_arrive_is_nobodys_best(results):
    nan = np.nan
    steps = [[9.0] * 8, [5.0] * 6 + [nan] * 2, [2.0] * 5 + [nan] * 3, [nan] * 8]
    rows = results.climb(Race("relu", 1, "own", "raw")).rows
    labels = {"rate": ("variant", [1.0, 2.0, 4.0, 8.0])}
    for name in ("activation", "depth", "slopes", "arm"):
        labels[name] = ("variant", [rows[name].values[0]] * 4)
    made = Results(Path("nowhere"))
    made._descent = xr.Dataset({"steps": (("variant", "seed"), np.array(steps))}, labels)
    found = made.climb(Race("relu", 1, "own", "raw"))
    assert found.rates[found.best] == 2.0  # at 4 three of eight never arrive
    np.testing.assert_array_equal(made.at_best(Race("relu", 1, "own", "raw")), steps[1])


def test_flipped_networks_take_the_same_descent_bit_for_bit(results):
    for activation in NAMES:
        flipped = Race(activation, 2, "own", "flipped")
        raw = results.climb(flipped._replace(arm="raw"))
        place = raw.rates.tolist().index(FIRST_RATES[activation])
        np.testing.assert_array_equal(
            results.losses(flipped)[0], results.losses(flipped._replace(arm="raw"))[place]
        )


def test_the_page_tells_every_claim_and_draws_every_figure(plan, outcome, results):
    content = json.loads((plan.session.folder / "claims.json").read_text())
    ids = [row["id"] for row in content["findings"]]
    assert ids == [row["id"] for row in outcome.rows]
    drawn = [figure["name"] for figure in content["figures"]]
    assert {row["figure"] for row in content["findings"]} - {None} == set(drawn)
    for name in drawn:
        assert (plan.session.folder / "figures" / f"{name}.svg").exists()
    exact = {row["id"]: row for row in content["findings"] if row["id"].startswith("flip_")}
    assert {row["verdict"] for row in exact.values()} == {SUPPORTED}
    assert {row["high"] for row in exact.values()} == {0.0}
    assert all(f"{results.num_seeds} seeds." in figure["caption"] for figure in content["figures"])


def test_facts_have_a_row_an_arm(results):
    table = facts_table(results)
    assert len(table.rows) == len(NAMES) * 3 * 2
    by_arm = {row[:3]: dict(zip(table.columns[3:], row[3:], strict=True)) for row in table.rows}
    for activation in NAMES:
        level = by_arm[activation, "level", "centered"]
        falling = by_arm[activation, "falling", "raw"]
        assert level["first_over_last"] == pytest.approx(1.0)
        assert falling["first_over_last"] == pytest.approx(FALLING)
        assert level["mean_energy"] < 1e-20 < falling["mean_energy"]


def test_a_second_run_computes_nothing(out, plan, outcome):
    cells = plan.session.folder / "cells"
    before = sorted(cells.iterdir())
    vanishing_gradients.measure(prepared(out, IdleSession))
    assert sorted(cells.iterdir()) == before


# --- verdicts ---------------------------------------------------------------------------------


def test_deltas_of_relus_neither_fall_nor_grow_and_those_of_others_by_their_slope():
    assert predicted_fall("relu") == pytest.approx(1.0)  # E[1(z > 0)] / E[z^2 1(z > 0)]
    z = np.linspace(-10.0, 10.0, 200_001)
    density = np.exp(-(z**2) / 2)
    for activation in ("tanh", "sigmoid"):
        phi, slope = (function(z) ** 2 @ density for function in PHI[activation])
        assert predicted_fall(activation) == pytest.approx(math.sqrt(slope / phi), rel=1e-6)


DEPTHS, TRAINED = [1, 2, 8], [1, 4]

STEPS_TOLD = {
    # (activation, depth, slopes, arm): steps where claims are true, and where they are false
    ("relu", 4, "own", "raw"): (20.0, 10.0),
    ("relu", 4, "own", "centered"): (10.0, 20.0),
    ("relu", 1, "own", "raw"): (12.0, 20.0),
    ("relu", 1, "own", "centered"): (10.0, 20.0),
    ("relu", 4, "level", "raw"): (10.0, 30.0),
    ("relu", 4, "level", "centered"): (10.0, 10.0),
    ("relu", 4, "falling", "raw"): (40.0, 15.0),
    ("relu", 4, "falling", "centered"): (20.0, 20.0),
    ("sigmoid", 4, "own", "raw"): (20.0, 10.0),
    ("sigmoid", 4, "own", "centered"): (10.0, 20.0),
    ("sigmoid", 1, "own", "raw"): (20.0, 20.0),
    ("sigmoid", 1, "own", "centered"): (10.0, 20.0),
    ("sigmoid", 1, "own", "again"): (20.0, 40.0),
    ("sigmoid", 4, "level", "raw"): (10.0, 30.0),
    ("sigmoid", 4, "level", "centered"): (10.0, 10.0),
    ("sigmoid", 4, "falling", "raw"): (40.0, 15.0),
    ("sigmoid", 4, "falling", "centered"): (20.0, 20.0),
    ("tanh", 4, "own", "raw"): (10.0, 20.0),
    ("tanh", 4, "own", "centered"): (10.0, 10.0),
    ("tanh", 1, "own", "raw"): (10.0, 20.0),
    ("tanh", 1, "own", "centered"): (10.0, 10.0),
    ("tanh", 4, "level", "raw"): (10.0, 10.0),
    ("tanh", 4, "level", "centered"): (10.0, 5.0),
    ("tanh", 4, "falling", "raw"): (10.0, 20.0),
    ("tanh", 4, "falling", "centered"): (10.0, 20.0),
}


class World(Results):
    """A record in which every claim is true, or every one false.

    Deltas of tanh units cannot both vanish and be what theory says: in the world where claims are
    true they are what ``tanh_fall`` says, by default theory's.
    """

    depths, trained_depths, num_seeds = DEPTHS, TRAINED, 16

    def __init__(self, true: bool, tanh_fall: float = predicted_fall("tanh")):
        self._true, self._tanh_fall = true, tanh_fall
        self._noise = 1.0 + 0.01 * np.random.default_rng(0).uniform(-1.0, 1.0, self.num_seeds)

    def _told(self, if_true: float, if_false: float) -> np.ndarray:
        return (if_true if self._true else if_false) * self._noise

    def start(self, name, activation, depth, arm=None):
        layers = np.ones(depth + (name in ("kernel_gradient", "mean_energy", "kernel_gap")))
        if name.endswith("_gap"):
            worst = (0.0, 1e-16) if arm == "flipped" else (1e-14, 1e-9)
            return self._told(*worst)[:, None, None] * layers
        if name == "lambda_max":
            ratios = {1: (2.0, 2.0), 2: (2.0, 2.0), 8: (4.0, 1.0)}
            return self._told(*ratios[depth]) if arm == "raw" else np.ones(self.num_seeds)
        if name == "kernel_gradient":
            grows = self._told(2.0, 0.5) if arm == "centered" else np.ones(self.num_seeds)
            return grows[:, None] * layers
        if name == "mean_energy":
            told = {"relu": (0.5, 0.1), "tanh": (0.01, 0.2), "sigmoid": (0.9, 0.9)}
            moved = self._told(0.0, 1e-9) if arm and "," in arm else 0.0
            # the same for all arms but for what slopes would add
            return (told[activation][0 if self._true else 1] * self._noise + moved)[
                :, None
            ] * layers
        assert name == "delta_rms"
        theory = predicted_fall(activation)
        falls = {"sigmoid": (theory, 0.9), "relu": (theory, 0.8), "tanh": (self._tanh_fall, 1.5)}
        fall = falls[activation][0 if self._true else 1]
        rms = self._noise[:, None] * fall ** np.arange(depth)[::-1]
        rms[:, -1] = 1.0
        if arm == "centered":
            rms[:, 0] *= 1.5 if self._true else 1.0
        return rms

    def lambda_max(self, race):
        if race.arm == "centered":
            return np.ones(self.num_seeds)
        # one of three is enough to refute
        return self._told(2.0, 1.2 if race.slopes == "falling" else 2.0)

    def at_best(self, race, name="steps"):
        if name == "end_fall":
            return (
                self._told(1.0, 0.9) if self._true else self.start("delta_rms", "sigmoid", 4)[:, 0]
            )
        # arms differ by seed in ways of their own
        place = list(STEPS_TOLD).index(tuple(race))
        return self._told(*STEPS_TOLD[tuple(race)]) * np.roll(self._noise, place)

    def climb(self, race):
        return SimpleNamespace(rates=np.array([FIRST_RATES[race.activation]]))

    def losses(self, race):
        ends = np.where(np.arange(6) < 4, 1.0, np.nan)
        bend = self._told(0.0, 1e-16) if race.arm == "flipped" else np.zeros(self.num_seeds)
        return (ends + 1e3 * bend[:, None])[None]


@pytest.fixture(scope="module")
def worlds():
    return tuple(decide_claims(World(true)) for true in (True, False))


def test_every_claim_is_supported_where_it_is_true_and_refuted_where_it_is_false(worlds):
    true, false = ({f.claim.id: f.verdict for f in findings} for findings in worlds)
    assert true == {**dict.fromkeys(true, SUPPORTED), "vanish_tanh": REFUTED}
    assert false == dict.fromkeys(true, REFUTED)
    vanishing = {f.claim.id: f.verdict for f in decide_claims(World(True, tanh_fall=0.7))}
    assert vanishing == {**dict.fromkeys(true, SUPPORTED), "theory_tanh": REFUTED}


def test_what_is_claimed_and_how_it_is_decided_depends_on_the_depths_alone(worlds, outcome):
    true, false = ([f.claim._replace(rule=f.claim.rule.text) for f in w] for w in worlds)
    assert true == false
    assert [row["id"] for row in outcome.rows] == [claim.id for claim in true]
    assert [row["rule"] for row in outcome.rows] == [claim.rule for claim in true]


def test_claims_have_ids_of_their_own_and_answer_questions_that_are_asked(worlds):
    claims = [finding.claim for finding in worlds[0]]
    assert len({claim.id for claim in claims}) == len(claims)
    assert all(claim.questions and set(claim.questions) <= set(QUESTIONS) for claim in claims)
    assert all("b9" in claim.questions for claim in claims)
    assert sum(claim.control for claim in claims) == 4


def test_the_answer_tells_the_numbers_or_names_what_is_not_confirmed(worlds, outcome):
    refused = answer(worlds[0])
    assert refused.startswith("This run does not confirm the picture")
    assert "centering_cures" in refused  # true there, and so not what the headline says
    assert "steps_relu" not in refused
    assert "deltas_same" in answer(worlds[1])

    class Found(World):
        """What was found: deltas the same, and a mean that costs steps whatever they do."""

        def start(self, name, activation, depth, arm=None):
            known = "raw" if name == "delta_rms" else arm
            return super().start(name, activation, depth, known)

        def at_best(self, race, name="steps"):
            more = 1.6 if race.slopes == "level" and race.arm == "raw" else 1.0
            return more * super().at_best(race, name)

    told = answer(decide_claims(Found(True)))
    for number in ("1e-14", "by 2.0 in ReLU", "by 2.0 in sigmoid", "by 1.6 and 1.6"):
        assert number in told
    # that it gains nothing is refuted where it costs steps, but then it divides nothing
    slower = altered(decide_claims(Found(True)), only_vanishing_relu=0.5)
    assert {f.claim.id: f.verdict for f in slower}["only_vanishing_relu"] == REFUTED
    assert answer(slower) == "This run does not confirm the picture: see only_vanishing_relu."


def test_seeds_that_never_arrive_decide_nothing():
    class Lost(World):
        def at_best(self, race, name="steps"):
            values = super().at_best(race, name)
            return np.where(np.arange(len(values)) < 5, np.nan, values)

    verdicts = {f.claim.id: f.verdict for f in decide_claims(Lost(True))}
    assert verdicts["steps_relu"] == verdicts["again"] == verdicts["both_are_all"] == INCONCLUSIVE
    assert verdicts["deltas_same"] == verdicts["lambda_relu"] == SUPPORTED


def test_figures_show_no_data_that_is_not_there(results):
    assert set(draw_figures(results)) == {"profile", "factorial", "depth"}
