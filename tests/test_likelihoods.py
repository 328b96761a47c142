"""Likelihoods: factors against Hessians and score covariances, probabilities, extremes, errors."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.likelihoods import (
    LIKELIHOODS,
    Likelihood,
    bernoulli,
    categorical,
    example_nll,
    gaussian,
    get_likelihood,
    output_fisher_factor,
)

VARIANCE = 0.3
# name, likelihood, number of outputs, one label
CASES = {
    "categorical": (categorical(), 4, jnp.array([2])),
    "bernoulli": (bernoulli(), 1, jnp.array([1])),
    "gaussian": (gaussian(VARIANCE), 3, jnp.array([[0.5, -1.0, 2.0]])),
}
each_case = pytest.mark.parametrize(
    ("likelihood", "num_outputs", "label"), CASES.values(), ids=CASES.keys()
)
nll = categorical().nll


@pytest.fixture
def no_type_check(monkeypatch):
    """Let wrong shapes reach the code, as they do for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def draw_outputs(num_outputs, num_examples=6, seed=0):
    return 2 * jax.random.normal(jax.random.key(seed), (num_examples, num_outputs))


def squared(factor):
    return jnp.einsum("nkr,njr->nkj", factor, factor)


@each_case
def test_the_factor_squares_to_the_hessian_of_the_nll(likelihood, num_outputs, label):
    outputs = draw_outputs(num_outputs)
    hessian = jax.jit(jax.vmap(jax.hessian(lambda f: likelihood.nll(f[None], label)[0])))
    np.testing.assert_allclose(
        squared(likelihood.fisher_factor(outputs)), hessian(outputs), atol=1e-12
    )


@pytest.mark.parametrize("num_outputs", [1, 2, 5])
def test_a_thin_factor_has_the_product_of_the_factor_and_no_column_too_many(num_outputs):
    outputs = jnp.concatenate([draw_outputs(num_outputs), 40 * draw_outputs(num_outputs)])
    outputs = outputs.at[0].set(2000.0 * jnp.arange(num_outputs))
    thin = categorical().thin_factor(outputs)
    assert thin.shape == (12, num_outputs, max(1, num_outputs - 1))
    expected = squared(categorical().fisher_factor(outputs))
    np.testing.assert_allclose(squared(thin), expected, atol=1e-15)


def own_labels(name, f):
    """Return labels and their probabilities under outputs f: all of them, or a quadrature."""
    if name == "categorical":
        return jnp.arange(f.size), jax.nn.softmax(f)
    if name == "bernoulli":
        return jnp.arange(2), jnp.stack([1 - jax.nn.sigmoid(f[0]), jax.nn.sigmoid(f[0])])
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)  # exact to degree 5; the score is linear
    grid = np.stack(np.meshgrid(*[nodes] * f.size, indexing="ij"), -1).reshape(-1, f.size)
    products = np.prod(np.stack(np.meshgrid(*[weights] * f.size, indexing="ij"), -1), -1)
    return f + math.sqrt(VARIANCE) * grid, products.reshape(-1) / (2 * math.pi) ** (f.size / 2)


@each_case
def test_the_factor_squares_to_the_covariance_of_the_score_over_the_models_own_labels(
    likelihood, num_outputs, label
):
    @jax.jit
    def mean_and_covariance(f):
        labels, probabilities = own_labels(likelihood.name, f)
        score = jax.grad(lambda f, y: likelihood.nll(f[None], y[None])[0])
        scores = jax.vmap(score, (None, 0))(f, labels)
        return probabilities @ scores, jnp.einsum("y,yk,yj->kj", probabilities, scores, scores)

    outputs = draw_outputs(num_outputs, seed=1)
    means, covariances = jax.vmap(mean_and_covariance)(outputs)
    np.testing.assert_allclose(means, np.zeros_like(outputs), atol=1e-12)
    np.testing.assert_allclose(squared(likelihood.fisher_factor(outputs)), covariances, atol=1e-12)


@each_case
def test_scores_at_sampled_labels_have_mean_zero_and_the_factors_second_moment(
    likelihood, num_outputs, label
):
    num_samples = 4000
    outputs = draw_outputs(num_outputs, num_examples=3, seed=2)

    @jax.jit
    def scores_of(keys):
        labels = jax.vmap(lambda key: likelihood.sample(key, outputs))(keys)
        score = jax.grad(lambda f, y: jnp.sum(likelihood.nll(f, y)))
        return jax.vmap(score, (None, 0))(outputs, labels), labels

    scores, labels = scores_of(jax.random.split(jax.random.key(3), num_samples))
    assert labels.shape == (num_samples, 3, *label.shape[1:])
    products = jnp.einsum("snk,snj->snkj", scores, scores)
    for values, expected in [
        (scores, np.zeros(outputs.shape)),
        (products, squared(likelihood.fisher_factor(outputs))),
    ]:
        # Five standard errors of the mean: 36 numbers, each beyond them once in 2e6 keys.
        errors = np.std(values, axis=0) / math.sqrt(num_samples)
        assert np.all(np.abs(np.mean(values, axis=0) - expected) <= 5 * errors + 1e-12)


def test_sampled_labels_are_what_the_nll_takes():
    key, logits = jax.random.key(0), draw_outputs(4, num_examples=50).astype(jnp.float32)
    classes = categorical().sample(key, logits)
    assert jnp.issubdtype(classes.dtype, jnp.integer)
    assert set(np.asarray(classes)) <= {0, 1, 2, 3}
    bits = bernoulli().sample(key, logits[:, :1])
    assert set(np.asarray(bits)) == {0, 1}
    np.testing.assert_array_equal(bits, bernoulli().sample(key, logits[:, 0]))
    values = gaussian(VARIANCE).sample(key, logits)
    assert values.dtype == jnp.float32
    for likelihood, labels in ((categorical(), classes), (gaussian(), values)):
        assert np.all(np.isfinite(likelihood.nll(logits, labels)))
    assert np.all(np.isfinite(bernoulli().nll(logits[:, :1], bits)))


def test_a_certain_model_draws_what_it_is_certain_of():
    key = jax.random.key(0)
    logits = jnp.array([[0.0, 200.0, 0.0], [200.0, 0.0, -jnp.inf]])
    np.testing.assert_array_equal(categorical().sample(key, logits), [1, 0])
    np.testing.assert_array_equal(bernoulli().sample(key, jnp.array([[800.0], [-800.0]])), [1, 0])


@pytest.mark.parametrize("name", ["categorical", "bernoulli"])
def test_probabilities_of_all_labels_sum_to_one(name):
    likelihood, num_outputs, _ = CASES[name]
    outputs = draw_outputs(num_outputs)
    labels = jnp.arange(max(num_outputs, 2))
    total = sum(jnp.exp(-likelihood.nll(outputs, jnp.full(len(outputs), y))) for y in labels)
    np.testing.assert_allclose(total, np.ones(len(outputs)), rtol=1e-14)


def test_the_gaussian_leaves_out_its_constant_so_that_a_perfect_fit_costs_nothing():
    outputs = draw_outputs(3)
    np.testing.assert_array_equal(gaussian(VARIANCE).nll(outputs, outputs), np.zeros(6))
    half_mse = 0.5 * np.sum(np.asarray(outputs) ** 2, axis=1)
    np.testing.assert_allclose(gaussian().nll(outputs, 0 * outputs), half_mse, rtol=1e-14)
    # The integral of exp(-nll) over labels is what the constant would have normalized.
    labels, weights = own_labels("gaussian", jnp.zeros(1))
    density = jnp.exp(-gaussian(VARIANCE).nll(jnp.zeros_like(labels), labels))
    standard = jnp.exp(-(labels[:, 0] ** 2) / (2 * VARIANCE))
    integral = jnp.sum(weights * density / standard) * math.sqrt(2 * math.pi * VARIANCE)
    np.testing.assert_allclose(math.log(integral), 0.5 * math.log(2 * math.pi * VARIANCE))


def test_two_classes_are_a_bernoulli_of_the_difference_of_their_logits():
    logits, labels = draw_outputs(2), jnp.array([0, 1, 1, 0, 1, 0])
    difference = logits[:, 1:] - logits[:, :1]
    np.testing.assert_allclose(nll(logits, labels), bernoulli().nll(difference, labels), atol=1e-14)
    contrast = jnp.array([-0.5, 0.5])
    variance = jnp.einsum(
        "nkj,k,j->n", squared(categorical().fisher_factor(logits)), contrast, contrast
    )
    root = bernoulli().fisher_factor(difference)[:, 0, 0]
    np.testing.assert_allclose(variance, root**2, atol=1e-14)


def test_a_constant_added_to_all_logits_is_the_null_direction_of_the_softmax():
    logits, labels = draw_outputs(4), jnp.arange(6) % 4
    np.testing.assert_allclose(nll(logits + 3.0, labels), nll(logits, labels), atol=1e-13)
    factor = categorical().fisher_factor(logits)
    np.testing.assert_allclose(jnp.sum(factor, axis=1), np.zeros((6, 4)), atol=1e-15)
    assert np.all(np.linalg.matrix_rank(squared(factor), tol=1e-12) == 3)


@each_case
def test_extreme_outputs_give_finite_values_factors_and_gradients(likelihood, num_outputs, label):
    signs = jnp.array([[1.0] * 4, [-1.0] * 4, [1.0, -1.0, 0.0, 1.0]])[:, :num_outputs]
    outputs = jnp.concatenate([signs * size for size in (1e2, 1e4, 1e18)]).astype(jnp.float32)
    labels = jnp.repeat(label, 9, axis=0)

    @jax.jit
    def everything(f):
        slopes = jax.grad(lambda f: jnp.sum(likelihood.nll(f, labels)))(f)
        curvature = jax.grad(lambda f: jnp.sum(likelihood.fisher_factor(f)))(f)
        return likelihood.nll(f, labels), likelihood.fisher_factor(f), slopes, curvature

    for value in everything(outputs):
        assert np.all(np.isfinite(value))


def test_a_certain_and_right_answer_keeps_its_relative_accuracy():
    np.testing.assert_allclose(
        bernoulli().nll(jnp.array([[40.0], [-40.0]]), jnp.array([1, 0])),
        [math.log1p(math.exp(-40))] * 2,
        rtol=1e-13,
    )
    small = bernoulli().fisher_factor(jnp.array([[-700.0]]))[0, 0, 0]
    np.testing.assert_allclose(small, math.exp(-350), rtol=1e-12)


def test_a_label_that_is_no_class_is_undefined():
    logits = jnp.zeros((3, 2))
    expected = [np.nan, np.log(2), np.nan]
    np.testing.assert_allclose(nll(logits, jnp.array([-1, 1, 2])), expected)
    np.testing.assert_allclose(bernoulli().nll(logits[:, 0], jnp.array([-1, 1, 2])), expected)


def test_bernoulli_takes_flat_logits_and_fractional_labels():
    logits, labels = draw_outputs(1), jnp.array([0.0, 0.1, 0.5, 0.9, 1.0, 0.3])
    flat = bernoulli().nll(logits[:, 0], labels)
    np.testing.assert_array_equal(flat, bernoulli().nll(logits, labels[:, None]))
    zero, one = (bernoulli().nll(logits, jnp.full(6, y)) for y in (0, 1))
    np.testing.assert_allclose(flat, (1 - labels) * zero + labels * one, rtol=1e-14)


def test_correct_counts_right_answers_and_is_undefined_where_there_are_none():
    logits = jnp.array([[1.0, 2.0], [1.0, 2.0], [3.0, 3.0], [jnp.nan, 0.0], [0.0, 1.0]])
    labels = jnp.array([1, 0, 0, 1, 7])
    np.testing.assert_array_equal(
        categorical().correct(logits, labels), [1.0, 0.0, 1.0, np.nan, np.nan]
    )
    scores, bits = jnp.array([2.0, -1.0, 0.5, jnp.nan, 1.0]), jnp.array([1, 0, 0, 1, -1])
    np.testing.assert_array_equal(
        bernoulli().correct(scores, bits), [1.0, 1.0, 0.0, np.nan, np.nan]
    )
    assert np.all(np.isnan(gaussian().correct(logits, logits)))


def test_a_users_own_likelihood_needs_a_name_and_two_functions():
    poisson = Likelihood(
        "poisson",
        lambda f, y: jnp.sum(jnp.exp(f) - y * f, axis=-1),
        lambda f: jnp.exp(0.5 * f)[..., None],
    )
    outputs = draw_outputs(1)
    assert np.all(np.isnan(poisson.correct(outputs, outputs)))
    assert poisson.sample is None
    np.testing.assert_allclose(
        squared(poisson.fisher_factor(outputs))[:, 0, 0], np.exp(outputs)[:, 0]
    )


def test_equal_likelihoods_are_one_static_argument():
    traces = []

    def total(likelihood, outputs):
        traces.append(likelihood.name)
        return jnp.sum(likelihood.fisher_factor(outputs))

    jitted = jax.jit(total, static_argnums=0)
    for constructor in (categorical, bernoulli, lambda: gaussian(2.0), lambda: gaussian(3.0)):
        jitted(constructor(), jnp.zeros((2, 1)))
        jitted(constructor(), jnp.ones((2, 1)))
    assert traces == ["categorical", "bernoulli", "gaussian", "gaussian"]


@each_case
def test_float32_and_strict_promotion_go_through(likelihood, num_outputs, label):
    outputs = draw_outputs(num_outputs).astype(jnp.float32)
    labels = jnp.repeat(label, 6, axis=0)
    labels = labels.astype(jnp.int32 if likelihood.name != "gaussian" else jnp.float32)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        values = likelihood.nll(outputs, labels)
        factor = likelihood.fisher_factor(outputs)
        right = likelihood.correct(outputs, labels)
    assert values.dtype == factor.dtype == right.dtype == jnp.float32
    exact = likelihood.nll(outputs.astype(float), labels)
    np.testing.assert_allclose(values, exact, rtol=1e-5)


def test_the_registry_holds_the_shipped_likelihoods_and_knows_the_nearest_name():
    assert get_likelihood("gaussian") == gaussian(1.0)
    assert all(likelihood.name == name for name, likelihood in LIKELIHOODS.items())
    with pytest.raises(ValueError, match=r"categorical, bernoulli.*'catagorical'.*'categorical'"):
        get_likelihood("catagorical")
    with pytest.raises(ValueError, match="expected one of"):
        get_likelihood("poisson")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nll(jnp.zeros((3, 2)), jnp.zeros((3, 2), int)), r"labels\.shape=\(3, 2\).*argmax"),
        (lambda: nll(jnp.zeros((3, 2)), jnp.zeros(3)), "integer labels"),
        (lambda: nll(jnp.zeros(3), jnp.zeros(3, int)), r"float outputs \[N, K\].*\(3,\)"),
        (lambda: bernoulli().fisher_factor(jnp.zeros((3, 2))), r"one logit.*\(3, 2\).*categorical"),
        (lambda: bernoulli().nll(jnp.zeros((3, 1)), jnp.zeros(4)), r"\(3, 1\).*got.*\(4, 1\)"),
        (lambda: gaussian().nll(jnp.zeros((3, 2)), jnp.zeros(3)), r"shape \(3, 2\).*one-hot"),
        (lambda: gaussian().fisher_factor(jnp.zeros((3, 2), int)), "float outputs"),
        (lambda: gaussian(0.0), "positive, finite variance"),
        (lambda: gaussian(math.nan), "positive, finite variance"),
    ],
)
def test_errors_say_what_was_expected_what_came_and_what_to_do(no_type_check, call, message):
    with pytest.raises(ValueError, match=message):
        call()


def with_nll(nll):
    return bernoulli()._replace(name="mine", nll=nll)


def with_factor(factor):
    return bernoulli()._replace(name="mine", fisher_factor=factor)


@pytest.mark.parametrize(
    "nll",
    [
        lambda outputs, labels: jnp.mean(outputs),
        lambda outputs, labels: outputs,
        lambda outputs, labels: jnp.zeros(2),
        lambda outputs, labels: labels,
    ],
)
def test_an_nll_that_is_not_one_float_an_example_is_refused(nll):
    outputs, labels = jnp.ones((3, 1)), jnp.ones(3, int)
    with pytest.raises(ValueError, match=r"mine: expected nll to return floats \[3\]"):
        example_nll(with_nll(nll), outputs, labels)
    assert example_nll(bernoulli(), outputs, labels).shape == (3,)


@pytest.mark.parametrize("shape", [(3, 1), (1, 1), (2, 1, 1), (3, 2, 1), (3, 1, 0), (3, 1, 1, 1)])
def test_an_output_fisher_factor_that_is_not_a_matrix_an_example_is_refused(shape):
    outputs = jnp.ones((3, 1))
    with pytest.raises(ValueError, match=r"mine: expected fisher_factor to .* \[3, 1, R\]"):
        output_fisher_factor(with_factor(lambda f: jnp.ones(shape)), outputs)
    assert output_fisher_factor(bernoulli(), outputs).shape == (3, 1, 1)


@pytest.mark.parametrize(("dtype", "label"), [(jnp.int8, -100), (jnp.uint8, 5), (jnp.int8, 5)])
def test_labels_of_a_narrow_dtype_mean_the_class_that_they_say(dtype, label):
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(1, 300)))
    wide, narrow = jnp.array([label]), jnp.array([label], dtype)
    for function in (categorical().nll, categorical().correct):
        np.testing.assert_array_equal(function(logits, narrow), function(logits, wide))


def test_an_infinite_logit_costs_nothing_where_it_is_right_and_all_where_it_is_wrong():
    logits, labels = (
        jnp.array([np.inf, -np.inf, np.inf, -np.inf, np.nan]),
        jnp.array([1, 0, 0, 1, 1]),
    )
    expected = [0.0, 0.0, np.inf, np.inf, np.nan]
    np.testing.assert_array_equal(bernoulli().nll(logits, labels), expected)
