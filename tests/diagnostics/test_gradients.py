"""Statistics of per-example gradients against loops over pairs, closed forms and invariances."""

import functools
import itertools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.stats

from signdyn.diagnostics import gradients, signs

N, P = 6, 5


@pytest.fixture
def without_shape_checks(monkeypatch):
    """Call functions as users do: without the checks of annotations that the tests add."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def _gradients(seed=0, examples=N, params=P, mean=0.5):
    return np.random.default_rng(seed).normal(mean, 1.0, size=(examples, params))


def _pairs(g):
    return list(itertools.permutations(g, 2))


def _cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def coherence_by_loops(g):
    return sum(a @ b for a in g for b in g) / sum(a @ a for a in g)


# statistic -> its twin by loops over examples and over ordered pairs of different examples
TWINS = {
    "m_coherence": coherence_by_loops,
    "gradient_diversity": lambda g: 1 / coherence_by_loops(g),
    "gradient_confusion": lambda g: max(0.0, *(-(a @ b) for a, b in _pairs(g))),
    "stiffness_sign": lambda g: np.mean([np.sign(a @ b) for a, b in _pairs(g)]),
    "stiffness_cosine": lambda g: np.mean([_cosine(a, b) for a, b in _pairs(g)]),
}
RATIOS = [name for name in TWINS if name != "gradient_confusion"]  # blind to scale


@functools.cache
def _compiled(name, form):
    """Return the statistic as a function of gradients, compiled, which is how it is used."""
    direct = getattr(gradients, name)
    from_gram = getattr(gradients, f"{name}_from_gram", None)
    return jax.jit(direct if form == "grads" else lambda g: from_gram(jnp.matmul(g, g.T)))


def call(name, g, form="grads"):
    return float(_compiled(name, form)(jnp.asarray(g)))


each_form = pytest.mark.parametrize("form", ["grads", "gram"])
each_statistic = pytest.mark.parametrize("name", TWINS)


@each_form
@each_statistic
@pytest.mark.parametrize(("seed", "mean"), [(0, 0.5), (1, 0.0), (2, 3.0)])
def test_every_statistic_of_inner_products_equals_its_loop_over_pairs(name, form, seed, mean):
    g = _gradients(seed, mean=mean)
    assert call(name, g, form) == pytest.approx(TWINS[name](g), rel=1e-12, abs=1e-14)


# gradients with known inner products -> coherence, diversity, confusion, sign, cosine
CLOSED_FORMS = {
    "identical": (np.tile([1.0, -2.0, 0, 0, 0], (P, 1)), P, 1 / P, 0, 1, 1),
    "orthogonal": (2.0 * np.eye(P), 1, 1, 0, 0, 0),
    "opposite": (np.outer([1.0, -1.0], [1.0, 2.0, 0, 0, 2.0]), 0, np.inf, 9, -1, -1),
    # of unequal length: coherence weights by length, stiffness does not
    "parallel": (np.outer([1.0, 3.0], np.eye(P)[0]), 16 / 10, 10 / 16, 0, 1, 1),
    "one example": (np.ones((1, P)), 1, 1, np.nan, np.nan, np.nan),
    "all zero": (np.zeros((P, P)), np.nan, np.nan, 0, np.nan, np.nan),
    "no examples": (np.zeros((0, P)), np.nan, np.nan, np.nan, np.nan, np.nan),
}


@each_form
@pytest.mark.parametrize("case", CLOSED_FORMS)
def test_closed_forms(form, case):
    g, *expected = CLOSED_FORMS[case]
    found = [call(name, g, form) for name in TWINS]
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-16)


@each_form
def test_the_corners_of_a_simplex_are_as_opposed_as_many_gradients_can_be(form):
    g = np.eye(P) - 1 / P  # they sum to zero, inner products off the diagonal are -1/P
    found = [call(name, g, form) for name in TWINS]
    assert found[0] < 1e-15
    assert found[1] > 1e15
    np.testing.assert_allclose(found[2:], [1 / P, -1, -1 / (P - 1)], rtol=1e-14)


@each_statistic
def test_rotating_the_parameters_and_permuting_the_examples_changes_nothing(name):
    g, rng = _gradients(), np.random.default_rng(1)
    rotation = np.linalg.qr(rng.normal(size=(P, P)))[0]
    turned = rng.permutation(g @ rotation)
    assert call(name, turned) == pytest.approx(call(name, g), rel=1e-12)


@each_form
@pytest.mark.parametrize("name", RATIOS)
@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_ratios_do_not_depend_on_the_scale(name, form, scale):
    g = _gradients()
    assert call(name, scale * g, form) == pytest.approx(call(name, g, form), rel=1e-12)


@pytest.mark.parametrize("name", ["stiffness_sign", "stiffness_cosine"])
def test_stiffness_does_not_depend_on_the_lengths_of_the_gradients(name):
    g = _gradients()
    lengths = np.geomspace(1e-30, 1e30, N)[:, None]
    assert call(name, lengths * g) == pytest.approx(call(name, g), rel=1e-12)


@each_form
def test_confusion_has_the_units_of_squared_gradients(form):
    g = _gradients(1, mean=0.0)
    expected = 9 * call("gradient_confusion", g, form)
    assert expected > 0
    assert call("gradient_confusion", 3 * g, form) == pytest.approx(expected, rel=1e-14)


@each_form
def test_confusion_is_the_smallest_bound_of_its_definition(form):
    g = _gradients(1, mean=0.0)
    off_diagonal = [a @ b for a, b in _pairs(g)]
    bound = call("gradient_confusion", g, form)
    assert all(product >= -bound * (1 + 1e-14) for product in off_diagonal)
    assert any(product < -bound * (1 - 1e-14) for product in off_diagonal)


@each_form
def test_coherence_times_diversity_is_one(form):
    g = _gradients()
    product = call("m_coherence", g, form) * call("gradient_diversity", g, form)
    assert product == pytest.approx(1, rel=1e-14)


def test_coherence_is_the_examples_times_the_means_share_of_the_energy():
    g = _gradients()
    expected = N * np.sum(g.mean(0) ** 2) / np.mean(np.sum(g**2, axis=1))
    assert call("m_coherence", g) == pytest.approx(expected, rel=1e-13)


def test_coherence_and_stiffness_say_the_same_of_gradients_of_equal_length():
    g = _gradients()
    g /= np.linalg.norm(g, axis=1, keepdims=True)
    expected = 1 + (N - 1) * call("stiffness_cosine", g)
    assert call("m_coherence", g) == pytest.approx(expected, rel=1e-13)


def test_independent_gradients_with_a_mean_have_the_coherence_of_their_energy():
    # E|sum g|^2 = N (N |mu|^2 + P s^2) and E sum|g|^2 = N (|mu|^2 + P s^2), with mu = .5, s = 1
    n, p = 400, 300
    g = _gradients(examples=n, params=p)
    expected = (n * 0.25 + 1) / (0.25 + 1)
    assert call("m_coherence", g) == pytest.approx(expected, rel=0.02)


@each_form
@pytest.mark.parametrize("name", ["stiffness_sign", "stiffness_cosine"])
def test_examples_without_gradient_are_left_out_of_the_pairs(name, form):
    g = _gradients()
    g[[0, 3]] = 0.0
    expected = TWINS[name](np.delete(g, [0, 3], axis=0))
    assert call(name, g, form) == pytest.approx(expected, rel=1e-13)
    g[1:5] = 0.0
    assert np.isnan(call(name, g, form))


def test_the_sign_of_the_inner_product_is_not_the_agreement_of_signs():
    # most coordinates agree in sign, and yet a step on one example hurts the other
    a, b = np.array([1.0, 1.0, 1.0, -10.0, 0.0]), np.array([1.0, 1.0, 1.0, 10.0, 0.0])
    assert call("stiffness_sign", np.stack([a, b])) == -1.0
    assert float(signs.sign_agreement(jnp.asarray(a), jnp.asarray(b))) == 0.75


@each_form
@each_statistic
def test_a_nan_gradient_is_not_left_out(name, form):
    g = _gradients()
    g[2, 3] = np.nan
    assert np.isnan(call(name, g, form))


def test_a_pytree_is_one_vector_of_parameters():
    g = _gradients()
    tree = {"bias": g[:, :1], "kernel": g[:, 1:].reshape(N, 2, 2)}  # leaves in this order

    @jax.jit
    def of_tree(tree):
        values = [getattr(gradients, name)(tree) for name in [*TWINS, "mean_gsnr"]]
        values += jax.tree.leaves(jax.tree.map(jnp.ravel, gradients.gsnr(tree)))
        density = gradients.gradient_density(jax.tree.map(lambda leaf: leaf[0], tree))
        return jnp.concatenate([jnp.ravel(value) for value in [*values, density]])

    expected = [call(name, g) for name in TWINS]
    expected = [*expected, mean_gsnr(g), *gsnr(g), gradient_density(g[0])]
    np.testing.assert_allclose(of_tree(tree), expected, rtol=1e-13)


def test_gradients_come_from_a_model_as_jax_returns_them():
    # linear regression, g_n = (w x_n - y_n) x_n: residuals (1, -1) on inputs (1, 2)
    def loss(params, x, y):
        return 0.5 * (params["w"] * x - y) ** 2

    @jax.jit
    def confusion(params, x, y):
        grads = jax.vmap(jax.grad(loss), in_axes=(None, 0, 0))(params, x, y)
        return gradients.gradient_confusion(grads)

    assert confusion({"w": 1.0}, jnp.array([1.0, 2.0]), jnp.array([0.0, 3.0])) == 2.0


gsnr = jax.jit(gradients.gsnr)
mean_gsnr = jax.jit(gradients.mean_gsnr)
gradient_density = jax.jit(gradients.gradient_density)


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_gsnr_is_the_squared_mean_over_the_variance(scale):
    g = _gradients()
    expected = g.mean(0) ** 2 / g.var(0)
    np.testing.assert_allclose(gsnr(scale * g), expected, rtol=1e-12)
    assert float(mean_gsnr(scale * g)) == pytest.approx(expected.mean(), rel=1e-12)


def test_gsnr_of_gaussian_gradients_has_the_noncentral_f_distribution():
    n, ratio, params = 12, 0.3, 4000
    g = np.random.default_rng(0).normal(np.sqrt(ratio), 1.0, size=(n, params))
    found = np.asarray(gsnr(g))
    law = scipy.stats.ncf(1, n - 1, n * ratio)
    assert scipy.stats.kstest((n - 1) * found, law.cdf).pvalue > 0.01
    assert law.mean() / (n - 1) == pytest.approx((1 + n * ratio) / (n - 3), rel=1e-12)
    error = found.std() / np.sqrt(params)
    assert found.mean() == pytest.approx((1 + n * ratio) / (n - 3), abs=4 * error)


def test_gsnr_without_noise_is_infinite_and_without_gradient_undefined():
    g = np.stack([np.full(N, 0.1), np.zeros(N), np.arange(N) - 2.0], axis=1)
    expected = [np.inf, np.nan, 0.5**2 / np.arange(N).var()]
    np.testing.assert_allclose(gsnr(g), expected, rtol=1e-14)
    assert float(mean_gsnr(g)) == np.inf
    assert float(mean_gsnr(g[:, 1:])) == pytest.approx(expected[2], rel=1e-14)


@pytest.mark.parametrize("g", [np.ones((1, 3)), np.zeros((0, 3)), np.zeros((4, 3))])
def test_gsnr_of_fewer_than_two_examples_or_of_no_gradient_is_undefined(g):
    assert np.all(np.isnan(gsnr(g)))
    assert np.isnan(mean_gsnr(g))


def test_a_nan_makes_its_parameters_gsnr_and_the_mean_nan():
    g = _gradients()
    g[2, 3] = np.nan
    assert np.flatnonzero(np.isnan(gsnr(g))).tolist() == [3]
    assert np.isnan(mean_gsnr(g))


@pytest.mark.parametrize(
    ("vector", "density"),
    [
        ([3.0, -3.0, 3.0, 3.0], 1.0),
        ([0.0, -2.0, 0.0, 0.0], 0.25),
        ([3.0, -1.0, 0.0, 0.0], 16 / 40),
        ([0.0, 0.0, 0.0, 0.0], np.nan),
        ([1.0, np.nan, 0.0, 0.0], np.nan),
        ([3e200, -1e200, 0.0, 0.0], 0.4),
        ([3e-200, -1e-200, 0.0, 0.0], 0.4),
    ],
)
def test_density_closed_forms(vector, density):
    assert float(gradient_density(np.array(vector))) == pytest.approx(density, nan_ok=True)


def test_gaussian_entries_have_density_two_over_pi():
    vector = _gradients(examples=200, params=500, mean=0.0)
    # the standard error of the ratio is below 0.002 at 1e5 entries
    assert float(gradient_density(vector)) == pytest.approx(2 / np.pi, abs=0.006)


@jax.jit
def all_statistics(g):
    """Return every statistic of one batch of gradients in one vector, compiled once a dtype."""
    gram = jnp.matmul(g, g.T, precision="highest")
    pairwise = [getattr(gradients, name)(g) for name in TWINS]
    others = [gradients.mean_gsnr(g), gradients.gradient_density(g[0]), *gradients.gsnr(g)]
    from_gram = [getattr(gradients, f"{name}_from_gram")(gram) for name in TWINS]
    return jnp.stack([*pairwise, *others, *from_gram])


def test_vmap_over_seeds_in_float32_equals_a_loop_over_seeds_in_float64():
    seeds = jnp.stack([jnp.asarray(_gradients(seed)) for seed in range(3)])
    exact = np.stack([all_statistics(g) for g in seeds])
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        single = jax.jit(jax.vmap(all_statistics))(seeds.astype(jnp.float32))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, exact, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_float32_squares_neither_overflow_nor_underflow(scale):
    g = _gradients()
    found = all_statistics(jnp.asarray(scale * g, jnp.float32))
    # what carries the units of squares: confusion, and all that was made of a Gram matrix
    from_squares = [
        list(TWINS).index("gradient_confusion"),
        *range(len(found) - len(TWINS), len(found)),
    ]
    scale_free = np.delete(np.arange(len(found)), from_squares)
    np.testing.assert_allclose(found[scale_free], all_statistics(g)[scale_free], rtol=2e-5)


def test_half_precision_is_counted_in_float32():
    g = jnp.asarray(_gradients(), jnp.bfloat16)
    found = _compiled("m_coherence", "grads")(g)
    assert found.dtype == jnp.float32
    assert float(found) == pytest.approx(coherence_by_loops(np.asarray(g, float)), rel=1e-5)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("name", [*TWINS, "gsnr", "mean_gsnr"])
@pytest.mark.parametrize(
    ("grads", "message"),
    [
        ({}, r"shapes \[\]"),
        (jnp.zeros(()), r"shapes \[\(\)\]"),
        ((jnp.zeros((2, 3)), jnp.zeros(3)), r"one number of examples.*\[\(2, 3\), \(3,\)\]"),
        (jnp.zeros((2, 3), int), "float arrays, got.*int64"),
    ],
)
def test_what_is_not_per_example_gradients_is_refused(name, grads, message):
    with pytest.raises(ValueError, match=f"{name}: expected.*{message}"):
        getattr(gradients, name)(grads)


@pytest.mark.usefixtures("without_shape_checks")
@each_statistic
def test_a_gram_matrix_that_is_not_square_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name}_from_gram: expected.*\(2, 3\).*without"):
        getattr(gradients, f"{name}_from_gram")(jnp.zeros((2, 3)))


def test_confusion_of_small_gradients_is_seen_beside_a_large_one():
    g = jnp.array([[1e25, 0.0], [0.0, 1.0], [0.0, -1.0]], jnp.float32)
    assert call("gradient_confusion", g) == 1.0
    g = jnp.array([[1e30, 0.0], [-1e-30, 0.0]], jnp.float32)
    assert call("gradient_confusion", g) == pytest.approx(1.0, rel=1e-6)
