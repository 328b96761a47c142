"""Answers to the threads: they say what their claims bear, and no more."""

import re

import pytest

from signdyn.report.results import Experiment
from signdyn.report.threads import Statement, Thread, findings_by_name, is_borne_out, thread_section


def experiment(name="signs", **verdicts):
    findings = tuple(
        {
            "experiment": name, "id": id, "sentence": f"{id} <holds>.", "verdict": verdict,
            "effect": 3.9, "low": 3.5, "high": 4.2, "questions": ["a1", "b1"],
        }
        for id, verdict in verdicts.items()
    )  # fmt: skip
    return Experiment(name, name, "", "", "", findings, (), (), {})


def section(statement, *experiments):
    return str(thread_section(Thread("Why?", [statement], {"a1": "Is it?"}), experiments))


RUN = experiment(one="supported", two="supported", three="refuted", four="inconclusive")


@pytest.mark.parametrize(
    ("claims", "needs", "expected"),
    [
        (["signs/one", "signs/two"], "supported", True),
        (["signs/one", "signs/three"], "supported", False),
        (["signs/three"], "refuted", True),
        (["signs/four"], "supported", False),
        (["signs/absent"], "supported", False),
    ],
)
def test_a_statement_is_borne_out_if_all_its_claims_were_decided_as_it_needs(
    claims, needs, expected
):
    statement = Statement("It is so.", claims, needs)
    assert is_borne_out(statement, findings_by_name([RUN])) == expected
    assert ('class="open"' not in section(statement, RUN)) == expected


def test_a_statement_links_each_claim_with_its_effect():
    text = section(Statement("It is so.", ["signs/one", "signs/two"]), RUN)
    assert re.findall(r"<li>It is so\.", text)
    assert 'href="#signs/one"' in text
    assert text.count("3.90 [3.50, 4.20]") == 2


def test_what_is_not_borne_out_is_said_to_be_so_with_the_verdict_that_it_got():
    text = section(Statement("It is so.", ["signs/three"]), RUN)
    assert "This run does not bear out: It is so." in text
    assert "(refuted)" in text


def test_what_was_not_measured_is_not_called_refuted():
    text = section(Statement("It is so.", ["signs/one", "other/x"]), RUN)
    assert "Not measured in this run: It is so." in text


def test_every_question_lists_the_claims_on_it_and_text_is_escaped():
    text = section(Statement("a < b", ["signs/one"]), RUN)
    assert "<dt>a1</dt>" in text
    assert text.count('title="one &lt;holds&gt;."') == 1  # in the statement; the list has the name
    assert "a &lt; b" in text
    assert "<p>no claim</p>" in str(thread_section(Thread("Why?", [], {"z9": "?"}), [RUN]))


def test_statements_of_other_experiments_are_folded_away_and_none_if_all_are_there():
    there, lacking = Statement("It is so.", ["a/one"]), Statement("It was so.", ["b/two"])
    thread = Thread("Is it?", [there, lacking], {})
    text = str(thread_section(thread, [experiment("a", one="supported")]))
    assert "1 statement rests on experiments that are not in this run" in text
    assert text.index("It is so.") < text.index("1 statement rests") < text.index("It was so.")
    whole = str(
        thread_section(thread, [experiment("a", one="supported"), experiment("b", two="supported")])
    )
    assert "not in this run" not in whole
