"""The Fisher and its estimates: closed forms, twins by loops, agreement of all representations."""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from signdyn.analysis.fisher import (
    empirical_fisher_factor,
    empirical_fisher_vector_product,
    fisher_blocks,
    fisher_diagonal,
    fisher_factor,
    fisher_vector_product,
    monte_carlo_fisher_factor,
    monte_carlo_fisher_vector_product,
)
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
        (linear, jnp.zeros((3, 1)), jnp.zeros(()), r"x to be an array \[batch, ...\]"),
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


# ---- Likelihood x estimator x representation, against a twin by loops over examples and labels.

KEY, NUM_SAMPLES = jax.random.key(11), 3


def with_sampler(likelihood):
    """Return the likelihood with a sampler, which a user's own must bring itself."""

    def arrivals(key, f):
        """Count exponential waiting times up to the rate."""
        waits = jax.random.exponential(key, (60, *f.shape), f.dtype)
        return jnp.sum(jnp.cumsum(waits, axis=0) < jnp.exp(f)[None], axis=0).astype(f.dtype)

    return likelihood._replace(sample=arrivals) if likelihood.name == "poisson" else likelihood


# One label an example, for the empirical Fisher.
DATA_LABELS = {
    "categorical": jnp.array([3, 0, 1, 1, 2]),
    "bernoulli": jnp.array([1, 0, 0, 1, 1]),
    "gaussian": jnp.asarray(np.random.default_rng(5).normal(size=(NUM_EXAMPLES, 2))),
    "poisson": jnp.array([[0.0], [2.0], [1.0], [4.0], [0.0]]),
}


def score_by_hand(name, f, y):
    """Return d nll / d outputs of one example."""
    if name == "categorical":
        p = np.exp(f - np.max(f))
        return p / np.sum(p) - np.eye(f.size)[int(y)]
    if name == "bernoulli":
        return 1 / (1 + np.exp(-f)) - y
    return (f - y) / 0.3 if name == "gaussian" else np.exp(f) - y


def expectation_by_hand(name, f):
    """Return labels and probabilities of the model's own labels of one example."""
    if name == "categorical":
        p = np.exp(f - np.max(f))
        return list(range(f.size)), p / np.sum(p)
    if name == "bernoulli":
        p = 1 / (1 + np.exp(-f[0]))
        return [0, 1], [1 - p, p]
    rate, counts = np.exp(f[0]), np.arange(1, 80)
    log_p = np.concatenate([[0.0], np.cumsum(np.log(rate / counts))]) - rate
    return [0, *counts], np.exp(log_p)


def twin(name, estimator, outputs, jacobians, labels):
    """Return one of the three matrices by loops over examples and labels.

    Args:
        labels: Of example n, the labels to take the mean over; unused by the exact Fisher.
    """
    total = 0.0
    for n, (f, J) in enumerate(zip(outputs, jacobians, strict=True)):
        if estimator == "exact" and name == "gaussian":
            total = total + J.T @ J / 0.3
            continue
        if estimator == "exact":
            values, weights = expectation_by_hand(name, f)
        else:
            values, weights = labels[n], np.full(len(labels[n]), 1 / len(labels[n]))
        for y, weight in zip(values, weights, strict=True):
            gradient = J.T @ score_by_hand(name, f, y)
            total = total + weight * np.outer(gradient, gradient)
    return total / len(outputs)


@functools.partial(jax.jit, static_argnums=(0, 1))
def all_matrices(apply_fn, likelihood, params, x, y=None, key=None):
    """Return factor and dense product: exact, with labels empirical, with a key Monte Carlo."""
    arguments = (apply_fn, likelihood, params, x)
    eye = jnp.eye(ravel_pytree(params)[0].size)
    each = {"exact": (fisher_factor(*arguments), fisher_vector_product(*arguments))}
    if y is not None:
        each["empirical"] = (
            empirical_fisher_factor(*arguments, y),
            empirical_fisher_vector_product(*arguments, y),
        )
    if key is not None:
        each["monte carlo"] = (
            monte_carlo_fisher_factor(*arguments, key, NUM_SAMPLES),
            monte_carlo_fisher_vector_product(*arguments, key, NUM_SAMPLES),
        )
    return {name: (A, jax.vmap(product)(eye)) for name, (A, product) in each.items()}


@functools.partial(jax.jit, static_argnums=0)
def outputs_and_jacobians(apply_fn, params, x):
    theta, unravel = ravel_pytree(params)
    one = lambda t, xn: apply_fn(unravel(t), xn[None])[0]  # noqa: E731
    return jax.lax.map(lambda xn: (one(theta, xn), jax.jacrev(one)(theta, xn)), x)


@pytest.fixture(scope="module")
def computed():
    """Return, for a likelihood, all matrices of the network and all twins; computed once."""

    @functools.cache
    def compute(name):
        likelihood, num_outputs, _ = CASES[name]
        likelihood = with_sampler(likelihood)
        params, x, y = mlp_params(0, num_outputs), draw_inputs(), DATA_LABELS[name]
        matrices = all_matrices(mlp, likelihood, params, x, y, KEY)
        outputs, jacobians = map(np.asarray, outputs_and_jacobians(mlp, params, x))
        keys = jax.random.split(KEY, NUM_SAMPLES)
        drawn = [np.asarray(likelihood.sample(key, mlp(params, x))) for key in keys]
        labels = {
            "exact": None,
            "monte carlo": [[own[n] for own in drawn] for n in range(NUM_EXAMPLES)],
            "empirical": [[np.asarray(own)] for own in y],
        }

        def twin_of(estimator, examples):
            own = labels[estimator]
            return twin(
                name,
                estimator,
                outputs[examples],
                jacobians[examples],
                None if own is None else [own[n] for n in examples],
            )

        twins = {estimator: twin_of(estimator, list(range(NUM_EXAMPLES))) for estimator in labels}
        return params, matrices, twins, twin_of

    return compute


def assert_close(actual, expected, rtol):
    """Compare matrices on the scale of the largest entry."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * np.max(np.abs(expected)))


LEAVES = ("first/bias", "first/kernel", "last/0", "last/1")


@pytest.mark.parametrize("estimator", ["exact", "monte carlo", "empirical"])
@pytest.mark.parametrize("name", CASES)
def test_every_representation_of_every_estimator_equals_its_twin(computed, name, estimator):
    params, matrices, twins, _ = computed(name)
    (A, products), F = matrices[estimator], twins[estimator]
    assert_close(A.T @ A, F, 1e-12)
    assert_close(products, F, 1e-12)
    assert_close(fisher_diagonal(A), np.diag(F), 1e-12)
    for by, names in (("leaf", LEAVES), ("layer", ("first", "last"))):
        blocks = fisher_blocks(A, params, by=by)
        assert tuple(blocks) == names
        ends = np.cumsum([block.shape[1] for block in blocks.values()])
        for block, end in zip(blocks.values(), ends, strict=True):
            place = slice(end - block.shape[1], end)
            assert_close(block.T @ block, F[place, place], 1e-12)


@pytest.mark.parametrize(
    ("estimator", "rank"), [("exact", 4), ("monte carlo", 3), ("empirical", 1)]
)
def test_rows_are_example_major(computed, estimator, rank):
    _, matrices, _, twin_of = computed("categorical")
    rows = matrices[estimator][0].reshape(NUM_EXAMPLES, rank, -1)
    for n in range(NUM_EXAMPLES):
        assert_close(rows[n].T @ rows[n], twin_of(estimator, [n]) / NUM_EXAMPLES, 1e-12)


# ---- Convolutional and residual networks, as bare functions


def convolve(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def dense_net(activation, params, x):
    hidden = activation(x.reshape(len(x), -1) @ params["a"][:9, :3])
    return activation(hidden @ params["b"][:3, :3]) @ params["c"][:3] + params["d"]


def convolutional_net(activation, params, x):
    hidden = activation(convolve(x, params["a"][:4, :2].reshape(2, 2, 1, 2)))
    hidden = activation(convolve(hidden, params["b"][:8, :2].reshape(2, 2, 2, 2)))
    return jnp.mean(hidden, axis=(1, 2)) @ params["c"][:2] + params["d"]


def residual_net(activation, params, x):
    hidden = x.reshape(len(x), -1)[:, :3]
    for name in ("a", "b"):
        hidden = hidden + activation(hidden @ params[name][:3, :3])
    return hidden @ params["c"][:3] + params["d"]


@functools.partial(jax.jit, static_argnums=0)
def matrices_and_jacobians(net, rectify, params, x):
    """Return the exact of `all_matrices` and the Jacobians; one program for tanh and for ReLU."""
    activation = lambda z: jnp.where(rectify, jax.nn.relu(z), jnp.tanh(z))  # noqa: E731
    apply_fn = functools.partial(net, activation)
    return (
        all_matrices(apply_fn, categorical(), params, x)["exact"],
        outputs_and_jacobians(apply_fn, params, x),
    )


SHAPES = {"a": (9, 3), "b": (8, 3), "c": (3, 4), "d": (4,)}


@pytest.mark.parametrize("rectify", [False, True], ids=["tanh", "relu"])
@pytest.mark.parametrize("net", [dense_net, convolutional_net, residual_net])
def test_dense_convolutional_and_residual_nets_are_exact_in_all_representations(net, rectify):
    rng = np.random.default_rng(21)
    params = {name: jnp.asarray(rng.normal(size=shape)) for name, shape in SHAPES.items()}
    x = jnp.asarray(rng.normal(0.5, size=(3, 3, 3, 1)))
    double = matrices_and_jacobians(net, rectify, params, x)
    outputs, jacobians = map(np.asarray, double[1])
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), (params, x))
    F = twin("categorical", "exact", outputs, jacobians, None)
    for rtol, dtype, (A, products) in (
        (1e-10, jnp.float64, double[0]),
        (1e-5, jnp.float32, matrices_and_jacobians(net, rectify, *single)[0]),
    ):
        assert A.dtype == products.dtype == dtype
        assert_close(A.T @ A, F, rtol)
        assert_close(products, F, rtol)
        assert_close(fisher_diagonal(A), np.diag(F), rtol)
        blocks = fisher_blocks(A, params, by="leaf")
        np.testing.assert_array_equal(jnp.hstack([*blocks.values()]), A)


# ---- What the estimators estimate


@functools.partial(jax.jit, static_argnums=0)
def empirical(likelihood, params, x, y):
    return empirical_fisher_factor(linear, likelihood, params, x, y)


def test_the_monte_carlo_fisher_is_unbiased_and_its_error_falls_as_one_over_root_samples():
    x, w = draw_inputs(), jnp.array([[0.5], [-1.0], [0.3]])
    exact = dense(linear, bernoulli(), w, x)
    keys = jax.random.split(jax.random.key(1), 400)

    def errors(num_samples):
        def one(key):
            A = monte_carlo_fisher_factor(linear, bernoulli(), w, x, key, num_samples)
            return A.T @ A - exact

        return jax.jit(jax.vmap(one))(keys)

    few, many = errors(2), errors(32)
    standard_errors = np.std(few, axis=0) / np.sqrt(len(keys))
    assert np.all(np.abs(np.mean(few, axis=0)) < 5 * standard_errors)
    # A ratio of two mean squares of 400 draws, each with a relative error of about .07.
    ratio = np.mean(few**2) / np.mean(many**2)
    np.testing.assert_allclose(ratio, 16.0, rtol=0.35)


def test_the_empirical_fisher_is_the_fisher_times_the_squared_residual():
    x, w, variance = draw_inputs(), jnp.ones((FAN_IN, 1)), 0.3
    for residual in (0.0, 2.0):
        y = linear(w, x) + residual * jnp.array([[1.0], [-1.0], [1.0], [1.0], [-1.0]])
        A = empirical(gaussian(variance), w, x, y)
        fisher = dense(linear, gaussian(variance), w, x)
        np.testing.assert_allclose(A.T @ A, fisher * residual**2 / variance, rtol=1e-12)


def test_the_empirical_fisher_equals_the_fisher_in_expectation_over_the_models_own_labels():
    x, w = draw_inputs()[:3], jnp.array([[0.5], [-1.0], [0.3]])
    p = jax.nn.sigmoid(linear(w, x))[:, 0]
    labels = jnp.array(list(itertools.product((0, 1), repeat=3)))  # all 8 labelings of 3 examples
    weights = jnp.prod(jnp.where(labels == 1, p[None], 1 - p[None]), axis=1)
    A = jax.vmap(lambda y: empirical(bernoulli(), w, x, y))(labels)
    mean = jnp.einsum("l,lnp,lnq->pq", weights, A, A)
    np.testing.assert_allclose(mean, dense(linear, bernoulli(), w, x), atol=1e-14)


def test_the_mean_row_of_the_empirical_factor_is_the_gradient_of_the_mean_nll():
    params, x, y = mlp_params(0, 4), draw_inputs(), DATA_LABELS["categorical"]
    A = all_matrices(mlp, categorical(), params, x, y, KEY)["empirical"][0]
    gradient = jax.jit(jax.grad(lambda p: jnp.mean(categorical().nll(mlp(p, x), y))))(params)
    expected = ravel_pytree(gradient)[0]
    np.testing.assert_allclose(jnp.sum(A, axis=0) / np.sqrt(NUM_EXAMPLES), expected, atol=1e-14)


def test_a_label_that_is_no_class_has_an_undefined_gradient_not_one_of_zero():
    x, w = draw_inputs()[:2], jnp.ones((FAN_IN, 4))
    A = empirical(categorical(), w, x, jnp.array([1, 7]))
    np.testing.assert_array_equal(np.isnan(A).all(axis=1), [False, True])
    assert np.isfinite(A[0]).all()


def test_blocks_of_unordered_and_bare_parameters_keep_their_columns():
    A = jnp.arange(8.0).reshape(2, 4)
    assert list(fisher_blocks(A, jnp.zeros((2, 2)), by="leaf")) == [""]
    params = {"a": jnp.zeros(1), "b": {"w": jnp.zeros(2)}, "c": 0.5}
    blocks = fisher_blocks(A, params, by="layer")  # a and c lie in the root, around b
    assert list(blocks) == ["", "b"]
    np.testing.assert_array_equal(blocks[""], A[:, [0, 3]])
    np.testing.assert_array_equal(blocks["b"], A[:, [1, 2]])


# ---- Errors

ENTRY_POINTS = {
    "fisher_factor": fisher_factor,
    "fisher_vector_product": fisher_vector_product,
    "monte_carlo_fisher_factor": lambda *a: monte_carlo_fisher_factor(*a, KEY, 2),
    "monte_carlo_fisher_vector_product": lambda *a: monte_carlo_fisher_vector_product(*a, KEY, 2),
    "empirical_fisher_factor": lambda *a: empirical_fisher_factor(*a, jnp.zeros((2, 1))),
    "empirical_fisher_vector_product": lambda *a: empirical_fisher_vector_product(
        *a, jnp.zeros((2, 1))
    ),
}
each_entry_point = pytest.mark.parametrize("name", ENTRY_POINTS)


@each_entry_point
def test_a_batch_norm_in_training_mode_is_refused_by_name(name):
    net = nn.Sequential([nn.Dense(2), nn.BatchNorm(use_running_average=False), nn.Dense(1)])
    x = jnp.ones((2, 3), jnp.float32)
    variables = jax.tree.map(
        lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(net.init, jax.random.key(0), x)
    )
    rest = {"batch_stats": variables["batch_stats"]}

    def apply_fn(params, x):
        return net.apply({"params": params, **rest}, x, mutable=["batch_stats"])[0]

    with pytest.raises(ValueError, match=rf"{name}: expected.*independently.*layers_1"):
        ENTRY_POINTS[name](apply_fn, gaussian(), variables["params"], x)


@pytest.mark.parametrize("name", ["factor", "vector_product"])
def test_a_likelihood_without_sampler_and_too_few_samples_are_refused(name):
    build = {
        "factor": monte_carlo_fisher_factor,
        "vector_product": monte_carlo_fisher_vector_product,
    }[name]
    arguments = (jnp.zeros((3, 1)), jnp.ones((2, 3)), KEY)
    message = rf"monte_carlo_fisher_{name}: expected.*'poisson' without `sample`; pass sample="
    with pytest.raises(ValueError, match=message):
        build(linear, poisson(), *arguments, 1)
    with pytest.raises(ValueError, match=rf"monte_carlo_fisher_{name}: expected num_samples >= 1"):
        build(linear, bernoulli(), *arguments, 0)


@pytest.mark.parametrize("build", [empirical_fisher_factor, empirical_fisher_vector_product])
@pytest.mark.parametrize("shape", [(3, 1), ()])
def test_labels_of_other_examples_are_refused(no_type_check, build, shape):
    message = rf"{build.__name__}: expected y to be an array \[batch, ...\]"
    with pytest.raises(ValueError, match=message):
        build(linear, gaussian(), jnp.zeros((3, 1)), jnp.ones((2, 3)), jnp.zeros(shape))


def test_columns_that_are_not_the_parameters_and_an_unknown_part_are_refused(no_type_check):
    with pytest.raises(ValueError, match=r"column for each of the 3 parameters.*\(2, 4\)"):
        fisher_blocks(jnp.zeros((2, 4)), jnp.zeros(3), by="leaf")
    with pytest.raises(ValueError, match="by to be one of 'leaf', 'layer', got 'unit'"):
        fisher_blocks(jnp.zeros((2, 3)), jnp.zeros(3), by="unit")
    alike = {"a": {"b": jnp.zeros(1)}, "a/b": jnp.zeros(2)}
    with pytest.raises(ValueError, match="expected paths that differ"):
        fisher_blocks(jnp.zeros((2, 3)), alike, by="leaf")
