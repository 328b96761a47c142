"""One experiment's part of the page: question, answer, figures, files and run facts.

May import: report.html, report.numbers, report.results, report.stepper, report.svg,
report.verdicts.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import ParseError

from signdyn.report.html import Html, tag
from signdyn.report.numbers import format_number
from signdyn.report.results import Experiment, FigureFile
from signdyn.report.stepper import stepper
from signdyn.report.svg import inline
from signdyn.report.verdicts import claim_anchor, figure_anchor, tally

NO_STEPS = (
    "Training cannot be played step by step here: steps.json is missing, because a version that "
    "wrote none made this run, or damaged. Its command, given again, writes it."
)
"""Stands where a run has no steps to play."""


class Plates:
    """Puts figures into the page until its budget of bytes is spent; later ones are linked.

    Args:
        budget: Bytes of figures that the page may hold.

    Attributes:
        problems: One sentence for each figure that could not be put into the page.
    """

    def __init__(self, budget: int) -> None:
        self._left = budget
        self._count = 0
        self.problems: list[str] = []

    def place(self, figure: FigureFile, experiment: str) -> Html:
        """Return the figure as an element, or a sentence that says where it is."""
        path = f"{experiment}/figures/{figure.name}.svg"
        if figure.svg is None:
            return tag("p", f"{path} is missing.", class_="absent")
        if len(figure.svg) > 2 * self._left:
            return self._link(path)  # in the page it would take a half of that, or more
        self._count += 1
        try:
            # No claim or experiment can have a colon in its name.
            plate = inline(figure.svg, f"f{self._count}:", figure.caption or figure.name)
        except (ParseError, ValueError) as error:
            self.problems.append(f"{path} cannot be shown ({error}).")
            return tag("p", f"{path} is damaged.", class_="absent")
        if len(plate) > self._left:
            return self._link(path)
        self._left -= len(plate)
        return plate

    def _link(self, path: str) -> Html:
        self.problems.append(f"{path} is too large to show in the page; it is linked there.")
        return tag("p", "Too large to show here: ", tag("a", path, href=path), class_="absent")


def experiment_section(experiment: Experiment, plates: Plates, is_played: bool = False) -> Html:
    """Return an experiment's section; its id is the experiment's name.

    Args:
        experiment: What was read.
        plates: Takes its figures.
        is_played: Whether it should have steps to play; without them the section says why.
    """
    steps = tag("p", NO_STEPS, class_="absent") if is_played else Html()
    if experiment.steps:
        steps = stepper(experiment.steps, experiment.name)
    command = tag("p", "Repeat with ", tag("code", experiment.command), class_="command")
    return tag(
        "section",
        tag("h2", experiment.title),
        tag("p", experiment.question, class_="question") if experiment.question else "",
        tag("p", experiment.answer, class_="answer") if experiment.answer else "",
        tally(experiment.findings),
        steps,
        *(_figure(figure, experiment, plates) for figure in experiment.figures),
        command if experiment.command else "",
        _files(experiment),
        *_run_facts(experiment.facts),
        tag("p", tag("a", "Back to the verdicts", href="#Verdicts"), class_="back"),
        id=experiment.name,
        class_="experiment",
    )


def _figure(figure: FigureFile, experiment: Experiment, plates: Plates) -> Html:
    path = f"{experiment.name}/figures/{figure.name}"
    claims = [f for f in experiment.findings if f["figure"] == figure.name]
    links = [tag("a", f["id"], href=f"#{claim_anchor(f)}") for f in claims]
    shown = [piece for link in links for piece in (", ", link)][1:]
    files = (tag("a", "SVG", href=f"{path}.svg"), ", ", tag("a", "PDF", href=f"{path}.pdf"))
    return tag(
        "figure",
        # A region that scrolls must be reachable with the keyboard.
        tag(
            "div",
            plates.place(figure, experiment.name),
            class_="plate",
            tabindex="0",
            role="region",
            aria_label=f"Figure {figure.name}",
        ),
        tag(
            "figcaption",
            figure.caption,
            tag("span", *(("Claims: ", *shown, ". ") if shown else ()), "Files: ", *files),
        ),
        id=figure_anchor(experiment.name, figure.name),
    )


def _files(experiment: Experiment) -> Html:
    links = [
        tag("li", tag("a", name, href=f"{experiment.name}/tables/{name}"))
        for name in experiment.tables
    ]
    return tag("div", "Tables: ", tag("ul", *links), class_="files") if links else Html()


def _run_facts(facts: Mapping[str, Any]) -> Iterator[Html]:
    """One folded list a group of run.json; what is in no group comes first."""
    groups = {name: value for name, value in facts.items() if isinstance(value, Mapping)}
    loose = {name: value for name, value in facts.items() if name not in groups}
    named = {"run": loose, **groups}
    for name in sorted(named, key=lambda name: (name != "run", name == "config")):
        pairs = [tag("dt", key) + tag("dd", text) for key, text in _flat(named[name])]
        if pairs:
            title = name.replace("_", " ").capitalize()
            entries = (tag("div", Html(pair)) for pair in pairs)
            yield tag("details", tag("summary", title), tag("dl", *entries), class_="facts")


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Nested facts as pairs of a dotted name and a text."""
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _flat(entry, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        yield name, ", ".join(_fact(entry) for entry in value) or "none"
    else:
        yield name, _fact(value)


def _fact(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "none"
    return format_number(value, digits=6) if isinstance(value, float) else str(value)
