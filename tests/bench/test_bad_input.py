"""Bad command lines and calls, drawn at random: refused in one sentence, and nothing is written."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import jaxtyping
import pytest
from hypothesis import given, settings

from scripts.bench import bad_calls, bad_commands
from scripts.bench.bad_commands import Command

RANDOMS = st.randoms(use_true_random=False)


@pytest.fixture(autouse=True, scope="module")
def without_shape_checks():
    """Call functions as users do: without the checks of annotations that the tests add."""
    before = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", before)


@settings(max_examples=200)
@given(rng=RANDOMS)
def test_a_bad_command_line_is_refused_in_one_sentence_and_writes_nothing(rng):
    command = bad_commands.bad_command(rng)
    assert not bad_commands.problem_of(command, bad_commands.here), command


@settings(max_examples=25)
@given(rng=RANDOMS)
def test_flags_that_contradict_each_other_are_refused(rng):
    command = bad_commands.contradiction(rng)
    assert not bad_commands.problem_of(command, bad_commands.here), command


@settings(max_examples=200)
@given(rng=RANDOMS)
def test_a_bad_call_is_refused_in_one_sentence(rng):
    call = bad_calls.bad_call(rng)
    assert not bad_calls.problem_of(call), call


def test_what_is_badly_refused_is_noticed():
    line = Command("sign_flip", (), "--seeds")

    def problem(status=2, told="error: --seeds must be 1.\n", error=None, name=None):
        def run(_, folder):
            if error:
                raise error
            if name:
                (folder / name).touch()
            return status, told

        return bad_commands.problem_of(line, run)

    assert not problem()
    assert problem(status=1).startswith("status 1")
    assert problem(told="Traceback (most recent call last)\n").startswith("traceback")
    assert problem(error=OSError("x")).startswith("traceback: OSError")
    assert problem(told="error: a\nb\n").startswith("not one sentence")
    assert problem(told="error: it is wrong.\n").startswith("does not name --seeds")
    assert problem(name="out") == "wrote ['out']"

    def call(error=None):
        def make():
            if error:
                raise error

        return bad_calls.problem_of(bad_calls.Call("f", "x", "1", make))

    assert not call(ValueError("f: expected x to be 2, got 1."))
    assert call() == "was accepted"
    assert call(AttributeError("no x")).startswith("traceback: AttributeError")
    assert call(ValueError("could not convert string to float: 'x'")).startswith("not one")
    assert call(ValueError("f: expected this,\ngot that")).startswith("not one sentence")


PROCESSES = [  # some seconds of a core each, most of which JAX takes to load
    "sign_flip --sedes=4",
    "centering --out=/dev/null",
    "sigmoid_vs_tanh --playground_url=#activation=tahn",
    "claims_table --run=nowhere",
    "compare 0",
]


def test_in_processes_of_their_own_they_are_refused_too(tmp_path):
    """All start at once, and one core does them in turn."""
    root = Path(__file__).resolve().parents[2]
    running = [
        subprocess.Popen(
            [sys.executable, "-m", f"experiments.{line.split()[0]}", *line.split()[1:]],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in PROCESSES
    ]
    for line, process in zip(PROCESSES, running, strict=True):
        out, told = process.communicate(timeout=200)
        assert (process.returncode, out) == (2, ""), line
        assert told.startswith("error: "), told
        assert told.count("\n") == 1, told
    assert not list(tmp_path.iterdir())


def test_every_flag_of_every_script_says_what_it_accepts():
    for module in bad_commands.SCRIPTS.values():
        for field in dataclasses.fields(module.Config):
            is_number = isinstance(field.default, int | float) and not isinstance(
                field.default, bool
            )
            bounds = field.metadata["minimum"], field.metadata["maximum"]
            assert not is_number or None not in bounds, (module.__name__, field.name)
