"""The report: one HTML page that needs no network, made from what the experiments wrote.

May import: records, report.html, report.results, report.sections, report.threads,
report.verdicts.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from signdyn.records import write_bytes
from signdyn.report.html import Html, join, tag
from signdyn.report.results import VERDICTS, Experiment, Results, read_results
from signdyn.report.sections import Plates, experiment_section
from signdyn.report.threads import Thread, thread_section
from signdyn.report.verdicts import SYMBOLS, tally, verdict_table

FIGURE_BUDGET = 2_300_000
"""Bytes of figures in one page: what lies above is linked, so that the page opens at once."""


class Page(NamedTuple):
    """Where the page is, and one sentence for everything that could not be put into it."""

    path: Path
    problems: tuple[str, ...]


def write_page(
    results_dir: Path | str, *, order: Sequence[str] = (), threads: Sequence[Thread] = ()
) -> Page:
    """Write ``report.html`` from every experiment found in a results folder.

    The page is one file: its style, script and figures are in it, and its content policy
    forbids it to load anything. The same results give the same bytes. An experiment whose
    files are missing or damaged is named in the page and in ``problems``; the others are
    shown as they are.

    Args:
        results_dir: Holds one folder an experiment, with claims.json, run.json and figures/.
        order: Experiments to put first; the others follow by name.
        threads: What people ask, answered at the top of the page.

    Returns:
        Path of the page, and what is wrong with the results, if anything.

    Raises:
        FileNotFoundError: If no experiment is found.
    """
    folder = Path(results_dir)
    results = read_results(folder, order)
    if not results.experiments and not results.problems:
        raise FileNotFoundError(
            f"write_page: expected {folder}/<experiment>/claims.json, found none; "
            "run an experiment with this folder as its output first."
        )
    plates = Plates(FIGURE_BUDGET)
    sections = [experiment_section(experiment, plates) for experiment in results.experiments]
    results = Results(results.experiments, (*results.problems, *plates.problems))
    path = folder / "report.html"
    write_bytes(path, _document(results, sections, threads).encode())
    return Page(path, results.problems)


def _document(results: Results, sections: Sequence[Html], threads: Sequence[Thread]) -> str:
    style, script = (
        resources.files("signdyn.report").joinpath(name).read_text(encoding="utf-8")
        for name in ("page.css", "page.js")
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        tag("title", "Sign dynamics: verdicts"),
        tag("style", Html(style)),
    )
    body = tag(
        "body",
        tag("a", "Skip to the verdicts", href="#Verdicts", class_="skip"),
        _header(results),
        tag(
            "main",
            *(thread_section(thread, results.experiments) for thread in threads),
            _verdicts(results.experiments),
            _answers(results.experiments),
            *sections,
        ),
        _footer(),
        tag("script", Html(script)),
    )
    return f'<!doctype html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def _policy(script: str) -> str:
    """Nothing may be loaded, and no script may run but the page's own."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _header(results: Results) -> Html:
    findings = [finding for experiment in results.experiments for finding in experiment.findings]
    experiments = _count(len(results.experiments), "experiment")
    lede = (
        f"{experiments}, {_count(len(findings), 'claim')}. The rule that decides a claim is "
        "stated before the run, and claims that fail stay in the table."
    )
    return tag(
        "header",
        tag("h1", "Sign dynamics"),
        tag("p", lede, class_="lede"),
        tally(findings),
        _problems(results.problems),
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _problems(problems: Sequence[str]) -> Html:
    if not problems:
        return Html()
    entries = (tag("li", problem) for problem in problems)
    return tag(
        "section",
        tag("h2", "Missing or damaged"),
        tag("ul", *entries),
        class_="problems",
        id="Problems",
    )


def _answers(experiments: Sequence[Experiment]) -> Html:
    entries = (
        tag(
            "li",
            tag("h3", tag("a", experiment.title, href=f"#{experiment.name}")),
            tag("p", experiment.question, class_="question") if experiment.question else "",
            tag("p", experiment.answer or "No headline was written.", class_="answer"),
            tally(experiment.findings),
        )
        for experiment in experiments
    )
    return tag(
        "section", tag("h2", "Experiments"), tag("ol", *entries, class_="answers"), id="Experiments"
    )


def _verdicts(experiments: Sequence[Experiment]) -> Html:
    return tag(
        "section",
        tag("h2", "Verdicts"),
        tag("p", "Open a claim to see how it was decided and the value of every seed."),
        _filter(experiments),
        tag("div", verdict_table(experiments), class_="scroll"),
        id="Verdicts",
    )


def _filter(experiments: Sequence[Experiment]) -> Html:
    """Controls that the script shows: without it they would do nothing."""
    boxes = (
        tag(
            "label",
            tag("input", type="checkbox", name_="verdict", value=verdict, checked=True),
            tag("span", f"{SYMBOLS[verdict]} {verdict}", class_=f"badge {verdict}"),
        )
        for verdict in VERDICTS
    )
    options = (
        tag("option", experiment.title, value=experiment.name)
        for experiment in experiments
        if experiment.findings
    )
    choice = tag("select", tag("option", "all", value=""), *options, name_="experiment")
    return tag(
        "form",
        tag("fieldset", tag("legend", "Show"), *boxes),
        tag("label", "Experiment ", choice),
        tag("output", role="status"),
        class_="filter",
        hidden=True,
    )


def _footer() -> Html:
    code = tag("code", "signdyn.records.load")
    return tag(
        "footer",
        tag(
            "p",
            join("Every number here comes from the folder this page lies in; ", code),
            " reads the values of every seed from there.",
        ),
    )
