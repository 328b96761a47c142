"""Spectra by layers: the accuracy of the factor's singular values, in float32 programs too."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from signdyn.analysis import _wide
from signdyn.analysis.spectrum import fisher_spectrum
from signdyn.likelihoods import categorical, gaussian
from signdyn.types import Tapped
from tests.analysis.test_spectrum import factor_with

FEATURES, WIDTH, CLASSES = 5, 4, 3
NUM_PARAMS = (FEATURES + 1) * WIDTH + WIDTH * CLASSES


def network(params, x, tap):
    z = x @ params["first"]["kernel"] + params["first"]["bias"][None]
    h = jnp.tanh(tap("first", x, z))
    return tap("last", h, h @ params["last"]["kernel"])


def draw_params(seed, dtype=jnp.float32):
    normal = np.random.default_rng(seed).normal
    return {
        "first": {
            "kernel": jnp.asarray(normal(size=(FEATURES, WIDTH)), dtype),
            "bias": jnp.asarray(normal(size=WIDTH), dtype),
        },
        "last": {"kernel": jnp.asarray(normal(size=(WIDTH, CLASSES)), dtype)},
    }


def draw_inputs(num_examples, dtype=jnp.float32):
    inputs = np.random.default_rng(9).normal(0.5, size=(num_examples, FEATURES))
    return jnp.asarray(inputs, dtype)


def spectrum_of(params, x, **options):
    return fisher_spectrum(Tapped(network), categorical(), params, x, **options)


@functools.partial(jax.jit, static_argnames="method")
def find(params, x, *, method="auto"):
    return spectrum_of(params, x, method=method).eigenvalues


def chosen(params, x, **options):
    """Return the method taken, without running it."""
    found = []

    def note(params, x):
        found.append(spectrum_of(params, x, **options))
        return found[0].eigenvalues

    jax.eval_shape(note, params, x)
    return found[0]


@pytest.mark.parametrize("num_examples", [40, 600, 9])
@pytest.mark.parametrize("method", ["pairs", "gram"])
def test_both_methods_agree_with_the_generic_ones_to_the_accuracy_of_float32(num_examples, method):
    params, x = draw_params(0), draw_inputs(num_examples)
    exact = find(*jax.tree.map(lambda a: a.astype(jnp.float64), (params, x)), method="tall")
    eigenvalues = find(params, x, method=method)
    assert eigenvalues.dtype == jnp.float32
    assert np.all(np.diff(eigenvalues) <= 0.0)
    assert np.all(eigenvalues >= 0.0)
    sigma, expected = np.sqrt(np.float64(eigenvalues)), np.sqrt(np.maximum(exact, 0.0))
    np.testing.assert_allclose(sigma, expected, atol=1e-6 * expected[0])
    rows = 2 * num_examples  # the rank of the softmax's Fisher is CLASSES - 1
    np.testing.assert_array_equal(eigenvalues[rows:], 0.0)


@pytest.mark.parametrize(("rows", "columns", "method"), [(400, 50, "pairs"), (50, 400, "gram")])
def test_a_float32_fisher_of_condition_number_1e10_is_resolved_to_two_percent(
    rows, columns, method
):
    # Of a linear model with one output, A = x / sqrt(N).
    model = Tapped(lambda w, x, tap: tap("", x, x @ w["kernel"]))
    singular_values = np.logspace(0, -5, 50)

    @jax.jit
    def resolve(x):
        params = {"kernel": jnp.zeros((columns, 1), jnp.float32)}
        return fisher_spectrum(model, gaussian(), params, x, method=method).eigenvalues

    for seed in range(3):
        A = factor_with(singular_values, rows, columns, seed)
        eigenvalues = resolve((A * rows**0.5).astype(jnp.float32))
        np.testing.assert_allclose(eigenvalues[0] / eigenvalues[49], 1e10, rtol=0.02)
        np.testing.assert_allclose(eigenvalues[:50], singular_values**2, rtol=0.02)
        np.testing.assert_array_equal(eigenvalues[50:][rows - 50 :], 0.0)


def test_prescribed_eigenvalues_come_back_to_the_precision_of_their_roots():
    prescribed = np.concatenate([np.logspace(2, -14, 60), np.zeros(3), [5.0, 5.0]])
    prescribed = np.sort(prescribed)[::-1]
    Q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(65, 65)))
    gram = jnp.asarray((Q * prescribed) @ Q.T)
    for of_gram in (_wide._by_bisection, _wide._by_eigh):
        sigma = jax.jit(of_gram)(gram)
        np.testing.assert_allclose(sigma, prescribed**0.5, atol=5e-8 * sigma[0])


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_a_diagonal_gram_matrix_of_any_scale_has_its_entries(scale):
    entries = scale * jnp.array([4.0, 0.0, 1.0, 1.0])
    sigma = jax.jit(_wide._by_bisection)(jnp.diag(entries))
    expected = scale**0.5 * np.array([2.0, 1.0, 1.0, 0.0])
    np.testing.assert_allclose(sigma, expected, atol=2e-8 * expected[0])


def test_an_all_zero_gram_matrix_has_zeros_and_one_with_a_nan_has_none():
    np.testing.assert_array_equal(jax.jit(_wide._by_bisection)(jnp.zeros((3, 3))), 0.0)
    params, x = draw_params(0), draw_inputs(40).at[3, 0].set(jnp.nan)
    for method in ("pairs", "gram"):
        assert np.all(np.isnan(find(params, x, method=method)))


@pytest.mark.parametrize("method", ["pairs", "gram"])
def test_every_seed_of_a_block_has_its_own_spectrum_on_one_device_and_on_two(method):
    seeds, x = [draw_params(seed) for seed in range(4)], draw_inputs(20)
    batch = jax.tree.map(lambda *leaves: jnp.stack(leaves), *seeds)
    alone = np.stack([find(params, x, method=method) for params in seeds])
    of = functools.partial(find, x=x, method=method)
    np.testing.assert_allclose(jax.vmap(of)(batch), alone, atol=1e-6 * alone.max())
    devices = jax.devices("cpu")[:2]
    mesh, split = jax.make_mesh((2,), ("seed",), devices=devices), PartitionSpec("seed")
    for mapped in (lambda own: jax.lax.map(of, own), jax.vmap(of)):
        spread = jax.jit(jax.shard_map(mapped, mesh=mesh, in_specs=split, out_specs=split))
        placed = jax.device_put(batch, jax.sharding.NamedSharding(mesh, split))
        np.testing.assert_allclose(spread(placed), alone, atol=1e-6 * alone.max())


def test_layers_are_used_where_they_hold_all_parameters_of_narrow_floats():
    params, x = draw_params(0), draw_inputs(40)
    assert chosen(params, x).method == "pairs"
    assert chosen(params, x[:9]).method == "gram"
    assert str(chosen(params, x)).startswith(f"{NUM_PARAMS} eigenvalues by 'pairs': F from inputs")
    more = {**params, "scale": jnp.ones((), jnp.float32)}
    assert chosen(more, x).method == "tall"
    wide = jax.tree.map(lambda a: a.astype(jnp.float64), params)
    assert chosen(wide, x.astype(jnp.float64)).method == "tall"
    with pytest.raises(ValueError, match="method='pairs' expects a Tapped whose layers hold all"):
        chosen(more, x, method="pairs")


def test_the_generic_methods_take_over_where_only_they_fit():
    params, x = draw_params(0), draw_inputs(400)
    by_layers = {method: chosen(params, x, method=method) for method in ("pairs", "gram", "tall")}
    assert by_layers["pairs"].peak_bytes < by_layers["gram"].peak_bytes
    assert chosen(params, x, chunk=1, max_bytes=by_layers["pairs"].peak_bytes).method == "pairs"
    assert chosen(params, x, chunk=1, max_bytes=by_layers["pairs"].peak_bytes - 1).method == "tall"


@pytest.mark.parametrize("inputs", [[[3.0, 4.0]], [[2.0]], [[1.0], [3.0]]])
def test_a_single_row_or_a_single_parameter_has_its_one_eigenvalue(inputs):
    x = jnp.array(inputs, jnp.float32)
    params = {"kernel": jnp.ones((x.shape[1], 1), jnp.float32)}
    dense = Tapped(lambda params, x, tap: tap("", x, x @ params["kernel"]))
    spectrum = fisher_spectrum(dense, gaussian(), params, x)
    assert spectrum.method in ("pairs", "gram")
    expected = np.linalg.eigvalsh(x.T @ x / len(x))[::-1]
    np.testing.assert_allclose(spectrum.eigenvalues, expected, atol=1e-6 * expected[0])
