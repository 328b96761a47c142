"""Who the processes of a run are: what flags say, and what Slurm or a TPU pod tell."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from experiments import _team
from experiments import all as everything
from experiments._cli import UsageError
from experiments._machine import MachineOptions, deciding
from experiments._team import find_place
from signdyn.processes import ALONE
from signdyn.wires import Address

NONE = MachineOptions()
SLURM = {
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_NODELIST": "gpu[003-004,009],big1",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_PROCID": "5",
}


def options(address="", count=0, index=-1):
    return replace(NONE, coordinator_address=address, num_processes=count, process_id=index)


def test_without_flags_and_cluster_a_process_is_alone():
    assert find_place(NONE, {}) is None
    assert find_place(options(count=1), SLURM) is None  # told so, even under Slurm
    assert find_place(options("node1:1234", 1, 0), {}) is None


def test_flags_name_a_place_and_win_over_the_cluster():
    assert find_place(options("node1:1234", 4, 0), SLURM) == (Address("node1", 1234), 4, 0)
    assert find_place(options("[::1]:1234", 4, 3), {}) == (Address("::1", 1234), 4, 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("node1:1234", 0, -1), "go together: give all three"),
        (("", 4, 1), "go together: give all three"),
        (("node1:1234", 4, -1), "go together: give all three"),
        (("", 0, 0), "go together: give all three"),
        (("node1:1234", 4, 4), r"--process_id must be below --num_processes=4, got 4"),
        (("node1", 4, 1), r"--coordinator_address must be host:port, such as .*, got 'node1'"),
    ],
)
def test_flags_that_do_not_fit_together_are_one_sentence(given, said):
    with pytest.raises(UsageError, match=said):
        find_place(options(*given), {})


def test_a_task_that_srun_started_with_others_finds_its_place():
    place = find_place(NONE, SLURM)
    assert place == (Address("gpu003", 61440 + 2 * (4711 % 2000)), 8, 5)
    other = find_place(NONE, {**SLURM, "SLURM_PROCID": "0"})
    assert other == place._replace(index=0)  # all meet at one address


@pytest.mark.parametrize(
    "change",
    [{"SLURM_STEP_NUM_TASKS": "1"}, {"SLURM_STEP_NUM_TASKS": ""}, {"SLURM_PROCID": "x"},
     {"SLURM_STEP_NODELIST": ""}, {"SLURM_JOB_ID": ""}],
)  # fmt: skip
def test_a_task_alone_or_an_incomplete_environment_is_no_team(change):
    assert find_place(NONE, {**SLURM, **change}) is None


def test_a_worker_of_a_tpu_pod_finds_its_place():
    pod = {"TPU_WORKER_HOSTNAMES": "10.0.0.1,10.0.0.2", "TPU_WORKER_ID": "1"}
    assert find_place(NONE, pod) == (Address("10.0.0.1", 8476), 2, 1)
    for change in ({"TPU_WORKER_HOSTNAMES": "10.0.0.1"}, {"TPU_WORKER_ID": "2"}):
        assert find_place(NONE, {**pod, **change}) is None


def test_which_process_this_is_decides_no_number():
    assert deciding(options("node1:1234", 4, 1)) == deciding(NONE)
    assert deciding(replace(NONE, precision="highest")) != deciding(NONE)


def facts_of(monkeypatch, program, given):
    """Return what a process tells the others that must be the same for them."""
    told = []
    monkeypatch.setattr(_team, "join", lambda *place, facts, **calls: told.append(facts))
    monkeypatch.setattr(_team, "_team", ALONE)
    monkeypatch.setattr(sys, "argv", [f"/somewhere/experiments/{program}.py"])
    _team.join_team(given, deciding(given))
    return told[0]


def test_processes_agree_on_the_experiment_and_on_what_decides_numbers(monkeypatch):
    usual = options("node1:1234", 4, 1)
    facts = facts_of(monkeypatch, "optimizers", usual)
    assert facts_of(monkeypatch, "optimizers", replace(usual, process_id=2, devices=3)) == facts
    assert facts_of(monkeypatch, "optimizers", replace(usual, deterministic=True)) != facts
    assert facts_of(monkeypatch, "vanishing_gradients", usual) != facts


def test_of_all_experiments_processes_agree_on_which_before_any_of_them_starts(monkeypatch):
    started = []
    monkeypatch.setattr(everything, "start_jax", started.append)
    both = everything.Config(only=("two_weights", "centering"))
    module = SimpleNamespace(
        Config=everything.Config, PRESETS={}, prepare=lambda config: started[9]
    )
    monkeypatch.setattr(everything, "EXPERIMENTS", dict.fromkeys(both.only, module))
    with pytest.raises(IndexError):  # prepared after
        everything.prepare(both)
    assert started == [both]
    assert deciding(both) != deciding(everything.Config(only=("two_weights",)))
