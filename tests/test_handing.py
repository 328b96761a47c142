"""Large arrays are handed to programs: the same results, and one copy for all of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn import handing
from signdyn.data import Dataset
from signdyn.handing import Shelf
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.staged import staged_programs
from signdyn.sweeps import block_program, replica_keys, stack_hypers
from signdyn.training import Hyper, Structure, make_train_fn

RNG = np.random.default_rng(0)
LARGE = RNG.integers(0, 256, (3000, 16), dtype=np.uint8)
SMALL = RNG.normal(size=16).astype(np.float32)


@pytest.fixture(autouse=True)
def low_limit(monkeypatch):
    monkeypatch.setattr(handing, "LARGE", LARGE.nbytes)


def sums(x, y):
    return {"sum": (jnp.asarray(LARGE) * jnp.asarray(SMALL)) @ x, "y": y + 1}


def test_a_handed_program_gives_what_a_plain_one_gives():
    x, y = jnp.ones(16), jnp.arange(3)
    traced = jax.jit(sums).trace(x, y)
    shelf = Shelf(jax.local_devices()[:1])
    made, expected = shelf.compiled(traced, None)(x, y), traced.lower().compile()(x, y)
    assert set(made) == {"sum", "y"}
    np.testing.assert_array_equal(made["sum"], expected["sum"])
    np.testing.assert_array_equal(made["y"], expected["y"])


def test_all_programs_share_one_copy_and_small_arrays_stay_where_they_are():
    shelf = Shelf(jax.local_devices()[:1])
    x, y = jnp.ones(16), jnp.arange(3)
    shelf.compiled(jax.jit(sums).trace(x, y), None)
    shelf.compiled(jax.jit(lambda x: jnp.asarray(LARGE) @ x).trace(x), None)
    ((held, placed),) = shelf._placed.values()
    assert held.shape == placed.shape == LARGE.shape
    plain = shelf.compiled(jax.jit(lambda x: x * jnp.asarray(SMALL)).trace(x), None)
    assert hasattr(plain, "memory_analysis")  # compiled as it was traced
    assert len(shelf._placed) == 1


def test_donated_arguments_stay_donated():
    def moved(state, x):
        return state + (jnp.asarray(LARGE).astype(float) @ x)[0]

    state, x = jnp.zeros(1000), jnp.ones(16)
    traced = jax.jit(moved, donate_argnums=0).trace(state, x)
    made = Shelf(jax.local_devices()[:1]).compiled(traced, None)(state, x)
    assert made[0] == LARGE[0].sum()
    assert state.is_deleted()


def data():
    y = (LARGE[:, 0] > 127).astype(np.int32)
    return Dataset("random", "", LARGE, y, LARGE[:50], y[:50], 2, (16,))


def test_a_sweep_over_handed_data_has_the_bits_of_one_with_data_compiled_in():
    structure = Structure(MLP((4,), 2), categorical(), steps=4, batch_size=8, record_every=2)
    with jax.enable_x64(False):
        train = make_train_fn(structure, data())
        keys = replica_keys(0, range(2))
        draws = jax.vmap(train.draw)(keys)
        hypers = stack_hypers([Hyper(0.1)] * len(keys))
        program = partial(block_program, block=2, width=1)
        traced = program(train).trace(draws, hypers)
        shelf = Shelf(jax.local_devices())
        expected = traced.lower().compile()(draws, hypers)
        made = shelf.compiled(traced, None)(draws, hypers)
        parts = staged_programs(train, 2, block=2, width=1)
        staged = parts.compiled(draws, hypers, None, shelf.compiled)
        state = staged.begin(draws, hypers)
        for part in range(2):
            state, _ = staged.advance(draws, hypers, state, np.int32(part))
    assert len(shelf._placed) == 1
    for one, other in zip(jax.tree.leaves(made), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(
        jax.tree.leaves(state[1].params), jax.tree.leaves(expected.params), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)
