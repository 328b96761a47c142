"""Runs compared, and the table of claims, through their command lines."""

import json
import shutil

import numpy as np
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


def test_a_claim_counts_once_however_many_runs_differ_on_it(runs, tmp_path, capsys):
    third = write_run(tmp_path / "c", one="supported", two="supported", three="refuted")
    found = compare.prepare(compare.Config(runs=(*runs, third)))
    assert sum(change.is_contradiction for change in compare.changes(found)) == 3  # by pair
    with pytest.raises(SystemExit):
        compare.execute(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "3 runs, 3 claims: 2 contradictions, 0 other changes"


def unreadable(claims):
    claims["findings"][2]["n"] = "many"
    return json.dumps(claims)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (unreadable, "sign_flip/claims.json: finding 'three' is left out, its n cannot be used"),
        (lambda claims: json.dumps(claims)[:-9], "claims.json"),
        (None, "sign_flip is unfinished"),
    ],
)
def test_a_run_of_which_a_part_cannot_be_read_is_refused(damage, named, runs, tmp_path):
    path = tmp_path / "b/sign_flip/claims.json"
    claims = json.loads(path.read_text())
    path.unlink()
    if damage:
        path.write_text(damage(claims))
    with pytest.raises(UsageError, match=f"--runs: '{runs[1]}' cannot be compared: .*{named}"):
        compare.prepare(compare.Config(runs=runs))


def test_figures_that_are_not_there_do_not_keep_runs_from_being_compared(runs, tmp_path):
    path = tmp_path / "b/sign_flip/claims.json"
    figures = {"figures": [{"name": "gone", "caption": ""}]}
    path.write_text(json.dumps(json.loads(path.read_text()) | figures))
    assert len(list(compare.changes(compare.prepare(compare.Config(runs=runs))))) == 2
    with pytest.raises(UsageError, match=r"figures/gone\.svg cannot be read"):
        claims_table.prepare(claims_table.Config(run=runs[1]))


def test_what_is_no_run_is_refused(runs, tmp_path):
    for bad in ((), runs[:1], (runs[0], str(tmp_path / "nowhere"))):
        with pytest.raises(UsageError, match="--runs"):
            compare.prepare(compare.Config(runs=bad))
    with pytest.raises(UsageError, match="--run must name"):
        claims_table.prepare(claims_table.Config(run=str(tmp_path / "nowhere")))


def test_the_table_is_written_with_each_rules_rate_of_false_verdicts(runs, tmp_path, capsys):
    out = tmp_path / "out"
    config = claims_table.Config(run=runs[0], out=str(out), draws=20)
    claims_table.execute(claims_table.prepare(config))
    rates = json.loads((tmp_path / "a/sign_flip/calibration.json").read_text())
    assert set(rates["false_verdict"]) == {"one", "two", "three"}
    first = (out / "claims.md").read_text()
    assert "preset default, root seed 0" in first
    assert "3 rules calibrated" in capsys.readouterr().out
    # without draws the rates that are there are taken, and the table is the same
    again = claims_table.Config(run=runs[0], out=str(out), draws=0)
    claims_table.execute(claims_table.prepare(again))
    assert (out / "claims.md").read_text() == first


def test_rules_that_err_too_often_are_told_in_the_table_and_counted(runs, tmp_path, capsys):
    rates = {"false_verdict": {"one": 0.04, "two": 0.31, "three": None}}
    (tmp_path / "a/sign_flip/calibration.json").write_text(json.dumps(rates))
    config = claims_table.Config(run=runs[0], out=str(tmp_path / "out"), draws=0)
    claims_table.execute(claims_table.prepare(config))
    table = (tmp_path / "out/claims.md").read_text()
    told = "(sign_flip/two) The verdict rests on skewed seeds: the rule errs in 31% of draws."
    assert told in table
    assert table.count("skewed seeds") == 1
    told = "2 rules calibrated: with nothing to decide they decide in 31.0% of the draws at most; "
    assert f"{told}1 in more than 8%, which stands at the claim\n" in capsys.readouterr().out


@pytest.mark.parametrize(("first", "calls"), [(0.08, 1), (0.09, 2), (float("nan"), 1)])
def test_a_rate_that_seems_too_high_is_measured_anew(first, calls, monkeypatch):
    asked = []

    def rate(finding, *, num_draws, seed):
        asked.append((num_draws, seed))
        return first if len(asked) == 1 else 0.05

    monkeypatch.setattr(claims_table, "false_verdict_rate", rate)
    found = claims_table._rate({}, 50)
    assert asked == [(50, 0), (200, 1)][:calls]
    np.testing.assert_equal(found, first if calls == 1 else 0.05)


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
