"""The verdict table of the page: one row a claim, which unfolds to how it was decided.

May import: report.html, report.numbers, report.results, report.seeds, report.tables.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from signdyn.report.html import Html, escape, join, tag
from signdyn.report.numbers import defined, format_p
from signdyn.report.results import VERDICTS, Experiment
from signdyn.report.seeds import seed_values
from signdyn.report.tables import Finding, caution, effect_text, interval_heading

SYMBOLS = {"supported": "✓", "refuted": "✕", "inconclusive": "?"}
"""Verdict -> a character, so that it is not told by color alone."""


def verdict_table(
    experiments: Sequence[Experiment], sources: Mapping[str, str] | None = None
) -> Html:
    """Return the table of all claims, grouped by experiment.

    Args:
        experiments: Whose claims.
        sources: Experiment -> where its decision rules are written.

    Rows carry ``data-verdict`` and groups ``data-experiment`` for the page's filter. The roles
    are spelled out because a phone's layout, which stacks the cells, would lose them.
    """
    findings = [finding for experiment in experiments for finding in experiment.findings]
    headings = ("Verdict", "Claim", interval_heading(findings).capitalize(), "n", "p (Holm)")
    head = tag("tr", *(_cell("th", name, role="columnheader") for name in headings), role="row")
    return tag(
        "table",
        tag("caption", "One row a claim; a claim unfolds to how it was decided.", class_="unseen"),
        tag("thead", head, role="rowgroup"),
        *(_group(e, (sources or {}).get(e.name, "")) for e in experiments if e.findings),
        class_="verdicts",
        role="table",
    )


def verdict_badge(verdict: str) -> Html:
    """Return a verdict as word, symbol and color."""
    symbol = tag("span", SYMBOLS[verdict], aria_hidden="true")
    return tag("span", symbol, f" {verdict}", class_=f"badge {verdict}")


def tally(findings: Iterable[Finding]) -> Html:
    """Return how many claims got which verdict, such as ``5 supported, 2 refuted``."""
    verdicts = [finding["verdict"] for finding in findings]
    badges = (
        tag(
            "li",
            tag("span", SYMBOLS[verdict], aria_hidden="true"),
            f" {verdicts.count(verdict)} {verdict}",
            class_=f"badge {verdict}",
        )
        for verdict in VERDICTS
        if verdict in verdicts
    )
    return tag("ul", *badges, class_="tally")


def claim_anchor(finding: Finding) -> str:
    """Return the id of a claim's row: ``experiment/claim``."""
    return f"{finding['experiment']}/{finding['id']}"


def figure_anchor(experiment: str, figure: str) -> str:
    """Return the id of a figure; the colon keeps it apart from every claim's."""
    return f"{experiment}:{figure}"


def number(text: str) -> Html:
    """Return a formatted number with a real minus sign and powers of ten as such.

    Example:
        >>> number("-4.3e-5")
        '−4.3 × 10<sup>−5</sup>'
    """
    if text == "-":
        return Html("–")
    signs = escape(re.sub(r"(?<![\w.])-(?=[\d.i])", "−", text))
    powers = re.sub(
        r"(\d)e(-?)(\d+)",
        lambda match: f"{match[1]} × 10<sup>{'−' if match[2] else ''}{match[3]}</sup>",
        signs,
    )
    return Html(powers)


def _group(experiment: Experiment, source: str) -> Html:
    link = tag("a", experiment.title, href=f"#{experiment.name}")
    title = tag("th", link, colspan="5", scope="rowgroup", role="rowheader")
    return tag(
        "tbody",
        tag("tr", title, class_="group", role="row"),
        *(_row(finding, experiment, source) for finding in experiment.findings),
        data_experiment=experiment.name,
        role="rowgroup",
    )


def _row(finding: Finding, experiment: Experiment, source: str) -> Html:
    effect, _, interval = effect_text(finding).partition(" ")
    return tag(
        "tr",
        _cell("td", verdict_badge(finding["verdict"]), label="Verdict"),
        _cell("td", _claim(finding, experiment, source), label="Claim", class_="claim"),
        _cell(
            "td",
            join(tag("b", number(effect)), " ", tag("span", number(interval), class_="interval")),
            label="Effect",
            class_="effect",
        ),
        _cell("td", str(finding["n"]), label="n", class_="count"),
        _cell("td", number(format_p(finding["p_holm"])), label="p (Holm)", class_="count"),
        id=claim_anchor(finding),
        data_verdict=finding["verdict"],
        role="row",
    )


def _cell(name: str, content: str, *, label: str | None = None, **attributes: str) -> Html:
    scope = "col" if name == "th" else None
    return tag(name, content, scope=scope, data_label=label, **{"role": "cell", **attributes})


def _claim(finding: Finding, experiment: Experiment, source: str) -> Html:
    told = [*(["control"] if finding["control"] else []), caution(finding)]
    chips = [piece for text in told if text for piece in (" ", tag("span", text, class_="chip"))]
    return tag(
        "details",
        tag("summary", finding["sentence"], *chips),
        tag("dl", *_facts(finding, experiment, source)),
    )


def _facts(finding: Finding, experiment: Experiment, source: str) -> Iterable[Html]:
    """Pairs of term and description: how the claim was decided, and how to check it."""
    facts: list[tuple[str, str]] = [
        ("Rule", finding["rule"]),
        ("Statistic", finding["statistic"]),
        ("p, uncorrected", number(format_p(finding["p"])) if defined(finding["p"]) else ""),
        ("Errs", _false_verdicts(finding)),
        ("Seeds", _seeds(finding)),
        ("Per seed", seed_values(finding, _num_seeds(experiment))),
        ("Settles", ", ".join(finding["questions"])),
        ("Figure", _figure_link(finding, experiment)),
        ("Repeat", tag("code", experiment.command) if experiment.command else ""),
        ("Source", source),
        ("Link", tag("a", claim_anchor(finding), href=f"#{claim_anchor(finding)}")),
    ]
    for term, description in facts:
        if description:
            yield tag("dt", term)
            yield tag("dd", description)


def _seeds(finding: Finding) -> str:
    why = f": {finding['left_out_why']}" if finding["left_out_why"] else ""
    return f"{finding['n']} used, {finding['left_out']} left out{why}"


def _false_verdicts(finding: Finding) -> str:
    rate = finding["false_verdict"]
    told = "of draws of these seeds in which there is nothing to decide"
    return f"in {100.0 * rate:.1f}% {told}" if defined(rate) else ""


def _figure_link(finding: Finding, experiment: Experiment) -> str:
    name = finding["figure"]
    if name not in {figure.name for figure in experiment.figures}:
        return ""
    return tag("a", name, href=f"#{figure_anchor(experiment.name, name)}", class_="figure")


def _num_seeds(experiment: Experiment) -> int | None:
    config = experiment.facts.get("config")
    seeds = config.get("seeds") if isinstance(config, Mapping) else None
    return seeds if isinstance(seeds, int) else None
