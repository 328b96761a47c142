"""Sweeps: blocks decide the numbers, whatever the devices, their order and their padding."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from signdyn.centering import CENTERINGS
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.sweeps import (
    SeedDraws,
    block_program,
    grid,
    hasty_to_compile,
    num_blocks,
    quick_to_compile,
    replica_keys,
    run_blocks,
    run_sweep,
    stack_hypers,
)
from signdyn.training import NO_PROBE, Draw, Hyper, Structure, TrainFn, Trajectory, make_train_fn

BLOCK = 3
SEEDS = [0, 1, 2, 0, 1, 2, 5]  # three seeds of two variants and one more: the last block is padded
HYPERS = stack_hypers(
    [
        Hyper(0.1 * (i + 1), weight_decay=0.1, centering=CENTERINGS["input" if i > 2 else "none"])
        for i in range(7)
    ]
)
KEYS = replica_keys(0, SEEDS)
DEVICES = jax.devices()


def assert_bitwise_equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


def select(tree, rows):
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def joined(blocks):
    return jax.tree.map(lambda *parts: np.concatenate(parts), *(b.trajectory for b in blocks))


# --- real training ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def traced():
    """Return how often each optimizer's replica was traced, counted by a side effect."""
    return {}


@pytest.fixture(scope="module")
def train(traced):
    """Return optimizer -> a train function on single precision minibatches."""
    rng = np.random.default_rng(0)
    data = SimpleNamespace(
        x_train=rng.uniform(0, 2, size=(12, 5)).astype(np.float32),
        y_train=(np.arange(12) % 3).astype(np.int32),
        x_test=rng.uniform(0, 2, size=(4, 5)).astype(np.float32),
        y_test=(np.arange(4) % 3).astype(np.int32),
        num_classes=3,
    )

    def build(optimizer):
        def init(params):
            traced[optimizer] = traced.get(optimizer, 0) + 1
            return NO_PROBE.init(params)

        # Without hidden layers, which take longer to compile and are no business of a sweep.
        structure = Structure(MLP((), 3), categorical(), optimizer, 4, 6, record_every=2)
        return make_train_fn(structure, data, NO_PROBE._replace(init=init))

    return {optimizer: build(optimizer) for optimizer in ("sgd", "momentum")}


@pytest.fixture(scope="module")
def program(train):
    return block_program(train["sgd"], block=BLOCK, width=1)


@pytest.fixture(scope="module")
def result(train, program):
    blocks = run_blocks(
        train["sgd"], KEYS, HYPERS, block=BLOCK, devices=DEVICES[:1], program=program
    )
    return joined(blocks)


@pytest.fixture(scope="module")
def vmapped(train, result):
    """Return decay of the velocity -> trajectories, three replicas vmapped together."""
    one = train["momentum"]
    program = block_program(one, block=BLOCK, width=BLOCK)
    found = {}
    for momentum in (0.0, 0.9):
        hypers = HYPERS._replace(momentum=np.full(7, momentum, np.float32))
        blocks = run_blocks(one, KEYS, hypers, block=BLOCK, devices=DEVICES[:1], program=program)
        found[momentum] = joined(blocks)
    return found


@pytest.fixture(scope="module")
def count(traced, result, vmapped):
    """Return how often each optimizer's replica was traced for two sweeps of three blocks each."""
    return dict(traced)


def test_each_static_group_is_traced_once_for_all_its_points_and_blocks(count):
    assert count == {"sgd": 1, "momentum": 1}


def test_two_devices_give_bitwise_what_one_gives(train, count, result):
    assert len(DEVICES) == 2
    on_both = run_sweep(train["sgd"], KEYS, HYPERS, block=BLOCK, devices=DEVICES)
    assert result.loss.shape == (7, 4)
    assert_bitwise_equal(on_both, result)


def test_permuting_replicas_permutes_results_bitwise(train, program, result):
    order = np.array([6, 2, 4, 0, 5, 1, 3])
    blocks = run_blocks(
        train["sgd"],
        KEYS[order],
        select(HYPERS, order),
        block=BLOCK,
        devices=DEVICES[:1],
        program=program,
    )
    assert_bitwise_equal(joined(blocks), select(result, order))


def test_skipping_blocks_and_padding_change_no_number(train, program, result):
    common = {"block": BLOCK, "devices": DEVICES[:1], "program": program}
    only = run_blocks(train["sgd"], KEYS, HYPERS, skip=frozenset({0, 2}), **common)
    assert_bitwise_equal(joined(only), select(result, slice(3, 6)))
    four = run_blocks(train["sgd"], KEYS[3:], select(HYPERS, slice(3, 7)), **common)
    assert_bitwise_equal(joined(four), select(result, slice(3, 7)))


def test_a_sweep_is_a_loop_over_its_replicas_up_to_rounding(train, count, result):
    run = jax.jit(train["sgd"].run, compiler_options={"xla_backend_optimization_level": 0})
    draw_one = jax.jit(train["sgd"].draw)
    for row in range(len(KEYS)):
        alone = run(draw_one(KEYS[row]), select(HYPERS, row))
        for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(result), strict=True):
            # Other programs may round differently: a few float32 roundings over four steps.
            np.testing.assert_allclose(one, other[row], rtol=1e-5, atol=1e-6)


def test_replicas_vmapped_together_agree_with_single_ones_up_to_rounding(vmapped, result):
    # Momentum without velocity is sgd.
    leaves = zip(jax.tree.leaves(vmapped[0.0]), jax.tree.leaves(result), strict=True)
    for one, other in leaves:
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert np.abs(vmapped[0.9].loss - result.loss).max() > 1e-3


# --- bookkeeping, on a replica that compiles in no time -----------------------------------------


def draw(key):
    weights = jax.random.normal(key, (2,), jnp.float32)
    return Draw({"w": weights}, (), jnp.zeros((2, 1), jnp.float32), None)


def run(draw, hyper):
    loss = hyper.learning_rate * draw.params["w"]
    return Trajectory(loss, loss[:1], jnp.int32(-1), {"train_loss": loss[0]}, (), draw.params)


CHEAP = TrainFn(draw, run)


def expected_losses(seeds, rates):
    weights = np.stack([draw(key).params["w"] for key in replica_keys(0, seeds)])
    return np.float32(rates)[:, None] * weights


@pytest.mark.parametrize("num_devices", [1, 2])
@pytest.mark.parametrize(("block", "width"), [(1, 1), (2, 1), (4, 2), (3, 3), (8, 4)])
def test_every_replica_gets_its_own_key_and_numbers(block, width, num_devices):
    seeds, rates = [3, 1, 4, 1, 5], [0.1, 0.2, 0.3, 0.4, 0.5]
    hypers = stack_hypers([Hyper(rate) for rate in rates])
    found = run_sweep(
        CHEAP,
        replica_keys(0, seeds),
        hypers,
        block=block,
        width=width,
        devices=DEVICES[:num_devices],
    )
    np.testing.assert_array_equal(found.loss, expected_losses(seeds, rates))
    assert found.diverged_at.shape == (5,)


@pytest.mark.parametrize("num_devices", [1, 2])
@pytest.mark.parametrize("skip", [set(), {0}, {1}, {0, 2}, {0, 1, 2}])
def test_blocks_come_in_order_with_their_own_replicas_and_without_padding(skip, num_devices):
    rates = [0.1, 0.2, 0.3, 0.4, 0.5]
    found = list(
        run_blocks(
            CHEAP,
            replica_keys(0, range(5)),
            stack_hypers([Hyper(rate) for rate in rates]),
            block=2,
            devices=DEVICES[:num_devices],
            skip=frozenset(skip),
        )
    )
    assert [block.index for block in found] == sorted({0, 1, 2} - skip)
    losses = expected_losses(range(5), rates)
    for block in found:
        assert list(block.replicas) == [[0, 1], [2, 3], [4]][block.index]
        np.testing.assert_array_equal(block.trajectory.loss, losses[list(block.replicas)])
        assert isinstance(block.trajectory.loss, np.ndarray)
        assert block.seconds >= 0


def test_every_seed_is_drawn_once_however_many_variants_share_it():
    calls = []

    def counted(key):
        jax.debug.callback(lambda: calls.append(1))
        return draw(key)

    keys = replica_keys(0, [7, 3, 7, 7, 3])
    rows = np.array([4, 0, 0])
    drawn = SeedDraws(TrainFn(counted, run), keys)(rows)
    jax.effects_barrier()
    assert len(calls) == 2
    np.testing.assert_array_equal(
        drawn.params["w"], np.stack([draw(keys[row]).params["w"] for row in rows])
    )
    assert drawn.batches is None


def test_draws_that_were_let_go_are_drawn_again_with_the_same_bits():
    calls = []

    def counted(key):
        jax.debug.callback(lambda: calls.append(1))
        return draw(key)

    keys = replica_keys(0, [*range(4)] * 2)
    one = sum(leaf.nbytes for leaf in jax.tree.leaves(jax.tree.map(np.asarray, draw(keys[0]))))
    forgetful = SeedDraws(TrainFn(counted, run), keys, kept_bytes=2 * one)
    mindful = SeedDraws(TrainFn(draw, run), keys)
    for rows in np.split(np.arange(8), 4):
        assert_bitwise_equal(forgetful(rows), mindful(rows))
        assert len(forgetful.kept) <= 2
    jax.effects_barrier()
    assert len(calls) == 6  # two were at hand the second time
    assert not mindful.kept


def test_no_draw_is_held_that_no_later_row_has():
    draws = SeedDraws(TrainFn(draw, run), replica_keys(0, range(64)))
    for rows in np.split(np.arange(64), 32):
        draws(rows)
        assert not draws.kept


@pytest.mark.parametrize("in_flight", [1, 2, 3, 9])
def test_no_more_calls_are_in_flight_than_allowed_and_their_number_changes_no_bit(
    train, program, result, in_flight
):
    started = []

    def watched(draws, hypers):
        started.append(1)
        return program(draws, hypers)

    blocks = run_blocks(
        train["sgd"],
        KEYS,
        HYPERS,
        block=BLOCK,
        devices=DEVICES[:1],
        program=watched,
        in_flight=in_flight,
    )
    found = []
    for yielded, block in enumerate(blocks, start=1):
        found.append(block)
        assert len(started) == min(yielded + in_flight - 1, 3)
    assert [block.index for block in found] == [0, 1, 2]
    assert_bitwise_equal(joined(found), result)


def test_seconds_of_blocks_add_up_to_no_more_than_the_sweep_took(train, program):
    begun = time.perf_counter()
    common = {"block": BLOCK, "devices": DEVICES[:1], "program": program}
    blocks = list(run_blocks(train["sgd"], KEYS, HYPERS, in_flight=3, **common))
    took = time.perf_counter() - begun
    assert 0 < sum(block.seconds for block in blocks) <= took


def test_a_seeds_key_is_folded_into_the_root_and_zero_is_a_seed():
    keys = replica_keys(5, [0, 1, 1_000_000_000])
    for key, seed in zip(keys, [0, 1, 1_000_000_000], strict=True):
        assert key == jax.random.fold_in(jax.random.key(5), seed)
    data = [
        np.asarray(jax.random.key_data(k))
        for k in (*keys, jax.random.key(5), *replica_keys(6, [0]))
    ]
    assert len({one.tobytes() for one in data}) == 5


def test_a_grid_has_every_combination_the_last_axis_fastest():
    points = grid(centering=[CENTERINGS["none"], CENTERINGS["both"]], learning_rate=[1.0, 2.0, 3.0])
    assert [(p.centering, p.learning_rate) for p in points] == [
        (CENTERINGS[name], rate) for name in ("none", "both") for rate in (1.0, 2.0, 3.0)
    ]
    assert {p.momentum for p in points} == {0.9}
    assert grid(learning_rate=[]) == []


@pytest.mark.parametrize("axes", [{"learning_rate": [1.0], "decay": [0.1]}, {"momentum": [0.5]}])
def test_a_grid_over_unknown_axes_or_without_learning_rates_is_refused(axes):
    with pytest.raises(ValueError, match=r"grid: axes must be fields of Hyper \(learning_rate, "):
        grid(**axes)


def test_stacking_keeps_the_order_in_single_precision():
    stacked = stack_hypers([Hyper(0.1, centering=CENTERINGS[name]) for name in ("none", "both")])
    assert {leaf.dtype for leaf in jax.tree.leaves(stacked)} == {np.dtype(np.float32)}
    assert {leaf.shape for leaf in jax.tree.leaves(stacked)} == {(2,)}
    assert stacked.centering.hidden.constant.tolist() == [0.0, 1.0]
    np.testing.assert_array_equal(stacked.learning_rate, np.float32([0.1, 0.1]))


def test_what_no_point_has_is_no_part_of_the_program_and_what_some_have_is_zero_elsewhere():
    none, batch = (Hyper(0.1, centering=CENTERINGS[name]) for name in ("none", "batch"))
    assert stack_hypers([none, none]).centering.hidden.batch is None
    assert stack_hypers([none, batch, none]).centering.hidden.batch.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("num_keys", "hypers", "message"),
    [
        (3, stack_hypers([Hyper(0.1)] * 2), r"3 keys and leaves of shape \[\(2,\)\]"),
        (2, Hyper(0.1), r"2 keys and leaves of shape \[\(\)\]"),
        (2, stack_hypers([Hyper(0.1)] * 2)._replace(momentum=np.zeros((2, 2), np.float32)),
         r"leaves of shape \[\(2,\), \(2, 2\)\]"),
        (0, stack_hypers([Hyper(0.1)])._replace(learning_rate=np.zeros(0)), "0 keys"),
    ],
)  # fmt: skip
def test_one_row_a_replica_is_wanted(num_keys, hypers, message):
    keys = replica_keys(0, range(max(num_keys, 1)))[:num_keys]
    with pytest.raises(ValueError, match=f"run_blocks: .*{message}"):
        run_sweep(CHEAP, keys, hypers, block=2)


@pytest.mark.parametrize(("block", "width"), [(4, 3), (0, 1), (2, 0), (2, 4), (-2, -1)])
def test_the_width_must_divide_the_block(block, width):
    with pytest.raises(ValueError, match=f"width must divide block, got width={width} and block="):
        run_sweep(CHEAP, replica_keys(0, [0]), stack_hypers([Hyper(0.1)]), block=block, width=width)


@pytest.mark.parametrize(
    ("replicas", "block", "blocks"), [(1, 4, 1), (4, 4, 1), (5, 4, 2), (8, 1, 8)]
)
def test_the_number_of_blocks_is_rounded_up(replicas, block, blocks):
    assert num_blocks(replicas, block) == blocks


def test_a_train_function_can_be_jitted_and_vmapped_like_any_function():
    keys, hypers = replica_keys(0, [0, 1]), stack_hypers([Hyper(0.1), Hyper(0.2)])
    found = jax.jit(jax.vmap(CHEAP))(keys, hypers)
    expected = expected_losses([0, 1], [0.1, 0.2])
    np.testing.assert_allclose(found.loss, expected, rtol=3e-7)  # drawn in another program
    one = jax.jit(CHEAP)(keys[1], select(hypers, 1))
    np.testing.assert_allclose(one.loss, expected[1], rtol=3e-7)


@pytest.mark.parametrize(("make_options", "level"), [(quick_to_compile, 1), (hasty_to_compile, 0)])
def test_options_for_quick_compiling_are_known_and_change_no_draw(make_options, level):
    def draw(key):
        return jax.random.normal(key, (3,)), jax.random.permutation(key, 5)

    options = make_options()
    key = jax.random.key(3)
    quick = jax.jit(draw).lower(key).compile(options)(key)
    assert options["xla_backend_optimization_level"] == level
    for fast, plain in zip(quick, jax.jit(draw)(key), strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e-12)


def test_threads_that_ask_for_one_seed_at_once_share_its_draw():
    calls, together = [], threading.Barrier(2)
    draws = SeedDraws(TrainFn(draw, run), replica_keys(0, [7, 7, 3]))
    plain = draws._draw

    def slow(seed):
        calls.append(seed)
        time.sleep(0.3)
        return plain(seed)

    def ask(row):
        together.wait(60.0)
        return draws(np.array([row]))

    draws._draw = slow
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(ask, [0, 1])
    assert len(calls) == 1
    assert_bitwise_equal(one, other)
    assert not draws.kept


def test_a_draw_that_fails_is_told_to_all_who_wait_and_tried_again():
    draws = SeedDraws(TrainFn(draw, run), replica_keys(0, [7, 7]))
    plain, draws._draw = draws._draw, lambda seed: 1 / 0
    with pytest.raises(ZeroDivisionError):
        draws(np.array([0]))
    draws._draw = plain
    assert len(draws(np.array([0])).params["w"]) == 1
