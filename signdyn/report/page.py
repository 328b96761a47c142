"""The report: one HTML page that needs no network, made from what the experiments wrote.

May import: records, report.assets, report.controls, report.html, report.results,
report.sections, report.stepper, report.threads, report.verdicts.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from signdyn.records import write_bytes
from signdyn.report.assets import policy, script, style
from signdyn.report.controls import filter_form, theme_control
from signdyn.report.html import Html, join, tag
from signdyn.report.results import Experiment, Results, read_results
from signdyn.report.sections import Plates, experiment_section
from signdyn.report.stepper import steps_anchor
from signdyn.report.threads import Thread, thread_section
from signdyn.report.verdicts import tally, verdict_table

FIGURE_BUDGET = 1_900_000
"""Bytes of figures in one page: what lies above is linked, so that the page opens at once."""


class Page(NamedTuple):
    """Where the page is, and one sentence for everything that could not be put into it."""

    path: Path
    problems: tuple[str, ...]


def write_page(
    results_dir: Path | str,
    *,
    order: Sequence[str] = (),
    threads: Sequence[Thread] = (),
    sources: Mapping[str, str] | None = None,
    played: Collection[str] = (),
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
        sources: Experiment -> file of its decision rules, as a path below the repository's root.
            It is linked if the results lie in the repository.
        played: Experiments that have steps.json: where it is missing, the page says so.

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
    sections = [experiment_section(e, plates, e.name in played) for e in results.experiments]
    results = Results(results.experiments, (*results.problems, *plates.problems))
    path = folder / "report.html"
    files = {name: _source(file, folder) for name, file in (sources or {}).items()}
    write_bytes(path, _document(results, sections, threads, files).encode())
    return Page(path, results.problems)


def _source(path: str, folder: Path) -> Html:
    """Name the file of an experiment's rules; link it if it is found above the results."""
    here = folder.resolve()
    for up, parent in enumerate((here, *here.parents)):
        if path and (parent / path).is_file():
            return tag("a", tag("code", path), href="../" * up + path)
    return tag("code", path) if path else Html()


def _document(
    results: Results,
    sections: Sequence[Html],
    threads: Sequence[Thread],
    sources: Mapping[str, Html],
) -> str:
    code = script()
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy(code)),
        tag("title", "Sign dynamics: verdicts"),
        tag("style", style()),
    )
    answers = [thread_section(thread, results.experiments) for thread in threads]
    body = tag(
        "body",
        tag("a", "Skip to the verdicts", href="#Verdicts", class_="skip"),
        _header(results, bool(answers)),
        tag(
            "main",
            tag("div", *answers, id="Answers") if answers else "",
            _verdicts(results.experiments, sources),
            _answers(results.experiments),
            *sections,
        ),
        _footer(),
        tag("script", code),
    )
    return f'<!doctype html>\n<html lang="en">\n{head}\n{body}\n</html>\n'


def _header(results: Results, has_answers: bool) -> Html:
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
        _navigation(results.experiments, has_answers),
        _problems(results.problems),
    )


def _navigation(experiments: Sequence[Experiment], has_answers: bool) -> Html:
    links = {"Answers": "Answers"} if has_answers else {}
    links |= {"Verdicts": "Verdicts", "Experiments": "Experiments"}
    links |= {steps_anchor(e.name): e.steps["title"] for e in experiments if e.steps}
    entries = (tag("li", tag("a", text, href=f"#{anchor}")) for anchor, text in links.items())
    return tag("nav", tag("ul", *entries), theme_control(), aria_label="Parts of the page")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _problems(problems: Sequence[str]) -> Html:
    if not problems:
        return Html()
    entries = (tag("li", problem) for problem in problems)
    return tag(
        "section",
        tag("h2", "Unfinished, missing or damaged"),
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


def _verdicts(experiments: Sequence[Experiment], sources: Mapping[str, Html]) -> Html:
    return tag(
        "section",
        tag("h2", "Verdicts"),
        tag("p", "Open a claim to see how it was decided and the value of every seed."),
        filter_form(experiments),
        tag("div", verdict_table(experiments, sources), class_="scroll"),
        id="Verdicts",
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
