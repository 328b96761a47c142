"""A layer's gradient from inputs and deltas: the sum over examples, on every device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.models._gradients import layer_gradient


def drawn(shape, units, dtype=np.float64):
    random = np.random.default_rng(0)
    inputs, deltas = random.normal(size=shape), random.normal(size=(*shape[:-1], units))
    return jnp.asarray(inputs, dtype), jnp.asarray(deltas, dtype)


def layer_of(*shape):
    return {"kernel": jnp.zeros(shape), "bias": jnp.zeros(shape[-1])}


@pytest.mark.parametrize(
    ("shape", "kernel"), [((6, 5), (5, 3)), ((6, 4, 18), (3, 3, 2, 3)), ((1, 2), (2, 3))]
)
def test_it_is_the_sum_of_outer_products_over_examples_and_positions(shape, kernel):
    inputs, deltas = drawn(shape, 3)
    found = jax.jit(layer_gradient)(layer_of(*kernel), inputs, deltas)
    rows, d = np.asarray(inputs).reshape(-1, shape[-1]), np.asarray(deltas).reshape(-1, 3)
    expected = sum(np.outer(h, delta) for h, delta in zip(rows, d, strict=True))
    np.testing.assert_allclose(found["kernel"], expected.reshape(kernel), rtol=0, atol=1e-13)
    np.testing.assert_allclose(found["bias"], d.sum(0), rtol=0, atol=1e-13)


def test_it_can_be_mapped_over_networks():
    inputs, deltas = drawn((2, 6, 5), 3)
    mapped = jax.jit(jax.vmap(layer_gradient, (None, 0, 0)))(layer_of(5, 3), inputs, deltas)
    np.testing.assert_allclose(
        mapped["kernel"], np.einsum("bnf,bnu->bfu", inputs, deltas), rtol=0, atol=1e-13
    )


def test_flipped_inputs_flip_rows_of_the_gradient_bitwise():
    inputs, deltas = drawn((64, 64), 10, np.float32)
    signs = jnp.asarray(np.random.default_rng(1).choice([-1.0, 1.0], 64), jnp.float32)
    gradient = jax.jit(layer_gradient)
    plain = gradient(layer_of(64, 10), inputs, deltas)["kernel"]
    flipped = gradient(layer_of(64, 10), inputs * signs, deltas)["kernel"]
    np.testing.assert_array_equal(signs[:, None] * flipped, plain)


@pytest.mark.parametrize(("platform", "written_out"), [("cpu", True), ("cuda", False)])
def test_only_cpus_write_the_transposed_inputs_out(platform, written_out):
    arguments = layer_of(5, 3), *drawn((6, 5), 3)
    text = jax.jit(layer_gradient).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()
    assert ("optimization_barrier" in text) == written_out
