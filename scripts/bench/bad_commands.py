"""Bad command lines, drawn at random, and what a script makes of them.

A line is bad in one place: a value that its flag does not accept, a flag that is misspelt, given
twice, without its value, or left over; a folder that cannot be used; flags that contradict each
other. It is well refused if it ends with status 2 and one sentence that names the flag, and nothing
was written.
"""

import contextlib
import dataclasses
import io
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import jax

from experiments import all as everything
from experiments import claims_table, compare, page
from experiments._cli import USAGE_ERROR, parse_config, refuse

SCRIPTS: Mapping[str, ModuleType] = {
    **everything.EXPERIMENTS,
    "all": everything,
    "claims_table": claims_table,
    "compare": compare,
    "page": page,
}
"""Name under experiments/ -> module."""

TEXTS = ("", "\0", "a\nb", "\udcff", "\u202ecba", "x" * 5000, "<script>", "../../x", ",,", "a,,b")
NUMBERS = ("nan", "inf", "-inf", "1e400", "-1", "9" * 400, "0x10", "1_0", "٣", "1,5", "--")
"""No number of any flag."""

LONGEST = 600
"""Characters of a message: the longest one lists twenty names."""


class Command(NamedTuple):
    """A bad command line.

    Attributes:
        script: In `SCRIPTS`.
        words: Its arguments, OUT for the folder it may write to.
        flag: What its refusal has to name.
    """

    script: str
    words: tuple[str, ...]
    flag: str

    def __str__(self) -> str:
        """Return the line, short."""
        words = (word if len(word) < 60 else f"{word[:50]}..." for word in self.words)
        return f"{self.script} {' '.join(words)!a}"


OUT = "OUT"


def bad_command(rng: random.Random) -> Command:
    """Draw a bad command line."""
    script = rng.choice(list(SCRIPTS))
    fields = list(dataclasses.fields(SCRIPTS[script].Config))
    field = rng.choice(fields)
    words, flag = rng.choice(_WAYS)(rng, field, fields)
    names = [field.name for field in fields]
    if "out" in names and not any(word.startswith("--out") for word in words):
        words = [f"--out={OUT}", *words]
    return Command(script, tuple(words), flag)


def _bad_value(rng: random.Random, field: Any, _: Sequence[Any]) -> tuple[list[str], str]:
    """Draw a value of another type, out of range, or of unknown name."""
    maximum, minimum = field.metadata["maximum"], field.metadata["minimum"]
    values = list(NUMBERS)
    if isinstance(field.default, tuple):
        values = [value for value in TEXTS if value]
        values += [",".join(["x"] * 99), "relu,relu", "rely", "0,1"]
    elif isinstance(field.default, str):
        values = ["\0", "a\nb", "\udcff", "\u202ecba"]
        values += ["digts", "quik"] if field.name in ("dataset", "preset") else []
    elif minimum is not None:
        values += [str(minimum - 1), str(maximum + 1), str(maximum * 10**9)]
        values += ["1.5"] if isinstance(field.default, int) else []
    return [f"--{field.name}={rng.choice(values)}"], f"--{field.name}"


def _misspelt(rng: random.Random, field: Any, fields: Sequence[Any]) -> tuple[list[str], str]:
    name, place = field.name, rng.randrange(len(field.name))
    before, after = name[:place], name[place:]
    near = rng.choice([f"{before}q{after}", before + after[1:], name[::-1]])
    if not near or near in {field.name for field in fields}:
        near = f"{name}s"
    return [f"--{near}={field.default}"], f"--{near}"


def _twice(_: random.Random, field: Any, __: Sequence[Any]) -> tuple[list[str], str]:
    value = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    if field.metadata["folder"]:
        value = "."
    return [f"--{field.name}={value}"] * 2, f"--{field.name}"


def _left_over(rng: random.Random, field: Any, _: Sequence[Any]) -> tuple[list[str], str]:
    word = rng.choice([field.name, f"{field.name}=1", "0", "1 2", "é", "quick"])
    return [word], ascii(word)


def _without_value(_: random.Random, field: Any, __: Sequence[Any]) -> tuple[list[str], str]:
    # a truth needs none
    value = "=maybe" if isinstance(field.default, bool) else ""
    return [f"--{field.name}{value}"], f"--{field.name}"


def _bad_folder(rng: random.Random, _: Any, fields: Sequence[Any]) -> tuple[list[str], str]:
    folders = [field for field in fields if field.metadata["folder"]]
    name = rng.choice(folders).name
    values = [
        __file__,
        f"{__file__}/below",
        "x" * 300,
        "x/" * 4000,
        "\0",
        "a\nb",
        "/proc/nowhere/x",
    ]
    if name == "runs":
        values = [f"{value},." for value in values]
    return [f"--{name}={rng.choice(values)}"], f"--{name}"


_CONTRADICTIONS: Mapping[str, Sequence[tuple[tuple[str, ...], str]]] = {
    "sign_flip": [
        (("--dataset=xor", "--batch_size=251"), "--batch_size"),
        (("--dataset=xor", "--num_train=8", "--batch_size=9"), "--batch_size"),
        (("--steps=10",), "--steps"),
        (("--dataset=npz:/nowhere.npz",), "--dataset"),
        (("--num_train=1", "--batch_size=1"), "--num_train"),
    ],
    "generalization": [(("--dataset=spiral", "--num_train=16", "--batch_size=17"), "--batch_size")],
    "optimizers": [(("--dataset=xor", "--batch_size=999"), "--batch_size")],
    "fisher_spectrum": [(("--widths=64,32",), "--widths"), (("--widths=32,32",), "--widths")],
    "sign_coherence": [
        (("--num_train=64", "--batch_size=64"), "--batch_size"),
        (("--num_train=100",), "--num_train"),
    ],
    "sigmoid_vs_tanh": [
        (("--datasets=xor", "--playground_url=#noise=5"), "--playground_url"),
        (("--playground_url=#activation=tahn",), "--playground_url"),
    ],
    "vanishing_gradients": [
        (("--side=3",), "--side"),
        (("--max_depth=2", "--trained_depth=4"), "--trained_depth"),
    ],
    "compare": [(("--runs=.,.",), "--runs"), (("--runs=.",), "--runs"), ((), "--runs")],
    "claims_table": [(("--run=.",), "--run"), (("--run=nowhere",), "--run")],
    "page": [(("--run=.",), "--run"), (("--run=nowhere",), "--run")],
}


def contradiction(rng: random.Random) -> Command:
    """Draw a line whose flags, each acceptable, cannot go together."""
    script = rng.choice(list(_CONTRADICTIONS))
    words, flag = rng.choice(list(_CONTRADICTIONS[script]))
    out = () if script in ("compare", "page") else (f"--out={OUT}",)
    return Command(script, (*out, *words), flag)


_WAYS = (
    *(_bad_value,) * 4,
    *(_misspelt, _twice, _left_over, _without_value, _bad_folder),
)


def problem_of(command: Command, run: Callable[[Command, Path], tuple[int, str]]) -> str:
    """Return what was wrong with a command line's refusal; nothing if it was well refused."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            status, told = run(command, Path(folder))
        except Exception as error:  # noqa: BLE001 - whatever it is, a user would see a traceback
            return f"traceback: {type(error).__name__}: {ascii(str(error))[:200]}"
        written = os.listdir(folder)
    lines = told.splitlines()
    if "Traceback" in told:
        return f"traceback: {ascii(told)[-200:]}"
    if status != USAGE_ERROR:
        return f"status {status}: {ascii(told)[:200]}"
    if written:
        return f"wrote {written}"
    if len(lines) != 1 or not lines[0].startswith("error: ") or len(lines[0]) > LONGEST:
        return f"not one sentence: {ascii(told)[:200]}"
    return "" if command.flag in told else f"does not name {command.flag}: {ascii(told)[:200]}"


def here(command: Command, folder: Path) -> tuple[int, str]:
    """Run a command line in this process up to its first program; status and standard error."""
    module = SCRIPTS[command.script]
    words = [word.replace(f"={OUT}", f"={folder}/out") for word in command.words]
    names = {field.name for field in dataclasses.fields(module.Config)}
    if "devices" in names and not any("devices" in word for word in words):
        # a backend that is up keeps its devices
        words.insert(0, f"--devices={jax.config.jax_num_cpu_devices}")  # pyrefly: ignore
    told = io.StringIO()
    with contextlib.redirect_stderr(told), contextlib.chdir(folder):
        try:
            config = parse_config(module.Config, getattr(module, "PRESETS", {}), words)
            plan = module.prepare(config)
            if hasattr(plan, "session"):
                plan.session.open()
        except ValueError as error:
            try:
                refuse(str(error))
            except SystemExit as end:
                return int(end.code or 0), told.getvalue()
    return 0, "it was accepted"


def elsewhere(command: Command, folder: Path) -> tuple[int, str]:
    """Run a command line in a process of its own; status and standard error."""
    words = [word.replace(f"={OUT}", f"={folder}/out") for word in command.words]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-m", f"experiments.{command.script}", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=100,
        check=False,
    )
    return done.returncode, done.stderr
