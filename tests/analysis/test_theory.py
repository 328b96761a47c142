"""Theory against drawn data, against quadrature, and against enumeration of all cases."""

import functools
import itertools
import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.special
import scipy.stats

from signdyn.activations import get_activation
from signdyn.analysis import theory

# Compiled, which is how they are used inside a program.
spiked_covariance = jax.jit(theory.spiked_covariance, static_argnums=(0, 1))
bias_conditioning = jax.jit(theory.bias_conditioning, static_argnums=0)
batch_sign_agreement = jax.jit(theory.batch_sign_agreement, static_argnums=4)


@pytest.fixture
def no_type_check(monkeypatch):
    """Let any number reach the code, as it does for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


# Spectra of data with a mean.

NOISE = {
    "gaussian": lambda rng, shape: rng.normal(size=shape),
    "rademacher": lambda rng, shape: 2.0 * rng.integers(0, 2, size=shape) - 1,
    "uniform": lambda rng, shape: rng.uniform(-math.sqrt(3), math.sqrt(3), size=shape),
}


def top_of_second_moment(x):
    """Return the largest eigenvalue and its eigenvector's squared cosine with the ones vector."""
    size = x.shape[1]
    (value,), vector = scipy.linalg.eigh(x.T @ x / len(x), subset_by_index=[size - 1, size - 1])
    return value, vector.sum() ** 2 / size


@pytest.mark.parametrize(
    ("noise", "dim", "num_samples", "times_threshold", "var"),
    [
        ("gaussian", 400, 1600, 3.0, 1.0),
        ("gaussian", 200, 400, 20.0, 4.0),
        ("rademacher", 300, 150, 4.0, 1 / 12),
        ("rademacher", 300, 900, 3.0, 1.0),
        ("uniform", 300, 150, 4.0, 1 / 12),
        ("uniform", 300, 900, 3.0, 1.0),
    ],
)
def test_the_outlier_and_its_overlap_are_those_of_drawn_data(
    noise, dim, num_samples, times_threshold, var
):
    threshold = float(spiked_covariance(dim, num_samples, 0.0, var).threshold_mean)
    mean, rng = -times_threshold * threshold, np.random.default_rng(dim)
    draws = mean + math.sqrt(var) * NOISE[noise](rng, (6, num_samples, dim))
    outlier, overlap = np.mean([top_of_second_moment(x) for x in draws], axis=0)
    predicted = spiked_covariance(dim, num_samples, mean, var)
    assert outlier == pytest.approx(float(predicted.outlier), rel=0.015)
    assert overlap == pytest.approx(float(predicted.overlap), abs=0.02)


@pytest.mark.parametrize(("dim", "num_samples"), [(400, 1600), (600, 300)])
def test_below_the_threshold_there_is_the_bulk_alone(dim, num_samples):
    predicted = spiked_covariance(dim, num_samples, 0.01, 1.0)
    assert predicted.threshold_mean > 0.03
    x = 0.01 + np.random.default_rng(0).normal(size=(num_samples, dim))
    eigenvalues = np.linalg.eigvalsh(x.T @ x / num_samples)
    assert predicted.outlier == predicted.bulk_high
    assert predicted.overlap == 0.0
    # The edges of a finite matrix fluctuate by dim^(-2/3) = 2 %.
    assert eigenvalues[-1] == pytest.approx(float(predicted.bulk_high), rel=0.04)
    assert eigenvalues[0] == pytest.approx(float(predicted.bulk_low), rel=0.06, abs=1e-12)
    assert np.sum(eigenvalues < 1e-10) == max(0, dim - num_samples)


def test_the_outlier_leaves_the_bulk_continuously_at_the_threshold():
    threshold = spiked_covariance(300, 700, 0.0, 2.0).threshold_mean
    at, below = spiked_covariance(300, 700, jnp.array([1 + 1e-9, 1 - 1e-9]) * threshold, 2.0)[:2]
    np.testing.assert_allclose(at, at[1], rtol=1e-8)
    np.testing.assert_allclose(below, 0.0, atol=1e-8)
    assert below[0] > 0.0


def test_a_mean_without_noise_is_the_only_eigenvalue():
    spectrum = spiked_covariance(50, 20, 0.3, 0.0)
    np.testing.assert_allclose(spectrum, [50 * 0.09, 1.0, 0.0, 0.0, 0.0], rtol=1e-14)


@pytest.mark.parametrize(("mean", "var"), [(1.0, -1.0), (math.nan, 1.0)])
def test_undefined_means_and_variances_give_nan_not_a_bulk(mean, var):
    spectrum = spiked_covariance(50, 20, mean, var)
    assert np.isnan(spectrum.outlier)
    assert np.isnan(spectrum.overlap)
    assert np.isnan(bias_conditioning(50, mean, var))


@pytest.mark.parametrize("dim", [1, 7])
@pytest.mark.parametrize(("mean", "var"), [(0.0, 0.25), (0.0, 1.0), (0.0, 9.0), (2.0, 0.5)])
def test_the_condition_number_with_a_bias_is_that_of_the_exact_moment_matrix(dim, mean, var):
    moments = np.diag([*([var] * dim), 0.0]) + np.outer(*[[*([mean] * dim), 1.0]] * 2)
    expected = np.linalg.cond(moments)
    np.testing.assert_allclose(bias_conditioning(dim, mean, var), expected, rtol=1e-10)


@pytest.mark.parametrize("mean", [0.5, 2.0])
def test_the_condition_number_with_a_bias_is_that_of_many_drawn_examples(mean):
    rng, kappas = np.random.default_rng(0), []
    for _ in range(6):  # 100,000 examples know a variance to .45 %, six times that to .2 %
        x = np.column_stack([mean + rng.normal(size=(100_000, 8)), np.ones(100_000)])
        kappas.append(np.linalg.cond(x.T @ x))
    assert np.mean(kappas) == pytest.approx(float(bias_conditioning(8, mean, 1.0)), rel=0.01)


@hypothesis.given(
    seed=st.integers(0, 2**32 - 1),
    num_features=st.integers(1, 6),
    extra_examples=st.integers(1, 20),
    decades=st.floats(0, 3),
    mean_scale=st.floats(-3, 3),
)
@hypothesis.settings(max_examples=500)
def test_centering_never_makes_the_conditioning_of_inputs_with_a_bias_worse(
    seed, num_features, extra_examples, decades, mean_scale
):
    rng = np.random.default_rng(seed)
    num_examples = num_features + 1 + extra_examples
    x = rng.standard_t(3, size=(num_examples, num_features)) @ np.diag(
        10 ** rng.uniform(-decades, decades, size=num_features)
    )
    x += 10**mean_scale * rng.normal(size=num_features)
    ones = np.ones((num_examples, 1))
    raw, centered = (
        np.linalg.cond(np.hstack([inputs, ones])) for inputs in (x, x - x.mean(axis=0))
    )
    hypothesis.assume(raw < 1e8)  # beyond, float64 holds no six digits of the smallest one
    assert raw**2 >= centered**2 * (1 - 1e-6)


def test_the_critical_rate_is_where_a_quadratic_stops_to_descend():
    rate = float(theory.critical_learning_rate(jnp.float32(8.0)))
    for factor, descends in ((0.99, True), (1.01, False)):
        assert (abs(1 - factor * rate * 8.0) < 1) == descends
    assert theory.critical_learning_rate(0.0) == math.inf


# Signs.


def uniform(rng, shape):
    return rng.uniform(size=shape)


def relu_of_normal(rng, shape):
    return np.maximum(rng.normal(size=shape), 0)


def sigmoid_of_normal(rng, shape):
    return 1 / (1 + np.exp(-rng.normal(size=shape)))


def equicorrelated(correlation, rng, shape):
    common = rng.normal(size=(*shape[:-1], 1))
    own = rng.normal(size=shape)
    return 0.6833 + math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own


def gaussian_moments(name):
    activation = get_activation(name)
    return activation.gaussian_mean, activation.gaussian_sd


# features, their mean, standard deviation and correlation
FEATURES = {
    "uniform": (uniform, 0.5, math.sqrt(1 / 12), 0.0),
    "relu": (relu_of_normal, *gaussian_moments("relu"), 0.0),
    "sigmoid": (sigmoid_of_normal, *gaussian_moments("sigmoid"), 0.0),
    "correlated": (functools.partial(equicorrelated, 0.3), 0.6833, 1.0, 0.3),
    "strongly correlated": (functools.partial(equicorrelated, 0.8), 0.6833, 1.0, 0.8),
}


def drawn_signs(features, delta_mean, batch_size, repetitions=12_000):
    """Return signs of the gradients of three weights, [repetition, 3], and of the bias."""
    rng, grads = np.random.default_rng(batch_size), []
    for _ in range(repetitions // 2000):
        inputs = features(rng, (2000, batch_size, 3))
        deltas = delta_mean + rng.normal(size=(2000, batch_size, 1))
        grads.append(np.sum(np.concatenate([inputs, np.ones_like(deltas)], -1) * deltas, axis=1))
    signs = np.sign(np.concatenate(grads))
    return signs[:, :3], signs[:, 3]


@pytest.mark.parametrize("name", FEATURES)
def test_gradients_of_a_batch_agree_in_sign_as_the_uncentered_cosine_says(name):
    features, mean, std, correlation = FEATURES[name]
    of_weights, of_bias = drawn_signs(features, 0.0, 128)
    cosine = theory.equicorrelated_cosine(mean, std, correlation)
    pairs = [np.mean(of_weights[:, i] == of_weights[:, j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert np.mean(pairs) == pytest.approx(float(theory.sign_agreement(cosine)), abs=0.01)
    with_bias = np.mean(of_weights == of_bias[:, None])
    assert with_bias == pytest.approx(float(theory.mean_sign_agreement(mean, std)), abs=0.01)


@pytest.mark.parametrize(("delta_mean", "batch_size"), [(0.1, 256), (0.5, 128)])
def test_deltas_with_a_mean_make_gradients_agree_as_predicted(delta_mean, batch_size):
    features, mean, std, _ = FEATURES["relu"]
    of_weights, of_bias = drawn_signs(features, delta_mean, batch_size, 10_000)
    predicted = float(batch_sign_agreement(mean, std, delta_mean, 1.0, batch_size))
    assert np.mean(of_weights == of_bias[:, None]) == pytest.approx(predicted, abs=0.01)
    assert predicted > theory.mean_sign_agreement(mean, std) + 0.05


@pytest.mark.parametrize("mean", [-2.0, 0.0, 0.01, 0.4, 1.0, 30.0])
@pytest.mark.parametrize("delta_mean", [0.0, -0.02, 0.3, 4.0])
def test_batch_sign_agreement_is_the_expectation_it_stands_for(mean, delta_mean):
    std, delta_std, batch_size = 0.7, 1.3, 50
    scale = math.hypot(delta_mean, delta_std)
    center, spread = math.sqrt(batch_size) * delta_mean / scale, delta_std / scale
    expected = sum(
        scipy.integrate.quad(
            lambda w: (
                scipy.stats.norm.cdf(mean / std * abs(center + spread * w))
                * scipy.stats.norm.pdf(w)
            ),
            *limits,
            epsabs=1e-13,
            limit=500,
        )[0]
        for limits in itertools.pairwise(sorted([-12.0, -center / spread, 0.0, 12.0]))
    )
    value = batch_sign_agreement(mean, std, delta_mean, delta_std, batch_size)
    assert float(value) == pytest.approx(expected, abs=1e-8)  # what the quadrature holds
    ratio, mean_ratio = delta_mean / delta_std, abs(mean) / std
    slope = mean_ratio / math.hypot(1, ratio)
    if slope > 0:
        far = math.sqrt(batch_size) * abs(ratio) / math.hypot(1, slope)
        exact = 1 - 2 * scipy.special.owens_t(slope * far, 1 / slope)
        assert float(value) == pytest.approx(exact if mean > 0 else 1 - exact, abs=1e-14)


def test_batch_sign_agreement_has_its_limits():
    agree = functools.partial(batch_sign_agreement)
    m, s = 0.3, 0.8
    assert agree(m, s, 0.0, 2.0, 64) == pytest.approx(float(theory.mean_sign_agreement(m, s)))
    all_equal = scipy.stats.norm.cdf(m / s * 8.0)  # equal deltas: R is sqrt(64)
    assert agree(m, s, 0.1, 0.0, 64) == pytest.approx(all_equal, rel=1e-12)
    assert agree(m, s, 0.5, 1.0, 10**6) == pytest.approx(1.0)
    assert agree(m, 0.0, 0.5, 1.0, 64) == agree(m, 0.0, 0.5, 0.0, 64) == 1.0
    assert agree(-m, 0.0, 0.5, 0.0, 64) == 0.0
    assert np.isnan(agree(0.0, 0.0, 0.5, 1.0, 64))
    assert np.isnan(agree(m, s, 0.0, 0.0, 64))
    assert agree(-m, s, 0.2, 1.0, 64) == pytest.approx(1 - float(agree(m, s, 0.2, 1.0, 64)))


def test_sign_agreement_of_gaussian_pairs_is_the_probability_of_two_quadrants():
    for cosine in (-0.9, 0.2, 0.99):
        pair = scipy.stats.multivariate_normal([0, 0], [[1, cosine], [cosine, 1]])
        expected = 2 * pair.cdf([0, 0])
        assert float(theory.sign_agreement(cosine)) == pytest.approx(expected, abs=1e-7)


def test_rounding_beyond_one_agrees_fully_and_a_wrong_cosine_is_undefined():
    just_beyond = jnp.nextafter(jnp.float32(1), jnp.float32(2))
    assert theory.sign_agreement(just_beyond) == 1.0
    assert theory.sign_agreement(-just_beyond) == 0.0
    assert np.isnan(theory.sign_agreement(jnp.array([1.1, -1.1, jnp.nan]))).all()


def test_cosines_are_those_of_the_moment_matrix_at_any_scale():
    mean, std, correlation = 0.4, 1.3, -0.2
    moments = std**2 * np.array([[1, correlation], [correlation, 1]]) + mean**2
    expected = moments[0, 1] / moments[0, 0]
    for scale in (1e-200, 1.0, 1e200):
        cosine = theory.equicorrelated_cosine(scale * mean, scale * std, correlation)
        np.testing.assert_allclose(cosine, expected, rtol=1e-13)
    assert theory.iid_cosine(0.4, 1.3) == theory.equicorrelated_cosine(0.4, 1.3, 0.0)
    assert np.isnan(theory.iid_cosine(0.0, 0.0))
    assert np.isnan(theory.mean_sign_agreement(0.0, 0.0))


@pytest.mark.parametrize("n", [2, 3, 8, 64, 1000])
def test_all_of_n_equicorrelated_numbers_share_a_sign_as_often_as_known(n):
    assert float(theory.gaussian_unanimity(0.5, n)) == pytest.approx(2 / (n + 1), rel=1e-12)
    assert theory.gaussian_unanimity(1.0, n) == 1.0
    chance = theory.null_unanimity(n)
    assert float(theory.gaussian_unanimity(0.0, n)) == pytest.approx(chance, rel=1e-12, abs=1e-30)


def test_two_and_three_numbers_share_a_sign_as_their_arcsines_say():
    cosine = jnp.array([0.01, 0.3, 0.9, 0.9999])
    pairs = theory.gaussian_unanimity(cosine, 2)
    np.testing.assert_allclose(pairs, theory.sign_agreement(cosine), rtol=1e-13)
    threes = 1 / 4 + 3 * np.arcsin(cosine) / (2 * np.pi)
    np.testing.assert_allclose(theory.gaussian_unanimity(cosine, 3), threes, rtol=1e-13)
    assert theory.gaussian_unanimity(cosine, 1) == pytest.approx(1.0)
    assert np.isnan(theory.gaussian_unanimity(jnp.array([-0.1, 1.1, jnp.nan]), 3)).all()


@pytest.mark.parametrize("name", ["relu", "sigmoid"])
def test_all_gradients_of_a_unit_have_one_sign_as_often_as_predicted(name):
    features, mean, std, _ = FEATURES[name]
    of_weights, _ = drawn_signs(features, 0.0, 128)
    predicted = theory.gaussian_unanimity(theory.iid_cosine(mean, std), 3)
    unanimous = np.mean(np.abs(of_weights.sum(axis=1)) == 3)
    assert unanimous == pytest.approx(float(predicted), abs=0.01)


# What chance alone would do.


@pytest.mark.parametrize("n", [1, 2, 3, 8, 11])
def test_null_values_are_the_averages_over_all_sign_vectors(n):
    sums = np.array(list(itertools.product([-1, 1], repeat=n))).sum(axis=1)
    coherence = np.abs(sums) / n
    assert theory.null_unanimity(n) == np.mean(coherence == 1)
    assert theory.null_coherence(n) == pytest.approx(coherence.mean(), rel=1e-12)
    majority = np.maximum(n + sums, n - sums) / (2 * n)
    assert theory.null_majority(n) == pytest.approx(majority.mean(), rel=1e-12)


@pytest.mark.parametrize("n", [16, 64])
def test_null_values_are_those_of_drawn_signs(n):
    draws = np.random.default_rng(n).choice([-1, 1], size=(200_000, n)).sum(axis=1)
    assert theory.null_coherence(n) == pytest.approx(np.mean(np.abs(draws)) / n, abs=0.002)
    unanimous = np.mean(np.abs(draws) == n)
    assert theory.null_unanimity(n) == pytest.approx(unanimous, abs=0.002)


@pytest.mark.parametrize("n", [5, 16, 64])
def test_gaussian_entries_reach_the_weighted_null_coherence(n):
    grad = np.random.default_rng(n).normal(size=(400_000 // n, n))
    measured = np.abs(grad.sum(axis=1)) / np.abs(grad).sum(axis=1)
    error = 4 * measured.std() / math.sqrt(len(measured))
    expected = theory.null_weighted_coherence(n)
    assert abs(measured.mean() - expected) < error + 0.001 * expected


def test_the_weighted_null_coherence_of_one_and_two_entries_is_known():
    assert theory.null_weighted_coherence(1) == 1.0
    exact = 1 / 2 + math.log(2) / math.pi  # of two entries: equal signs, or |a - b| / (a + b)
    assert theory.null_weighted_coherence(2) == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(
    "null",
    [
        theory.null_unanimity,
        theory.null_coherence,
        theory.null_majority,
        theory.null_weighted_coherence,
    ],
)
def test_no_signs_have_no_null_value(null):
    with pytest.raises(ValueError, match=rf"{null.__name__}: .*n=0"):
        null(0)


def test_null_values_of_wide_layers_neither_overflow_nor_fail():
    assert theory.null_unanimity(10**6) == 0.0
    assert theory.null_coherence(10**6) == pytest.approx(math.sqrt(2e-6 / math.pi), rel=1e-5)


# Directions that change nothing.

PHI = {
    "linear": (lambda u: u, np.ones_like),
    "relu": (lambda u: np.maximum(u, 0), lambda u: (u > 0).astype(float)),
    "tanh": (np.tanh, lambda u: 1 / np.cosh(u) ** 2),
}


def jacobian(name, widths, num_examples, *, bias):
    """Return the outputs [T, C] and their derivatives [T, C, P] of a random network."""
    rng, (phi, slope) = np.random.default_rng(0), PHI[name]
    inputs = rng.normal(size=(num_examples, widths[0]))
    backward = None  # d pre-activations / d parameters so far, [T, units, P]
    for fan_in, units in itertools.pairwise(widths):
        kernel = rng.normal(size=(fan_in, units)) / math.sqrt(fan_in)
        read = np.hstack([inputs, np.ones((num_examples, 1))]) if bias else inputs
        own = np.einsum("ti,jk->tjik", read, np.eye(units)).reshape(num_examples, units, -1)
        if backward is None:
            backward = own
        else:
            below = np.einsum("ij,tip->tjp", kernel, slope(u)[:, :, None] * backward)
            backward = np.concatenate([below, own], axis=2)
        u = inputs @ kernel + (0.3 * rng.normal(size=units) if bias else 0)
        inputs = phi(u)
    return u, backward


def num_null_modes(factor):
    """Return the number of zero eigenvalues of the Gram matrix, which must stand out."""
    values = np.linalg.svd(factor.reshape(-1, factor.shape[-1]), compute_uv=False)
    values = np.pad(values, (0, max(0, factor.shape[-1] - values.size))) / values[0]
    assert not np.any((values > 1e-12) & (values < 1e-6))
    return int(np.sum(values < 1e-9))


@pytest.mark.parametrize("widths", [(10, 10, 10), (6, 3, 5), (3, 7, 5), (5, 6, 3), (4, 9, 4)])
def test_a_two_layer_linear_network_has_its_gauge_modes(widths):
    _, factor = jacobian("linear", widths, 60, bias=False)
    assert num_null_modes(factor) == theory.linear_null_modes(*widths)
    assert widths[0] != 10 or 2 * theory.linear_null_modes(*widths) == factor.shape[-1]


@pytest.mark.parametrize(("widths", "bias"), [((10, 10, 10), False), ((5, 8, 6, 3), True)])
def test_relu_networks_have_one_null_mode_a_hidden_unit_and_tanh_networks_none(widths, bias):
    _, factor = jacobian("relu", widths, 300, bias=bias)
    assert num_null_modes(factor) == theory.scaling_null_modes(widths) == sum(widths[1:-1])
    _, factor = jacobian("tanh", widths, 300, bias=bias)
    assert num_null_modes(factor) == 0


@pytest.mark.parametrize("name", ["tanh", "relu"])
def test_a_full_softmax_adds_one_null_mode_for_each_weight_into_a_class_and_the_bias(name):
    outputs, derivatives = jacobian(name, (3, 8, 4), 200, bias=True)
    p = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    root = np.sqrt(p)[:, None, :] * (np.eye(4) - p[:, :, None])  # B B^T = diag(p) - p p^T
    factor = np.einsum("tkr,tkp->trp", root, derivatives)
    scaling = theory.scaling_null_modes((3, 8, 4)) if name == "relu" else 0
    assert num_null_modes(factor) == theory.softmax_null_modes(8) + scaling


# Types, shapes, errors.

CLOSED_FORMS = {
    "spiked_covariance": lambda m: theory.spiked_covariance(30, 90, m, jnp.ones_like(m)),
    "bias_conditioning": lambda m: theory.bias_conditioning(30, m, jnp.ones_like(m)),
    "critical_learning_rate": lambda m: theory.critical_learning_rate(m),
    "sign_agreement": lambda m: theory.sign_agreement(m),
    "iid_cosine": lambda m: theory.iid_cosine(m, jnp.ones_like(m)),
    "mean_sign_agreement": lambda m: theory.mean_sign_agreement(m, 1.0),
    "gaussian_unanimity": lambda m: theory.gaussian_unanimity(jnp.abs(m), 5),
    "batch_sign_agreement": lambda m: theory.batch_sign_agreement(m, 1.0, 0.2, 1.0, 64),
}


def test_closed_forms_hold_in_float32_under_jit_and_vmap_and_strict_promotion():
    def all_of(mean):
        return {name: form(mean) for name, form in CLOSED_FORMS.items()}

    means = jnp.array([-0.7, 0.05, 0.9])
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        single = jax.jit(jax.vmap(all_of))(means.astype(jnp.float32))
    exact = jax.jit(all_of)(means)
    for value, expected in zip(jax.tree.leaves(single), jax.tree.leaves(exact), strict=True):
        assert value.dtype == jnp.float32
        assert value.shape == (3,)
        np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (theory.spiked_covariance, (0, 5, 1.0, 1.0), "spiked_covariance: .*dim=0"),
        (theory.spiked_covariance, (5, 0, 1.0, 1.0), "spiked_covariance: .*num_samples=0"),
        (theory.bias_conditioning, (0, 1.0, 1.0), "bias_conditioning: .*dim=0"),
        (theory.batch_sign_agreement, (1.0, 1.0, 0.0, 1.0, 0), "batch_sign_agreement: .*got 0"),
        (theory.gaussian_unanimity, (0.5, 0), "gaussian_unanimity: .*n=0"),
    ],
)
def test_impossible_sizes_are_refused(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def test_python_integers_count_as_floats_in_every_closed_form(no_type_check):
    for function, integers in (
        (theory.sign_agreement, (0,)),
        (theory.iid_cosine, (10**6, 3 * 10**6)),
        (theory.equicorrelated_cosine, (10**6, 3 * 10**6, 1)),
        (theory.mean_sign_agreement, (10**6, 10**6)),
        (theory.critical_learning_rate, (4,)),
    ):
        result = function(*integers)
        assert result.dtype == jnp.float64
        np.testing.assert_array_equal(result, function(*map(float, integers)))
    for integers in (0, 1), (1, 1):
        exact = theory.gaussian_unanimity(float(integers[0]), 3)
        np.testing.assert_array_equal(theory.gaussian_unanimity(integers[0], 3), exact)
    batch = [theory.batch_sign_agreement(*map(kind, (1, 2, 1, 3)), 64) for kind in (int, float)]
    np.testing.assert_array_equal(*batch)
    np.testing.assert_allclose(theory.gaussian_unanimity(0, 3), 0.25)
    with jax.enable_x64(False):  # where integers have 32 bits
        np.testing.assert_allclose(theory.bias_conditioning(10**4, 1000, 1), 1e20, rtol=1e-5)
        spectrum = theory.spiked_covariance(10**6, 400, 100, 1)
        np.testing.assert_allclose(spectrum.outlier, 1e10, rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-18, 1e-11, 1e12, 1e18])
def test_the_spectrum_with_an_outlier_scales_with_the_features_in_float32(scale):
    mean, var = jnp.array([1.0, 0.01]), jnp.float32(0.5)  # above the threshold, and below
    plain = theory.spiked_covariance(100, 400, mean.astype(jnp.float32), var)
    scaled = theory.spiked_covariance(
        100, 400, jnp.float32(mean * scale), jnp.float32(var.astype(float) * scale**2)
    )
    for name in ("outlier", "bulk_low", "bulk_high"):
        np.testing.assert_allclose(
            np.float64(getattr(scaled, name)) / scale**2, getattr(plain, name), rtol=1e-5
        )
    np.testing.assert_allclose(scaled.overlap, plain.overlap, rtol=1e-5)


def test_a_negative_standard_deviation_is_undefined():
    result = theory.mean_sign_agreement(jnp.array([1.0, 1.0, 0.0]), jnp.array([-1.0, 1.0, -1.0]))
    np.testing.assert_array_equal(result, [np.nan, 0.75, np.nan])


def test_unanimity_of_hundreds_of_independent_numbers_has_no_floor(no_type_check):
    n = np.int64(150)
    expected = 2.0**-149
    np.testing.assert_allclose(theory.gaussian_unanimity(0.0, n), expected, rtol=1e-12)
    assert theory.null_unanimity(n) == expected
