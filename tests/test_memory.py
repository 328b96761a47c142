"""Memory a program will need: against hand counts, and against what XLA allots when compiled."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from signdyn import memory
from signdyn.data import load
from signdyn.likelihoods import categorical
from signdyn.memory import calls_in_flight, free_bytes, peak_bytes
from signdyn.models.mlp import MLP
from signdyn.sweeps import block_program
from signdyn.training import Hyper, Structure, make_train_fn

KB = 1000
LINE = jnp.zeros(250, jnp.float32)  # 1 kB


def line_for_line(x):
    for _ in range(9):
        x = jnp.sin(x)
    return x


def body(carry, x):
    spread = jnp.sin(carry)[:, None] * jnp.ones(10, jnp.float32)  # 10 kB
    return carry + jnp.sum(spread, axis=1), jnp.sum(x)


@pytest.mark.parametrize(
    ("function", "least", "most"),
    [
        (lambda x: x, 1, 1),
        (jnp.sin, 2, 2),
        (line_for_line, 3, 3),  # argument, the line before, the line after
        (lambda x: lax.scan(body, x, jnp.zeros((7, 250), jnp.float32))[0], 1 + 1 + 7 + 10, 27),
        (jax.jit(line_for_line), 3, 3),
        (lambda x: lax.cond(x[0] > 0, lambda: x, lambda: line_for_line(x)), 3, 4),
    ],
)
def test_arrays_are_counted_while_they_are_needed(function, least, most):
    found = peak_bytes(jax.make_jaxpr(function)(LINE)) / KB
    assert least - 0.1 <= found <= most + 0.1


def test_what_is_made_in_a_loop_is_counted_once_whatever_the_number_of_turns():
    def loop(turns):
        return jax.make_jaxpr(lambda x: lax.scan(body, x, None, length=turns)[0])

    def body(carry, _):
        return body_of(carry), None

    def body_of(carry):
        return jnp.sum(jnp.sin(carry)[:, None] * jnp.ones(10, jnp.float32), axis=1)

    assert peak_bytes(loop(3)(LINE)) == peak_bytes(loop(3000)(LINE))


def program(block, width, units=32):
    structure = Structure(MLP((units,), 10), categorical(), steps=10, batch_size=16)
    train = make_train_fn(structure, load("digits"))
    draw = jax.eval_shape(train.draw, jax.random.key(0))
    hyper = jax.tree.map(lambda _: jnp.zeros((), jnp.float32), Hyper(0.1))
    arguments = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((block, *leaf.shape), leaf.dtype), (draw, hyper)
    )
    return block_program(train, block=block, width=width).trace(*arguments)


@pytest.mark.parametrize(("block", "width"), [(16, 1), (16, 16)])
def test_what_is_told_before_compiling_is_what_xla_allots_within_a_factor_of_two(block, width):
    traced = program(block, width)
    allotted = traced.lower().compile({"xla_backend_optimization_level": 0}).memory_analysis()
    needed = (
        allotted.argument_size_in_bytes
        + allotted.output_size_in_bytes
        + allotted.temp_size_in_bytes
    )
    assert 0.5 < peak_bytes(traced.jaxpr) / needed < 2.0


def test_replicas_that_run_together_need_more_than_one_after_the_other():
    together, in_turn = (peak_bytes(program(16, width).jaxpr) for width in (16, 1))
    assert together > 3 * in_turn


def test_what_runs_at_once_needs_its_memory_each_but_for_what_is_compiled_in():
    traced = program(16, 16).jaxpr
    compiled_in = sum(constant.nbytes for constant in traced.consts)
    one, three = (peak_bytes(traced, calls) for calls in (1, 3))
    assert compiled_in > 0
    assert three - compiled_in == 3 * (one - compiled_in)


def test_an_accelerator_tells_what_it_has_and_one_that_does_not_is_not_guessed_at():
    full = SimpleNamespace(
        platform="gpu", memory_stats=lambda: {"bytes_limit": 100, "bytes_in_use": 30}
    )
    assert free_bytes(full) == 70
    assert free_bytes(SimpleNamespace(platform="gpu", memory_stats=lambda: None)) is None


def test_a_control_group_that_leaves_less_decides(monkeypatch):
    there = free_bytes(jax.devices("cpu")[0])
    assert there is not None
    assert there > 0
    monkeypatch.setattr(memory, "_group_limits", lambda: iter([12345]))
    assert free_bytes(jax.devices("cpu")[0]) == 12345


def test_as_many_calls_are_in_flight_as_there_is_memory_for_their_results():
    # 4 kB in, 8 kB within, 4 kB out: 16 kB at its peak, and 8 kB for each call that waits
    traced = jax.make_jaxpr(lambda x: (x * x) @ (x + x))(np.zeros((32, 32), np.float32))
    assert peak_bytes(traced) == 16384
    fits = [calls_in_flight(traced, free, 3) for free in (0, 16384, 24575, 24576, 32768, 10**9)]
    assert fits == [1, 1, 1, 2, 3, 3]
    assert calls_in_flight(traced, None, 3) == 2
    assert calls_in_flight(traced, None, 1) == 1


def test_an_array_of_keys_has_a_size():
    keys = jax.random.split(jax.random.key(0), 10)
    assert peak_bytes(jax.make_jaxpr(lambda keys: keys)(keys)) == 80
    assert np.asarray(jax.random.key_data(keys)).nbytes == 80
