"""Convolution: a loop over positions, two fast ways that agree, and which device gets which."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.models.convolution import (
    PADDINGS,
    as_images,
    columns,
    convolve,
    convolve_by_product,
    convolve_natively,
    max_pool,
    mean_pool,
    num_positions,
    pad,
    patches,
    swap_batch_and_channels,
)

FAST = {"xla_backend_optimization_level": 0}  # compiling is all that takes time here
# window, strides, padding
CASES = {
    "plain": ((3, 3), (1, 1), "SAME"),
    "valid": ((3, 3), (1, 1), "VALID"),
    "strided": ((3, 3), (2, 2), "SAME"),
    "oblong": ((2, 3), (3, 1), "SAME"),
    "one by one": ((1, 1), (2, 2), "VALID"),
    "one axis": ((4,), (2,), "SAME"),
}
each_case = pytest.mark.parametrize("case", CASES)


def drawn(case):
    window, strides, padding = CASES[case]
    random = np.random.default_rng(len(case))
    x = jnp.asarray(random.normal(size=(4, *(7, 6)[: len(window)], 2)))
    return x, jnp.asarray(random.normal(size=(*window, 2, 3))), strides, padding


@cache
def measured():
    """Return, by case, outputs of all ways and the gradients of a nonlinear function of them."""

    def lax_conv(a, w, strides, padding):
        numbers = ("NHWC", "HWIO", "NHWC") if w.ndim == 4 else ("NHC", "HIO", "NHC")
        return jax.lax.conv_general_dilated(a, w, strides, padding, dimension_numbers=numbers)

    def padded(way):
        return lambda a, w, s, p: way(pad(a, w.shape[:-2], s, p), w, s)

    ways = {
        "lax": lax_conv,
        "chosen": padded(convolve),
        "product": padded(convolve_by_product),
        "native": padded(convolve_natively),
    }

    def all_ways(arrays):
        found = {}
        for case, (_, strides, padding) in CASES.items():
            for name, way in ways.items():

                def value(a, w, way=way, strides=strides, padding=padding):
                    z = way(a, w, strides, padding)
                    return jnp.sum(jnp.sin(z)), z

                grads, z = jax.grad(value, argnums=(0, 1), has_aux=True)(*arrays[case])
                found[case, name] = (z, *grads)
        return found

    return jax.jit(all_ways, compiler_options=FAST)({case: drawn(case)[:2] for case in CASES})


@pytest.mark.parametrize("case", ["plain", "strided", "oblong", "valid"])
def test_a_convolution_is_a_loop_over_positions(case):
    x, kernel, strides, padding = (np.asarray(v) if hasattr(v, "ndim") else v for v in drawn(case))
    z = np.asarray(measured()[case, "chosen"][0])
    height, width = kernel.shape[:2]
    before = [0, 0]
    if padding == "SAME":
        # The zeros that SAME adds, half of them, rounded down, before.
        spans = [(z.shape[i + 1] - 1) * strides[i] + kernel.shape[i] for i in (0, 1)]
        before = [max(0, spans[i] - x.shape[i + 1]) // 2 for i in (0, 1)]
    for n, i, j, unit in np.ndindex(*z.shape):
        total = 0.0
        for k, m in np.ndindex(height, width):
            row, column = i * strides[0] + k - before[0], j * strides[1] + m - before[1]
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                total += x[n, row, column] @ kernel[k, m, :, unit]
        assert abs(z[n, i, j, unit] - total) < 1e-13


@each_case
@pytest.mark.parametrize("way", ["chosen", "product", "native"])
def test_all_ways_give_one_convolution_and_one_gradient(case, way):
    for found, expected in zip(measured()[case, way], measured()[case, "lax"], strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


def test_in_single_precision_the_ways_agree_to_its_rounding():
    x, kernel, strides, padding = drawn("strided")
    a = pad(x, kernel.shape[:2], strides, padding).astype(np.float32)
    w = kernel.astype(np.float32)
    z = convolve_by_product(a, w, strides)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z, convolve_natively(a, w, strides), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("platform", "native"), [("cpu", False), ("cuda", True), ("tpu", True)])
def test_accelerators_get_a_convolution_and_cpus_a_product_gradients_included(platform, native):
    def loss(a, w):
        return jnp.sum(convolve(a, w, (1, 1)) ** 2)

    arrays = jnp.ones((2, 5, 5, 1)), jnp.ones((3, 3, 1, 2))
    traced = jax.jit(jax.grad(loss, argnums=(0, 1))).trace(*arrays)
    text = traced.lower(lowering_platforms=(platform,)).as_text()
    assert ("stablehlo.convolution" in text) == native
    assert ("stablehlo.dot_general" in text) != native


@each_case
def test_a_patch_times_the_flattened_kernel_is_what_its_position_gives(case):
    x, kernel, strides, padding = drawn(case)
    rows = patches(pad(x, kernel.shape[:-2], strides, padding), kernel.shape[:-2], strides)
    assert rows.shape[-1] == kernel[..., 0].size
    z = np.asarray(rows) @ np.asarray(kernel).reshape(-1, kernel.shape[-1])
    np.testing.assert_allclose(z, measured()[case, "lax"][0], rtol=0, atol=1e-13)


def test_a_dilated_patch_skips_what_lies_between():
    x = jnp.arange(7.0).reshape(1, 7, 1)
    np.testing.assert_array_equal(patches(x, (3,), (2,), (2,))[0], [[0, 2, 4], [2, 4, 6]])


@pytest.mark.parametrize("padding", PADDINGS)
def test_the_number_of_positions_is_that_of_the_convolution(padding):
    for size in range(3, 9):
        for window in (1, 2, 3):
            for stride in (1, 2, 3):
                a = jax.eval_shape(
                    lambda w=window, s=stride, n=size: patches(
                        pad(jnp.zeros((1, n, 1)), (w,), (s,), padding), (w,), (s,)
                    )
                )
                assert a.shape[1] == num_positions(size, window, stride, padding)


def test_pooling_takes_the_largest_or_the_mean_of_four_and_drops_what_is_left_over():
    x = np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    for pool, take in ((max_pool, np.max), (mean_pool, np.mean)):
        pooled = np.asarray(pool(jnp.asarray(x)))
        assert pooled.shape == (2, 2, 2, 3)
        for n, i, j, c in np.ndindex(*pooled.shape):
            expected = take(x[n, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c])
            assert pooled[n, i, j, c] == pytest.approx(expected, abs=1e-15)


def test_images_are_the_rows_that_were_flattened():
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 2))
    flat = jnp.asarray(x.reshape(3, -1))
    np.testing.assert_array_equal(as_images("CNN", flat, (4, 5, 2)), x)
    np.testing.assert_array_equal(as_images("CNN", flat, (8, 5))[..., 0], x.reshape(3, 8, 5))


@pytest.mark.parametrize("shape", [(40,), (2, 2, 2, 5), (4, 9)])
def test_a_shape_that_the_examples_do_not_have_is_refused(shape):
    with pytest.raises(ValueError, match=r"ResNet: expected .*input_shape"):
        as_images("ResNet", jnp.zeros((2, 40)), shape)


@each_case
def test_columns_are_patches_of_activations_whose_batch_is_last(case):
    x, kernel, strides, padding = drawn(case)
    window = kernel.shape[:-2]
    a = pad(x, window, strides, padding)
    found = columns(swap_batch_and_channels(a), window, strides)
    rows = patches(a, window, strides)
    np.testing.assert_array_equal(swap_batch_and_channels(found), rows)
    np.testing.assert_array_equal(swap_batch_and_channels(swap_batch_and_channels(a)), a)


def test_padding_and_pools_do_not_ask_which_end_the_batch_is_at():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 4, 3)))
    for act in (max_pool, mean_pool, lambda a: pad(a, (3, 3), (1, 1), "SAME")):
        swapped = swap_batch_and_channels(act(swap_batch_and_channels(x)))
        np.testing.assert_allclose(swapped, act(x), rtol=0, atol=1e-15)
