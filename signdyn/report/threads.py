"""The top of the page: what people ask, answered in statements that rest on claims.

A statement shows only what its claims bear: with other verdicts than it needs, or without them,
the page says so instead. May import: report.html, report.results, report.tables, report.verdicts.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from signdyn.report.html import Html, join, tag
from signdyn.report.results import Experiment
from signdyn.report.tables import Finding, effect_text
from signdyn.report.verdicts import claim_anchor, number, verdict_badge


class Statement(NamedTuple):
    """One sentence of an answer.

    Attributes:
        text: Plain language.
        claims: The claims that it rests on, "experiment/claim".
        needs: The verdict that every one of them must have.
    """

    text: str
    claims: Sequence[str]
    needs: str = "supported"


class Thread(NamedTuple):
    """A question, the statements that answer it, and the questions asked along the way.

    Attributes:
        title: The question.
        statements: In the order of the argument.
        questions: Id -> what is asked or claimed.
    """

    title: str
    statements: Sequence[Statement]
    questions: Mapping[str, str]


def findings_by_name(experiments: Sequence[Experiment]) -> dict[str, Finding]:
    """Return "experiment/claim" -> finding."""
    return {
        f"{finding['experiment']}/{finding['id']}": finding
        for experiment in experiments
        for finding in experiment.findings
    }


def is_borne_out(statement: Statement, findings: Mapping[str, Finding]) -> bool:
    """Return whether all claims of a statement were decided, and as it needs."""
    verdicts = {findings[name]["verdict"] if name in findings else "" for name in statement.claims}
    return verdicts == {statement.needs}


def thread_section(thread: Thread, experiments: Sequence[Experiment]) -> Html:
    """Return a thread's answer, and all its questions with the claims on each."""
    findings = findings_by_name(experiments)
    there, lacking = [], []
    for statement in thread.statements:
        is_there = all(name in findings for name in statement.claims)
        (there if is_there else lacking).append(_statement(statement, findings))
    rows = (
        _question(name, text, [f for f in findings.values() if name in f["questions"]])
        for name, text in thread.questions.items()
    )
    return tag(
        "section",
        tag("h2", thread.title),
        *([tag("ul", *there, class_="statements")] if there else []),
        *([_folded(lacking)] if lacking else []),
        tag(
            "details",
            tag("summary", "Every question and sentence of the thread, with its claims"),
            tag("dl", *rows, class_="questions"),
        ),
        class_="thread",
    )


def _folded(lacking: Sequence[Html]) -> Html:
    """Return statements of other experiments than this run's, out of the way."""
    count = "1 statement rests" if len(lacking) == 1 else f"{len(lacking)} statements rest"
    summary = tag("summary", f"{count} on experiments that are not in this run")
    return tag("details", summary, tag("ul", *lacking, class_="statements"))


def _statement(statement: Statement, findings: Mapping[str, Finding]) -> Html:
    known = [findings[name] for name in statement.claims if name in findings]
    links = [_link(finding) for finding in known]
    listed = _joined("; ", links)
    if is_borne_out(statement, findings):
        return tag("li", statement.text, " ", tag("span", listed, class_="evidence"))
    if len(known) < len(statement.claims):
        return tag("li", "Not measured in this run: ", statement.text, class_="open")
    told = ("This run does not bear out: ", statement.text, " ")
    return tag("li", *told, tag("span", listed, class_="evidence"), class_="open")


def _link(finding: Finding) -> Html:
    effect = number(effect_text(finding))
    link = tag("a", finding["id"], href=f"#{claim_anchor(finding)}", title=finding["sentence"])
    verdict = "" if finding["verdict"] == "supported" else f" ({finding['verdict']})"
    return join(link, verdict, " ", effect)


def _question(name: str, text: str, findings: Sequence[Finding]) -> Html:
    links = [join(verdict_badge(f["verdict"]), " ", _short_link(f)) for f in findings]
    claims = _joined(", ", links) if links else Html("no claim")
    return tag("div", tag("dt", name), tag("dd", tag("p", text), tag("p", claims)))


def _joined(between: str, parts: Sequence[Html]) -> Html:
    return join(*[piece for part in parts for piece in (between, part)][1:])


def _short_link(finding: Finding) -> Html:
    name = f"{finding['experiment']}/{finding['id']}"
    return tag("a", name, href=f"#{claim_anchor(finding)}")
