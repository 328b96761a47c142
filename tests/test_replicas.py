"""A replica before its first step: what is random about it, and what its labels and batches are."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.centering import CENTERINGS, combine
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.replicas import (
    Hyper,
    Structure,
    batch_order,
    draw_replica,
    noisy_labels,
    start_replica,
)

MODEL = MLP((4,), 3, "tanh")
N, BATCH, STEPS = 12, 4, 6
DATA = SimpleNamespace(
    x_train=np.random.default_rng(0).uniform(0, 2, size=(N, 5)),
    y_train=(np.arange(N) % 3).astype(np.int32),
    num_classes=3,
)

draw_of = jax.jit(
    partial(draw_replica, MODEL, (N, 5), "float64", (BATCH, STEPS)),
    compiler_options={"xla_backend_optimization_level": 0},  # compiling is what takes time here
)


# --- the draw and the start -------------------------------------------------------------------


def test_a_draw_depends_on_its_key_alone_and_its_signs_are_fair():
    first, again = draw_of(jax.random.key(0)), draw_of(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    draws = [draw_of(jax.random.key(key)) for key in range(100)]
    for leaves in zip(*(jax.tree.leaves(draw._replace(params=())) for draw in draws), strict=True):
        assert len({np.asarray(leaf).tobytes() for leaf in leaves}) > 8
    assert len({float(draw.params["dense_0"]["kernel"][0, 0]) for draw in draws}) == 100
    signs = np.array([np.concatenate(draw.signs) for draw in draws])
    assert signs.shape == (100, 9)
    np.testing.assert_array_equal(np.abs(signs), np.ones((100, 9)))
    # Fair, one by one and pair by pair, between sites as well: four binomial deviations.
    products = signs.T @ signs / 100 - np.eye(9)
    assert np.abs(signs.mean(0)).max() < 0.4
    assert np.abs(products).max() < 0.4
    assert first.label_noise.shape == (2, N)
    assert first.batches.shape == (STEPS, BATCH)


def test_the_start_differs_from_the_draw_by_init_scale_and_matching_only():
    structure, draw = Structure(MODEL, categorical()), draw_of(jax.random.key(0))
    biased = {name: {**layer, "bias": layer["bias"] + 1} for name, layer in draw.params.items()}
    draw = draw._replace(params=biased)
    centering = combine(CENTERINGS["both"], CENTERINGS["flip"])
    plain = start_replica(structure, DATA, draw, Hyper(0.1, init_scale=2.0))
    centered = start_replica(structure, DATA, draw, Hyper(0.1, init_scale=2.0, centering=centering))
    for name, layer in draw.params.items():
        np.testing.assert_array_equal(plain.params[name]["kernel"], 2.0 * layer["kernel"])
        np.testing.assert_array_equal(plain.params[name]["bias"], layer["bias"])
    for index, (site, sign) in enumerate(zip(centered.sites, draw.signs, strict=True)):
        kernel = plain.params[f"dense_{index}"]["kernel"]
        np.testing.assert_array_equal(site.gain, sign)
        np.testing.assert_array_equal(
            centered.params[f"dense_{index}"]["kernel"], sign[:, None] * kernel
        )
        np.testing.assert_array_equal(plain.sites[index].gain, np.ones_like(sign))
        np.testing.assert_array_equal(plain.means[index], centered.means[index])
    np.testing.assert_allclose(plain.means[0], DATA.x_train.mean(0), rtol=1e-15)


# --- batches ----------------------------------------------------------------------------------


def test_an_epoch_visits_each_example_once():
    for seed in range(5):
        rows = np.asarray(draw_of(jax.random.key(seed)).batches)
        for epoch in (rows[:3], rows[3:]):
            assert sorted(epoch.ravel().tolist()) == list(range(N))
        assert not np.array_equal(rows[:3], rows[3:])


def test_a_remainder_is_dropped_but_no_example_is_left_out_for_good():
    rows = np.asarray(batch_order(jax.random.key(0), num_examples=12, batch_size=5, steps=79))
    assert rows.shape == (79, 5)
    for epoch in range(39):
        assert len(set(rows[2 * epoch : 2 * epoch + 2].ravel().tolist())) == 10
    counts = np.bincount(rows.ravel(), minlength=12)
    # About 40 epochs, each of which drops 2 of 12: 33 visits, binomial deviation 2.4.
    assert np.abs(counts - rows.size / 12).max() < 10


@pytest.mark.parametrize("batch_size", [0, 6])
def test_a_batch_of_more_examples_than_there_are_or_of_none_is_refused(batch_size):
    with pytest.raises(ValueError, match=f"batch_order: .* batch_size={batch_size} and num_exam"):
        batch_order(jax.random.key(1), num_examples=5, batch_size=batch_size, steps=3)


# --- label noise ------------------------------------------------------------------------------


def test_label_noise_zero_leaves_all_labels_and_one_redraws_all():
    rng = np.random.default_rng(0)
    uniforms = jnp.asarray(rng.uniform(size=(2, 6000)))
    labels = jnp.asarray(np.arange(6000) % 3)
    np.testing.assert_array_equal(noisy_labels(uniforms, labels, 3, 0.0), labels)
    redrawn = np.asarray(noisy_labels(uniforms, labels, 3, 1.0))
    # Uniform whatever the label was: 667 of each pair, binomial deviation 24.
    table = np.bincount(3 * np.asarray(labels) + redrawn, minlength=9)
    assert np.abs(table - 6000 / 9).max() < 100
    assert noisy_labels(uniforms.at[1].set(1 - 2.0**-24), labels, 3, 1.0).max() == 2


def test_whether_a_label_is_redrawn_says_nothing_about_what_it_becomes():
    uniforms = jnp.asarray(np.random.default_rng(2).uniform(size=(2, 6000)))
    unseen = jnp.full(6000, 9)  # no class, so that every redrawn label shows
    redrawn = np.asarray(noisy_labels(uniforms, unseen, 3, 0.3))
    counts = np.bincount(redrawn[redrawn != 9], minlength=3)
    # 600 of each class, binomial deviation 23.
    assert np.abs(counts - 600).max() < 100


def test_label_noise_is_nested_and_changes_the_promised_share():
    uniforms = jnp.asarray(np.random.default_rng(1).uniform(size=(2, 6000)))
    labels = jnp.asarray(np.arange(6000) % 3)
    changed_before = np.zeros(6000, bool)
    previous = labels
    for probability in (0.1, 0.3, 0.7):
        noisy = noisy_labels(uniforms, labels, 3, probability)
        changed = np.asarray(noisy != labels)
        assert (changed >= changed_before).all()
        np.testing.assert_array_equal(noisy[changed_before], previous[changed_before])
        assert abs(changed.mean() - probability * 2 / 3) < 4 * np.sqrt(0.25 / 6000)
        changed_before, previous = changed, noisy


@pytest.mark.parametrize("shape", [(6000,), (6000, 2)])
def test_labels_that_are_no_classes_are_redrawn_whole_from_those_of_the_examples(shape):
    rng = np.random.default_rng(3)
    uniforms, labels = jnp.asarray(rng.uniform(size=(2, 6000))), jnp.asarray(rng.normal(size=shape))
    np.testing.assert_array_equal(noisy_labels(uniforms, labels, 1, 0.0), labels)
    noisy, labels = (np.asarray(rows) for rows in (noisy_labels(uniforms, labels, 1, 0.3), labels))
    assert noisy.shape == shape
    assert noisy.dtype == labels.dtype
    row_of = {label.tobytes(): row for row, label in enumerate(labels)}
    source = np.array([row_of[label.tobytes()] for label in noisy])
    # Chosen with probability .3, one more binomial deviation is 35; from anywhere among the rows.
    assert abs((source != np.arange(6000)).sum() - 1800) < 4 * 35.5
    redrawn = source[source != np.arange(6000)]
    assert abs(redrawn.mean() / 6000 - 0.5) < 4 * 12**-0.5 / 1800**0.5
    # Nested as well: what is redrawn at .3 is redrawn to the same at .7.
    more = noisy_labels(uniforms, jnp.asarray(labels), 1, 0.7)
    np.testing.assert_array_equal(more[source != np.arange(6000)], noisy[source != np.arange(6000)])


def test_zeros_and_ones_are_redrawn_evenly_as_classes_and_as_they_are_found_as_numbers():
    uniforms = jnp.asarray(np.random.default_rng(4).uniform(size=(2, 6000)))
    labels = (np.arange(6000) % 4 == 0).astype(np.int32)  # a quarter of ones
    share = {
        dtype: float(noisy_labels(uniforms, jnp.asarray(labels, dtype), 2, 1.0).mean())
        for dtype in (np.int32, np.float32)
    }
    # Four binomial deviations of .0065 and .0056.
    assert abs(share[np.int32] - 0.5) < 0.026
    assert abs(share[np.float32] - 0.25) < 0.023


# --- signs of the kernels ---------------------------------------------------------------------


def test_a_positive_start_has_the_drawn_kernels_absolute_values_and_the_drawn_biases():
    structure, draw = Structure(MODEL, categorical()), draw_of(jax.random.key(3))
    plain = start_replica(structure, DATA, draw, Hyper(0.1, init_scale=0.5)).params
    hyper = Hyper(0.1, init_scale=0.5, positive_init=1.0)
    positive = start_replica(structure, DATA, draw, hyper).params
    for name, layer in plain.items():
        assert bool((layer["kernel"] < 0).any())
        np.testing.assert_array_equal(positive[name]["kernel"], jnp.abs(layer["kernel"]))
        np.testing.assert_array_equal(positive[name]["bias"], layer["bias"])


def test_a_layer_that_is_held_starts_at_its_absolute_values_and_the_others_as_drawn():
    draw = draw_of(jax.random.key(3))
    held = Structure(MODEL, categorical(), nonnegative=("dense_1",))
    params = start_replica(held, DATA, draw, Hyper(0.1)).params
    first, second = (draw.params[name]["kernel"] for name in ("dense_0", "dense_1"))
    np.testing.assert_array_equal(params["dense_0"]["kernel"], first)
    np.testing.assert_array_equal(params["dense_1"]["kernel"], jnp.abs(second))


def test_a_layer_that_the_model_does_not_have_cannot_be_held():
    with pytest.raises(ValueError, match=r"nonnegative must name layers.*'conv_0'"):
        Structure(MODEL, categorical(), nonnegative=("conv_0",))
