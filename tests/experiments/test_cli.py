"""Command lines: what is accepted, and that the rest is refused in one sentence."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments import all as everything
from experiments import sign_flip
from experiments._cli import Options, UsageError, option, parse_config
from experiments._options import check_folder
from experiments._publish import command
from experiments._sign_flip.plan import PRESETS, Config
from signdyn.files import RecordsError

ROOT = Path(__file__).resolve().parents[2]

EXPERIMENTS = everything.EXPERIMENTS


@dataclass(frozen=True, kw_only=True)
class Toy(Options):
    preset: str = option("quick", "Size.", choices=("quick", "paper"))
    seeds: int = option(4, "Number.", minimum=0, maximum=9)
    rate: float = option(0.5, "Rate.", minimum=0.0)
    names: tuple = option(("a",), "Names.")


def toy(*words: str) -> Toy:
    return parse_config(Toy, {"paper": {"seeds": 9}}, words)


def test_an_option_is_declared_once_and_has_its_type():
    assert toy("--seeds=0", "--rate=1", "--names=b,c") == Toy(
        preset="quick", seeds=0, rate=1.0, names=("b", "c")
    )


def test_a_preset_sets_fields_and_a_flag_wins_over_it():
    assert toy("--preset=paper").seeds == 9
    assert toy("--preset=paper", "--seeds=2").seeds == 2
    # given explicitly, even a default value wins over the preset
    assert toy("--preset=paper", "--seeds=4").seeds == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--sedes=1"], "nearest: --seeds"),
        (["--seeds=abc"], "--seeds must be an integer from 0 to 9, got 'abc'"),
        (["--seeds=1.5"], "got '1.5'"),
        (["--seeds=-1"], "from 0 to 9"),
        (["--seeds=10"], "from 0 to 9"),
        (["--rate=nan"], "at least 0"),
        (["--rate=-0.1"], "at least 0"),
        (["--preset=papr"], "nearest: paper"),
        (["--names", "a", "b"], "unexpected argument 'b'"),
        (["1"], "unexpected argument '1'"),
        (["--seeds=1", "--seeds=2"], "--seeds is given 2 times"),
        (["--seeds=1_0"], "got '1_0'"),
        (["--rate=1e400"], "at least 0"),
        (["--rate=inf"], "at least 0"),
        (["--names="], "one or more"),
        (["--names=a,,b"], "got 'a,,b'"),
        (["--seeds"], "--seeds must be an integer"),
        (["--flagfile=/nowhere"], "/nowhere"),
        (["--names=" + "x" * 9999 + "\ny"], "'xxxx"),
    ],
)
def test_what_is_not_accepted_is_said_in_one_sentence(words, says):
    with pytest.raises(UsageError) as caught:
        toy(*words)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value).strip()


@pytest.mark.parametrize("module", EXPERIMENTS.values(), ids=EXPERIMENTS)
@pytest.mark.parametrize("preset", ["quick", "default", "paper"])
def test_every_preset_names_fields_that_exist_with_values_that_are_accepted(module, preset):
    config = parse_config(module.Config, module.PRESETS, [f"--preset={preset}"])
    for name, value in module.PRESETS[preset].items():
        assert getattr(config, name) == value


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--activations=relo"], "relu"),
        (["--activations=relu,relu"], "each once"),
        (["--widths=8,x"], "integers from 1 to 65536"),
        (["--widths=8,0"], "integers from 1 to 65536"),
        (["--steps=9"], "multiple of 4"),
        (["--dataset=digts"], "digits"),
        (["--dataset=npz:/nowhere.npz"], "nowhere.npz"),
        (["--dataset=xor", "--batch_size=100000"], "--batch_size"),
    ],
)
def test_the_flagship_refuses_before_it_makes_a_folder(words, says, tmp_path):
    out = tmp_path / "results"
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        sign_flip.prepare(parse_config(Config, PRESETS, [f"--out={out}", *words]))
    assert says in str(caught.value)
    assert not out.exists()


@pytest.mark.parametrize("use", ["written", "read"])
def test_a_folder_that_cannot_be_used_is_refused(use, tmp_path):
    (tmp_path / "file").write_text("")
    names = ["", "\0", "a\nb", "\udcff", "x" * 300, "x/" * 9999, f"{tmp_path}/file"]
    for name in [*names, f"{tmp_path}/file/below"]:
        with pytest.raises(UsageError, match=r"^--out [^\n]*$") as caught:
            check_folder("--out", name, use)
        assert len(str(caught.value)) < 250
    check_folder("--out", str(tmp_path), use)


def test_a_folder_to_be_read_has_to_exist_and_one_to_be_written_to_has_not(tmp_path):
    check_folder("--out", str(tmp_path / "new" / "newer"), "written")
    with pytest.raises(UsageError, match="'new' does not exist"):
        check_folder("--out", "new", "read")


def test_running_all_checks_every_experiment_before_any_runs():
    with pytest.raises(UsageError, match=r"sign_flip, fisher_spectrum.*nearest: sign_flip"):
        parse_config(everything.Config, {}, ["--only=sign_flop"])


def test_the_command_beside_a_claim_asks_for_the_same_configuration():
    words = ["--preset=default", "--seeds=5", "--activations=tanh,relu", "--out=elsewhere"]
    config = parse_config(Config, PRESETS, words)
    repeated = command("experiments.sign_flip", config, PRESETS).split()
    assert repeated[:3] == ["python", "-m", "experiments.sign_flip"]
    assert "elsewhere" not in " ".join(repeated)
    again = parse_config(Config, PRESETS, [*repeated[3:], "--out=elsewhere"])
    assert again == config


def test_running_all_writes_nothing_if_one_folder_is_another_runs(tmp_path):
    (tmp_path / "sigmoid_vs_tanh").mkdir()
    (tmp_path / "sigmoid_vs_tanh/notes.txt").write_text("mine")
    words = [f"--out={tmp_path}", "--only=sign_flip,sigmoid_vs_tanh", "--dataset=xor"]
    with pytest.raises(RecordsError, match="sigmoid_vs_tanh is not empty"):
        everything.prepare(parse_config(everything.Config, {}, words))
    assert [path.name for path in tmp_path.rglob("*")] == ["sigmoid_vs_tanh", "notes.txt"]


def test_a_session_opens_its_folder_when_it_is_told_to(tmp_path):
    words = [f"--out={tmp_path}/out", "--dataset=xor"]
    plan = sign_flip.prepare(parse_config(Config, PRESETS, words))
    assert not (tmp_path / "out").exists()
    plan.session.open()
    assert (tmp_path / "out/sign_flip/run.json").exists()


def test_help_shows_the_options_whichever_module_calls_run_for_the_script(tmp_path):
    (tmp_path / "between.py").write_text(
        "from experiments._cli import run\n"
        "def go(config):\n"
        "    run(config, {}, lambda config: None, lambda plan: None)\n"
    )
    (tmp_path / "script.py").write_text(
        "from dataclasses import dataclass\n"
        "from between import go\n"
        "from experiments._options import Options, option\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Config(Options):\n"
        "    seeds: int = option(7, 'Number of seeds, as many as you like.')\n"
        "go(Config)\n"
    )
    words = [sys.executable, str(tmp_path / "script.py"), "--help"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    told = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert "--seeds: Number of seeds, as many as you like." in told.stdout
