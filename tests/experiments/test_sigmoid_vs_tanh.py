"""Sigmoid and tanh at toy size: the page's own loop as a slow twin, addresses, made-up records."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

from experiments import _session, sigmoid_vs_tanh
from experiments._cli import UsageError
from experiments._questions import QUESTIONS
from experiments._sigmoid_vs_tanh import plan as planning
from experiments._sigmoid_vs_tanh.claims import answer, decide_claims
from experiments._sigmoid_vs_tanh.descent import Point, draw_replica, looks, make_descent
from experiments._sigmoid_vs_tanh.figures import draw_figures
from experiments._sigmoid_vs_tanh.network import (
    SIGMOID,
    Units,
    drawn_params,
    match,
    pre_outputs,
    rate_shares,
    square_loss,
)
from experiments._sigmoid_vs_tanh.plan import AGAIN, ARMS, CHANGES, PATH, PRESETS, Config, Plan
from experiments._sigmoid_vs_tanh.playground_url import HIDDEN, KNOWN, parse_url
from experiments._sigmoid_vs_tanh.results import Results
from experiments._sigmoid_vs_tanh.setting import (
    FEATURES,
    NUM_DRAWS,
    Points,
    Setting,
    draw_points,
)
from experiments._stated import geometric_mean
from signdyn.activations import get_activation
from signdyn.centering import Centering, SiteCentering, resolve_sites
from signdyn.claims import INCONCLUSIVE, REFUTED, SUPPORTED
from signdyn.data.toys import load_toy
from signdyn.models.mlp import MLP
from signdyn.models.traces import site_means
from signdyn.records import RecordsError
from tests.experiments.findings import altered
from tests.experiments.sessions import HASTY, FastSession, IdleSession

NETWORKS = {
    "sigmoid": SIGMOID,
    "sigmoid_shifted": planning.SHIFTED,
    "doubled": planning.DOUBLED,
    "sigmoid_as_tanh": Units(),
    "offset": Units(1.0, 1.0, 1.0),
    "scale": Units(1.0, 0.0, 0.5),
}


@functools.cache
def some_params(units: tuple[int, ...]) -> dict[str, Any]:
    uniform = jax.random.uniform(
        jax.random.key(3), (sum(a * b for a, b in itertools.pairwise(units)),)
    )
    params = drawn_params(uniform, units, zero=False)
    shift = iter(np.linspace(-0.4, 0.7, len(params)))  # biases that differ, so that none is lost
    return {
        name: {"kernel": 2.0 * layer["kernel"], "bias": layer["bias"] + next(shift)}
        for name, layer in params.items()
    }


INPUTS = np.random.default_rng(0).normal(size=(3, 9))
UNITS = (3, 4, 2, 1)


# --- networks that are one function -----------------------------------------------------------


def numpy_outputs(params, x, phi):
    h = x
    for place, layer in enumerate(params.values()):
        z = np.asarray(layer["kernel"]).T @ h + np.asarray(layer["bias"])[:, None]
        h = phi(z) if place < len(params) - 1 else z
    return h[0]


def logistic(z):
    return 1.0 / (1.0 + np.exp(-z))


FORMULAS = {
    "sigmoid": logistic,
    "sigmoid_shifted": lambda z: logistic(z) - 0.5,
    "doubled": lambda z: 2.0 * logistic(z) - 1.0,
    "sigmoid_as_tanh": lambda z: 2.0 * logistic(2.0 * z) - 1.0,
    "offset": lambda z: np.tanh(z) + 1.0,
    "scale": lambda z: np.tanh(z) / 2.0,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_units_are_the_functions_that_they_are_named_after(name):
    params = some_params(UNITS)
    expected = numpy_outputs(params, INPUTS, FORMULAS[name])
    found = pre_outputs(params, jnp.asarray(INPUTS), NETWORKS[name])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    if name in ("sigmoid", "sigmoid_shifted", "sigmoid_as_tanh"):
        phi = get_activation(name).fn
        np.testing.assert_allclose(phi(jnp.asarray(INPUTS)), FORMULAS[name](INPUTS), atol=1e-15)


@pytest.mark.parametrize("name", NETWORKS)
def test_matched_networks_are_one_function_with_the_network_of_tanh_units(name):
    params = some_params(UNITS)
    plain = numpy_outputs(params, INPUTS, np.tanh)
    matched = match(params, NETWORKS[name])
    found = numpy_outputs(matched, INPUTS, FORMULAS[name])
    np.testing.assert_allclose(found, plain, rtol=0, atol=1e-12)
    # and another one than that of the same weights, where the units are others
    if name != "sigmoid_as_tanh":
        other = numpy_outputs(params, INPUTS, FORMULAS[name])
        assert np.abs(other - plain).max() > 0.01


def test_offset_and_scale_are_the_librarys_centering():
    model = MLP((4, 2), 1, "tanh")
    params = some_params(UNITS)
    x = jnp.asarray(INPUTS.T)
    means = site_means(model, params, x)
    sites = resolve_sites(
        Centering(hidden=SiteCentering(offset=1.0, scale=0.5)),
        means,
        [jnp.ones_like(m) for m in means],
    )
    expected = model.matched(params, sites, means)
    found = match(params, Units(1.0, 1.0, 0.5))
    for name, layer in expected.items():
        for part in ("kernel", "bias"):
            np.testing.assert_allclose(found[name][part], layer[part], rtol=1e-14, atol=1e-14)
    outputs = model.apply({"params": expected}, x, sites, means)
    np.testing.assert_allclose(
        outputs[:, 0], pre_outputs(found, x.T, Units(1.0, 1.0, 0.5)), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("name", ["sigmoid_shifted", "doubled", "scale"])
def test_a_step_of_a_matched_network_is_a_step_of_tanh_with_rates_of_its_own(name):
    units, params, x = NETWORKS[name], some_params(UNITS), jnp.asarray(INPUTS)
    y = jnp.sign(x[0])

    def loss(params, units):
        return jnp.mean(square_loss().nll(pre_outputs(params, x, units)[:, None], y))

    @functools.partial(jax.jit, compiler_options=HASTY)
    def stepped(params, units, shares):
        grads = jax.grad(loss)(params, units)
        return jax.tree.map(lambda p, g, s: p - 0.3 * s**2 * g, params, grads, shares)

    ones = jax.tree.map(lambda leaf: 1.0, params)
    there = stepped(match(params, units), units, ones)
    here = match(stepped(params, Units(), rate_shares(params, units)), units)
    for a, b in zip(jax.tree.leaves(there), jax.tree.leaves(here), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)


# --- the loss ---------------------------------------------------------------------------------

OUTPUTS = np.linspace(-2.0, 2.0, 7)


@pytest.mark.parametrize(
    ("likelihood", "output", "gap", "low"),
    [
        (square_loss(), np.tanh, 2.0, -1.0),
        (square_loss(0.5, 1.0), logistic, 1.0, 0.0),
        (square_loss(1.0, 1.0), lambda f: logistic(2.0 * f), 1.0, 0.0),
    ],
)
def test_the_loss_is_half_the_squared_residual_between_its_own_labels(likelihood, output, gap, low):
    for sign in (-1.0, 1.0):
        label = low + gap * (sign + 1.0) / 2.0
        labels = jnp.full(len(OUTPUTS), sign)
        found = likelihood.nll(jnp.asarray(OUTPUTS)[:, None], labels)
        np.testing.assert_allclose(found, 0.5 * (output(OUTPUTS) - label) ** 2, rtol=1e-13)
    # of a normal of variance 1 around the output, the score is (o - y) do/df and E (o - y)^2 = 1
    step = 1e-6
    slope = (output(OUTPUTS + step) - output(OUTPUTS - step)) / (2.0 * step)
    factor = likelihood.fisher_factor(jnp.asarray(OUTPUTS)[:, None])
    assert factor.shape == (len(OUTPUTS), 1, 1)
    np.testing.assert_allclose(factor[:, 0, 0], slope, rtol=1e-8)


def test_the_closed_form_of_the_fisher_factor_is_one_minus_the_squared_tanh():
    factor = square_loss().fisher_factor(jnp.asarray(OUTPUTS)[:, None])[:, 0, 0]
    np.testing.assert_allclose(factor, 1.0 - np.tanh(OUTPUTS) ** 2, rtol=1e-14)


def test_an_example_is_right_where_output_and_label_share_their_sign():
    outputs = jnp.array([[0.2], [-0.2], [-3.0], [jnp.nan]])
    right = square_loss().correct(outputs, jnp.array([1.0, 1.0, -1.0, 1.0]))
    np.testing.assert_array_equal(right, [1.0, 0.0, 1.0, np.nan])


# --- descents, against the page's own loop ----------------------------------------------------

PHI = {
    "tanh": (np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
    "sigmoid": (logistic, lambda z: logistic(z) * (1.0 - logistic(z))),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: (z > 0.0).astype(float)),
}


def page(
    setting: Setting, params, x, y, rate: float, activation: str
) -> Iterator[tuple[float, Any]]:
    """Yield loss and weights before every update, example by example as nn.ts has it."""
    kernels = [np.array(layer["kernel"]) for layer in params.values()]
    biases = [np.array(layer["bias"]) for layer in params.values()]
    dead = [np.zeros(k.shape, bool) for k in kernels]
    phi, slope = PHI[activation]

    def forward(point):
        totals, outputs = [], [point]
        for place, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            totals.append(bias + outputs[-1] @ kernel)
            last = place == len(kernels) - 1
            outputs.append(np.tanh(totals[-1]) if last else phi(totals[-1]))
        return totals, outputs

    grads = [(np.zeros_like(k), np.zeros_like(b)) for k, b in zip(kernels, biases, strict=True)]
    count = 0

    def state() -> tuple[float, Any]:
        losses = [0.5 * (forward(p)[1][-1][0] - t) ** 2 for p, t in zip(x.T, y, strict=True)]
        return float(np.mean(losses)), [kernel.copy() for kernel in kernels]

    yield state()
    while True:
        for i, (point, label) in enumerate(zip(x.T, y, strict=True)):
            totals, outputs = forward(point)
            delta = (outputs[-1] - label) * (1.0 - outputs[-1] ** 2)
            for place in reversed(range(len(kernels))):
                grads[place][0][...] += np.outer(outputs[place], delta)
                grads[place][1][...] += delta
                if place:
                    delta = (kernels[place] @ delta) * slope(totals[place - 1])
            count += 1
            if (i + 1) % setting.batch_size:
                continue
            for kernel, bias, gone, (g, g_bias) in zip(kernels, biases, dead, grads, strict=True):
                bias -= rate * g_bias / count
                penalty = np.sign(kernel) if setting.regularization == "L1" else kernel
                penalty = penalty * (setting.regularization != "none")
                moved = kernel - rate * g / count
                new = moved - rate * setting.regularization_rate * penalty
                gone |= (setting.regularization == "L1") & (moved * new < 0.0)
                kernel[...] = np.where(gone, 0.0, new)
                g[...], g_bias[...] = 0.0, 0.0
            count = 0
            yield state()


@pytest.mark.parametrize(
    ("setting", "activation", "arm", "rate"),
    [
        (Setting(batch_size=5), "sigmoid", "drawn", 0.5),
        (Setting(batch_size=7, regularization="L2", regularization_rate=0.05), "relu", "relu", 0.1),
        (Setting(batch_size=8, regularization="L1", regularization_rate=0.03), "tanh", "tanh", 0.3),
    ],
)
def test_a_descent_is_the_pages_own(setting, activation, arm, rate):
    size, max_steps = 20, 60
    rng = np.random.default_rng(5)
    x = rng.uniform(-3.0, 3.0, (2, size))
    y = np.where(x[0] * x[1] > 0.0, 1.0, -1.0)
    points = Points(np.tile(x, (1, NUM_DRAWS, 1, 1)), np.tile(y, (1, NUM_DRAWS, 1)))
    setting = setting._replace(widths=(3,))
    phi = "tanh" if activation == "sigmoid" else activation
    train_fn = make_descent(setting, points, activation=phi, max_steps=max_steps)
    point = Point(learning_rate=rate, max_steps=max_steps)
    point = point._replace(**ARMS.get(arm, ARMS["tanh"]).point)
    draw = train_fn.draw(jax.random.key(1))
    numbers = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), point)
    found = jax.jit(train_fn.run, compiler_options=HASTY)(draw, numbers)["losses"]
    path = list(itertools.islice(page(setting, draw.params, x, y, rate, activation), max_steps + 1))
    at = [step for step in looks(max_steps) if step <= max_steps]
    expected = [path[step][0] for step in at]
    np.testing.assert_allclose(found[: len(at)], expected, rtol=1e-9)
    assert np.isnan(found[len(at) :]).all()
    if setting.regularization == "L1":
        # the case is about weights that the penalty takes across zero, and that stay there
        zeros = [sum((kernel == 0.0).sum() for kernel in kernels) for _, kernels in path]
        assert zeros == sorted(zeros)
        assert 0 < zeros[-1] < sum(kernel.size for kernel in path[-1][1])


def test_looks_come_after_every_step_and_then_ever_more_rarely():
    found = looks(5000)
    gaps = np.diff(found)
    assert found[0] == 0
    assert (gaps[: 2 * 20 - 1] == 1).all()
    assert (gaps <= np.maximum(1, found[:-1] / 20)).all()
    assert found[-2] < 5000 <= found[-1]


def test_a_descent_ends_at_its_loss_and_at_its_last_step():
    setting = Setting(datasets=("two_gaussians",), widths=(2,))
    train_fn = make_descent(setting, draw_points(setting), activation="tanh", max_steps=400)
    run = jax.jit(train_fn.run, compiler_options=HASTY)
    draw = train_fn.draw(jax.random.key(0))

    def losses(**changed):
        point = Point(learning_rate=0.1, max_steps=400.0)._replace(**changed)
        found = np.asarray(run(draw, jax.tree.map(jnp.asarray, point))["losses"])
        return found[~np.isnan(found)]

    free = losses(stop_loss=0.0)
    assert len(free) == np.sum(looks(400) <= 400)
    stopped = losses(stop_loss=0.1)
    np.testing.assert_array_equal(stopped, free[: len(stopped)])
    assert (stopped[:-1] > 0.1).all()
    assert stopped[-1] <= 0.1
    assert len(losses(stop_loss=0.0, max_steps=9.0)) == 10
    # labels 0 and 1 are a rate of a quarter, to the last bit
    np.testing.assert_array_equal(losses(label_gap=1.0, learning_rate=0.4), free)
    assert not np.array_equal(losses(label_gap=1.0), free)
    # and so are slope and scale
    shifted, disguised = losses(units=planning.SHIFTED), losses(rates=planning.SHIFTED)
    np.testing.assert_array_equal(shifted, disguised)
    assert not np.array_equal(shifted, free)
    assert not np.array_equal(losses(units=SIGMOID), shifted)


def test_weights_start_in_the_pages_range_and_seeds_see_other_draws():
    setting = Setting()
    draw = jax.jit(jax.vmap(functools.partial(draw_replica, setting)), compiler_options=HASTY)
    draws = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), 64)))
    for layer in draws.params.values():
        assert np.abs(layer["kernel"]).max() <= 0.5
        np.testing.assert_array_equal(layer["bias"], 0.1)
    kernels = np.concatenate([np.ravel(layer["kernel"]) for layer in draws.params.values()])
    # 64 * 18 uniform numbers: five standard errors of their mean and of their variance, 1/12
    assert abs(kernels.mean()) < 5.0 * np.sqrt(1.0 / 12.0 / kernels.size)
    assert abs(kernels.var() - 1.0 / 12.0) < 5.0 * np.sqrt(1.0 / 180.0 / kernels.size)
    assert len(np.unique(draws.which)) > 16
    assert draws.which.min() >= 0
    assert draws.which.max() < NUM_DRAWS
    zero = draw_replica(setting._replace(init_zero=True), jax.random.key(0))
    assert all((np.asarray(leaf) == 0.0).all() for leaf in jax.tree.leaves(zero.params))


# --- settings and addresses -------------------------------------------------------------------


def test_points_are_the_toys_with_labels_minus_one_and_one():
    setting = Setting(
        datasets=("xor", "circle"), noise=0.1, percent_train=30.0, features=tuple(FEATURES)
    )
    points = draw_points(setting)
    assert points.x.shape == (2, NUM_DRAWS, 7, 150)
    toy = load_toy("circle", noise=0.1, seed=4)
    x, y = toy.x_train[:150].astype(float).T
    expected = [x, y, x * x, y * y, x * y, np.sin(x), np.sin(y)]
    np.testing.assert_array_equal(points.x[1, 4], expected)
    np.testing.assert_array_equal(points.y[1, 4], np.where(toy.y_train[:150] == 1, 1.0, -1.0))
    assert points.fingerprint != draw_points(setting._replace(noise=0.2)).fingerprint
    whole = draw_points(Setting(percent_train=90.0))
    toy = load_toy("circle", noise=0.0, seed=0)
    np.testing.assert_array_equal(whole.x[0, 0, :, 250:], toy.x_test[:200].astype(float).T)


ADDRESS = (
    "https://playground.tensorflow.org/#activation=sigmoid&regularization=L1&batchSize=7"
    "&dataset=gauss&regDataset=reg-plane&learningRate=0.1&regularizationRate=0.003&noise=35"
    "&networkShape=6,4,2&seed=0.12345&showTestData=false&discretize=true&percTrainData=40"
    "&x=true&y=false&xTimesY=true&xSquared=false&ySquared=false&cosX=false&sinX=true&cosY=false"
    "&sinY=false&collectStats=false&problem=classification&initZero=false&hideText=false"
    "&playButton_hide=true"
)


def test_an_address_of_the_page_is_read_whole():
    request = parse_url(ADDRESS)
    assert request.setting == Setting(
        datasets=("two_gaussians",),
        noise=0.35,
        percent_train=40.0,
        batch_size=7,
        activation="sigmoid",
        widths=(6, 4, 2),
        features=("x", "xTimesY", "sinX"),
        learning_rate=0.1,
        regularization="L1",
        regularization_rate=0.003,
        init_zero=False,
    )
    assert request.seed == "0.12345"
    assert set(request.ignored) == {
        *("regDataset", "showTestData", "discretize", "cosX", "cosY", "collectStats", "hideText"),
        "playButton_hide",
    }


@pytest.mark.parametrize("address", ["#seed=1", "seed=1", "#dataset=circle&", "#noise=&seed=1"])
def test_what_is_missing_or_empty_has_the_pages_default(address):
    assert parse_url(address).setting == Setting()


def test_a_comma_may_come_encoded():
    assert parse_url("#networkShape=3%2C2").setting.widths == (3, 2)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("https://playground.tensorflow.org/", "expected an address with #name=value"),
        ("", "expected an address"),
        ("#activation=tahn", r"activation must be one of .* got 'tahn' \(nearest: tanh\)"),
        ("#activaton=tanh", r"no setting 'activaton' \(nearest: activation\)"),
        ("#dataset=spirals", r"dataset must be one of .*nearest: spiral"),
        ("#problem=regression", "problem=regression cannot be rerun"),
        ("#problem=both", "problem must be one of"),
        ("#x=false&y=false", "no input is switched on"),
        ("#x=yes", "x must be one of true, false"),
        ("#networkShape=", "networkShape is empty"),
        ("#networkShape=4,", "networkShape must be 1 to 6 numbers from 1 to 8"),
        ("#networkShape=4,9", "networkShape must be"),
        ("#networkShape=0", "networkShape must be"),
        ("#networkShape=1,1,1,1,1,1,1", "networkShape must be"),
        ("#networkShape=٣", "networkShape must be"),
        ("#noise=51", "noise must be a number from 0 to 50, got '51'"),
        ("#noise=-1", "noise must be"),
        ("#noise=nan", "noise must be"),
        ("#noise=1_0", "noise must be"),
        ("#noise=1e999", "noise must be"),
        ("#batchSize=2.5", "batchSize must be a whole number from 1 to 30"),
        ("#batchSize=31", "batchSize must be"),
        ("#learningRate=0", "learningRate must be"),
        ("#learningRate=inf", "learningRate must be"),
        ("#percTrainData=5", "percTrainData must be a number from 10 to 90"),
        ("#regularization=l1", r"regularization must be one of none, L1, L2, got 'l1'"),
        ("#seed=1&seed=2", "seed is given twice"),
        ("#seed=1&x", "expected name=value between two &, got 'x'"),
        ("#seed=1=2", "expected name=value"),
        ("#seed=1&" + "x" * 5000, "at most 4096 characters"),
        ("#activation=" + "y" * 99, r"got 'y{37}\.\.\.'"),
        ("#activation=\x1b[31m", r"got '\\x1b\[31m'"),
    ],
)
def test_what_an_address_may_not_say_is_refused_in_one_sentence(address, says):
    with pytest.raises(UsageError, match=says) as caught:
        parse_url(address)
    assert str(caught.value).startswith("--playground_url: ")
    assert str(caught.value).isprintable()


VALUES = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["true", "false", "tanh", "L1", "gauss", "regression", "4,2", "", "1e-3"]),
    st.floats().map(str),
    st.integers().map(str),
)
PAIRS = st.tuples(
    st.one_of(st.sampled_from(KNOWN), st.just(f"a{HIDDEN}"), st.text(max_size=8)), VALUES
)


@given(
    st.one_of(
        st.text(), st.lists(PAIRS, max_size=9).map(lambda ps: "#" + "&".join(map("=".join, ps)))
    )
)
@settings(max_examples=400)
def test_any_text_is_a_setting_that_can_be_run_or_refused_in_one_printable_line(text):
    try:
        setting = parse_url(text).setting
    except UsageError:
        with pytest.raises(UsageError, match=r"^--playground_url: ") as caught:
            parse_url(text)
        assert str(caught.value).isprintable()
        return
    assert 0.0 <= setting.noise <= 0.5
    assert 1 <= setting.batch_size <= int(500 * setting.percent_train / 100)
    assert setting.widths
    assert all(1 <= width <= 8 for width in setting.widths)
    assert set(setting.features) <= set(FEATURES)
    assert setting.features
    assert 0.0 < setting.learning_rate <= 10.0


@given(
    st.fixed_dictionaries(
        {
            "activation": st.sampled_from(["tanh", "sigmoid", "relu", "linear"]),
            "batchSize": st.integers(1, 30),
            "noise": st.sampled_from(range(0, 55, 5)),
            "percTrainData": st.sampled_from(range(10, 100, 10)),
            "networkShape": st.lists(st.integers(1, 8), min_size=1, max_size=6),
            "sinY": st.booleans(),
            "learningRate": st.sampled_from([0.00001, 0.0003, 0.03, 1, 10]),
        }
    )
)
@settings(max_examples=60)
def test_what_the_page_offers_is_accepted(state):
    written = {
        **state,
        "networkShape": ",".join(map(str, state["networkShape"])),
        "sinY": str(state["sinY"]).lower(),
    }
    setting = parse_url("#" + "&".join(f"{k}={v}" for k, v in written.items())).setting
    assert setting == Setting(
        activation=state["activation"],
        batch_size=state["batchSize"],
        noise=state["noise"] / 100.0,
        percent_train=state["percTrainData"],
        widths=tuple(state["networkShape"]),
        features=("x", "y", "sinY") if state["sinY"] else ("x", "y"),
        learning_rate=state["learningRate"],
    )


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"playground_url": "#activation=tahn"}, "nearest: tanh"),
        ({"playground_url": "#seed=1", "datasets": ("xor",)}, "give one"),
        ({"datasets": ("xor", "xor")}, "each once"),
        ({"datasets": ("moons",)}, "--datasets must be names"),
        ({"datasets": ()}, "--datasets must be names"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(changed, says, tmp_path):
    with pytest.raises(UsageError, match=says):
        sigmoid_vs_tanh.prepare(Config(out=str(tmp_path / "out"), **changed))
    assert not (tmp_path / "out").exists()


# --- a run at toy size ------------------------------------------------------------------------


SEEDS = 3


def prepared(out: Path, session: type[_session.Session]) -> Plan:
    config = Config(
        out=str(out),
        seeds=SEEDS,
        block=16,
        max_steps=200,
        race_steps=60,
        playground_url="#dataset=gauss&activation=relu&networkShape=2&batchSize=30&percTrainData=20"
        "&learningRate=0.1&hideText=true",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sigmoid_vs_tanh, "Session", session)
        # JAX is set up already, by conftest.py
        patch.setattr(sigmoid_vs_tanh, "start_jax", lambda config: None)
        return sigmoid_vs_tanh.prepare(config)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def plan(out) -> Plan:
    return prepared(out, FastSession)


@pytest.fixture(scope="module")
def outcome(plan):
    sigmoid_vs_tanh.measure(plan)
    return sigmoid_vs_tanh.conclude(plan)


@pytest.fixture(scope="module")
def results(plan, outcome) -> Results:
    return Results(plan)


def test_exact_claims_hold_in_any_run_and_three_seeds_decide_no_other(outcome):
    rows = {row["id"]: row for row in outcome.rows}
    exact = {"in_disguise", "labels_same"}
    assert {rows[id]["verdict"] for id in exact} == {SUPPORTED}
    assert {row["verdict"] for id, row in rows.items() if id not in exact} == {INCONCLUSIVE}
    assert rows["same_start"]["high"] < 1e-14
    assert "lead_over_relu" in rows
    assert "does not confirm" in outcome.answer


def test_the_record_holds_the_loss_before_the_first_step_of_every_arm(plan, results):
    draws = [
        draw_replica(plan.setting, jax.random.fold_in(jax.random.key(plan.config.root_seed), seed))
        for seed in range(SEEDS)
    ]
    for seed, draw in enumerate(draws):
        x, y = plan.points.x[0, int(draw.which)], plan.points.y[0, int(draw.which)]

        def loss(phi, params=draw.params, x=x, y=y):
            return np.mean(0.5 * (np.tanh(numpy_outputs(params, x, phi)) - y) ** 2)

        expected = {arm: loss(np.tanh) for arm in ("tanh", "sigmoid", "doubled", "labels01")}
        expected |= {"drawn": loss(logistic), "relu": loss(lambda z: np.maximum(z, 0.0))}
        for arm, value in expected.items():
            assert results.losses("two_gaussians", arm)[seed, 0] == pytest.approx(value, rel=1e-12)


def test_lambda_max_is_that_of_the_dense_fisher(plan, results):
    draw = draw_replica(plan.setting, jax.random.fold_in(jax.random.key(0), 1))
    x = plan.points.x[0, int(draw.which)]
    layers = match(draw.params, SIGMOID)
    first, last = (
        np.vstack([layers[n]["kernel"], layers[n]["bias"]]) for n in ("dense_0", "dense_1")
    )
    ones = np.ones((1, x.shape[1]))
    inputs = np.vstack([x, ones])
    h = logistic(first.T @ inputs)
    f = last.T @ np.vstack([h, ones])
    # d f / d parameters by the chain rule, times the output unit's slope
    back = last[:-1] * h * (1.0 - h)
    rows = np.vstack(
        [np.vstack([h, ones]), np.einsum("in,un->iun", inputs, back).reshape(-1, x.shape[1])]
    )
    rows = rows * (1.0 - np.tanh(f) ** 2) / np.sqrt(x.shape[1])
    expected = np.linalg.eigvalsh(rows @ rows.T)[-1]
    assert results.start("two_gaussians", "sigmoid", "lambda_max")[1] == pytest.approx(expected)
    assert results.start("two_gaussians", "sigmoid", "spread")[1] == pytest.approx(f.std())


def test_the_page_shows_four_figures_and_the_run_says_what_of_the_address_it_leaves_out(
    plan, outcome, capsys
):
    folder = plan.session.folder
    content = json.loads((folder / "claims.json").read_text())
    names = [figure["name"] for figure in content["figures"]]
    assert len(names) == 4
    assert {row["figure"] for row in outcome.rows} <= {*names, None}
    for figure in content["figures"]:
        assert figure["caption"].endswith(f"{SEEDS} seeds.")
        assert list((folder / "figures").glob(f"{figure['name']}.*"))
    assert "--playground_url=" in content["command"]
    again = prepared(folder.parent, IdleSession)
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()}
    sigmoid_vs_tanh.measure(again)
    assert {path: path.stat().st_mtime_ns for path in (folder / "cells").iterdir()} == before
    told = capsys.readouterr().out
    assert "random numbers are its own" in told
    assert "without effect: hideText" in told


def test_another_address_is_another_run(plan, outcome, out):
    config = plan.config.__class__(out=str(out), playground_url="#seed=1")
    with pytest.raises(RecordsError, match="another configuration"):
        _session.Session(planning.NAME, config, {}, double=True)


# --- made-up records --------------------------------------------------------------------------


def made(fixed: np.ndarray, race: np.ndarray, rates=(0.25, 0.5, 1.0)) -> Results:
    """Return a record of one arm whose seeds arrive after so many steps, or never (NaN)."""
    config = Config(max_steps=30, race_steps=20, target_loss=0.25)
    results = Results(SimpleNamespace(config=config, setting=Setting(), raced=("circle",)))
    places = results.looks

    def rows(steps, rates):
        steps = np.asarray(steps, float)
        losses = np.where(places >= steps[..., None], 0.2, 0.4)
        labels = {"dataset": ["circle"] * len(rates), "arm": ["drawn"] * len(rates)}
        coords = {name: ("variant", column) for name, column in {**labels, "rate": rates}.items()}
        return xr.Dataset({"losses": (("variant", "seed", "look"), losses)}, coords)

    results._parts = {"fixed": rows(fixed, [0.03]), "race": rows(race, list(rates))}
    return results


def test_steps_are_counted_to_the_target_and_a_start_below_it_has_none():
    results = made([[7.0, np.nan, 0.0]], [[9.0] * 3] * 3)
    np.testing.assert_array_equal(results.steps("circle", "drawn"), [7.0, np.nan, np.nan])
    at_least = results.steps("circle", "drawn", at_least=True)
    np.testing.assert_array_equal(at_least, [7.0, 30.0, np.nan])


def test_a_rate_at_which_a_seed_in_ten_is_lost_is_not_the_best():
    race = np.full((4, 20), 15.0)
    race[1], race[2] = 8.0, 3.0
    race[2, :3] = np.nan  # the fastest, for those who arrive
    results = made([[9.0] * 20], race, (0.25, 0.5, 1.0, 2.0))
    assert results.climb("circle", "drawn").best == 1
    np.testing.assert_array_equal(results.best("circle", "drawn"), 8.0)
    race[2, 1:3] = 3.0  # one in twenty
    results = made([[9.0] * 20], race, (0.25, 0.5, 1.0, 2.0))
    np.testing.assert_array_equal(results.best("circle", "drawn"), [np.nan, *[3.0] * 19])
    late = results.best("circle", "drawn", at_least=True)
    np.testing.assert_array_equal(late, [20.0, *[3.0] * 19])


def test_where_the_best_rate_lies_on_the_edge_nothing_is_known():
    results = made([[9.0] * 3], [[3.0] * 3, [9.0] * 3, [np.nan] * 3])
    assert np.isnan(results.best("circle", "drawn", at_least=True)).all()


def test_factors_along_the_path_multiply_to_the_lead():
    class Counted(Results):
        def __init__(self):
            self._steps = dict(zip(PATH, ([900.0], [200.0], [150.0], [90.0], [30.0]), strict=True))

        def steps(self, dataset, arm, *, at_least=False):
            return np.array(self._steps[arm])

    results = Counted()
    factors = [results.factor(change, "circle") for change in CHANGES]
    np.testing.assert_allclose(np.prod(factors, axis=0), results.factor("all", "circle"))
    np.testing.assert_allclose(results.factor("all", "circle"), 30.0)


def test_pooling_is_a_geometric_mean_and_keeps_what_is_undefined():
    values = [np.array([2.0, 1.0, np.nan]), np.array([8.0, 1.0, 3.0])]
    np.testing.assert_allclose(geometric_mean(values), [4.0, 1.0, np.nan])


# --- verdicts ---------------------------------------------------------------------------------


class World(Results):
    """A record in which every claim is true, or every one false."""

    datasets = ("circle", "xor")
    raced = ("xor",)

    def __init__(self, true: bool, **changed: float):
        self._true, self._changed = true, changed
        self.plan = SimpleNamespace(
            other=None, setting=SimpleNamespace(learning_rate=0.5), config=Config()
        )
        # enough seeds for a corrected p below .05
        self._noise = 1.0 + 0.002 * np.random.default_rng(0).uniform(-1.0, 1.0, 14)

    def _told(self, name: str, if_true: float, if_false: float) -> np.ndarray:
        return self._changed.get(name, if_true if self._true else if_false) * self._noise

    def start(self, dataset, arm, name):
        if name == "outputs":
            gap = 0.0 if arm == "tanh" or self._true else 1e-3
            return np.full((14, 2), 1.0 + gap)
        if name == "spread":
            return self._told("spread", 0.1, 0.5) if arm == "drawn" else np.ones(14)
        if arm == "sigmoid":
            return self._told("lambda_max", 0.3, 0.9)
        return self._told(f"{name}_shifted", 0.2, 1.0)

    def losses(self, dataset, arm):
        gap = 0.0 if self._true or arm in ("shifted", "tanh") else 1e-16
        return np.array([[gap, np.nan]] * 14)

    def steps(self, dataset, arm, *, at_least=False):
        told = {
            "drawn": (1.1, 0.9),
            "drawn01": (1.09, 2.0),
            "sigmoid": (1.0, 5.0),
            **dict.fromkeys(AGAIN[1], (1.0, 2.0)),
        }
        return 100.0 * self._told(arm, *told.get(arm, (1.0, 1.0))) / self._noise**0.5

    def factor(self, change, dataset, *, best=False):
        told = {
            ("start", False): (2.0, 1.0),
            ("centering", False): (1.2, 0.7),
            ("scale", False): (2.0, 1.1),
            ("slope", False): (2.0, 1.1),
            ("all", False): (1.3, 5.0),
            ("all", True): (3.0, 0.9),
            ("start", True): (3.0, 1.0),
            ("centering", True): (1.5, 0.9),
            ("scale", True): (1.2, 1.1),
            ("slope", True): (1.2, 1.1),
        }
        return self._told(f"{change}_{best}", *told[change, best])


@pytest.fixture(scope="module")
def worlds():
    return tuple((world, decide_claims(world)) for world in (World(True), World(False)))


def test_every_claim_is_supported_where_it_is_true_and_refuted_where_it_is_false(worlds):
    true, false = ({f.claim.id: f.verdict for f in findings} for _, findings in worlds)
    assert true == dict.fromkeys(true, SUPPORTED)
    assert false == dict.fromkeys(true, REFUTED)


def test_what_is_claimed_and_how_it_is_decided_does_not_depend_on_the_record(worlds, outcome):
    true, false = ([f.claim._replace(rule=f.claim.rule.text) for f in w] for _, w in worlds)
    assert true == false
    told = {row["id"]: (row["sentence"], row["rule"]) for row in outcome.rows}
    for claim in true:
        if not claim.id.endswith(World.datasets):
            assert told[claim.id] == (claim.sentence, claim.rule)


def test_claims_have_ids_of_their_own_and_answer_questions_that_are_asked(worlds):
    claims = [finding.claim for finding in worlds[0][1]]
    assert len({claim.id for claim in claims}) == len(claims)
    assert all(claim.questions and set(claim.questions) <= set(QUESTIONS) for claim in claims)
    assert {claim.id for claim in claims if claim.control} == {"again", "same_start"}


def test_the_answer_tells_the_numbers_or_names_what_is_not_confirmed(worlds):
    told = answer(*worlds[0])
    for number in ("1 (circle), 1 (xor)", "factor of 2.0", "centering 1.20", "36% of what"):
        assert number in told
    refused = answer(*worlds[1])
    assert refused.startswith("This run does not confirm the picture")
    assert "lead_circle" in refused
    changed = World(True, start_True=1.0)
    one = answer(changed, decide_claims(changed))
    assert one == "This run does not confirm the picture: see best_start."
    for id, effect in {"centering": 1.5, "best_centering": np.nan, "flat_start": 1.0}.items():
        one = answer(worlds[0][0], altered(worlds[0][1], **{id: effect}))
        assert one == f"This run does not confirm the picture: see {id}."


def test_a_share_of_seeds_that_never_arrive_decides_nothing():
    class Lost(World):
        def factor(self, change, dataset, *, best=False):
            values = super().factor(change, dataset, best=best)
            return np.where((np.arange(len(values)) < 4) & best, np.nan, values)

    verdicts = {f.claim.id: f.verdict for f in decide_claims(Lost(True))}
    assert {v for id, v in verdicts.items() if id.startswith("best_")} == {INCONCLUSIVE}
    assert verdicts["start"] == SUPPORTED


# --- figures and the plan ---------------------------------------------------------------------


def test_figures_show_the_record(results):
    drawn = draw_figures(results)
    ax = drawn["playground"][0].axes[0]
    losses = results.losses("two_gaussians", "tanh")
    ends = (~np.isnan(losses)).sum(axis=1) - 1
    held = np.where(np.isnan(losses), losses[np.arange(SEEDS), ends][:, None], losses)
    expected = np.median(held, axis=0)
    lines = [np.asarray(line.get_ydata(), float) for line in ax.lines]
    assert any(line.shape == expected.shape and np.allclose(line, expected) for line in lines)
    steps = results.steps("two_gaussians", "drawn", at_least=True)
    ratios = steps / results.steps("two_gaussians", "tanh")
    shown = [np.asarray(line.get_ydata(), float) for line in drawn["labels"][0].axes[0].lines]
    assert any(line.shape == ratios.shape and np.allclose(line, ratios) for line in shown)


def test_where_no_descent_arrives_the_figures_are_drawn_all_the_same(plan, outcome):
    never = plan._replace(config=dataclasses.replace(plan.config, target_loss=1e-6))
    for figure, _ in draw_figures(Results(never)).values():
        figure.draw_without_rendering()


def test_every_preset_names_options_and_the_easiest_data_set_is_raced_only_alone():
    for preset in PRESETS.values():
        Config(**preset)
    both = Setting(datasets=("two_gaussians", "xor"))
    alone = Setting(datasets=("two_gaussians",))
    empty = (None, None, None)
    assert Plan(Config(), both, *empty).raced == ("xor",)
    assert Plan(Config(), alone, *empty).raced == ("two_gaussians",)
