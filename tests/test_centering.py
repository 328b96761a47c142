"""Centering: every variant starts as the same function, and what it does to the first gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.activations import ACTIVATIONS
from signdyn.centering import (
    CENTERINGS,
    Centering,
    Site,
    SiteCentering,
    apply_site,
    combine,
    match_dense,
    offset,
    resolve_sites,
)
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.models.traces import site_means, trace_batch

VARIANTS = {
    **CENTERINGS,
    "offset": offset(2.0, input=-1.5),
    "both and flip": combine(CENTERINGS["both"], CENTERINGS["flip"]),
    "batch, flip and offset": combine(CENTERINGS["batch"], CENTERINGS["flip"], offset(-0.7)),
    "fractions": Centering(
        SiteCentering(constant=0.5, batch=-0.25), SiteCentering(0.3, 0.4, 0.5, flip=1.0)
    ),
    "scaled": Centering(SiteCentering(scale=3.0), SiteCentering(scale=0.3)),
    "sigmoid of tanh": Centering(hidden=SiteCentering(offset=1.0, scale=0.5)),
    "all at once": Centering(
        SiteCentering(0.5, 0.1, 1.0, scale=0.7), SiteCentering(0.3, 0.4, 0.5, flip=1.0, scale=1.7)
    ),
}
WIDTHS = (4, 3)
FAST = {"xla_backend_optimization_level": 0}  # compiling is all that takes time here


def draw(seed=0, dtype=np.float64, widths=WIDTHS):
    """Return parameters with biases, 12 inputs that are off center, and signs of both kinds."""
    rng = np.random.default_rng(seed)
    fan_in = (5, *widths)
    params = {
        f"dense_{i}": {
            "kernel": jnp.asarray(rng.normal(size=(n, m)), dtype),
            "bias": jnp.asarray(rng.normal(size=m), dtype),
        }
        for i, (n, m) in enumerate(zip(fan_in, (*widths, 3), strict=True))
    }
    x = jnp.asarray(rng.uniform(0, 2, size=(12, 5)), dtype)
    signs = tuple(jnp.asarray([(-1.0) ** i for i in range(n)], dtype) for n in fan_in)
    return params, x, signs


def start(model, params, x, signs, centering):
    """Return the sites, the means, and the parameters matched to them on inputs ``x``."""
    means = site_means(model, params, x)
    sites = resolve_sites(centering, means, signs)
    return sites, means, model.matched(params, sites, means)


@partial(jax.jit, compiler_options=FAST)
def outputs(params, x, unseen, signs, centering):
    """Return each activation's outputs, once matched on ``x``, there and on other inputs."""
    found = {}
    for activation in sorted(ACTIVATIONS):
        model = MLP(WIDTHS[:1], 3, activation)
        sites, means, matched = start(model, params, x, signs[:2], centering)
        inputs = jnp.concatenate([x, unseen])
        found[activation] = model.apply({"params": matched}, inputs, sites, means)
    return found


@partial(jax.jit, static_argnums=0, compiler_options=FAST)
def traced(activation, params, x, signs, centering):
    """Return the traces of a network at its matched start, and its means."""
    model = MLP(WIDTHS, 3, activation)
    sites, means, matched = start(model, params, x, signs, centering)
    return trace_batch(model, categorical(), matched, x, jnp.arange(len(x)) % 3, sites), means


@pytest.fixture(scope="module")
def by_dtype():
    """Return dtype -> variant -> activation -> outputs."""
    found = {}
    for dtype in (np.float32, np.float64):
        params, x, signs = draw(dtype=dtype, widths=WIDTHS[:1])
        found[dtype] = {
            name: outputs(params, x, 3.0 - 2.0 * x[:7], signs, centering)
            for name, centering in VARIANTS.items()
        }
    return found


# Float32: a few hundred roundings of numbers below 100.
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-12), (np.float32, 1e-4)])
@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_every_variant_starts_as_the_same_function(by_dtype, activation, dtype, atol):
    expected = by_dtype[dtype]["none"][activation]
    assert np.ptp(expected) > 0.1
    for name in VARIANTS:
        found = by_dtype[dtype][name][activation]
        assert found.dtype == dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["flip", "flip_input", "flip_hidden"])
def test_flipped_networks_start_as_bitwise_the_same_function(by_dtype, name, dtype):
    for activation, expected in by_dtype[dtype]["none"].items():
        found = by_dtype[dtype][name][activation]
        np.testing.assert_array_equal(found, expected, err_msg=activation)


def test_on_the_training_set_the_batchs_own_means_match_too():
    params, x, signs = draw()
    plain, _ = traced("tanh", params, x, signs, CENTERINGS["none"])
    for name, centering in VARIANTS.items():
        found, _ = traced("tanh", params, x, signs, centering)
        np.testing.assert_allclose(found.outputs, plain.outputs, atol=1e-12, err_msg=name)


def test_the_sites_do_what_the_formula_says():
    rng = np.random.default_rng(1)
    a, mean, batch_mean = rng.normal(size=(6, 4)), rng.normal(size=4), rng.normal(size=4)
    sign = np.array([1.0, -1.0, -1.0, 1.0])
    point = SiteCentering(constant=0.3, batch=0.6, offset=0.9, flip=1.0, scale=0.7)
    inputs, hidden = resolve_sites(
        Centering(SiteCentering(), point), [jnp.asarray(mean)] * 2, [jnp.asarray(sign)] * 2
    )
    expected = 0.7 * sign * (a + 0.9 - 0.3 * mean - 0.6 * batch_mean)
    a, batch_mean = jnp.asarray(a), jnp.asarray(batch_mean)
    np.testing.assert_allclose(apply_site(hidden, a, batch_mean), expected, atol=1e-15)
    np.testing.assert_array_equal(apply_site(inputs, a, batch_mean), a)


@pytest.mark.parametrize(
    ("name", "of_input", "of_hidden"),
    [("none", 1, 1), ("input", 0, 1), ("hidden", 1, 0), ("both", 0, 0), ("batch", 0, 0)],
)
def test_centered_sites_have_mean_zero_and_the_others_keep_theirs(name, of_input, of_hidden):
    params, x, signs = draw()
    traces, means = traced("tanh", params, x, signs, CENTERINGS[name])
    for layer, (h, mean) in enumerate(zip(traces.inputs, means, strict=True)):
        kept = of_input if layer == 0 else of_hidden
        np.testing.assert_allclose(h.mean(0), kept * mean, atol=1e-14)
        assert np.abs(mean).max() > 0.1


def test_flipping_changes_signs_only_and_an_offset_adds_its_dose():
    params, x, signs = draw()
    plain, _ = traced("tanh", params, x, signs, CENTERINGS["none"])
    flipped, _ = traced("tanh", params, x, signs, CENTERINGS["flip"])
    moved, _ = traced("tanh", params, x, signs, offset(2.0, input=1.0))
    for layer, sign in enumerate(signs):
        np.testing.assert_array_equal(flipped.inputs[layer], sign * plain.inputs[layer])
        dose = 1.0 if layer == 0 else 2.0
        np.testing.assert_allclose(moved.inputs[layer], plain.inputs[layer] + dose, atol=1e-14)


@pytest.mark.parametrize(
    "name", ["input", "hidden", "both", "flip", "offset", "both and flip", "scaled"]
)
def test_constant_sites_leave_every_delta_alone_and_move_only_kernel_gradients(name):
    # With h = s (a + t): g_W' = s (g_W + t g_b) with every layer's own s and t, and g_b' = g_b.
    params, x, signs = draw()
    plain, means = traced("tanh", params, x, signs, CENTERINGS["none"])
    centered, _ = traced("tanh", params, x, signs, VARIANTS[name])
    for layer, key in enumerate(plain.grads):
        point = VARIANTS[name].input if layer == 0 else VARIANTS[name].hidden
        shift = point.offset - point.constant * means[layer]
        gain = point.scale * (signs[layer] if point.flip else jnp.ones_like(signs[layer]))
        g_kernel, g_bias = plain.grads[key]["kernel"], plain.grads[key]["bias"]
        expected = gain[:, None] * (g_kernel + jnp.outer(shift, g_bias))
        np.testing.assert_allclose(centered.deltas[layer], plain.deltas[layer], atol=1e-14)
        np.testing.assert_allclose(centered.grads[key]["kernel"], expected, rtol=0, atol=1e-14)
        np.testing.assert_allclose(centered.grads[key]["bias"], g_bias, rtol=0, atol=1e-14)


def test_an_offset_of_one_and_a_scale_of_half_make_sigmoids_of_tanhs():
    params, x, signs = draw()
    found, _ = traced("tanh", params, x, signs, VARIANTS["sigmoid of tanh"])
    reads, a = x, x
    for layer, dense in enumerate(params.values()):
        np.testing.assert_allclose(found.inputs[layer], reads, rtol=0, atol=1e-14)
        z = a @ dense["kernel"] + dense["bias"]
        reads, a = jax.nn.sigmoid(2 * z), jnp.tanh(z)


def test_powers_of_two_scale_exactly():
    site = Site(jnp.array([-0.25, 8.0, 1.0, 2.0]), jnp.zeros(4), jnp.array(0.0))
    params, x, _ = draw()
    kernel, bias, a = params["dense_1"]["kernel"], params["dense_1"]["bias"], jnp.tanh(x[:, :4])
    matched_kernel, matched_bias = match_dense(kernel, bias, site, jnp.zeros(4))
    h = apply_site(site, a, jnp.zeros(4))
    np.testing.assert_array_equal(h @ matched_kernel + matched_bias, a @ kernel + bias)


def test_subtracting_the_batch_mean_also_centers_what_flows_back():
    # d loss / d a of a hidden layer sums to zero over the batch; with phi = identity it is delta.
    params, x, signs = draw()
    plain, _ = traced("identity", params, x, signs, CENTERINGS["none"])
    centered, _ = traced("identity", params, x, signs, CENTERINGS["batch"])
    for deltas, before in zip(centered.deltas[:-1], plain.deltas[:-1], strict=True):
        np.testing.assert_allclose(deltas.sum(0), np.zeros(deltas.shape[1]), atol=1e-14)
        assert np.abs(before.sum(0)).max() > 0.01
    np.testing.assert_allclose(centered.deltas[-1], plain.deltas[-1], atol=1e-14)


def test_a_matched_layer_can_be_matched_back():
    # h = s (a + t) has the inverse a = (h - s t) / s, which is a site as well.
    rng = np.random.default_rng(2)
    kernel, bias, a = (jnp.asarray(rng.normal(size=n)) for n in [(4, 3), 3, (6, 4)])
    mean = jnp.asarray(rng.normal(size=4))
    site = Site(jnp.array([1.0, -0.5, -1.0, 4.0]), jnp.asarray(rng.normal(size=4)), jnp.array(0.6))
    back = Site(1 / site.gain, -site.gain * (site.shift - site.batch * mean), jnp.array(0.0))
    matched_kernel, matched_bias = match_dense(kernel, bias, site, mean)
    h = apply_site(site, a, mean)
    np.testing.assert_allclose(h @ matched_kernel + matched_bias, a @ kernel + bias, atol=1e-14)
    np.testing.assert_allclose(apply_site(back, h, mean), a, atol=1e-15)
    again_kernel, again_bias = match_dense(matched_kernel, matched_bias, back, mean)
    np.testing.assert_array_equal(again_kernel, kernel)
    np.testing.assert_allclose(again_bias, bias, atol=1e-14)


def test_combining_adds_the_coefficients_and_a_flip_twice_is_a_flip():
    assert combine(CENTERINGS["input"], CENTERINGS["hidden"]) == CENTERINGS["both"]
    assert combine(CENTERINGS["flip_input"], CENTERINGS["flip_hidden"]) == CENTERINGS["flip"]
    assert combine(CENTERINGS["flip"], CENTERINGS["flip"]) == CENTERINGS["flip"]
    assert combine(offset(1.0), offset(0.5, input=2.0)) == offset(1.5, input=2.0)
    for centering in VARIANTS.values():
        assert combine(centering, CENTERINGS["none"]) == centering


def test_combining_multiplies_the_scales():
    twice, thrice = (Centering(hidden=SiteCentering(scale=scale)) for scale in (2.0, 3.0))
    combined = combine(twice, CENTERINGS["both"], thrice)
    assert combined == CENTERINGS["both"]._replace(hidden=SiteCentering(constant=1.0, scale=6.0))
    assert combine(VARIANTS["scaled"], VARIANTS["scaled"]).input.scale == 9.0
    assert combine(twice) == twice


def test_combining_nothing_is_refused():
    with pytest.raises(ValueError, match="combine: expected at least one centering, got none"):
        combine()


def test_the_named_points_are_what_their_names_say():
    def point(of_input, of_hidden):
        sites = (SiteCentering(**{**NONE, **fields}) for fields in (of_input, of_hidden))
        return Centering(*sites)

    NONE = {"constant": 0.0, "batch": None, "offset": 0.0, "flip": 0.0, "scale": 1.0}
    constant, batch, flip = ({name: 1.0} for name in ("constant", "batch", "flip"))
    assert dict(CENTERINGS) == {
        "none": point({}, {}),
        "input": point(constant, {}),
        "hidden": point({}, constant),
        "both": point(constant, constant),
        "batch": point(batch, batch),
        "flip": point(flip, flip),
        "flip_input": point(flip, {}),
        "flip_hidden": point({}, flip),
    }


def test_combining_arrays_under_jit_is_combining_numbers():
    left, right = VARIANTS["all at once"], VARIANTS["scaled"]
    traced = jax.jit(combine)(left, right)
    np.testing.assert_allclose(
        jax.tree.leaves(traced), jax.tree.leaves(combine(left, right)), rtol=1e-15
    )


def test_the_named_points_cannot_be_changed():
    with pytest.raises(TypeError):
        CENTERINGS["none"] = offset(1.0)


def test_as_many_signs_as_means_are_needed():
    with pytest.raises(ValueError, match="2 means and 1 signs"):
        resolve_sites(CENTERINGS["none"], [jnp.zeros(3)] * 2, [jnp.ones(3)])
