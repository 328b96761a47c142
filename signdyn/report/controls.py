"""Controls of the page, which its script shows: without it they would do nothing.

May import: report.html, report.results, report.verdicts.
"""

from collections.abc import Sequence

from signdyn.report.html import Html, tag
from signdyn.report.results import VERDICTS, Experiment
from signdyn.report.verdicts import SYMBOLS


def theme_control() -> Html:
    """Return the choice between dark, light, and what the reader's system says."""
    return tag("label", "Theme ", _select("theme", ("auto", "light", "dark")), class_="theme")


def filter_form(experiments: Sequence[Experiment]) -> Html:
    """Return the form that filters, sorts and unfolds the table of verdicts."""
    boxes = (
        tag(
            "label",
            tag("input", type="checkbox", name_="verdict", value=verdict, checked=True),
            tag("span", f"{SYMBOLS[verdict]} {verdict}", class_=f"badge {verdict}"),
        )
        for verdict in VERDICTS
    )
    named = {"": "all", **{e.name: e.title for e in experiments if e.findings}}
    return tag(
        "form",
        tag("fieldset", tag("legend", "Show"), *boxes),
        tag("label", "Experiment ", _select("experiment", named)),
        tag("label", "Words ", tag("input", type="search", name_="words", size="14")),
        tag("label", "Sort by ", _select("sort", ("experiment", "verdict"))),
        tag("button", "Unfold all shown", type="button", name_="unfold"),
        tag("button", "Fold all", type="button", name_="fold"),
        tag("button", "Reset", type="reset"),
        tag("output", role="status"),
        class_="filter",
        aria_label="Filter and sort the claims",
        hidden=True,
    )


def _select(name: str, choices: Sequence[str] | dict[str, str]) -> Html:
    named = choices if isinstance(choices, dict) else {choice: choice for choice in choices}
    options = (tag("option", text, value=value) for value, text in named.items())
    return tag("select", *options, name_=name)
