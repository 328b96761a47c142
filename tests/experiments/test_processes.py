"""Several real processes on one run, over loopback: the same bits, and an end together."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from signdyn.records import load, read_ledger

ROOT = Path(__file__).resolve().parents[2]

WORKER = """
import dataclasses, sys, time
from pathlib import Path

import numpy as np

from experiments._cli import run
from experiments._progress import SweepProgress
from experiments._publish import NOT_IN_CONFIG
from experiments._session import CommonConfig, Job, Session, start_jax
from experiments._team import ended_together, team
from signdyn.data import load as load_data
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.records import Variable, load
from signdyn.resume import Group, Variant
from signdyn.training import Hyper, Structure, make_train_fn


class Plan:
    def __init__(self, config):
        start_jax(config)
        self.session = Session("toy", config, {})
        train = make_train_fn(
            Structure(MLP((5,), 2), categorical(), steps=20, batch_size=16, record_every=5),
            load_data("two_gaussians"),
        )
        self.job = Job(Group("toy", "descent", train, tabulate, {"data": "a"}), 20, FLOP)


def tabulate(trajectory):
    time.sleep(PAUSE)
    return {"loss": Variable(("step",), trajectory.loss, "nat", "mean nll of the batch")}


def rates(count, first):
    return [Variant({"rate": first * 2.0**k}, Hyper(first * 2.0**k)) for k in range(count)]


def execute(plan):
    session, job = plan.session, plan.job
    session.announce([(job, 4)], "toy?")
    with SweepProgress(1) as progress:
        session.run(job.group, rates(4, 0.01), progress, job.steps)
        with session.reading():
            final = load(session.folder).loss[:, :, -1].mean("seed").values
        best = float(load(session.folder).rate[int(np.argmin(final))])
        session.run(job.group, rates(2, best * 1.5), progress, job.steps)
    session.finish()
    if team().is_first:
        print(f"best rate {best}")
    team().leave()


def ready(config):
    plan = Plan(config)
    plan.session.open()
    return plan


PAUSE, FLOP = float(sys.argv.pop(1)), float(sys.argv.pop(1))
with ended_together():
    run(CommonConfig, {}, ready, execute)
"""
OPTIONS = ("--seeds=6", "--block=2", "--devices=1", "--checkpoint_seconds=0")
NUM_CELLS = 18  # six rates of six seeds, in blocks of two
LONG = 1e30
"""FLOP a step, said to be: the blocks are then trained in four parts."""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Return a folder with the script of a small run, and one for compiled programs."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "worker.py").write_text(WORKER)
    return folder


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def start(places, out, count, *, pause=0.0, flop=1.0, options=OPTIONS):
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(places / "cache"),
        "JAX_PLATFORMS": "cpu",
    }
    team = []
    for index in range(count):
        words = [sys.executable, str(places / "worker.py"), str(pause), str(flop), *options]
        words += [f"--out={out}"]
        if count > 1:
            address = f"--coordinator_address=127.0.0.1:{port}"
            words += [address, f"--num_processes={count}", f"--process_id={index}"]
        team.append(
            subprocess.Popen(
                words,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return team


def ended(team):
    texts = [process.communicate(timeout=120) for process in team]
    return [process.returncode for process in team], texts


@pytest.fixture(scope="module")
def alone(places):
    """Return what one process leaves."""
    statuses, texts = ended(start(places, places / "alone", 1))
    assert statuses == [0], texts
    return places / "alone" / "toy"


def cells(folder):
    return {path.name: path.read_bytes() for path in (folder / "cells").iterdir()}


def order(folder):
    return [*read_ledger(folder).good]


def assert_same(folder, alone):
    assert cells(folder) == cells(alone)
    assert order(folder) == order(alone)
    assert load(folder).identical(load(alone))
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock", "cells", "ledger.jsonl", "run.json"
    ]  # fmt: skip


def test_four_processes_leave_the_bytes_that_one_leaves(places, alone):
    statuses, texts = ended(start(places, places / "four", 4))
    assert statuses == [0] * 4, texts
    assert_same(places / "four" / "toy", alone)
    assert "best rate" in texts[0][0]
    assert "4 processes with 1 cpu device(s)" in texts[0][0]
    assert all(text == ("", "") for text in texts[1:])  # one tells of all


def test_two_processes_keep_the_states_of_their_blocks_and_leave_the_bytes_of_one(places):
    results = []
    for count in (1, 2):
        out = places / f"parts{count}"
        statuses, texts = ended(start(places, out, count, flop=LONG))
        assert statuses == [0] * count, texts
        results.append(out / "toy")
    assert_same(results[1], results[0])


def killed(places, out, dead, meanwhile=lambda: None):
    """Start two processes, kill one of them, and check how the other one ends."""
    team = start(places, out, 2, pause=1.0)
    while len(list(out.glob("toy/cells/*.nc"))) < 3:
        time.sleep(0.01)
        assert team[dead].poll() is None
    meanwhile()
    team[dead].kill()
    begun = time.monotonic()
    statuses, texts = ended(team)
    assert time.monotonic() - begun < 5.0
    assert statuses == [-9 if index == dead else 1 for index in range(2)]
    *_, last = texts[1 - dead][1].splitlines()
    assert last.startswith(
        f"process {dead} of 2 has ended, and so does process {1 - dead} of 2; what is finished is "
        "kept. Go on with, in all of them: "
    )
    assert "Traceback" not in texts[1 - dead][1]
    assert 3 <= len(cells(out / "toy")) < NUM_CELLS


def test_when_the_first_is_killed_the_other_ends_and_one_alone_finishes(places, alone):
    out = places / "killed0"
    killed(places, out, 0)
    statuses, texts = ended(start(places, out, 1))
    assert statuses == [0], texts
    assert_same(out / "toy", alone)


def test_while_two_hold_a_folder_another_run_is_refused_and_after_a_kill_two_finish(places, alone):
    out = places / "killed1"

    def intrude():
        statuses, texts = ended(start(places, out, 1))
        assert statuses == [2]
        assert "another run works in" in texts[0][1]

    killed(places, out, 1, intrude)
    statuses, texts = ended(start(places, out, 2))
    assert statuses == [0, 0], texts
    assert_same(out / "toy", alone)


def test_a_process_with_other_options_is_told_and_the_first_ends_when_it_is_stopped(places):
    port = free_port()
    common = [sys.executable, str(places / "worker.py"), "0", "1", f"--out={places / 'other'}"]
    common += [f"--coordinator_address=127.0.0.1:{port}", "--num_processes=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    options = {"env": environment, "stderr": subprocess.PIPE, "text": True}
    first = subprocess.Popen([*common, "--process_id=0", "--seeds=2"], **options)
    second = subprocess.run([*common, "--process_id=1", "--seeds=3"], **options, timeout=60)
    assert second.returncode == 1
    assert second.stderr.startswith(
        "error: process 0 was started with other options, or runs other versions"
    )
    first.terminate()
    first.communicate(timeout=20)
    assert not (places / "other").exists()
