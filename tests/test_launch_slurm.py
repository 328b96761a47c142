"""The launcher: what sbatch gets, and tasks that die, are stopped, and come to the same end."""

import os
import pickle
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import psutil
import pytest
from submitit import LocalExecutor

from experiments._cli import UsageError
from experiments.all import EXPERIMENTS
from scripts.bench.subject import Run, differing
from scripts.launch_slurm import Config, Plan, execute, prepare, sbatch_script
from scripts.slurm_task import Task

NUM = len(EXPERIMENTS)


def lines_of(config, num_tasks=NUM):
    return sbatch_script(config, num_tasks).splitlines()


def test_the_array_has_a_task_an_experiment_and_is_queued_again(tmp_path):
    config = Config(partition="gpu", gpus=1, time_minutes=90, logs=str(tmp_path))
    lines = lines_of(config)
    assert f"#SBATCH --array=0-{NUM - 1}%{NUM}" in lines
    for option in ("requeue", "signal=USR2@90", "open-mode=append", "time=90", "partition=gpu",
                   "gpus-per-task=1", "ntasks-per-node=1"):  # fmt: skip
        assert f"#SBATCH --{option}" in lines
    assert f"#SBATCH --chdir={os.getcwd()}" in lines
    assert not any("account" in line or "--mem" in line for line in lines)
    assert any(line.startswith("srun ") and "--cpus-per-task=2" in line for line in lines)


def test_an_experiment_on_several_machines_is_one_job_of_their_processes(tmp_path):
    config = Config(
        nodes=2, processes_per_node=4, gpus=1, memory_gb=64, at_once=3, logs=str(tmp_path),
        sbatch=("qos=long", "exclusive", "wckey=signs"),
    )  # fmt: skip
    lines = lines_of(config, 1)
    for option in ("nodes=2", "ntasks-per-node=4", "gpus-per-task=1", "mem=64GB", "qos=long",
                   "exclusive", "wckey=signs"):  # fmt: skip
        assert f"#SBATCH --{option}" in lines
    assert not any("--array" in line for line in lines)
    (srun,) = (line for line in lines if line.startswith("srun "))
    assert "--kill-on-bad-exit=1" in srun
    assert "--gpus-per-task=1" in srun
    assert f"#SBATCH --array=0-{NUM - 1}%3" in lines_of(config)


def test_the_processes_of_an_experiment_find_each_other(monkeypatch):
    plan = prepare(
        Config(experiments=("sign_flip",), cluster="local", processes_per_node=2), ["--seeds=4"]
    )
    task = plan.tasks["sign_flip"]
    monkeypatch.setenv("SUBMITIT_LOCAL_GLOBALID", "1")
    *words, address, number, own = task.command()
    assert words == [sys.executable, "-m", "experiments.sign_flip", "--seeds=4"]
    assert re.fullmatch(r"--coordinator_address=127\.0\.0\.1:\d+", address)
    assert (number, own) == ("--num_processes=2", "--process_id=1")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")  # where JAX finds out
    assert task.command() == words


@pytest.mark.parametrize(
    ("options", "words", "said"),
    [
        ({}, ["--sed=4"], "sign_flip: there is no flag --sed (nearest: --seeds)"),
        ({}, ["--seeds=many"], "sign_flip: --seeds must be an integer"),
        ({}, ["4"], "sign_flip: unexpected argument '4'"),
        ({"experiments": ("two_weights",)}, ["--activations=relu"], "two_weights: there is no"),
        ({"experiments": ("all", "centering")}, [], "all or names"),
        ({"sbatch": ("=3",)}, [], "name=value"),
        ({"cluster": "local", "nodes": 2}, [], "--nodes must be 1"),
        ({"cluster": "local", "gpus": 1, "processes_per_node": 2}, [], "one process uses all"),
        ({"cluster": "local", "dry_run": True}, [], "--dry_run prints"),
        ({"dry_run": False}, [], "no srun here"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_submitted(
    options, words, said, monkeypatch
):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(UsageError, match=re.escape(said)):
        prepare(Config(**{"dry_run": options.get("cluster") != "local", **options}), words)


def test_without_submitit_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UsageError, match=re.escape("pip install '.[slurm]'")):
        prepare(Config())


def test_the_command_splits_its_options_from_the_experiments(tmp_path):
    command = [sys.executable, "-m", "scripts.launch_slurm", "--dry_run", f"--logs={tmp_path}"]
    done = subprocess.run([*command, "--", "--seeds=0"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: sign_flip: --seeds must be an integer from 1")
    assert len(done.stderr.splitlines()) == 1


DIES_TWICE = """
import os, pathlib, sys
tried = pathlib.Path(sys.argv[1])
tried.write_text(tried.read_text() + "x" if tried.exists() else "x")
if len(tried.read_text()) < 3:
    os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.mark.parametrize(("restarts", "status", "starts"), [(2, None, 3), (1, 128 + 9, 2)])
def test_a_command_that_dies_is_begun_again_as_often_as_asked(tmp_path, restarts, status, starts):
    task = Task(["-c", DIES_TWICE, str(tmp_path / "tried"), "9"], restarts=restarts, pause=0.0)
    ended = status_of(task)
    assert ended == status
    assert len((tmp_path / "tried").read_text()) == starts


@pytest.mark.parametrize("status", [2, 143])
def test_a_command_that_is_refused_or_stopped_is_not_begun_again(tmp_path, status):
    program = f"import sys; open(sys.argv[1], 'a').write('x'); sys.exit({status})"
    task = Task(["-c", program, str(tmp_path / "tried")], restarts=3, pause=0.0)
    assert status_of(task) == status
    assert (tmp_path / "tried").read_text() == "x"


def test_a_lock_that_outlives_a_machine_is_waited_for_when_slurm_queued_the_job_again(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    program = "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(2)"
    task = Task(["-c", program, str(tmp_path / "tried")], restarts=2, pause=0.0)
    assert status_of(task) == 2
    assert (tmp_path / "tried").read_text() == "xxx"


def status_of(task):
    """Return the status with which a task exits, None if it comes to its end."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        task()
    except SystemExit as ended:
        return ended.code
    finally:
        signal.signal(signal.SIGTERM, handler)


STOPS_IN_ORDER = """
import os, pathlib, signal, sys, time
tried, number = pathlib.Path(sys.argv[1]), os.getpid()
def stop(*_):
    tried.with_suffix(".stopped").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
if tried.exists():
    sys.exit(0)
tried.write_text(str(number))
time.sleep(60)
"""


def test_a_task_out_of_time_ends_its_experiment_in_order_and_is_queued_again(tmp_path):
    tried = tmp_path / "tried"
    executor = LocalExecutor(tmp_path / "logs")
    executor.update_parameters(timeout_min=2, stderr_to_stdout=True)
    job = executor.submit(Task(["-c", STOPS_IN_ORDER, str(tried)], restarts=3))
    child = psutil.Process(int(wait_for(lambda: tried.exists() and tried.read_text())))
    task = child.parent()
    for process in (child, task):  # Slurm signals all of them
        process.send_signal(signal.SIGUSR2)
    job.wait()
    assert tried.with_suffix(".stopped").exists()
    assert job.result() is None
    log = job.stdout()
    assert "Requeued job" in log
    assert "begun again" not in log


SBATCH = """#!/bin/sh
here=$(dirname "$0")
cp "$1" "$here/script"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$1")
for task in $(seq 0 "$last"); do "$here/start" "$task"; done
echo "Submitted batch job 42"
"""
START = """#!/bin/sh
export SLURM_JOB_ID=$((43 + $1)) SLURM_ARRAY_JOB_ID=42 SLURM_ARRAY_TASK_ID=$1
export SLURM_NTASKS=1 SLURM_PROCID=0
bash "$(dirname "$0")/script" >/dev/null 2>&1 &
"""
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do
  [ "$1" = --output ] && log=$2 && shift
  shift
done
exec "$@" >>"$(echo "$log" | sed "s/%A/42/;s/%a/$SLURM_ARRAY_TASK_ID/;s/%t/0/")" 2>&1
"""
SCONTROL = """#!/bin/sh
[ "$1" = requeue ] && SLURM_RESTART_COUNT=1 exec "$(dirname "$0")/start" "${2#42_}"
"""


def test_an_array_is_submitted_and_a_task_of_it_that_is_stopped_is_queued_again(
    tmp_path, monkeypatch, capsys
):
    commands = {"sbatch": SBATCH, "start": START, "srun": SRUN, "scontrol": SCONTROL}
    for name, text in commands.items():  # stand in for Slurm
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    tried, logs = tmp_path / "tried", tmp_path / "logs"
    tasks = {"stopped": Task(["-c", STOPS_IN_ORDER, str(tried)]), "done": Task(["-c", "pass"])}
    execute(Plan(Config(logs=str(logs)), tasks))
    assert "stopped: job 42_0, " in capsys.readouterr().out
    child = psutil.Process(int(wait_for(lambda: tried.exists() and tried.read_text())))
    for process in (child, child.parent()):
        process.send_signal(signal.SIGUSR2)
    for task in range(2):
        result = logs / f"42_{task}_0_result.pkl"
        wait_for(result.exists)
        assert pickle.loads(result.read_bytes()) == ("success", None)
    assert tried.with_suffix(".stopped").exists()
    assert "Requeued job 42_0" in (logs / "42_0_0_log.out").read_text()


def test_a_run_whose_experiment_and_whose_task_are_killed_ends_with_the_bytes_of_one_left_alone(
    tmp_path, monkeypatch
):
    alone, killed = (
        Run(tmp_path / name, tmp_path / "cache", ("--seeds=2", "--block=8"))
        for name in ("alone", "killed")
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tasks = {run.out.name: Task(run.words[1:], restarts=1, pause=0.0) for run in (alone, killed)}
    plan = Plan(Config(cluster="local", at_once=2, logs=str(tmp_path / "logs")), tasks)

    def cells():
        return len(list(killed.folder.glob("cells/*.nc")))

    def spoil():
        wait_for(cells)
        experiment_of(killed).kill()
        before = cells()
        wait_for(lambda: cells() > before)
        orphan = experiment_of(killed)
        orphan.parent().kill()
        orphan.wait(20)  # it ends with its task

    thread = threading.Thread(target=spoil)
    thread.start()
    with pytest.raises(SystemExit, match="1"):
        execute(plan)
    thread.join()
    assert not (killed.folder / "claims.json").exists()
    execute(plan._replace(tasks={"killed": tasks["killed"]}))
    assert differing(alone.kept(), killed.kept()) == []
    logs = [path.read_text() for path in (tmp_path / "logs").glob("*_log.out")]
    assert sum("ended with status 137; begun again, 0 times left" in log for log in logs) == 1
    assert sum("stopped by SIGTERM; what is finished is kept" in log for log in logs) == 1


def experiment_of(run):
    """Return the process of an experiment, whose parent is its task."""
    words = shlex.join(run.words[1:])
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if shlex.join(process.cmdline()[1:]) == words:
                return process
    raise AssertionError(f"no process runs {words}")


def wait_for(condition):
    until = time.monotonic() + 200
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.005)
    return found
