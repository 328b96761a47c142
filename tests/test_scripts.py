"""The set-up of run.sh and test.sh, on a copy whose installer and programs are stand-ins."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
MARKER = Path(".venv", "signdyn-setup")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are for bash")

FORWARD = f'#!/bin/sh\nexec "{sys.executable}" "$@"\n'
# Makes an "environment" that is this test's own interpreter; INSTALL says how installing ends.
UV = """#!/bin/sh
if [ "$1" = venv ]; then
  mkdir -p .venv/bin && cp "$(dirname "$0")/python3" .venv/bin/python
else
  [ "$INSTALL" = killed ] && kill -9 $PPID
  exit "${INSTALL:-0}"
fi
"""
PROGRAM = "import sys\nprint('{name}', sys.argv[1:])\nsys.exit({status})\n"


def write_program(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    file.chmod(0o755)
    return file


class Outcome(NamedTuple):
    status: int
    output: str
    messages: list[str]


class Copy(NamedTuple):
    """A copy of the scripts in a folder of its own."""

    root: Path
    bin: Path

    def call(self, script: str | Path, *arguments: str, cwd: Path | None = None, **env: str):
        environment = {
            "PATH": f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "HOME": str(self.root / "home"),
            **env,
        }
        done = subprocess.run(
            [str(self.root / script), *arguments],
            cwd=cwd or self.root,
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=100,
        )
        return Outcome(done.returncode, done.stdout, done.stderr.splitlines())


WANTED = {"images": "dataset-fashion-mnist", "driver": "chromium chromium-driver"}
"""Variable of test.sh that names a file -> packages that have it."""


def let_it_want(copy: Copy, name: str, file: Path) -> None:
    """Let test.sh look for another file."""
    script = copy.root / "scripts/test.sh"
    text, count = re.subn(rf"(?m)^{name}=.*", f"{name}='{file}'", script.read_text())
    assert count == 1
    script.write_text(text)


@pytest.fixture
def copy(tmp_path):
    copy = Copy(tmp_path / "a folder" / "a copy", tmp_path / "bin")
    shutil.copytree(ROOT / "scripts", copy.root / "scripts")
    shutil.copytree(ROOT / ".ci", copy.root / ".ci")
    (copy.root / "requirements.txt").write_text("# nothing\n")
    write_program(copy.root / "experiments/all.py", PROGRAM.format(name="all", status=7))
    for name in ("ruff", "pyrefly", "pytest"):
        write_program(copy.root / f"{name}.py", PROGRAM.format(name=name, status=0))
    write_program(copy.bin / "python3", FORWARD)
    write_program(copy.bin / "uv", UV)
    # nothing is installed on the machine that runs these tests
    write_program(copy.bin / "apt-get", "#!/bin/sh\nexit 1\n")
    write_program(copy.bin / "sudo", '#!/bin/sh\nshift; exec "$@"\n')
    for name in WANTED:
        let_it_want(copy, name, copy.bin / "sudo")  # it lacks nothing
    return copy


def sets_up(outcome: Outcome) -> bool:
    return any("setting up" in message for message in outcome.messages)


def test_the_first_call_sets_up_and_the_second_does_not(copy):
    first = copy.call("scripts/run.sh", "--preset=quick", "a b")
    second = copy.call("scripts/run.sh")
    assert sets_up(first)
    assert not sets_up(second)
    assert (first.status, first.output) == (7, "all ['--preset=quick', 'a b']\n")
    assert (second.status, second.output) == (7, "all []\n")


def test_setting_up_alone_runs_nothing(copy, tmp_path):
    outcome = copy.call("scripts/setup.sh", cwd=tmp_path)
    assert sets_up(outcome)
    assert (outcome.status, outcome.output) == (0, "")
    assert "is ready" in outcome.messages[-1]
    assert copy.call("scripts/run.sh").messages == ["signdyn: python -m experiments.all "]


def test_a_symbolic_link_called_from_elsewhere_runs_in_the_repository(copy, tmp_path):
    link = tmp_path / "link.sh"
    link.symlink_to(copy.root / "scripts/run.sh")
    assert copy.call(link, cwd=tmp_path).output == "all []\n"
    assert (copy.root / MARKER).exists()


def test_a_set_up_that_was_killed_is_done_again(copy):
    assert copy.call("scripts/run.sh", INSTALL="killed").status == -9
    again = copy.call("scripts/run.sh")
    assert "signdyn: making .venv again: its set-up was interrupted" in again.messages
    assert again.status == 7
    assert not sets_up(copy.call("scripts/run.sh"))


def break_python(root):
    (root / ".venv/bin/python").unlink()


def change_requirements(root):
    (root / "requirements.txt").write_text("# nothing more\n")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(break_python, "its Python no longer runs"), (change_requirements, "requirements.txt has")],
)
def test_an_environment_that_no_longer_fits_is_made_again(copy, spoil, reason):
    copy.call("scripts/run.sh")
    leftover = copy.root / ".venv/leftover"
    leftover.touch()
    spoil(copy.root)
    outcome = copy.call("scripts/run.sh")
    assert reason in outcome.messages[0]
    assert sets_up(outcome)
    assert outcome.status == 7
    assert not leftover.exists()


def test_asking_for_another_python_makes_the_environment_again(copy):
    copy.call("scripts/run.sh")
    other = write_program(copy.bin / "other", '#!/bin/sh\necho "3.12 abc /another/python"\n')
    outcome = copy.call("scripts/run.sh", PYTHON="other")
    assert "another Python than the one asked for" in outcome.messages[0]
    assert "Python 3.12" in outcome.messages[1]
    other.unlink()
    assert not sets_up(copy.call("scripts/run.sh"))


def test_an_environment_of_somebody_else_is_kept(copy):
    mine = write_program(copy.root / ".venv/bin/mine", "precious")
    outcome = copy.call("scripts/run.sh")
    assert "moving .venv to .venv.bak" in outcome.messages[0]
    assert outcome.status == 7
    assert not mine.exists()
    assert (copy.root / ".venv.bak/bin/mine").read_text() == "precious"


@pytest.mark.parametrize(
    ("version", "said"), [("3.10", "is Python 3.10"), ("2.7", "is Python 2.7"), ("", "not run")]
)
def test_an_unfit_python_is_one_sentence_and_status_2(copy, version, said):
    if version:
        write_program(copy.bin / "python", f'#!/bin/sh\necho "{version} abc /some/python"\n')
    outcome = copy.call("scripts/run.sh", PYTHON=str(copy.bin / "python"))
    assert outcome.status == 2
    assert outcome.output == ""
    (message,) = outcome.messages
    assert said in message
    assert not (copy.root / ".venv").exists()


def test_the_checks_run_in_order_and_arguments_go_to_pytest(copy):
    outcome = copy.call("scripts/test.sh", "-k", "holm or not")
    assert outcome.status == 0
    *checks, tests = outcome.output.splitlines()
    assert [line.split()[0] for line in checks] == ["ruff", "ruff", "pyrefly"]
    assert tests == "pytest ['-k', 'holm or not']"


@pytest.mark.parametrize("name", ["ruff", "pyrefly", "pytest"])
def test_continuous_integration_fails_when_one_check_fails(copy, name):
    write_program(copy.root / f"{name}.py", PROGRAM.format(name=name, status=3))
    outcome = copy.call(".ci/run", CI="true")
    assert outcome.status == 3
    assert outcome.output.splitlines()[-1].startswith(name)


APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND" "$@" >> calls
case "$*" in
  *update) touch lists ;;
  *install*) {install} ;;
esac
"""


def calls_of_apt(copy):
    calls = copy.root / "calls"
    return [line.split() for line in calls.read_text().splitlines()] if calls.exists() else []


@pytest.mark.parametrize("name", WANTED)
@pytest.mark.parametrize(
    ("install", "installs"),
    [("{put}", 1), ("[ -e lists ] && {put}", 2), ("exit 100", 2)],
    ids=["at once", "after an update", "never"],
)
def test_what_some_tests_need_is_installed_where_it_can_be_and_nobody_is_asked(
    copy, tmp_path, install, installs, name
):
    packages = WANTED[name]
    file = tmp_path / "a folder that is not there" / "a file"
    let_it_want(copy, name, file)
    put = f"mkdir -p '{file.parent}' && touch '{file}'"
    write_program(copy.bin / "apt-get", APT.format(install=install.format(put=put)))
    first = copy.call("scripts/test.sh")
    assert first.status == 0
    assert first.output.splitlines()[-1].startswith("pytest")
    calls = calls_of_apt(copy)
    assert sum("install" in call for call in calls) == installs
    assert all(call[0] == "noninteractive" for call in calls)
    assert all("--yes" in call for call in calls if "install" in call)
    assert all(" ".join(call).endswith(packages) for call in calls if "install" in call)
    told = [message for message in first.messages if packages in message]
    assert len(told) == (1 if file.exists() else 2)
    if file.exists():
        again = copy.call("scripts/test.sh")
        assert not [message for message in again.messages if packages in message]
        assert calls_of_apt(copy) == calls
    else:
        assert told[-1].endswith(f"will not run, for want of: apt install {packages}")


@pytest.mark.parametrize("name", WANTED)
def test_running_installs_nothing_that_only_tests_need(copy, tmp_path, name):
    let_it_want(copy, name, tmp_path / "a file that is not there")
    write_program(copy.bin / "apt-get", APT.format(install="true"))
    assert copy.call("scripts/run.sh").status == 7
    assert calls_of_apt(copy) == []
