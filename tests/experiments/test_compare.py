"""Runs compared, and the table of claims, through their command lines."""

import json
import shutil

import pytest
from absl import flags

from experiments import claims_table, compare
from experiments._cli import UsageError, config_from_flags, define_flags, parse_flags
from experiments._questions import QUESTIONS, THREADS


def write_run(folder, **verdicts):
    (folder / "sign_flip").mkdir(parents=True)
    findings = [
        {
            "id": id, "sentence": "It holds.", "statistic": "a number", "rule": "r",
            "questions": ["b4"], "effect": 2.0, "low": 1.5, "high": 2.5, "n": 12, "p": 0.01,
            "p_holm": 0.02, "verdict": verdict, "bounds": [1.0, None], "kind": "mean",
            "values": [1.5 + 0.1 * place for place in range(12)],
        }
        for id, verdict in verdicts.items()
    ]  # fmt: skip
    content = {"findings": findings, "figures": [], "command": "python -m experiments.sign_flip"}
    (folder / "sign_flip" / "claims.json").write_text(json.dumps(content))
    environment = {"device": "d", "devices": 2, "platform": "cpu", "python": "3",
                   "packages": {"jax": "0"}}  # fmt: skip
    facts = {"config": {"preset": "default", "root_seed": 0}, "environment": environment}
    (folder / "sign_flip" / "run.json").write_text(json.dumps({**facts, "wall_seconds": 60.0}))
    return str(folder)


@pytest.fixture
def runs(tmp_path):
    a = write_run(tmp_path / "a", one="supported", two="refuted", three="supported")
    b = write_run(tmp_path / "b", one="supported", two="inconclusive", three="refuted")
    return a, b


def test_a_contradiction_is_support_against_refutation_and_nothing_else(runs):
    found = {c.claim: c for c in compare.changes(compare.prepare(compare.Config(runs=runs)))}
    assert set(found) == {"sign_flip/two", "sign_flip/three"}
    assert found["sign_flip/three"].is_contradiction
    assert not found["sign_flip/two"].is_contradiction


def test_contradictions_come_first_and_set_the_exit_status(runs, capsys):
    with pytest.raises(SystemExit) as exit:
        compare.execute(compare.prepare(compare.Config(runs=runs)))
    assert exit.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("CONTRADICTION: sign_flip/three: ")
    assert lines[-1] == "2 runs, 3 claims: 1 contradictions, 1 other changes"
    compare.execute(compare.prepare(compare.Config(runs=(runs[0], runs[0] + "/"))))  # no exit


def test_an_experiment_that_one_run_lacks_is_one_line(runs, tmp_path, capsys):
    more = write_run(tmp_path / "more", one="supported", three="supported")
    shutil.copytree(tmp_path / "more/sign_flip", tmp_path / "more/optimizers")
    compare.execute(compare.prepare(compare.Config(runs=(runs[0], more))))
    changed, lacking, last = capsys.readouterr().out.splitlines()
    assert changed.startswith("changed: sign_flip/two: ")  # of an experiment that both have
    assert lacking == f"only in {more}: optimizers (2 claims)"
    assert last == "2 runs, 5 claims: 0 contradictions, 1 other changes"


def test_what_is_no_run_is_refused(runs, tmp_path):
    for bad in ((), runs[:1], (runs[0], str(tmp_path / "nowhere"))):
        with pytest.raises(UsageError, match="--runs"):
            compare.prepare(compare.Config(runs=bad))
    with pytest.raises(UsageError, match="--run must name"):
        claims_table.prepare(claims_table.Config(run=str(tmp_path / "nowhere")))


def test_the_table_is_written_with_each_rules_rate_of_false_support(runs, tmp_path, capsys):
    out = tmp_path / "out"
    config = claims_table.Config(run=runs[0], out=str(out), draws=20)
    claims_table.execute(claims_table.prepare(config))
    rates = json.loads((tmp_path / "a/sign_flip/calibration.json").read_text())
    assert set(rates["false_support"]) == {"one", "two", "three"}
    first = (out / "claims.md").read_text()
    assert "preset default, root seed 0" in first
    assert "3 rules calibrated" in capsys.readouterr().out
    # without draws the rates that are there are taken, and the table is the same
    again = claims_table.Config(run=runs[0], out=str(out), draws=0)
    claims_table.execute(claims_table.prepare(again))
    assert (out / "claims.md").read_text() == first


def test_every_row_of_both_threads_is_there():
    assert list(QUESTIONS) == [*(f"a{n}" for n in range(1, 9)), *(f"b{n}" for n in range(1, 16))]
    assert {name[0] for name in QUESTIONS} == set(THREADS)


def test_runs_are_words_or_the_value_of_their_option_and_not_both(runs):
    for words in ([*runs], [f"--runs={','.join(runs)}"]):
        values = flags_of(compare.Config)
        parse_flags(["compare", *words], values, "runs")
        assert config_from_flags(compare.Config, {}, values).runs == runs
    both = ["compare", f"--runs={','.join(runs)}", runs[0]]
    with pytest.raises(UsageError, match="unexpected argument"):
        parse_flags(both, flags_of(compare.Config), "runs")
    with pytest.raises(UsageError, match=r"--runs must name a folder, but .* does not exist"):
        parse_flags(["compare", runs[0], "nowhere"], flags_of(compare.Config), "runs")


def flags_of(config_type):
    values = flags.FlagValues()
    define_flags(config_type, values)
    return values
