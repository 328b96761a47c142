"""The README: its numbers are the record's, its code runs, its files exist."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_headline_numbers_are_those_of_the_recorded_run():
    script = [sys.executable, str(ROOT / "scripts" / "headlines.py")]
    printed = subprocess.run(script, check=True, capture_output=True, text=True).stdout
    assert printed.strip() in README


def test_the_recorded_run_is_of_the_quick_preset_and_decided_every_headline():
    claims = json.loads((ROOT / "docs/record/quick/sign_flip/claims.json").read_text())
    assert claims["command"] == "python -m experiments.sign_flip --preset=quick"
    assert claims["run"]["seeds"] == 16


def test_every_python_block_runs_as_it_stands():
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_every_file_it_links_to_exists(path):
    assert (ROOT / path).exists()


@pytest.mark.parametrize("command", sorted(set(re.findall(r"\./scripts/\w+\.sh", README))))
def test_every_script_it_names_exists(command):
    assert (ROOT / command).exists()
