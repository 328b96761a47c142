"""Interrupted sweeps: what is finished is left alone, what is damaged is redone bit for bit."""

import hashlib
import itertools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from signdyn import resume
from signdyn.centering import CENTERINGS
from signdyn.data import load as load_data
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.records import RecordsError, Variable, load, read_ledger
from signdyn.resume import (
    Group,
    Layout,
    Ready,
    Variant,
    forget_states,
    group_programs,
    keep_states,
    plan_cells,
    run_group,
)
from signdyn.sweeps import block_program, replica_keys
from signdyn.training import Draw, Hyper, Structure, TrainFn, Trajectory, make_train_fn


def draw(key):
    weights = jax.random.normal(key, (3,), jnp.float32)
    return Draw({"w": weights}, (), jnp.zeros((2, 1), jnp.float32), None)


def run(draw, hyper):
    loss = hyper.learning_rate * jnp.cumsum(draw.params["w"])
    return Trajectory(loss, loss[:1], jnp.int32(-1), {"train_loss": loss[-1]}, (), draw.params)


def tabulate(trajectory):
    return {
        "loss": Variable(("step",), trajectory.loss, "nat", "mean nll of the batch"),
        "final_train_loss": Variable((), trajectory.final["train_loss"], "nat", "at the end"),
    }


GROUP = Group("toy", "descent", TrainFn(draw, run), tabulate, {"data": "a", "steps": 3})
VARIANTS = [
    Variant({"arm": "raw", "learning_rate": 0.1}, Hyper(0.1)),
    Variant({"arm": "raw", "learning_rate": 0.2}, Hyper(0.2)),
    Variant({"arm": "again", "learning_rate": 0.1}, Hyper(0.1), seed_offset=100),
]
LAYOUT = Layout(seeds=range(3), root=0, block=2, width=1, devices=jax.devices()[:1])
NUM_CELLS = 5  # nine replicas in blocks of two


@pytest.fixture(scope="module")
def program():
    return block_program(GROUP.train_fn, block=2, width=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, program):
    """Return the folder of a finished run, which stays as it is."""
    folder = tmp_path_factory.mktemp("finished")
    assert run_group(folder, GROUP, VARIANTS, LAYOUT, program=lambda: Ready(program)) == NUM_CELLS
    return folder


@pytest.fixture
def copy(finished, tmp_path):
    """Return a copy of a finished run."""
    return shutil.copytree(finished, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def rerun(tmp_path, program):
    """Return a function that runs the sweep in one folder and returns how many cells it ran."""

    def again(variants=VARIANTS, group=GROUP, layout=LAYOUT, **options):
        return run_group(
            tmp_path, group, variants, layout, program=lambda: Ready(program), **options
        )

    return again


def test_a_point_that_has_more_than_the_compiled_example_is_refused(rerun):
    batch = Variant({"arm": "batch"}, Hyper(0.1, centering=CENTERINGS["batch"]))
    with pytest.raises(ValueError, match="run_group: the example of group 'toy' must have every"):
        rerun([batch])


def test_a_point_that_has_less_than_the_example_is_zero_there(tmp_path):
    seen = []

    def spy(draw, hyper):
        seen.append(hyper.centering.hidden.batch)
        return run(draw, hyper)

    example = Hyper(0.0, centering=CENTERINGS["batch"])
    group = GROUP._replace(train_fn=TrainFn(draw, spy), example=example)
    run_group(tmp_path, group, VARIANTS[:1], LAYOUT)
    assert seen[0].shape == ()


# --- blocks that run long ---------------------------------------------------------------------


LONG = make_train_fn(
    Structure(MLP((3,), 2), categorical(), steps=6, record_every=2), load_data("two_gaussians")
)
LONG_GROUP = GROUP._replace(train_fn=LONG, num_parts=3)


class Cut(Exception):
    """Ends a run, as a kill would."""


def test_a_run_cut_off_inside_a_block_goes_on_there_and_ends_with_the_same_cells(tmp_path):
    uncut, cut = tmp_path / "uncut", tmp_path / "cut"
    for folder in (uncut, cut):
        folder.mkdir()
    run_group(uncut, LONG_GROUP, VARIANTS, LAYOUT)
    jitted = group_programs(LONG_GROUP, LAYOUT)
    parts = []

    def on_part(part, total):
        parts.append(part)
        if len(parts) == 5:  # in the second of five blocks
            raise Cut

    def program():
        own = (cut, LONG_GROUP, LAYOUT, jitted, jitted)
        return Ready(keep_states(*own, seconds=0.0, on_part=on_part), in_flight=1)

    with pytest.raises(Cut):
        run_group(cut, LONG_GROUP, VARIANTS, LAYOUT, program=program)
    assert len(read_ledger(cut).good) == 1  # written before the second block began
    assert list((cut / "checkpoints").glob("*.json"))
    assert run_group(cut, LONG_GROUP, VARIANTS, LAYOUT, program=program) == NUM_CELLS - 1
    assert parts == [1, 2, 3, 1, 2, 2, 3, *[1, 2, 3] * 3]
    assert contents(cut) == contents(uncut)
    assert not (cut / "checkpoints").exists()


def test_training_in_parts_gives_the_numbers_of_training_in_one_piece(tmp_path):
    runs = []
    for parts in (1, 3):
        folder = tmp_path / str(parts)
        folder.mkdir()
        run_group(folder, LONG_GROUP._replace(num_parts=parts), VARIANTS, LAYOUT)
        runs.append(load(folder))
    xr.testing.assert_identical(*runs)


def test_the_state_of_a_later_phase_outlives_the_earlier_ones_that_are_found_finished(tmp_path):
    jitted = group_programs(LONG_GROUP, LAYOUT)
    phases, parts = [VARIANTS[:1], VARIANTS[1:]], []

    def run_phases(cut_after):
        def on_part(part, total):
            parts.append(part)
            if len(parts) == cut_after:
                raise Cut

        staged = keep_states(
            tmp_path, LONG_GROUP, LAYOUT, jitted, jitted, seconds=0.0, on_part=on_part
        )
        return [run_group(tmp_path, LONG_GROUP, phase, LAYOUT, program=lambda: Ready(staged, 1))
                for phase in phases]  # fmt: skip

    with pytest.raises(Cut):
        run_phases(8)  # in the first block of the second phase, after two of the first
    parts.clear()
    assert run_phases(None) == [0, 3]
    assert parts == [2, 3, *[1, 2, 3] * 2]
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "left-2.npz").touch()  # by a kill after its cell was written
    forget_states(tmp_path)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("change", [{"width": 2}, {"root": 1}])
def test_a_state_of_another_layout_is_another_computations(tmp_path, change):
    jitted = group_programs(LONG_GROUP, LAYOUT)
    names = {
        keep_states(tmp_path, LONG_GROUP, layout, jitted, jitted, seconds=0.0)._name((), ())
        for layout in (LAYOUT, LAYOUT._replace(**change))
    }
    assert len(names) == 2


def cells(folder):
    return sorted((folder / "cells").glob("*.nc"))


def states(folder):
    """Return every file's inode, time and bytes: another write would change one of them."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in (*cells(folder), folder / "ledger.jsonl")
    }


def contents(folder):
    return {path.name: path.read_bytes() for path in cells(folder)}


def test_a_run_holds_every_replica_of_every_variant(rerun, tmp_path):
    assert rerun() == NUM_CELLS
    dataset = load(tmp_path)
    assert dict(dataset.sizes) == {"variant": 3, "seed": 3, "step": 3}
    for row, (rate, offset) in enumerate([(0.1, 0), (0.2, 0), (0.1, 100)]):
        keys = replica_keys(0, [offset + seed for seed in range(3)])
        weights = np.stack([draw(key).params["w"] for key in keys])
        expected = np.float32(rate) * np.cumsum(weights, axis=1)
        np.testing.assert_allclose(dataset.loss.values[row], expected, rtol=3e-6, atol=1e-7)
    assert dataset.arm.values.tolist() == ["raw", "raw", "again"]


def test_a_second_run_runs_nothing_and_leaves_every_file_untouched(rerun, copy):
    before = states(copy)
    counted = []
    assert rerun(on_block=lambda replicas, seconds: counted.append((replicas, seconds))) == 0
    assert states(copy) == before
    assert counted == [(2, 0.0)] * 4 + [(1, 0.0)]


def test_a_program_is_asked_for_only_if_a_cell_is_missing(copy):
    def refuse():
        raise AssertionError("compiled in vain")

    assert run_group(copy, GROUP, VARIANTS, LAYOUT, program=refuse) == 0
    cells(copy)[0].unlink()
    with pytest.raises(AssertionError, match="in vain"):
        run_group(copy, GROUP, VARIANTS, LAYOUT, program=refuse)


def test_progress_counts_replicas_without_padding_finished_ones_first(rerun, copy):
    cells(copy)[0].unlink()
    counted = []
    assert rerun(on_block=lambda replicas, seconds: counted.append((replicas, seconds > 0))) == 1
    assert sorted(replicas for replicas, _ in counted) == [1, 2, 2, 2, 2]
    assert [ran for _, ran in counted] == [False] * 4 + [True]


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


DAMAGES = {
    "deleted": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "emptied": lambda path: path.write_bytes(b""),
    "bit-flipped": flip_a_bit,
}


@pytest.mark.parametrize("which", DAMAGES)
def test_exactly_the_damaged_cell_is_redone_bitwise(rerun, copy, which):
    damage = DAMAGES[which]
    before = states(copy)
    path = cells(copy)[list(DAMAGES).index(which)]
    damage(path)
    with pytest.raises(RecordsError, match=path.name):
        load(copy)
    assert rerun() == 1
    after = states(copy)
    assert after[path.name][2] == before[path.name][2]
    assert after[path.name][0:2] != before[path.name][0:2]
    for name in set(before) - {path.name, "ledger.jsonl"}:
        assert after[name] == before[name]
    assert load(copy).sizes["variant"] == 3
    assert rerun() == 0


@pytest.mark.parametrize("kept", [1, 30, -1])
def test_a_kill_in_the_middle_of_a_ledger_line_costs_one_cell_and_is_forgotten(rerun, copy, kept):
    before = contents(copy)
    path = copy / "ledger.jsonl"
    whole = path.read_bytes()
    *lines, last = whole.splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + last[:kept])
    assert rerun() == (0 if kept == -1 else 1)  # a line that lacks its end alone is whole
    assert contents(copy) == before
    assert rerun() == 0
    assert dict(load(copy).sizes) == {"variant": 3, "seed": 3, "step": 3}
    assert set(read_ledger(copy).good) == {cell.id for cell in plan_cells(GROUP, VARIANTS, LAYOUT)}


def test_a_kill_between_a_cell_and_its_ledger_line_costs_that_cell_only(rerun, copy):
    before = contents(copy)
    path = copy / "ledger.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]))
    assert rerun() == 1
    assert contents(copy) == before


def test_an_interrupted_run_goes_on_where_it_stopped(rerun, tmp_path):
    class Killed(Exception):
        pass

    blocks = itertools.count()

    def kill(replicas, seconds):
        if next(blocks) == 1:
            raise Killed

    with pytest.raises(Killed):
        rerun(on_block=kill)
    assert len(cells(tmp_path)) == 2
    half = states(tmp_path)
    with pytest.raises(RecordsError, match="unfinished: 2 of 6 replicas"):
        load(tmp_path)
    assert rerun() == NUM_CELLS - 2
    after = states(tmp_path)
    assert all(after[name] == half[name] for name in half if name.endswith(".nc"))
    assert load(tmp_path).sizes["variant"] == 3


def test_an_interrupted_run_ends_with_the_bytes_of_an_uninterrupted_one(rerun, tmp_path, finished):
    rerun(VARIANTS[:2])
    assert rerun() == 2  # of 9 replicas, the first six are three whole cells
    assert contents(tmp_path) == contents(finished)


def test_more_devices_give_the_same_bytes(tmp_path, finished):
    run_group(tmp_path, GROUP, VARIANTS, LAYOUT._replace(devices=jax.devices()))
    assert len(jax.devices()) == 2
    assert contents(tmp_path) == contents(finished)


def test_two_groups_share_a_folder(rerun, copy):
    other = GROUP._replace(name="other", part="start")
    assert rerun(group=other) == NUM_CELLS
    assert rerun() == rerun(group=other) == 0
    with pytest.raises(RecordsError, match="descent, start"):
        load(copy)
    assert load(copy, part="start").identical(load(copy, part="descent"))


def ids(variants=VARIANTS, group=GROUP, layout=LAYOUT):
    return [cell.id for cell in plan_cells(group, variants, layout)]


def changed(**fields):
    return [VARIANTS[0]._replace(**fields), *VARIANTS[1:]]


CHANGES = {
    "data": ({"group": GROUP._replace(identity={"data": "b", "steps": 3})}, NUM_CELLS),
    "steps": ({"group": GROUP._replace(identity={"data": "a", "steps": 4})}, NUM_CELLS),
    "part": ({"group": GROUP._replace(part="start")}, NUM_CELLS),
    "root": ({"layout": LAYOUT._replace(root=1)}, NUM_CELLS),
    "width": ({"layout": LAYOUT._replace(width=2)}, NUM_CELLS),
    # The first variant's three seeds lie in the first two of the cells of two.
    "learning rate": ({"variants": changed(hyper=Hyper(0.11))}, 2),
    "last bit of a number": ({"variants": changed(hyper=Hyper(np.nextafter(0.1, 1)))}, 2),
    "centering": ({"variants": changed(hyper=Hyper(0.1, centering=CENTERINGS["flip"]))}, 2),
    "label": ({"variants": changed(labels={"arm": "other", "learning_rate": 0.1})}, 2),
    "seed offset": ({"variants": changed(seed_offset=50)}, 2),
}


@pytest.mark.parametrize(("arguments", "new"), CHANGES.values(), ids=CHANGES.keys())
def test_what_decides_the_numbers_decides_the_ids(arguments, new):
    assert len(set(ids()) - set(ids(**arguments))) == new


def test_the_name_and_the_devices_of_a_group_do_not_change_its_ids():
    assert ids() == ids(group=GROUP._replace(name="renamed"))
    assert ids() == ids(layout=LAYOUT._replace(devices=jax.devices()))
    assert ids() == ids(variants=changed(hyper=Hyper(jnp.asarray(0.1))))
    assert ids() == ids(group=GROUP._replace(identity={"steps": 3, "data": "a"}))


def test_code_that_rounds_otherwise_makes_other_cells(monkeypatch):
    before = ids()
    monkeypatch.setattr("signdyn.resume.ROUNDING", resume.ROUNDING + 1)
    assert not set(before) & set(ids())


def test_more_variants_keep_the_ids_of_whole_blocks():
    assert ids(VARIANTS)[:3] == ids(VARIANTS[:2])
    assert len(set(ids())) == NUM_CELLS


def test_other_blocks_are_other_cells():
    fours = ids(layout=LAYOUT._replace(block=4))
    assert len(fours) == 3
    assert not set(fours) & set(ids())
    rows = [
        (replica.labels["arm"], replica.labels["learning_rate"], replica.seed)
        for cell in plan_cells(GROUP, VARIANTS, LAYOUT)
        for replica in cell.replicas
    ]
    assert rows == [(*v.labels.values(), seed) for v in VARIANTS for seed in range(3)]


def test_an_offset_of_zero_pairs_variants_by_seed_and_another_does_not(finished):
    weights = load(finished).loss / load(finished).learning_rate
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-6)
    assert np.abs(weights[0] - weights[2]).max() > 0.1


def test_files_are_named_after_their_part_and_id(finished):
    assert {path.name for path in cells(finished)} == {f"descent-{one}.nc" for one in ids()}
    for entry in read_ledger(finished).good.values():
        content = (finished / "cells" / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
