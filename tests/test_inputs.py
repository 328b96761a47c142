"""Pixels scaled in the step, many examples in chunks: the same numbers, less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn import inputs
from signdyn.centering import CENTERINGS
from signdyn.data import Dataset
from signdyn.inputs import as_inputs, in_chunks, mean_of_chunks, reader
from signdyn.likelihoods import categorical
from signdyn.memory import peak_bytes
from signdyn.models.mlp import MLP
from signdyn.models.resnet import ResNet
from signdyn.models.traces import batch_statistics, init_params
from signdyn.models.whole_set import whole_statistics
from signdyn.training import Hyper, Structure, make_train_fn

LEVELS = np.arange(256, dtype=np.uint8)


def pixels(num_train: int, features: int = 16) -> Dataset:
    """Return random images of two classes, the second one brighter."""
    rng = np.random.default_rng(0)
    y = np.arange(num_train + 30, dtype=np.int32) % 2
    x = rng.integers(0, 128, (len(y), features)) + 96 * y[:, None]
    x = x.astype(np.uint8)
    parts = x[:num_train], y[:num_train], x[num_train:], y[num_train:]
    return Dataset("random", "random pixels", *parts, num_classes=2, input_shape=(4, 4))


def scaled(data: Dataset) -> Dataset:
    x_train, x_test = (x.astype(np.float32) / np.float32(255) for x in (data.x_train, data.x_test))
    return data._replace(x_train=x_train, x_test=x_test)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.vmap], ids=["eager", "jit", "vmap"])
def test_every_pixel_becomes_what_numpy_makes_of_it(wrap):
    with jax.enable_x64(False):
        made = wrap(as_inputs)(jnp.asarray(LEVELS))
    assert made.dtype == np.float32
    assert np.asarray(made).tobytes() == (LEVELS.astype(np.float32) / np.float32(255)).tobytes()


def test_floats_are_read_as_they_are():
    x = jnp.array([0.5, 300.0])
    assert as_inputs(x) is x


def test_data_may_say_what_is_read_of_them():
    class Own:
        @staticmethod
        def inputs(x):
            return 2.0 * x

    assert reader(Own())(3.0) == 6.0
    assert reader(object())(3.0 * jnp.ones(1))[0] == 3.0


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(inputs, "ONE_PASS", 8)
    monkeypatch.setattr(inputs, "CHUNK", 7)


@pytest.mark.parametrize("number", [5, 8, 9, 14, 20])
def test_chunks_give_what_one_pass_gives(small_chunks, number):
    x, w = jnp.arange(3.0 * number).reshape(number, 3), jnp.arange(number) % 5
    seen = []

    def doubled(x, w):
        seen.append(len(x))
        return {"x": 2 * x, "w": w + 1}

    made = in_chunks(doubled, x, w)
    np.testing.assert_array_equal(made["x"], 2 * x)
    np.testing.assert_array_equal(made["w"], w + 1)
    assert max(seen) <= 8
    means = mean_of_chunks(lambda x: jnp.mean(x, axis=0), x)
    np.testing.assert_allclose(means, np.mean(x, axis=0), rtol=1e-12)


def test_statistics_of_chunks_are_those_of_the_whole_set(small_chunks):
    # the stem, its first layer, comes last in the alphabet
    model = ResNet((4, 4), channels=(3,), num_outputs=2, norm="batch")

    def read(x):
        return as_inputs(x).astype(float)

    x = jnp.asarray(pixels(23).x_train)
    params = jax.jit(lambda: init_params(model, jax.random.key(0), read(x)))()
    expected = jax.jit(lambda p: batch_statistics(model, p, read(x)))(params)
    made = jax.jit(lambda p: whole_statistics(model, p, x, read))(params)
    assert set(made.norms) == set(expected.norms) != set()
    for one, other in zip(jax.tree.leaves(made), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


def trained(data, centering="none"):
    structure = Structure(MLP((6,), 2), categorical(), steps=12, batch_size=8, record_every=4)
    with jax.enable_x64(False):
        train = jax.jit(make_train_fn(structure, data))
        return train(jax.random.key(0), Hyper(0.1, centering=CENTERINGS[centering]))


def test_training_on_pixels_is_training_on_their_floats():
    data = pixels(40)
    ours, theirs = trained(data), trained(scaled(data))
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_is_the_same_whether_the_set_is_read_in_chunks_or_at_once(monkeypatch):
    data = pixels(40)
    expected = trained(data, "both")
    monkeypatch.setattr(inputs, "ONE_PASS", 8)
    monkeypatch.setattr(inputs, "CHUNK", 7)
    made = trained(data, "both")
    assert float(expected.final["train_loss"]) < float(expected.train_loss[0])
    for one, other in zip(jax.tree.leaves(made), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("convert", [lambda data: data, scaled], ids=["uint8", "float32"])
def test_memory_holds_the_set_once_and_activations_of_a_chunk(convert):
    number, width = 20_000, 64
    data = convert(pixels(number))
    structure = Structure(MLP((width,), 2), categorical(), steps=4, batch_size=8, record_every=2)
    train = make_train_fn(structure, data)
    with jax.enable_x64(False):
        draw = jax.eval_shape(train.draw, jax.random.key(0))
        traced = jax.jit(train.run).trace(draw, Hyper(jnp.float32(0.1)))
        held = data.x_train.nbytes + data.x_test.nbytes
        constants = sum(constant.nbytes for constant in traced.jaxpr.consts)
        assert held <= constants < held + 10 * number  # and the labels
        # [2, N] noise, labels, losses: some numbers an example, but not one a unit
        assert peak_bytes(traced.jaxpr) < held + 4 * number * width / 2
        planned = traced.lower().compile().memory_analysis()
        assert planned.temp_size_in_bytes < 4 * number * width / 2
