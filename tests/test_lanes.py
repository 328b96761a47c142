"""Lanes: side by side, in their order, in the caller's settings, and with the bits of one."""

import threading
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import io_callback

from signdyn import handing, lanes
from signdyn.data import load
from signdyn.handing import Shelf
from signdyn.lanes import Lanes, lane_devices
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.records import Variable
from signdyn.resume import Group, Layout, Ready, Variant, group_programs, keep_states, run_group
from signdyn.sweeps import replica_keys, run_blocks, stack_hypers
from signdyn.training import Hyper, Structure, TrainFn, make_train_fn

DEVICES = jax.devices()[:2]
SECONDS = 60.0
RATES = [0.5, 1.0, 1.5, 2.0, 2.5]


@pytest.fixture
def own_memories(monkeypatch):
    """Host devices as if they were accelerators, which have programs and memory of their own."""
    monkeypatch.setattr(lanes, "SHARING", ())


@pytest.fixture
def opened():
    made = []

    def open_lanes(devices):
        made.append(Lanes(devices))
        return made[-1]

    yield open_lanes
    for one in made:
        one.close()


def settings():
    x = jnp.ones(())
    return x.dtype, jax.config.jax_default_matmul_precision, x.devices()


@pytest.mark.parametrize("devices", [DEVICES[:1], DEVICES], ids=["one", "two"])
@pytest.mark.parametrize("x64", [False, True])
def test_a_lane_has_the_precision_of_its_caller_and_its_own_device(opened, devices, x64):
    with jax.enable_x64(x64), jax.default_matmul_precision("high"):
        calls = [opened(devices).submit(lane, settings) for lane in range(len(devices))]
    dtype = np.float64 if x64 else np.float32
    for call in calls:
        assert call.result(SECONDS) == (dtype, "high", {DEVICES[0]})
    assert jax.config.jax_default_matmul_precision != "high"


def test_accelerators_lanes_run_each_on_its_own(opened, own_memories):
    both = opened(DEVICES)
    calls = [both.submit(lane, settings) for lane in range(2)]
    assert [call.result(SECONDS)[2] for call in calls] == [{device} for device in DEVICES]
    assert lane_devices(DEVICES) == DEVICES


def test_a_single_lane_is_the_callers_own_thread(opened):
    one = opened(DEVICES[:1])
    assert len(one) == 1
    assert one.submit(0, threading.get_ident).result() == threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        one.submit(0, lambda: 1 / 0)


def test_a_lane_keeps_order_and_hands_on_what_was_raised(opened):
    both, seen = opened(DEVICES), []
    gate = threading.Event()
    first = both.submit(0, gate.wait, SECONDS)
    after = [both.submit(0, seen.append, number) for number in range(5)]
    failed = both.submit(1, lambda: 1 / 0)
    assert isinstance(failed.exception(SECONDS), ZeroDivisionError)
    assert seen == []
    gate.set()
    assert first.result(SECONDS)
    for call in after:
        call.result(SECONDS)
    assert seen == [0, 1, 2, 3, 4]


def test_what_has_not_begun_when_lanes_close_never_does(opened):
    both, gate, begun = opened(DEVICES), threading.Event(), threading.Event()

    def hold():
        begun.set()
        return gate.wait(SECONDS)

    held, waiting = both.submit(0, hold), both.submit(0, pytest.fail, "was run")
    assert begun.wait(SECONDS)
    both.close()
    gate.set()
    assert held.result(SECONDS)
    assert waiting.cancelled()


def test_lanes_run_programs_side_by_side_on_one_device(opened):
    """Each of two calls waits for the other, inside one compiled program."""
    both, together = opened(DEVICES), threading.Barrier(2)

    def meet(x):
        together.wait(SECONDS)
        return x

    shape = jax.ShapeDtypeStruct((), np.int32)
    program = jax.jit(lambda x: io_callback(meet, shape, x)).lower(shape).compile()
    calls = [both.submit(lane, program, np.int32(lane)) for lane in range(2)]
    assert [int(call.result(SECONDS)) for call in calls] == [0, 1]


def deep(steps=30, depth=6, width=16):
    """Return a deep float64 network's descent, in which a last bit soon makes others."""
    digits = load("digits")
    x, y = digits.x_train[:64].astype(np.float64), np.eye(10)[digits.y_train[:64]]

    def draw(key):
        kernels = jax.random.normal(key, (depth + 2, 64, 64)) / 8.0
        return kernels[0, :, :width], kernels[1:-1, :width, :width], kernels[-1, :width, :10]

    def loss(params):
        first, inner, last = params
        h = jax.nn.sigmoid(x @ first)
        h = jax.lax.scan(lambda h, kernel: (jax.nn.sigmoid(h @ kernel), None), h, inner)[0]
        return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(h @ last), axis=1))

    def run(params, hyper):
        def step(params, _):
            value, slopes = jax.value_and_grad(loss)(params)
            moved = jax.tree.map(lambda p, g: p - hyper.learning_rate * g, params, slopes)
            return moved, value

        params, losses = jax.lax.scan(step, params, None, length=steps)
        return {"loss": losses, "params": params}

    return TrainFn(draw, run)


def trained():
    """Return a training that can be cut in parts."""
    structure = Structure(MLP((8,), 10), categorical(), steps=20, batch_size=16, record_every=4)
    return make_train_fn(structure, load("digits"))


def assert_bitwise_equal(found, expected):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


def swept(train, devices):
    hypers = stack_hypers([Hyper(rate) for rate in RATES])
    keys = replica_keys(0, range(len(RATES)))
    blocks = run_blocks(train, keys, hypers, block=2, devices=devices)
    return jax.tree.map(lambda *parts: np.concatenate(parts), *(b.trajectory for b in blocks))


@pytest.fixture(scope="module")
def on_one():
    return swept(deep(), DEVICES[:1])


@pytest.mark.parametrize("number", [2, 3, 4])
def test_a_float64_descent_has_the_same_bits_in_any_number_of_lanes(on_one, number):
    assert on_one["loss"].dtype == np.float64
    assert_bitwise_equal(swept(deep(), (DEVICES * 2)[:number]), on_one)


def test_accelerators_of_their_own_memory_give_the_bits_of_one(on_one, own_memories):
    assert_bitwise_equal(swept(deep(), DEVICES), on_one)


def test_each_accelerator_holds_a_large_array_once(own_memories, monkeypatch):
    large = np.arange(4096.0)
    monkeypatch.setattr(handing, "LARGE", large.nbytes)
    shelf = Shelf(DEVICES)
    programs = [
        shelf.compiled(jax.jit(lambda x, n=n: x + n * jnp.asarray(large)).trace(1.0), None)
        for n in (1.0, 2.0)
    ]
    assert [placed.devices() for _, placed in shelf._placed.values()] == [{d} for d in DEVICES]
    for device in DEVICES:
        with jax.default_device(device):
            for n, program in enumerate(programs, start=1):
                result = program(np.float64(3.0))
                assert result.devices() == {device}
                np.testing.assert_array_equal(result, 3.0 + n * large)
    with jax.default_device(None):
        assert programs[0](np.float64(3.0)).devices() == {DEVICES[0]}


def tabulate(trajectory):
    return {"loss": Variable(("step",), trajectory.loss, "nat", "mean nll of the batch")}


@pytest.mark.parametrize("sharing", [(), ("cpu",)], ids=["accelerators", "cpu"])
def test_trainings_in_parts_run_in_several_lanes_and_leave_no_state(monkeypatch, tmp_path, sharing):
    monkeypatch.setattr(lanes, "SHARING", sharing)

    def run(folder, devices):
        group = Group("deep", "descent", trained(), tabulate, {}, num_parts=5)
        layout = Layout(range(5), 0, 2, 1, devices)
        (tmp_path / folder).mkdir()
        run_group(tmp_path / folder, group, [Variant({"arm": "raw"}, Hyper(1.0))], layout)
        files = sorted((tmp_path / folder).rglob("*.nc"))
        return {file.name: file.read_bytes() for file in files}

    one = run("one", DEVICES[:1])
    assert len(one) == 3
    assert run("two", DEVICES) == one
    assert not list(tmp_path.rglob("checkpoints/*"))


def test_what_ends_a_run_ends_blocks_of_other_devices_after_their_part(tmp_path):
    group = Group("deep", "descent", trained(), tabulate, {}, num_parts=5)
    layout = Layout(range(4), 0, 2, 1, DEVICES)
    jitted = group_programs(group, layout)
    seen, waited = [], []

    def on_part(part, parts):
        if threading.current_thread().name.startswith("lane 1"):
            seen.append(part)
            waited.append(stopped.wait(SECONDS))

    def disk_full(replicas, seconds):
        raise OSError("no space left")

    staged = keep_states(tmp_path, group, layout, jitted, jitted, seconds=0.0, on_part=on_part)
    stopped = staged._stopped
    variants = [Variant({"arm": "raw"}, Hyper(1.0))]
    (tmp_path / "cells").mkdir()
    with pytest.raises(OSError, match="no space"):
        run_group(
            tmp_path, group, variants, layout,
            program=lambda: Ready(staged, in_flight=1), on_block=disk_full,
        )  # fmt: skip
    for thread in threading.enumerate():
        if thread.name.startswith("lane"):
            thread.join(SECONDS)
    assert (seen, waited) == ([1], [True])
    # the one that was stopped goes on from its state, the one that was not written begins there
    parts = []
    staged._on_part = lambda part, parts_: parts.append(part)
    assert run_group(tmp_path, group, variants, layout, program=lambda: Ready(staged)) == 1
    assert parts == [2, 3, 4, 5]


def test_an_error_of_a_lane_ends_the_sweep_after_what_came_before_it():
    keys, hypers = replica_keys(0, range(6)), stack_hypers([Hyper(0.1)] * 6)
    train = deep()

    def program(draws, hypers):
        if hypers.learning_rate[0] > 1.0:
            raise MemoryError("full")
        return {"rate": hypers.learning_rate}

    hypers = hypers._replace(learning_rate=np.float32([0, 0, 0, 0, 2, 0]))
    blocks = run_blocks(train, keys, hypers, block=1, devices=DEVICES, program=program)
    assert [next(blocks).index for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(MemoryError, match="full"):
        next(blocks)


def test_a_cpu_device_has_no_more_lanes_than_it_runs_at_once():
    cpu = [SimpleNamespace(platform="cpu", id=place) for place in range(40)]
    assert [device.id for device in lane_devices(cpu)] == [0] * 16 + [16] * 16 + [32] * 8


def test_no_devices_are_one_sentence():
    with pytest.raises(ValueError, match="devices must name one at least"):
        next(
            run_blocks(
                deep(), replica_keys(0, [0]), stack_hypers([Hyper(0.1)]), block=1, devices=[]
            )
        )


def noisy():
    """Return a training whose loss draws random numbers, which a setting of JAX's decides."""
    likelihood = categorical()

    def nll(outputs, labels):
        noise = jax.random.normal(jax.random.key(0), outputs.shape, outputs.dtype)
        return likelihood.nll(outputs + 0.1 * noise, labels)

    structure = Structure(
        MLP((8,), 10), likelihood._replace(nll=nll), steps=20, batch_size=16, record_every=4
    )
    return make_train_fn(structure, load("digits"))


@pytest.mark.parametrize("num_parts", [1, 5])
def test_a_library_run_is_traced_by_the_callers_settings(tmp_path, num_parts):
    def run(devices, partitionable):
        folder = tmp_path / f"{len(devices)}{partitionable}"
        folder.mkdir()
        group = Group("noisy", "descent", noisy(), tabulate, {}, num_parts=num_parts)
        layout = Layout(range(4), 0, 2, 1, devices)
        with jax.threefry_partitionable(partitionable):
            run_group(folder, group, [Variant({"arm": "raw"}, Hyper(1.0))], layout)
        return [file.read_bytes() for file in sorted(folder.rglob("*.nc"))]

    assert run(DEVICES, False) == run(DEVICES[:1], False) != run(DEVICES, True)
