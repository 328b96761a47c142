"""Norms: their formulas, what they are blind to, and which of them keep examples apart."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.models.mlp import MLP
from signdyn.models.norms import EPSILON, NORMS, Norm, batch_moments
from signdyn.models.traces import init_params

FAST = {"xla_backend_optimization_level": 0}  # compiling is all that takes time here
KINDS = [kind for kind in NORMS if kind != "none"]
OVER_THE_BATCH = ("batch", "mean_batch")
SHAPES = {"dense": (6, 8), "convolution": (6, 3, 2, 8)}
random = np.random.default_rng(0)
Z = {name: random.normal(0.5, 2.0, size=shape) for name, shape in SHAPES.items()}
SCALE, BIAS = random.uniform(0.5, 2.0, size=8), random.normal(size=8)


def learned(kind):
    return {"bias": BIAS} if kind == "mean_batch" else {"scale": SCALE, "bias": BIAS}


def applied(kind, z, moments=None, num_groups=4):
    """Return the norm's outputs and the batch's moments."""
    norm = Norm(kind, num_groups)
    return norm.apply({"params": learned(kind)}, jnp.asarray(z), moments)


def by_hand(kind, z, num_groups=4):
    """Return the norm's outputs: a loop over what shares a mean and a variance."""
    out = np.empty_like(z)
    units = z.shape[-1]
    if kind in OVER_THE_BATCH:
        shared = [(..., slice(unit, unit + 1)) for unit in range(units)]
    else:
        size = units if kind == "layer" else units // num_groups
        runs = [slice(first, first + size) for first in range(0, units, size)]
        shared = [(n, ..., run) for n in range(len(z)) for run in runs]
    for index in shared:
        part = z[index]
        out[index] = part - part.sum() / part.size
        if kind != "mean_batch":
            out[index] /= np.sqrt((out[index] ** 2).sum() / part.size + EPSILON)
    return out * (1.0 if kind == "mean_batch" else SCALE) + BIAS


each_kind = pytest.mark.parametrize("kind", KINDS)
each_shape = pytest.mark.parametrize("shape", SHAPES)


@each_kind
@each_shape
def test_a_norm_is_a_loop_over_what_shares_its_mean(kind, shape):
    found, _ = applied(kind, Z[shape])
    np.testing.assert_allclose(found, by_hand(kind, Z[shape]), rtol=0, atol=1e-13)


@each_shape
def test_the_batchs_moments_are_those_of_every_unit_over_examples_and_positions(shape):
    moments = batch_moments(jnp.asarray(Z[shape]))
    rows = Z[shape].reshape(-1, 8)
    np.testing.assert_allclose(moments.mean, rows.mean(0), atol=1e-14)
    np.testing.assert_allclose(moments.var, rows.var(0), rtol=1e-13)


@each_shape
@pytest.mark.parametrize("kind", OVER_THE_BATCH)
def test_given_the_batchs_own_moments_a_norm_does_the_same_and_others_are_its_constants(
    kind, shape
):
    z = Z[shape]
    found, own = applied(kind, z)
    np.testing.assert_array_equal(applied(kind, z, own)[0], found)
    # Frozen, it is affine and does not see who else is in the batch.
    np.testing.assert_array_equal(applied(kind, z[:2], own)[0], found[:2])
    moved = [applied(kind, z + shift, own)[0] for shift in (1.0, 2.0)]
    np.testing.assert_allclose(moved[1] - moved[0], moved[0] - found, atol=1e-12)


@each_kind
@each_shape
def test_only_norms_over_the_batch_couple_examples(kind, shape):
    together = np.asarray(applied(kind, Z[shape])[0])
    others = np.concatenate([Z[shape][:1], 3 * Z[shape][1:]])
    moved = np.any(np.asarray(applied(kind, others)[0])[0] != together[0])
    assert moved == (kind in OVER_THE_BATCH)


@each_shape
def test_a_layer_norm_is_a_group_norm_of_one_group(shape):
    one = applied("group", Z[shape], num_groups=1)[0]
    np.testing.assert_array_equal(applied("layer", Z[shape])[0], one)


def test_mean_batch_norm_changes_no_variance_and_batch_norm_makes_it_one():
    means_only = (np.asarray(applied("mean_batch", Z["dense"])[0]) - BIAS).var(0)
    np.testing.assert_allclose(means_only, Z["dense"].var(0), rtol=1e-12)
    both = ((np.asarray(applied("batch", Z["dense"])[0]) - BIAS) / SCALE).var(0)
    np.testing.assert_allclose(both, Z["dense"].var(0) / (Z["dense"].var(0) + EPSILON), rtol=1e-12)


@pytest.mark.parametrize("kind", OVER_THE_BATCH)
def test_what_flows_back_through_a_norm_over_the_batch_has_mean_zero_per_unit(kind):
    def loss(z):
        return jnp.sum(jnp.sin(applied(kind, z)[0]))

    deltas = jax.jit(jax.grad(loss), compiler_options=FAST)(Z["convolution"])
    np.testing.assert_allclose(deltas.sum((0, 1, 2)), np.zeros(8), atol=1e-12)


@cache
def started():
    """Return the parameters of a network with each norm, and without."""

    @partial(jax.jit, compiler_options=FAST)
    def init(key, x):
        return {norm: init_params(MLP((8, 4), 2, norm=norm), key, x) for norm in NORMS}

    return init(jax.random.key(0), jnp.zeros((1, 5)))


@pytest.mark.parametrize(
    ("norm", "factor", "shift", "same"),
    [
        ("batch", 3.0, 2.0, True),
        ("batch", -3.0, 0.0, False),  # a factor's sign stays
        ("mean_batch", 1.0, 2.0, True),
        ("mean_batch", 3.0, 0.0, False),
        ("layer", 3.0, 0.0, True),
        ("group", 3.0, 0.0, True),
        ("none", 3.0, 0.0, False),
    ],
)
def test_what_a_norm_is_blind_to_in_the_layer_below(norm, factor, shift, same):
    model = MLP((8,), 2, norm=norm, num_groups=2)
    x = random.normal(1.0, size=(6, 5))
    params = {**started()[norm], "dense_1": {"kernel": np.ones((8, 2)), "bias": np.zeros(2)}}
    # So large that the epsilon is nothing: a variance of 1e16 against 1e-5.
    layer = {key: 1e8 * (leaf + 1.0) for key, leaf in params["dense_0"].items()}
    other = jax.tree.map(lambda leaf: factor * leaf, layer)
    other["bias"] += shift * 1e8 * jnp.arange(8.0)  # each unit by another shift
    apply = jax.jit(model.apply, compiler_options=FAST)
    one, two = (
        np.asarray(apply({"params": {**params, "dense_0": each}}, x)) for each in (layer, other)
    )
    assert (np.max(np.abs(one - two)) < 1e-12 * np.max(np.abs(one))) == same


def test_no_norm_adds_no_parameter_and_a_norm_stands_after_every_hidden_layer():
    hidden, readout = {"dense_0", "dense_1"}, {"dense_2"}
    for norm, params in started().items():
        norms = {f"{name}_norm" for name in hidden if norm != "none"}
        assert set(params) == hidden | readout | norms
        for name in norms:
            assert set(params[name]) == set(learned(norm))
            np.testing.assert_array_equal(params[name]["bias"], 0.0)
            np.testing.assert_array_equal(params[name].get("scale", 1.0), 1.0)


def test_kernels_are_drawn_alike_whatever_the_norm():
    for norm in KINDS:
        for name, layer in started()["none"].items():
            jax.tree.map(np.testing.assert_array_equal, started()[norm][name], layer)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"norm": "bacth"}, "MLP: norm must be one of none, batch"),
        ({"norm": "group", "num_groups": 3}, "must divide .* 8, 4 units"),
        ({"norm": "group", "num_groups": 0}, "num_groups=0"),
    ],
)
def test_a_norm_that_there_is_not_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        MLP((8, 4), 2, **fields)
