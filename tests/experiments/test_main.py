"""The list of commands."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments import __main__
from experiments.all import EXPERIMENTS

ROOT = Path(__file__).resolve().parents[2]


def printed(*words: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "experiments", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_command_is_listed_with_its_line():
    listed = dict(__main__.commands())
    assert set(listed) == {path.stem for path in (ROOT / "experiments").glob("[!_]*.py")}
    assert set(listed) == {*EXPERIMENTS, *__main__.TOGETHER}
    assert all(listed.values())
    shown = printed()
    assert shown.returncode == 0
    assert all(
        f"  {name} " in shown.stdout and line in shown.stdout for name, line in listed.items()
    )


@pytest.mark.parametrize(
    ("word", "told"),
    [("sign_flip", "experiments.sign_flip, with a dot"), ("sign_flib", "sign_flip")],
)
def test_a_command_without_its_dot_is_told_how_it_is_run(word, told):
    refused = printed(word)
    assert refused.returncode == 2
    assert told in refused.stderr
    assert refused.stderr.count("\n") == 1
