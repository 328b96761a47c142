"""The claims by the question they answer, with all that decided them: Markdown, CSV and LaTeX.

May import: records, report.formats, report.numbers, report.results, report.tables.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from signdyn.records import write_bytes
from signdyn.report.formats import Cell, Markdown, Table, to_csv, to_latex, to_markdown
from signdyn.report.numbers import format_number, format_p
from signdyn.report.results import Experiment
from signdyn.report.tables import Finding, caution, effect_text

COLUMNS = (
    "verdict",
    "claim",
    "statistic",
    "effect [interval]",
    "rule",
    "errs",
    "n",
    "p",
    "p (Holm)",
)
"""Of the tables to read; the CSV has every field."""

LEGEND = """\
**rule**: the effects that support the claim; the whole interval must lie there, see
`signdyn.claims`. **errs**: how often the rule says "supported", or "refuted", in draws of these
seeds whose mean lies on the rule's edge, where it should say neither, see `signdyn.calibration`;
"-" where every single value decides. **p**: of a permutation test by seed against the rule's edges
(of a margin, against the nearer one for an effect outside); **p (Holm)** corrects it over the
experiment's claims.
"""
"""Stands above the tables to read."""

FIELDS = ("question", "experiment", "id", "verdict", "sentence", "statistic", "effect", "low")
FIELDS += ("high", "confidence", "n", "left_out", "p", "p_holm", "false_verdict", "control")
FIELDS += ("questions", "rule", "figure", "command")
"""Columns of the CSV."""


def write_evidence(
    experiments: Sequence[Experiment],
    questions: Mapping[str, str],
    folder: Path | str,
    name: str,
    *,
    preamble: str,
    figures: str,
) -> list[Path]:
    """Write the table of all claims, by question, as ``name.md``, ``name.csv`` and ``name.tex``.

    A claim stands under the first of its questions; further ones refer to it.

    Args:
        experiments: From `signdyn.report.results.read_results`.
        questions: Id -> what is asked or claimed, in the order of the table.
        folder: Where; made if missing.
        name: File name without suffix.
        preamble: Markdown above the table: which run it is of, and how to repeat it.
        figures: Path from ``folder`` to the run's folder, for links to figures.

    Returns:
        The three paths.

    Raises:
        ValueError: If a claim cites no question that is asked.
    """
    grouped = _by_question(experiments, questions)
    markdown = "".join(_markdown(preamble, experiments, questions, grouped, figures))
    commands = {experiment.name: experiment.command for experiment in experiments}
    rows = [
        [
            _raw(finding, field, {"question": question, "command": commands[finding["experiment"]]})
            for field in FIELDS
        ]
        for question, findings in grouped.items()
        for finding in findings
    ]
    readable = [
        (question, *_readable(finding)) for question, fs in grouped.items() for finding in fs
    ]
    latex = to_latex(
        Table(("question", *COLUMNS), readable),
        alignment=r"@{}llp{0.28\linewidth}p{0.2\linewidth}llrrrr@{}",
    )
    texts = {"md": markdown, "csv": to_csv(Table(FIELDS, rows)), "tex": latex}
    paths = [Path(folder, f"{name}.{suffix}") for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_bytes(path, text.encode())
    return paths


def _by_question(
    experiments: Sequence[Experiment], questions: Mapping[str, str]
) -> dict[str, list[Finding]]:
    grouped: dict[str, list[Finding]] = {question: [] for question in questions}
    for experiment in experiments:
        for finding in experiment.findings:
            asked = [name for name in finding["questions"] if name in questions]
            if not asked:
                raise ValueError(
                    f"write_evidence: expected every claim to cite one of {', '.join(questions)}, "
                    f"got {finding['questions']} in {experiment.name}/{finding['id']}."
                )
            grouped[asked[0]].append(finding)
    return grouped


def _markdown(
    preamble: str,
    experiments: Sequence[Experiment],
    questions: Mapping[str, str],
    grouped: Mapping[str, Sequence[Finding]],
    figures: str,
) -> Iterator[str]:
    yield f"{preamble.rstrip()}\n\n{LEGEND}\n"
    everything = [finding for findings in grouped.values() for finding in findings]
    yield "## Which run, and how to repeat it\n\n"
    counts = [
        (
            e.name,
            *(sum(f["verdict"] == v for f in e.findings) for v in _VERDICTS),
            f"`{e.command}`",
            _machine(e.facts),
        )
        for e in experiments
    ]
    yield to_markdown(Table(("experiment", *_VERDICTS, "command", "run on"), counts))
    yield "\n"
    for question, findings in grouped.items():
        yield f"## {question}. {questions[question]}\n\n"
        if findings:
            rows = [_linked(finding, figures) for finding in findings]
            yield to_markdown(Table((*COLUMNS, "figure"), rows)) + "\n"
        elsewhere = [f for f in everything if question in f["questions"][1:] and f not in findings]
        if elsewhere:
            names = (f"{_name(f)} ({f['verdict']})" for f in elsewhere)
            yield f"See also: {', '.join(names)}.\n\n"
        if not findings and not elsewhere:
            yield "No claim.\n\n"


_VERDICTS = ("supported", "refuted", "inconclusive")


def _machine(facts: Mapping[str, Any]) -> str:
    environment = facts.get("environment", {})
    names = ("device", "devices", "platform")
    if not isinstance(environment, Mapping):
        return "-"
    packages = environment.get("packages")
    if not isinstance(packages, Mapping) or not {*names, "python"} <= environment.keys():
        return "-"
    device, devices, platform = (environment[name] for name in names)
    return (
        f"{device}, {devices} {platform} device(s), JAX {packages.get('jax')}, "
        f"Python {environment['python']}"
    )


def _readable(finding: Finding) -> tuple[str, ...]:
    rate = finding.get("false_verdict")
    told = f" {caution(finding)}" if caution(finding) else ""
    return (
        str(finding["verdict"]),
        f"{finding['sentence']} ({_name(finding)}){told}",
        str(finding["statistic"]),
        effect_text(finding),
        short_rule(finding["bounds"]),
        "-" if rate is None else f"{100.0 * rate:.1f}%",
        str(finding["n"]),
        format_p(finding.get("p")),
        format_p(finding.get("p_holm")),
    )


def short_rule(bounds: Sequence[float | None]) -> str:
    """Return the effects that support a claim, None for no bound on that side.

    Example:
        >>> short_rule([1.0, None]), short_rule([0.8, 1.25]), short_rule([0.0, 0.0])
        ('> 1', '0.8 to 1.25', '= 0')
    """
    low, high = (None if end is None else format_number(end) for end in bounds)
    if low == high:
        return f"= {low}"
    if low is None or high is None:
        return f"> {low}" if high is None else f"< {high}"
    return f"{low} to {high}"


def _linked(finding: Finding, figures: str) -> tuple[str, ...]:
    name = finding["figure"]
    path = f"{figures}/{finding['experiment']}/figures/{name}.svg"
    return (*_readable(finding), Markdown(f"[{name}]({path})") if name else "-")


def _name(finding: Finding) -> str:
    return f"{finding['experiment']}/{finding['id']}"


def _raw(finding: Finding, field: str, more: Mapping[str, str]) -> Cell:
    value: Any = more[field] if field in more else finding.get(field)
    return " ".join(value) if field == "questions" else value
