"""The answers of the page: each needs every claim that its words need, and tells no number."""

import re

import pytest

from experiments._answers import STATEMENTS, answered_threads
from experiments._headline import needed, open_ones, unconfirmed
from experiments._publish import ORDER
from experiments._stated import NO_DIFFERENCE
from signdyn.claims import INCONCLUSIVE, REFUTED, SUPPORTED, Claim, decide
from signdyn.report.threads import is_borne_out
from tests.experiments.findings import altered
from tests.experiments.findings import evidence as measured

EVERY = [statement for statements in STATEMENTS.values() for statement in statements]


def words(part: str):
    """Return the one statement that holds these words."""
    (found,) = [statement for statement in EVERY if part in statement.text]
    return found


def borne_out(statement, **changed: str) -> bool:
    verdicts = dict.fromkeys(statement.claims, statement.needs)
    for name, verdict in changed.items():
        verdicts[next(claim for claim in verdicts if claim.endswith(f"/{name}"))] = verdict
    return is_borne_out(statement, {name: {"verdict": v} for name, v in verdicts.items()})


def test_statements_are_those_of_the_threads_and_rest_on_claims_of_experiments():
    threads = answered_threads()
    assert [s for thread in threads for s in thread.statements] == EVERY
    for statement in EVERY:
        assert statement.claims
        assert len(set(statement.claims)) == len(statement.claims)
        assert {name.split("/")[0] for name in statement.claims} <= set(ORDER)


@pytest.mark.parametrize("statement", EVERY, ids=lambda statement: statement.text[:30])
def test_a_statement_holds_no_number_that_a_run_measures(statement):
    said = statement.text.replace("Labels of -1 and 1", "")
    assert not re.search(r"\d|factor|%", said)
    # what is refuted is said to be wrong, or not so
    denied = re.search(r"wrong|not true", said)
    assert bool(denied) == (statement.needs == REFUTED)


@pytest.mark.parametrize(
    ("part", "claim", "verdict"),
    [
        ("span as many dimensions", "space_same_sigmoid", INCONCLUSIVE),
        ("slope and its scale", "slope", REFUTED),
        ("slope and its scale", "scale", REFUTED),
        ("not zero-centered", "centering_is_why", SUPPORTED),
        ("that is another function", "hidden_plain", SUPPORTED),
        ("down to a plateau", "plateau_reached", REFUTED),
        ("less than a quarter", "labels_share", REFUTED),
        ("most of the raw network's turns", "small_zigzag_relu", REFUTED),
        ("That it hinders generalizing", "error_clean_sigmoid", SUPPORTED),
        ("means make its largest", "mean_lambda_max", REFUTED),
        ("It takes weight decay".lower(), "decay_half", SUPPORTED),
    ],
)
def test_a_statement_falls_with_each_claim_that_its_words_need(part, claim, verdict):
    statement = words(part)
    assert borne_out(statement)
    assert not borne_out(statement, **{claim: verdict})


def test_words_that_no_verdict_bears_are_not_said():
    said = " ".join(statement.text for statement in EVERY)
    for unborne in ("about four", "gains most", "more than of its center", "cost much", "only if"):
        assert unborne not in said


def test_what_is_open_is_named_in_the_order_of_what_is_needed():
    claims = [Claim(id, ("b5",), "", "", NO_DIFFERENCE) for id in ("same", "other")]
    found = decide(claims, {id: measured("ratio", 1.0) for id in ("same", "other")})
    assert open_ones(found, needed(["same", "other"])) == []
    assert open_ones(found, needed(["same"], other=REFUTED)) == ["other"]
    lost = altered(found, same=float("nan"))
    assert unconfirmed(open_ones(lost, needed(["other", "same"]))).endswith("see same.")
    with pytest.raises(KeyError):
        open_ones(found, needed(["absent"]))
