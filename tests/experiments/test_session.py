"""What a session decides before anything is compiled: memory, and parts of long blocks."""

import os
import re

import jax
import numpy as np
import pytest

from experiments import _programs, _session
from experiments._cli import UsageError
from experiments._programs import MEASURED_RATE, PART_SECONDS
from experiments._session import CommonConfig, Job, Session, start_jax
from signdyn.data import load
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.records import Variable, read_json
from signdyn.records import load as load_records
from signdyn.resume import Group, Variant
from signdyn.training import Hyper, Structure, make_train_fn

TRAIN = make_train_fn(
    Structure(MLP((3,), 2), categorical(), steps=12, record_every=2), load("two_gaussians")
)


def tabulate(trajectory):
    return {"loss": Variable(("step",), trajectory.loss, "nat", "mean nll of the batch")}


GROUP = Group("toy", "descent", TRAIN, tabulate, {"data": "a"})
VARIANTS = [Variant({"rate": 0.1}, Hyper(0.1))]
BLOCK = 4
# of which a block takes as long as `parts` parts
JOBS = {
    parts: Job(GROUP, 12, parts * PART_SECONDS * MEASURED_RATE / BLOCK / 12) for parts in (0.5, 2.5)
}


def session(folder, **options):
    config = CommonConfig(out=str(folder), seeds=3, block=BLOCK, **options)
    return Session("toy", config, {})


def run(one, job):
    one.run_all(lambda: [(job, VARIANTS)], "toy?")


def test_a_block_that_does_not_fit_is_refused_with_the_numbers_and_the_flag(
    tmp_path, monkeypatch, capsys
):
    one = session(tmp_path)
    needed = one._programs.announce([JOBS[0.5]], ahead=lambda job: True)
    monkeypatch.setattr(_programs, "free_bytes", lambda device: needed // 2 + 1)
    one.open()
    with pytest.raises(UsageError, match=r"--block=4 needs about [\d.]+ GiB for 'toy' .*--block=2"):
        run(one, JOBS[0.5])
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "toy").exists()
    monkeypatch.setattr(_programs, "free_bytes", lambda device: 10)
    with pytest.raises(UsageError, match="about fewer --devices or a smaller network would fit"):
        run(session(tmp_path), JOBS[0.5])


def test_where_the_free_memory_is_not_known_or_enough_the_run_begins(tmp_path, monkeypatch):
    for place, free in enumerate((None, 10**12)):
        monkeypatch.setattr(_programs, "free_bytes", lambda device, free=free: free)
        one = session(tmp_path / str(place))
        one.announce([(JOBS[0.5], 1)], "toy?")
        assert one.folder.is_dir()


def test_what_runs_out_of_memory_all_the_same_names_the_block(tmp_path, monkeypatch):
    def exhausted(*args, **kwargs):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")

    monkeypatch.setattr(_session, "run_group", exhausted)
    with pytest.raises(UsageError, match="--block=4 ran out of memory in 'toy'; a smaller block"):
        run(session(tmp_path), JOBS[0.5])


@pytest.mark.parametrize(("job", "parts"), [(0.5, 1), (2.5, 3)])
def test_a_block_that_takes_long_is_cut_into_parts_that_divide_its_records(tmp_path, job, parts):
    one = session(tmp_path)
    assert one._programs._parts_of(JOBS[job]) == parts
    assert one._programs._parts_of(JOBS[2.5]._replace(flop_per_step=1e30)) == TRAIN.records
    assert (
        one._programs._parts_of(JOBS[2.5]._replace(group=GROUP._replace(train_fn=measurement())))
        == 1
    )


def measurement():
    return type(TRAIN)(TRAIN.draw, TRAIN.run)


def test_a_run_in_parts_keeps_states_and_gives_the_numbers_of_one_piece(
    tmp_path, monkeypatch, capsys
):
    saved = []
    monkeypatch.setattr(
        "signdyn.staged.save_state", lambda folder, name, part, arrays: saved.append(part)
    )
    for job, folder in ((0.5, "piece"), (2.5, "parts")):
        run(session(tmp_path / folder, checkpoint_seconds=0.0), JOBS[job])
    assert saved == [1, 2]
    assert "toy, part 2 of 3 of a block" in capsys.readouterr().err
    whole, parts = (load_records(tmp_path / name / "toy") for name in ("piece", "parts"))
    np.testing.assert_array_equal(whole.loss, parts.loss)


def test_the_seconds_between_checkpoints_are_no_part_of_the_configuration(tmp_path):
    run(session(tmp_path, checkpoint_seconds=0.0), JOBS[2.5])
    text = (tmp_path / "toy" / "run.json").read_text()
    assert not re.search("checkpoint", text)
    run(session(tmp_path, checkpoint_seconds=5.0), JOBS[2.5])  # nothing is refused or redone


@pytest.mark.parametrize("deterministic", [False, True])
def test_deterministic_keeps_gpus_to_deterministic_operations(monkeypatch, deterministic):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
    monkeypatch.setattr("experiments._cli.guard_cache", lambda folder: None)
    monkeypatch.setattr(jax.config, "update", lambda name, value: None)
    start_jax(CommonConfig(deterministic=deterministic))
    expected = ["--xla_cpu_multi_thread_eigen=false"]  # the user's own, once
    expected += ["--xla_gpu_deterministic_ops=true"] * deterministic
    assert os.environ["XLA_FLAGS"].split() == expected


def test_run_json_tells_from_the_start_how_many_cells_are_planned(tmp_path):
    one = session(tmp_path)
    one.announce([(JOBS[0.5], 3)], "toy?")  # 9 replicas in blocks of 4
    content = read_json(one.folder / "run.json")
    assert content["planned_cells"] == 3
    assert content["config"]["seeds"] == 3


def test_what_is_logged_is_beside_the_record_and_changes_nothing_of_it(tmp_path):
    run(session(tmp_path / "silent"), JOBS[0.5])
    run(session(tmp_path / "told", log_to="tensorboard"), JOBS[0.5])
    silent, told = (tmp_path / name / "toy" for name in ("silent", "told"))
    assert [path.name for path in (told / "logs").iterdir()]
    assert not (silent / "logs").exists()
    assert load_records(told).identical(load_records(silent))
    assert read_json(told / "run.json")["config"] == read_json(silent / "run.json")["config"]
