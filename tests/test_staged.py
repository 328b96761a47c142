"""Training in parts: the bits of a training in one piece, from any state that was on disk."""

import json
import math

import jax
import numpy as np
import pytest

from signdyn.centering import CENTERINGS
from signdyn.data import load
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.staged import StagedProgram, staged_programs
from signdyn.sweeps import SeedDraws, block_program, replica_keys, stack_hypers
from signdyn.training import Hyper, Probe, Structure, TrainFn, make_train_fn

WATCH = Probe(
    lambda params: {"steps": 0, "kernel": params["dense_0"]["kernel"]},
    lambda state, seen: {"steps": state["steps"] + 1, "kernel": seen.params["dense_0"]["kernel"]},
)
STRUCTURE = Structure(
    MLP((4,), 2, "tanh"), categorical(), "adam", steps=12, batch_size=8, record_every=2
)
TRAIN = make_train_fn(STRUCTURE, load("two_gaussians"), WATCH)
LAYOUT = {"block": 2, "width": 1}
ARGUMENTS = (
    SeedDraws(TRAIN, replica_keys(0, [0, 1]))(np.arange(2)),
    stack_hypers([Hyper(0.1, centering=CENTERINGS["batch"]), Hyper(0.2, label_noise=0.1)]),
)


@pytest.fixture(scope="module")
def whole():
    return jax.tree.map(np.asarray, block_program(TRAIN, **LAYOUT)(*ARGUMENTS))


@pytest.fixture(scope="module")
def programs():
    jitted = staged_programs(TRAIN, 3, **LAYOUT)
    return jitted.compiled(*ARGUMENTS, None), jitted


def assert_same_bits(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert np.asarray(one).dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("num_parts", [1, 2, 6])
def test_a_training_in_parts_is_the_training(num_parts, whole, tmp_path):
    jitted = staged_programs(TRAIN, num_parts, **LAYOUT)
    staged = StagedProgram(jitted, jitted, tmp_path / "states", math.inf)
    assert_same_bits(staged(*ARGUMENTS), whole)
    assert not list(tmp_path.iterdir())


class Stop(Exception):
    """Ends a call, as a kill would."""


def interrupted(programs, folder, after, told=""):
    def on_part(part, parts):
        if part == after:
            raise Stop

    with pytest.raises(Stop):
        StagedProgram(*programs, folder, 0.0, told, on_part)(*ARGUMENTS)


def resumed(programs, folder, told=""):
    """Return the results of another call, the parts that it ran, and what it found damaged."""
    ran, damaged = [], []
    staged = StagedProgram(
        *programs, folder, 0.0, told, lambda part, parts: ran.append(part), damaged.append
    )
    return staged(*ARGUMENTS), ran, damaged


@pytest.mark.parametrize(("after", "then"), [(1, [1, 2, 3]), (2, [2, 3]), (3, [3])])
def test_a_call_that_was_cut_off_goes_on_from_the_last_state_with_the_same_bits(
    after, then, programs, whole, tmp_path
):
    interrupted(programs, tmp_path / "states", after)
    results, ran, damaged = resumed(programs, tmp_path / "states")
    assert (ran, damaged) == (then, [])
    assert_same_bits(results, whole)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_only_the_latest_state_is_kept(programs, tmp_path):
    interrupted(programs, tmp_path, 3)
    (about,) = tmp_path.glob("*.json")
    assert files(tmp_path) == sorted([about, about.with_name(f"{about.stem}-2.npz")])


@pytest.mark.parametrize(
    "damage", ["flipped", "cut", "gone", "json cut", "json other", "not a part"]
)
def test_a_damaged_state_is_told_of_and_not_gone_on_with(damage, programs, whole, tmp_path):
    interrupted(programs, tmp_path, 3)
    about = next(tmp_path.glob("*.json"))
    (data,) = tmp_path.glob("*.npz")
    content = data.read_bytes()
    facts = json.loads(about.read_text())
    if damage == "flipped":
        with np.load(data) as arrays:
            numbers = max((arrays[name].tobytes() for name in arrays), key=len)
        middle = content.index(numbers) + len(numbers) // 2
        data.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    elif damage == "cut":
        data.write_bytes(content[: len(content) // 2])
    elif damage == "gone":
        data.unlink()
    elif damage == "json cut":
        about.write_text(about.read_text()[:20])
    elif damage == "json other":
        facts["arrays"][0][0] = [7]
        about.write_text(json.dumps(facts))
    else:
        about.write_text(json.dumps({**facts, "part": "2"}))
    results, ran, damaged = resumed(programs, tmp_path)
    assert ran == [1, 2, 3]
    assert len(damaged) == 1
    assert damaged[0].startswith("checkpoint ")
    assert_same_bits(results, whole)


def test_a_state_of_other_numbers_is_another_computations(programs, tmp_path):
    interrupted(programs, tmp_path, 3, told="a")
    assert resumed(programs, tmp_path, told="b")[1] == [1, 2, 3]
    assert resumed(programs, tmp_path, told="a")[1] == [3]


def test_a_state_that_cannot_be_written_leaves_the_one_before_it(
    programs, whole, tmp_path, monkeypatch
):
    interrupted(programs, tmp_path, 2)
    before = {path: path.read_bytes() for path in files(tmp_path)}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez", full)
    with pytest.raises(ValueError, match=r"cannot write to .*: No space left on device"):
        resumed(programs, tmp_path)
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in files(tmp_path)} == before
    results, ran, damaged = resumed(programs, tmp_path)
    assert (ran, damaged) == ([2, 3], [])
    assert_same_bits(results, whole)


def test_parts_must_divide_the_records_and_a_measurement_has_none():
    for parts in (0, 4, -1):
        with pytest.raises(ValueError, match=f"parts must divide the 6 records, got {parts}"):
            staged_programs(TRAIN, parts, **LAYOUT)
    with pytest.raises(ValueError, match="expected a train function with stages"):
        staged_programs(TrainFn(TRAIN.draw, TRAIN.run), 2, **LAYOUT)
