"""Layers of a tapped model: their factors are columns of the whole model's, in any likelihood."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from signdyn.analysis._units import unit_fisher
from signdyn.analysis.fisher import (
    empirical_fisher_factor,
    fisher_factor,
    monte_carlo_fisher_factor,
)
from signdyn.analysis.layers import (
    Layer,
    coverage,
    empirical_fisher_layers,
    fisher_layers,
    gram_of_layers,
    layer_factor,
    layer_matrix,
    layer_params,
    monte_carlo_fisher_layers,
)
from signdyn.likelihoods import Likelihood, bernoulli, categorical, gaussian

NUM_EXAMPLES, FEATURES, WIDTH = 4, 6, 3
KEY = jax.random.key(0)


@pytest.fixture
def no_type_check(monkeypatch):
    """Let wrong shapes reach the code, as they do for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def poisson():
    """Return a likelihood as a user writes it: counts with log-rates as outputs."""
    return Likelihood(
        "poisson",
        lambda f, y: jnp.sum(jnp.exp(f) - y * f, axis=-1),
        lambda f: jnp.exp(0.5 * f)[..., None],
    )


CASES = {
    "categorical": (categorical(), 4, jnp.array([1, 3, 0, 0])),
    "bernoulli": (bernoulli(), 1, jnp.array([1, 0, 0, 1])),
    "gaussian": (gaussian(0.3), 2, jnp.arange(8.0).reshape(4, 2)),
    "poisson": (poisson(), 1, jnp.array([[3.0], [0.0], [1.0], [2.0]])),
}


def tapped(params, x, tap):
    """Return outputs of a network whose first layer has a 2 x 2 grid of positions, as bare code."""
    windows = jnp.stack([x[:, i : i + 3] for i in range(4)], axis=1).reshape(len(x), 2, 2, 3)
    z = windows @ params["shared"]["kernel"] + params["shared"]["bias"][None, None, None]
    h = jnp.tanh(tap("shared", windows, z)).reshape(len(x), -1)
    z = h @ params["last"]["kernel"] + params["last"]["bias"][None]
    return tap("last", h, z)


def apply(params, x):
    return tapped(params, x, lambda name, inputs, z: z)


def draw_params(seed, num_outputs):
    normal = np.random.default_rng(seed).normal
    shapes = {
        "shared": {"kernel": (3, WIDTH), "bias": (WIDTH,)},
        "last": {"kernel": (4 * WIDTH, num_outputs), "bias": (num_outputs,)},
    }
    draw = lambda shape: jnp.asarray(normal(size=shape))  # noqa: E731
    return jax.tree.map(draw, shapes, is_leaf=lambda node: isinstance(node, tuple))


def draw_inputs():
    return jnp.asarray(np.random.default_rng(7).normal(0.5, size=(NUM_EXAMPLES, FEATURES)))


def columns_of(params, name):
    """Return where a layer's matrix, raveled, lies in the order of ravel_pytree."""
    theta, unravel = ravel_pytree(params)
    return np.asarray(layer_matrix(unravel(jnp.arange(theta.size) * 1.0)[name])).ravel().astype(int)


def by_fisher(likelihood, params, x, y):
    A = fisher_factor(apply, likelihood, params, x)
    return fisher_layers(tapped, likelihood, params, x), A


def by_empirical(likelihood, params, x, y):
    A = empirical_fisher_factor(apply, likelihood, params, x, y)
    return empirical_fisher_layers(tapped, likelihood, params, x, y), A


def by_samples(likelihood, params, x, y):
    A = monte_carlo_fisher_factor(apply, likelihood, params, x, KEY, 3)
    return monte_carlo_fisher_layers(tapped, likelihood, params, x, KEY, 3), A


@functools.partial(jax.jit, static_argnums=(0, 1))
def measured(kind, likelihood, params, x, y):
    """Return layers, their factors and Gram matrix, and the factor of the whole model."""
    layers, A = kind(likelihood, params, x, y)
    factors = {name: layer_factor(layer) for name, layer in layers.items()}
    return layers, factors, gram_of_layers(layers), A


@pytest.fixture(scope="module")
def categorical_case():
    likelihood, num_outputs, labels = CASES["categorical"]
    return likelihood, draw_params(0, num_outputs), draw_inputs(), labels


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        *((by_fisher, case) for case in CASES),
        (by_empirical, "categorical"),
        (by_samples, "categorical"),
    ],
)
def test_a_layers_factor_is_its_columns_of_the_models_factor(kind, case):
    likelihood, num_outputs, labels = CASES[case]
    params = draw_params(0, num_outputs)
    layers, factors, gram, A = measured(kind, likelihood, params, draw_inputs(), labels)
    A = np.asarray(A)
    rank = {by_fisher: num_outputs, by_empirical: 1, by_samples: 3}[kind]
    for name, fan_in, positions, units in [
        ("shared", 3, 4, WIDTH),
        ("last", 4 * WIDTH, 1, num_outputs),
    ]:
        assert layers[name].inputs.shape == (NUM_EXAMPLES, positions, fan_in)
        assert layers[name].deltas.shape == (NUM_EXAMPLES, rank, positions, units)
        expected = A[:, columns_of(params, name)]
        np.testing.assert_allclose(factors[name], expected, atol=1e-12 * np.max(np.abs(A)))
    np.testing.assert_allclose(gram, A @ A.T, atol=1e-12 * np.max(np.abs(A @ A.T)))


def test_layers_come_in_the_order_of_the_calls_with_positions_flattened(categorical_case):
    likelihood, params, x, _ = categorical_case
    order = []
    jax.eval_shape(lambda p: order.extend(fisher_layers(tapped, likelihood, p, x)), params)
    assert order == ["shared", "last"]
    layers, *_ = measured(by_fisher, *categorical_case)
    for start in range(4):
        np.testing.assert_array_equal(layers["shared"].inputs[:, start], x[:, start : start + 3])


def test_the_mean_of_the_empirical_scores_is_the_gradient_of_the_mean_nll(categorical_case):
    likelihood, params, x, labels = categorical_case
    loss = lambda p: jnp.mean(likelihood.nll(apply(p, x), labels))  # noqa: E731
    gradient = jax.jit(jax.grad(loss))(params)
    _, factors, _, _ = measured(by_empirical, *categorical_case)
    for name, factor in factors.items():
        mean = np.mean(np.asarray(factor) * np.sqrt(NUM_EXAMPLES), axis=0)
        matrix = jnp.asarray(mean.reshape(-1, params[name]["bias"].size))
        found = layer_params(matrix, params[name])
        assert list(found) == list(params[name])
        for leaf, expected in gradient[name].items():
            np.testing.assert_allclose(found[leaf], expected, atol=1e-14)


def test_the_blocks_on_the_diagonal_of_a_layers_fisher_are_its_units(categorical_case):
    layers, factors, _, _ = measured(by_fisher, *categorical_case)
    for name, layer in layers.items():
        A, units = np.asarray(factors[name]), layer.deltas.shape[-1]
        for j, block in enumerate(unit_fisher(*layer)):
            np.testing.assert_allclose(block, A[:, j::units].T @ A[:, j::units], atol=1e-14)


def test_a_layer_without_bias_leaves_out_the_last_row(categorical_case):
    layers, factors, _, _ = measured(by_fisher, *categorical_case)
    for name, layer in layers.items():
        without = factors[name][:, : -layer.deltas.shape[-1]]
        np.testing.assert_allclose(layer_factor(layer, bias=False), without, atol=1e-14)


# positions, fan_in, units: once the matrices are cheaper, once the pairs of positions, once one
@pytest.mark.parametrize("shape", [(5, 2, 2), (2, 7, 6), (1, 4, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_the_gram_matrix_equals_that_of_the_factors_whichever_way_it_takes(shape, bias):
    random, (positions, fan_in, units) = np.random.default_rng(1), shape
    deltas = jnp.asarray(random.normal(size=(4, 2, positions, units)))
    layer = Layer(jnp.asarray(random.normal(size=(4, positions, fan_in))), deltas)
    A = np.asarray(layer_factor(layer, bias=bias))
    gram = jax.jit(functools.partial(gram_of_layers, bias=bias))({"one": layer, "two": layer})
    np.testing.assert_allclose(gram, 2 * A @ A.T, atol=1e-13 * np.max(np.abs(A)) ** 2 * A.shape[1])


def test_a_sampled_fisher_is_unbiased():
    # One output with p = 1/4: the score is -3/4 or 1/4, so s^2 is 9/16 with probability 1/4.
    x, params = jnp.ones((1, 1)), jnp.full((1, 1), -np.log(3.0))
    model = lambda w, x, tap: tap("dense", x, x @ w)  # noqa: E731
    build = lambda w: monte_carlo_fisher_layers(model, bernoulli(), w, x, KEY, 4000)  # noqa: E731
    layer = jax.jit(build)(params)["dense"]
    estimate, variance = np.sum(np.asarray(layer.deltas) ** 2), 3 / 16 * (1 / 2) ** 2
    assert abs(estimate - 3 / 16) < 5 * np.sqrt(variance / 4000)


def test_vmap_over_seeds_equals_a_loop():
    x, seeds = draw_inputs(), [draw_params(seed, 4) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    build = lambda params: fisher_layers(tapped, categorical(), params, x)  # noqa: E731
    together, one = jax.jit(jax.vmap(build))(stacked), jax.jit(build)
    for seed, params in enumerate(seeds):
        jax.tree.map(
            lambda all_seeds, alone, s=seed: np.testing.assert_allclose(
                all_seeds[s], alone, atol=1e-13
            ),
            together,
            one(params),
        )


@pytest.mark.parametrize("kind", [by_fisher, by_empirical])
def test_float32_answers_in_float32_under_strict_promotion(categorical_case, kind):
    likelihood, params, x, labels = categorical_case
    A = np.asarray(measured(kind, *categorical_case)[-1])
    params, x = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (params, x))
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        layers, factors, gram, _ = measured(kind, likelihood, params, x, labels)
    assert {part.dtype for part in jax.tree.leaves((layers, factors, gram))} == {
        np.dtype("float32")
    }
    np.testing.assert_allclose(gram, A @ A.T, atol=1e-5 * np.max(A @ A.T))


def twice(params, x, tap):
    return tap("dense", x, tap("dense", x, x @ params))


def summed(params, x, tap):
    z = tap("dense", x, x @ params)
    return z - jnp.mean(z, axis=0, keepdims=True)


W, X = jnp.zeros((3, 3)), jnp.ones((2, 3))


@pytest.mark.parametrize(
    ("model", "x", "message"),
    [
        (lambda w, x, tap: x @ w, X, r"call tap in at least one layer.*tap\('dense_0', h"),
        (twice, X, "'dense' twice"),
        (summed, X, "examples"),
        (lambda w, x, tap: tap("d", x[0], x @ w), X, r"N=2, got inputs.shape=\(3,\)"),
        (lambda w, x, tap: tap("d", x[:1], x @ w), X, r"got inputs.shape=\(1, 3\)"),
        (lambda w, x, tap: tap("d", jnp.stack([x, x], 1), x @ w), X, "equal positions"),
        (lambda w, x, tap: tap("d", jnp.float32(x), x @ w), X, "one float dtype at tap 'd'"),
        (lambda w, x, tap: tap("d", x, x @ w), X[:0], "at least one example"),
        (lambda w, x, tap: tap("d", x, x @ w)[:, 0], X, r"one array \[2, K\]"),
    ],
)
def test_errors_come_before_any_computation(no_type_check, model, x, message):
    with pytest.raises(ValueError, match=f"fisher_layers: expected.*{message}"):
        fisher_layers(model, gaussian(), W, x)


def test_a_likelihood_that_cannot_sample_is_refused():
    silent = gaussian()._replace(sample=None)
    with pytest.raises(ValueError, match="monte_carlo_fisher_layers: expected a likelihood"):
        monte_carlo_fisher_layers(tapped, silent, draw_params(0, 2), draw_inputs(), KEY, 2)


def test_layers_of_different_batches_have_no_gram_matrix_nor_have_none(no_type_check):
    one, two = (Layer(jnp.ones((n, 1, 2)), jnp.ones((n, 1, 1, 2))) for n in (3, 4))
    with pytest.raises(ValueError, match="gram_of_layers: expected at least one layer, all of"):
        gram_of_layers({"one": one, "two": two})
    with pytest.raises(ValueError, match="gram_of_layers: expected at least one layer, all of"):
        gram_of_layers({})
    with pytest.raises(ValueError, match="layer_factor: expected inputs"):
        layer_factor(Layer(one.inputs, two.deltas))


@pytest.mark.parametrize("bias", [True, False])
def test_a_layers_matrix_gives_its_parameters_back(bias):
    params = {"kernel": jnp.arange(24.0).reshape(2, 2, 2, 3)}
    params |= {"bias": jnp.array([30.0, 31.0, 32.0])} if bias else {}
    matrix = layer_matrix(params)
    assert matrix.shape == (8 + bias, 3)
    np.testing.assert_array_equal(matrix[:8], params["kernel"].reshape(8, 3))
    jax.tree.map(np.testing.assert_array_equal, layer_params(matrix, params), params)
    with pytest.raises(ValueError, match=f"layer_params: expected a matrix .{8 + bias}, 3"):
        layer_params(matrix[:-1], params)


def test_what_is_not_a_layer_has_no_matrix():
    with pytest.raises(ValueError, match=r"layer_matrix: expected a layer.*'scale': \(3,\)"):
        layer_matrix({"scale": jnp.ones(3), "bias": jnp.ones(3)})
    with pytest.raises(ValueError, match=r"expected a layer.*'gain': \(2,\)"):
        layer_matrix({"kernel": jnp.ones((3, 2)), "gain": jnp.ones(2)})


MIXED = {
    "block": {"dense": {"bias": jnp.zeros(3), "kernel": jnp.zeros((2, 3))}, "dense_1": jnp.ones(1)},
    "norm": [jnp.ones(3), jnp.ones(4)],
}


def test_coverage_counts_what_is_in_and_names_what_is_not():
    report = coverage(MIXED, ["block/dense"])
    assert report.covered == ("block/dense/bias", "block/dense/kernel")
    assert report.missing == ("block/dense_1", "norm/0", "norm/1")
    assert (report.num_covered, report.num_params) == (9, 17)
    assert "9 of 17" in str(report)
    assert "missing: block/dense_1, norm/0, norm/1" in str(report)
    everything = coverage(jax.eval_shape(lambda: MIXED), ["block", "norm"])
    assert everything == coverage(MIXED, [""])
    assert everything.missing == ()
    assert "missing: none" in str(everything)
    assert coverage(MIXED, []).covered == ()


def test_coverage_refuses_a_name_of_nothing_and_offers_the_nearest():
    with pytest.raises(ValueError, match="got 'block/dens'; did you mean 'block/dense'"):
        coverage(MIXED, ["block/dens"])
    with pytest.raises(ValueError, match="got 'zzz'; leaves are block/dense/bias"):
        coverage(MIXED, ["zzz"])
