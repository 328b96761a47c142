"""The Fisher: closed forms, a twin by loops, and agreement of factor and product on any model."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from signdyn.analysis.fisher import fisher_factor, fisher_vector_product
from signdyn.likelihoods import Likelihood, bernoulli, categorical, gaussian

NUM_EXAMPLES = 5
FAN_IN = 3


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


# likelihood, number of outputs, one label
CASES = {
    "categorical": (categorical(), 4, jnp.array([1])),
    "bernoulli": (bernoulli(), 1, jnp.array([1])),
    "gaussian": (gaussian(0.3), 2, jnp.array([[0.5, -1.0]])),
    "poisson": (poisson(), 1, jnp.array([[3.0]])),
}
each_case = pytest.mark.parametrize(
    ("likelihood", "num_outputs", "label"), CASES.values(), ids=CASES.keys()
)


def linear(params, x):
    return x @ params


def mlp(params, x):
    """Return the outputs of a tanh network as a bare function of a nested dict."""
    hidden = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"])
    return hidden @ params["last"][0] + params["last"][1]


def mlp_params(seed, num_outputs, width=3):
    normal = np.random.default_rng(seed).normal
    first = {"bias": normal(size=width), "kernel": normal(size=(FAN_IN, width))}
    last = (normal(size=(width, num_outputs)), normal(size=num_outputs))
    return jax.tree.map(jnp.asarray, {"first": first, "last": last})


def draw_inputs():
    return jnp.asarray(np.random.default_rng(7).normal(0.5, size=(NUM_EXAMPLES, FAN_IN)))


def fisher_by_loops(apply_fn, likelihood, label, params, x):
    """Return mean_n J_n^T H_n J_n by one reverse pass an output: no factor, no vmap.

    H_n is the Hessian of the nll in the outputs, which is their Fisher in every case here.
    """
    theta, unravel = ravel_pytree(params)

    @jax.jit
    def parts(xn):
        outputs_of = lambda t: apply_fn(unravel(t), xn[None])[0]  # noqa: E731
        hessian = jax.hessian(lambda f: likelihood.nll(f[None], label)[0])(outputs_of(theta))
        return jax.jacrev(outputs_of)(theta), hessian

    total = np.zeros((theta.size, theta.size))
    for xn in x:
        J, H = (np.asarray(part) for part in parts(xn))
        total += J.T @ H @ J
    return total / len(x)


@functools.partial(jax.jit, static_argnums=(0, 1))
def dense(apply_fn, likelihood, params, x):
    A = fisher_factor(apply_fn, likelihood, params, x)
    return A.T @ A


@functools.partial(jax.jit, static_argnums=(0, 1))
def dense_by_products(apply_fn, likelihood, params, x):
    product = fisher_vector_product(apply_fn, likelihood, params, x)
    return jax.vmap(product)(jnp.eye(ravel_pytree(params)[0].size)).T


@each_case
def test_factor_and_product_equal_the_twin_by_loops(likelihood, num_outputs, label):
    params, x = mlp_params(0, num_outputs), draw_inputs()
    twin = fisher_by_loops(mlp, likelihood, label, params, x)
    scale = np.max(np.abs(twin))
    np.testing.assert_allclose(dense(mlp, likelihood, params, x), twin, atol=1e-12 * scale)
    products = dense_by_products(mlp, likelihood, params, x)
    np.testing.assert_allclose(products, twin, atol=1e-12 * scale)


def test_a_linen_network_on_images_goes_through_unchanged():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.Conv(2, (2, 2), param_dtype=float)(x))
            return nn.Dense(3, param_dtype=float)(x.reshape(len(x), -1))

    net, x = Net(), jnp.asarray(np.random.default_rng(1).normal(size=(4, 3, 3, 1)))
    params = jax.jit(net.init)(jax.random.key(0), x)
    twin = fisher_by_loops(net.apply, categorical(), jnp.array([0]), params, x)
    atol = 1e-12 * np.max(np.abs(twin))
    np.testing.assert_allclose(dense(net.apply, categorical(), params, x), twin, atol=atol)
    products = dense_by_products(net.apply, categorical(), params, x)
    np.testing.assert_allclose(products, twin, atol=atol)


def test_the_linear_gaussian_fisher_is_the_second_moment_of_the_inputs():
    x, variance = draw_inputs(), 0.3
    params = jnp.asarray(np.random.default_rng(2).normal(size=(FAN_IN, 2)))
    expected = np.kron(np.asarray(x.T @ x) / NUM_EXAMPLES / variance, np.eye(2))
    np.testing.assert_allclose(dense(linear, gaussian(variance), params, x), expected, atol=1e-13)


@pytest.mark.parametrize(("likelihood", "num_outputs"), [(categorical(), 4), (bernoulli(), 1)])
def test_the_fisher_of_a_linear_model_is_the_hessian_of_its_mean_nll_for_any_labels(
    likelihood, num_outputs
):
    x, labels = draw_inputs(), jnp.array([0, 1, 1, 0, 0])
    params = jnp.asarray(np.random.default_rng(3).normal(size=(FAN_IN, num_outputs)))
    hessian = jax.jit(jax.hessian(lambda p: jnp.mean(likelihood.nll(linear(p, x), labels))))
    size = params.size
    np.testing.assert_allclose(
        dense(linear, likelihood, params, x), hessian(params).reshape(size, size), atol=1e-13
    )


def test_two_opposite_gradients_do_not_cancel_in_the_fisher():
    x, labels, w = jnp.ones((2, 1)), jnp.array([0, 1]), jnp.zeros((1, 1))
    gradient = jax.jit(jax.grad(lambda w: jnp.mean(bernoulli().nll(linear(w, x), labels))))(w)
    assert gradient[0, 0] == 0.0
    # p (1 - p) x^2 = 1/4, for each example and so for their mean
    np.testing.assert_allclose(dense(linear, bernoulli(), w, x), [[0.25]], rtol=1e-15)


def test_the_fisher_does_not_depend_on_how_often_the_data_are_repeated():
    params, x = mlp_params(0, 4), draw_inputs()
    once = dense(mlp, categorical(), params, x)
    twice = dense(mlp, categorical(), params, jnp.concatenate([x, x]))
    np.testing.assert_allclose(twice, once, atol=1e-14)


def test_flipping_inputs_and_the_weights_that_read_them_flips_signs_of_the_fisher_exactly():
    signs = jnp.array([1.0, -1.0, -1.0])
    params, x = mlp_params(0, 4), draw_inputs()
    kernel = signs[:, None] * params["first"]["kernel"]
    flipped = {**params, "first": {**params["first"], "kernel": kernel}}
    ones = jax.tree.map(jnp.ones_like, params)
    ones["first"]["kernel"] = signs[:, None] * ones["first"]["kernel"]
    column_signs = ravel_pytree(ones)[0]
    build = jax.jit(lambda p, x: fisher_factor(mlp, categorical(), p, x))
    np.testing.assert_array_equal(build(flipped, x * signs), build(params, x) * column_signs)


def test_vmap_over_seeds_equals_a_loop_over_seeds():
    x = draw_inputs()
    seeds = [mlp_params(s, 4) for s in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    v = jnp.arange(ravel_pytree(seeds[0])[0].size, dtype=float)

    def both(params):
        product = fisher_vector_product(mlp, categorical(), params, x)
        return fisher_factor(mlp, categorical(), params, x), product(v)

    factors, products = jax.jit(jax.vmap(both))(stacked)
    one = jax.jit(both)
    for seed, params in enumerate(seeds):
        factor, product = one(params)
        np.testing.assert_allclose(factors[seed], factor, atol=1e-14)
        np.testing.assert_allclose(products[seed], product, atol=1e-12)


@each_case
def test_float32_answers_in_float32_under_strict_promotion(likelihood, num_outputs, label):
    params, x = mlp_params(0, num_outputs), draw_inputs()
    exact = dense(mlp, likelihood, params, x)
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)

    @jax.jit
    def both(params, x):
        product = fisher_vector_product(lift(mlp), likelihood, params, x)
        vectors = jnp.eye(exact.shape[0])  # float64, the model is float32
        return fisher_factor(lift(mlp), likelihood, params, x), jax.vmap(product)(vectors)

    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        A, columns = both(single, x.astype(jnp.float32))
    assert A.dtype == columns.dtype == jnp.float32
    atol = 1e-5 * np.max(np.abs(exact))
    np.testing.assert_allclose(A.T @ A, exact, atol=atol)
    np.testing.assert_allclose(columns, exact, atol=atol)


def lift(apply_fn):
    """Return ``apply_fn`` with rank promotion allowed: the rule is tested on our code alone."""

    def lifted(params, x):
        with jax.numpy_rank_promotion("allow"):
            return apply_fn(params, x)

    return lifted


@pytest.mark.parametrize("build", [fisher_factor, fisher_vector_product])
@pytest.mark.parametrize(
    ("apply_fn", "params", "x", "message"),
    [
        (linear, jnp.zeros((3, 1)), jnp.zeros((0, 3)), r"at least one example.*\(0, 3\)"),
        (linear, jnp.zeros((3, 1)), jnp.zeros(()), r"at least one example.*\(\)"),
        (linear, {"w": jnp.zeros((3, 1), int)}, jnp.zeros((2, 3)), r"got int64 at params\['w'\]"),
        (linear, [jnp.zeros(3), "relu"], jnp.zeros((2, 3)), r"got <class 'str'> at params\[1\]"),
        (linear, {}, jnp.zeros((2, 3)), "at least one array"),
        (linear, jnp.zeros(3), jnp.zeros((2, 3)), r"one array \[2, K\].*rows of length 1"),
        (lambda w, x: (x @ w, x), jnp.zeros((3, 1)), jnp.zeros((2, 3)), r"one array \[2, K\]"),
        (lambda w, x: jnp.mean(x @ w), jnp.zeros((3, 1)), jnp.zeros((2, 3)), r"\[2, K\]"),
        (lambda w, x: (x @ w) > 0, jnp.zeros((3, 1)), jnp.zeros((2, 3)), "float outputs.*bool"),
    ],
)
def test_errors_come_before_any_computation(no_type_check, build, apply_fn, params, x, message):
    with pytest.raises(ValueError, match=f"{build.__name__}: expected.*{message}"):
        build(apply_fn, gaussian(), params, x)


def test_a_vector_of_another_length_is_refused():
    product = fisher_vector_product(linear, gaussian(), jnp.zeros((3, 1)), jnp.ones((2, 3)))
    with pytest.raises(ValueError, match=r"expected a vector of shape \(3,\), got.*\(4,\)"):
        product(jnp.zeros(4))
