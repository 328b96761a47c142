"""How lambda_max of the Fisher grows with a mean that is added to one and the same function.

A constant added to a layer's inputs and taken out of its bias leaves the function, the deltas and
the output Fisher alone, and adds c to every input of the layer. Where those inputs have no mean
of their own the Fisher's largest eigenvalue becomes a + b c^2: the outlier c 1 of the inputs'
second moment, times what the deltas make of it.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.analysis.spectrum import top_eigenpairs
from signdyn.centering import Centering, SiteCentering, resolve_sites
from signdyn.data import load
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.models.traces import site_means

WIDTHS, EXAMPLES = (24, 24), 200
HIDDEN_DOSES = np.array([0.0, 0.25, 0.5, 1.0, 2.0, 4.0])  # added to tanh(z)
FAST = {"xla_backend_optimization_level": 0}  # compiling is most of what takes time here
INPUT_DOSES = np.array([0.0, 0.25, 0.5, 1.0, 2.0])  # multiples of the pixels' mean


@pytest.fixture(scope="module")
def x():
    return jnp.asarray(load("digits", num_train=EXAMPLES).x_train, jnp.float64)


def lambda_max(activation, x):
    """Return (seed, input constant, hidden constant, hidden offset) -> what was measured.

    That is lambda_max, its relative residual, and how far the outputs are from the raw network's.
    """
    model = MLP(widths=WIDTHS, num_outputs=10, activation=activation)

    def measure(seed, of_input, of_hidden, offset):
        params = model.init(jax.random.key(seed), x[:1])["params"]
        means = site_means(model, params, x)
        centering = Centering(
            input=SiteCentering(constant=of_input),
            hidden=SiteCentering(constant=of_hidden, offset=offset),
        )
        sites = resolve_sites(centering, means, [jnp.ones_like(mean) for mean in means])
        matched = model.matched(params, sites, means)

        def apply_fn(p, x):
            return model.apply({"params": p}, x, sites, means)

        product = fisher_vector_product(apply_fn, categorical(), matched, x)
        size = ravel_pytree(matched)[0].size
        pairs = top_eigenpairs(product, size, 1, jax.random.key(1), num_iterations=16)
        moved = jnp.max(jnp.abs(apply_fn(matched, x) - model.apply({"params": params}, x)))
        return pairs.eigenvalues[0], pairs.residuals[0] / pairs.eigenvalues[0], moved

    return jax.jit(jax.vmap(measure), compiler_options=FAST)


def measured(activation, x, rows):
    seed, *constants = zip(*rows, strict=True)
    found, residuals, moved = lambda_max(activation, x)(
        jnp.array(seed), *(jnp.array(c, x.dtype) for c in constants)
    )
    assert np.max(residuals) < 1e-9  # an eigenvalue lies within the square of that, near enough
    assert np.max(moved) < 1e-12
    return np.asarray(found)


@pytest.fixture(scope="module")
def tanh(x):
    """Doses to the hidden activations with centered inputs, and doses of the input's mean."""
    hidden = [(0, 1.0, 0.0, dose) for dose in HIDDEN_DOSES]
    inputs = [(0, 1.0 - dose, 0.0, 0.0) for dose in INPUT_DOSES[1:]]
    found = measured("tanh", x, [*hidden, *inputs, (0, 1.0, 1.0, 0.0)])
    return {
        "hidden": found[: len(hidden)],
        "input": np.append(found[0], found[len(hidden) : -1]),
        "centered": found[-1],
    }


def fitted(doses, found):
    """Return (a, b) of a + b dose^2 by ordinary least squares, which the large doses decide."""
    b, a = np.polyfit(doses**2, found, 1)
    return a, b


@pytest.mark.parametrize(("site", "doses"), [("hidden", HIDDEN_DOSES), ("input", INPUT_DOSES)])
def test_lambda_max_grows_with_the_square_of_an_added_mean(tanh, site, doses):
    a, b = fitted(doses, tanh[site])
    relative = (a + b * doses**2) / tanh[site] - 1.0
    assert np.max(np.abs(relative[doses >= 0.25])) < 0.03
    assert tanh[site][-1] > 10 * tanh[site][0]


def test_the_growth_is_the_squared_length_of_the_mean_times_the_deltas_second_moment(tanh, x):
    # A constant mean mu makes the inputs' part of a layer's score mu (x) delta, and that of the
    # bias is delta: b = |mu|^2 lambda_max(E[delta delta^T]), the Fisher of the biases. The hidden
    # dose is 1 in every unit of both hidden layers; the layers are of one width.
    model = MLP(widths=WIDTHS, num_outputs=10, activation="tanh")
    params = model.init(jax.random.key(0), x[:1])["params"]

    def largest(names):
        def apply_fn(biases, x):
            layers = {name: {**params[name], "bias": biases[name]} for name in names}
            return model.apply({"params": {**params, **layers}}, x)

        biases = {name: params[name]["bias"] for name in names}
        factor = jax.jit(
            lambda biases: fisher_factor(apply_fn, categorical(), biases, x), compiler_options=FAST
        )
        return np.linalg.norm(factor(biases), ord=2) ** 2

    by_hidden = WIDTHS[0] * largest(("dense_1", "dense_2"))
    by_input = np.sum(np.mean(x, axis=0) ** 2) * largest(("dense_0",))
    # 1 % for what is of lower order than dose^2 at the largest dose
    np.testing.assert_allclose(fitted(HIDDEN_DOSES, tanh["hidden"])[1], by_hidden, rtol=0.01)
    np.testing.assert_allclose(fitted(INPUT_DOSES, tanh["input"])[1], by_input, rtol=0.01)


@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
def test_centering_inputs_and_hidden_activations_lowers_lambda_max_several_fold(activation, x):
    raw, centered = measured(activation, x, [(0, 0.0, 0.0, 0.0), (0, 1.0, 1.0, 0.0)])
    assert 4.0 < raw / centered < 10.0


def test_centering_lowers_it_for_tanh_as_well_where_the_inputs_alone_have_a_mean(tanh):
    raw = tanh["input"][INPUT_DOSES == 1.0].item()
    assert 4.0 < raw / tanh["centered"] < 10.0
