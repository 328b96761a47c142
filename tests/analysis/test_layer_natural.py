"""The exact natural gradient from layers: explicit matrices, a ladder of dampings, what is NaN."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.analysis import layer_natural
from signdyn.analysis._solve import Found, unless
from signdyn.analysis.layer_natural import natural_gradient_of_layers
from signdyn.analysis.layers import Layer, layer_factor
from signdyn.analysis.natural import natural_gradient

jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
solve = jit(lambda layers, g, damping: natural_gradient_of_layers(layers, g, damping=damping))
ORDER = ("first", "second")
SIZES = {"wide": (4, 2), "tall": (30, 3), "convolution": (5, 2)}


@pytest.fixture
def no_type_check(monkeypatch):
    """Let wrong shapes reach the code, as they do for a user; annotations hold in tests only."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def draw(case, seed=0, dtype=np.float64):
    """Return two layers, the second without bias, and a gradient."""
    random = np.random.default_rng(seed)
    num_examples, rank = SIZES[case]
    positions = 3 if case == "convolution" else 1

    def normal(*shape):
        return jnp.asarray(random.normal(size=shape), dtype)

    layers = {
        "second": Layer(normal(num_examples, 1, 2), normal(num_examples, rank, 1, 2)),
        "first": Layer(
            normal(num_examples, positions, 3) + 1.0, normal(num_examples, rank, positions, 2)
        ),
    }
    return layers, {"first": normal(4, 2), "second": normal(2, 2)}


def factor_of(layers):
    """Return the explicit factor, its columns those of ``flat``."""
    parts = [layer_factor(layers[name], bias=name == "first") for name in ORDER]
    return np.concatenate([np.asarray(part, np.float64) for part in parts], axis=1)


def flat(matrices):
    return np.concatenate([np.asarray(matrices[name], np.float64).ravel() for name in ORDER])


def exact(A, g, damping):
    """Return (A^T A + damping)^{-1} g by the singular values of A, to more than float64's digits.

    What judges float64 is to be better than it: residuals in extended precision are solved for.
    """
    _, s, Vt = np.linalg.svd(A, full_matrices=True)
    eigenvalues = np.zeros(A.shape[1])
    eigenvalues[: len(s)] = s**2
    A, g = A.astype(np.longdouble), g.astype(np.longdouble)
    solution = np.zeros_like(g)
    for _ in range(3):
        residual = g - A.T @ (A @ solution) - damping * solution
        solution += Vt.T @ ((Vt @ residual.astype(np.float64)) / (eigenvalues + damping))
    return solution.astype(np.float64)


@pytest.mark.parametrize("case", SIZES)
@pytest.mark.parametrize("damping", [1e-8, 1e-4, 1e-2, 1.0, 1e3])
def test_it_solves_the_damped_fisher_of_all_layers_together(case, damping):
    layers, grad = draw(case)
    A, g = factor_of(layers), flat(grad)
    expected = exact(A, g, damping)
    found = flat(solve(layers, grad, damping))
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.linalg.norm(expected))


def networks_layers(dtype, num_examples=24, seed=0):
    """Return layers with the decaying spectrum of a network's, as wide as they are many."""
    random = np.random.default_rng(seed)
    scales = 0.7 ** np.arange(12)
    shared = random.normal(size=(num_examples, 12)) * scales + 1.0
    deltas = random.normal(size=(num_examples, 3, 1, 6)) * scales[:6]
    hidden = np.tanh(shared[:, :6])
    layers = {
        "first": Layer(shared[:, None], deltas),
        "second": Layer(hidden[:, None], random.normal(size=(num_examples, 3, 1, 2))),
    }
    labels = random.normal(size=(num_examples, 3)) / num_examples
    with_ones = np.concatenate([shared, np.ones((num_examples, 1))], axis=1)
    grad = {
        "first": np.einsum("na,nr,nru->au", with_ones, labels, deltas[:, :, 0]),
        "second": np.einsum("na,nr,nru->au", hidden, labels, layers["second"].deltas[:, :, 0]),
    }
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (layers, grad))


LADDER = tuple(10.0**exponent for exponent in range(-1, -8, -1))


@pytest.mark.parametrize(
    "num_examples", [12, 24, 60]
)  # products in samples; fewer rows than parameters; more
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_over_the_ladder_of_dampings_the_error_is_no_more_than_the_orthogonal_ways(
    num_examples, dtype
):
    layers, grad = networks_layers(dtype, num_examples)
    A, g = factor_of(layers), flat(grad)
    largest, eps = np.linalg.norm(A, 2) ** 2, float(jnp.finfo(dtype).eps)
    slow = jit(lambda A, g, d: natural_gradient(A, g, damping=d))
    for fraction in LADDER:
        damping = dtype(fraction * largest)
        expected = exact(A, g, float(damping))
        found, twin = (
            np.linalg.norm(v - expected) / np.linalg.norm(expected)
            for v in (
                flat(solve(layers, grad, damping)),
                slow(jnp.asarray(A, dtype), jnp.asarray(g, dtype), damping),
            )
        )
        root = (1 / fraction) ** 0.5
        assert found < 10 * root * eps + layer_natural_floor(eps), (fraction, found, twin)
        assert found < 3 * twin + layer_natural_floor(eps), (fraction, found, twin)


def layer_natural_floor(eps):
    """Return the error that the stopping rule lets pass, see `signdyn.analysis._solve`."""
    return 64 * eps


def ways_taken(layers, grad, damping, monkeypatch):
    """Return which of the three ways ran, in their order."""
    taken = []
    real = layer_natural.solve

    def seen(damped, precondition, *rest):
        jax.debug.callback(lambda: taken.append("products" if rest[2] > 32 else "cholesky"))
        return real(damped, precondition, *rest)

    def orthogonal(A, g, *, damping):
        jax.debug.callback(lambda: taken.append("orthogonal"))
        return natural_gradient(A, g, damping=damping)

    monkeypatch.setattr(layer_natural, "solve", seen)
    monkeypatch.setattr(layer_natural, "natural_gradient", orthogonal)
    monkeypatch.setattr(layer_natural, "_affordable_products", lambda layers, **_: 64)
    jax.block_until_ready(natural_gradient_of_layers(layers, grad, damping=damping))
    jax.effects_barrier()
    return taken


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [
        (1e-1, ["products"]),
        (1e-5, ["products", "cholesky"]),
        (0.0, ["orthogonal"]),
        (np.nan, ["orthogonal"]),
    ],
)
def test_a_dearer_way_is_gone_only_where_the_cheaper_has_not_come_to_its_end(
    fraction, expected, monkeypatch
):
    layers, grad = networks_layers(jnp.float32, 60)
    largest = np.linalg.norm(factor_of(layers), 2) ** 2
    damping = jnp.float32(fraction * largest)
    assert ways_taken(layers, grad, damping, monkeypatch) == expected


def test_under_vmap_what_nobody_needs_is_not_computed_and_each_gets_its_own():
    computed = []

    def compute():
        jax.debug.callback(lambda: computed.append(1))
        return Found(jnp.full(2, 7.0), jnp.array(True), jnp.array(0.0))

    otherwise = Found(jnp.zeros(2), jnp.array(True), jnp.array(0.0))
    run = jax.jit(jax.vmap(lambda done: unless(done, compute, otherwise).direction[0]))
    np.testing.assert_array_equal(run(jnp.array([True, True])), [0.0, 0.0])
    jax.effects_barrier()
    assert computed == []
    np.testing.assert_array_equal(run(jnp.array([True, False])), [0.0, 7.0])


@pytest.mark.parametrize("case", ["wide", "tall"])
def test_vmap_over_seeds_and_dampings_equals_a_loop(case):
    pairs = [draw(case, seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *pairs)
    dampings = jnp.array([1e-6, 1e-2, 10.0])
    together = jit(jax.vmap(lambda own, g, d: natural_gradient_of_layers(own, g, damping=d)))(
        *stacked, dampings
    )
    for seed, pair in enumerate(pairs):
        own = flat(jax.tree.map(lambda leaf, s=seed: leaf[s], together))
        alone = flat(solve(*pair, dampings[seed]))
        np.testing.assert_allclose(own, alone, atol=1e-10 * np.linalg.norm(alone))


def test_without_damping_it_is_the_inverse_where_there_is_one_and_undefined_elsewhere():
    layers, grad = draw("tall")
    A, g = factor_of(layers), flat(grad)
    expected = np.linalg.solve(A.T @ A, g)
    np.testing.assert_allclose(flat(solve(layers, grad, 0.0)), expected, rtol=1e-9)
    silent = {**layers, "second": layers["second"]._replace(inputs=0 * layers["second"].inputs)}
    assert np.all(np.isnan(flat(solve(silent, grad, 0.0))))
    assert np.all(np.isfinite(flat(solve(silent, grad, 1e-6))))


def test_what_is_not_finite_and_a_negative_damping_are_undefined():
    layers, grad = draw("tall")
    bad = layers["first"].deltas.at[0, 0, 0, 0].set(jnp.inf)
    diverged = {**layers, "first": layers["first"]._replace(deltas=bad)}
    assert np.all(np.isnan(flat(solve(diverged, grad, 0.1))))
    assert np.all(np.isnan(flat(solve(layers, {**grad, "first": grad["first"] * jnp.nan}, 0.1))))
    assert np.all(np.isnan(flat(solve(layers, grad, -0.1))))
    assert np.all(np.isnan(flat(solve(layers, grad, np.nan))))


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_gradients_of_any_size_are_solved_for_in_float32(size):
    layers, grad = networks_layers(jnp.float32)
    damping = jnp.float32(0.1)
    scaled = jax.tree.map(lambda leaf: leaf * jnp.float32(size), grad)
    found = flat(solve(layers, scaled, damping))
    expected = size * flat(solve(layers, grad, damping))
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.linalg.norm(expected))


def test_single_precision_stays_single_under_strict_promotion():
    layers, grad = draw("wide", dtype=np.float32)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        found = jit(lambda own, g: natural_gradient_of_layers(own, g, damping=0.1))(layers, grad)
    assert {leaf.dtype for leaf in found.values()} == {jnp.dtype(jnp.float32)}


def test_dampings_and_shapes_that_do_not_fit_are_refused(no_type_check):
    layers, grad = draw("wide")
    with pytest.raises(ValueError, match=r"expected damping >= 0, got damping=-1\.0"):
        natural_gradient_of_layers(layers, grad, damping=-1.0)
    with pytest.raises(ValueError, match=r"damping > 0 .* 8 rows and 12 parameters; use .*pinv"):
        natural_gradient_of_layers(layers, grad, damping=0.0)
    with pytest.raises(ValueError, match="expected a matrix for each of the layers first, second"):
        natural_gradient_of_layers(layers, {"first": grad["first"]}, damping=1.0)
