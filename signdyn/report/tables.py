"""Tables of claims and of results: Markdown, CSV, LaTeX, and plain text for a terminal.

May import: records, report.formats, report.names, report.numbers.
"""

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from signdyn.records import write_bytes
from signdyn.report.formats import Cell, Table, to_csv, to_latex, to_markdown
from signdyn.report.names import check_name
from signdyn.report.numbers import defined, format_interval, format_p

Finding = Mapping[str, Any]
"""One entry of ``findings`` in a claims.json."""

MAX_RATE = 0.08
"""Share of draws with nothing to decide in which a rule may decide: 5%, and simulation's error."""


def claims_table(findings: Sequence[Finding]) -> Table:
    """Return the claims as a table of texts to read, verdict first, one row a claim.

    Args:
        findings: As in claims.json.

    Returns:
        Columns verdict, claim, effect with its interval, n, corrected p.

    Example:
        >>> finding = {"id": "a", "sentence": "It holds.", "effect": 0.0, "low": 0.0,
        ...            "high": 0.0, "n": 16, "verdict": "supported"}
        >>> claims_table([finding]).rows
        [('supported', 'It holds. (a)', '0 (exact)', '16', '-')]
    """
    rows = [
        (
            str(finding["verdict"]),
            f"{finding['sentence']} ({finding_name(finding)})",
            effect_text(finding),
            str(finding["n"]),
            format_p(finding.get("p_holm")),
        )
        for finding in findings
    ]
    return Table(("verdict", "claim", interval_heading(findings), "n", "p (Holm)"), rows)


def finding_name(finding: Finding) -> str:
    """Return ``experiment/id`` where the finding names its experiment, else ``id``."""
    experiment = finding.get("experiment")
    return f"{experiment}/{finding['id']}" if experiment else str(finding["id"])


def effect_text(finding: Finding) -> str:
    """Return the effect with its interval; ``exact`` only if no seed differs from zero.

    Example:
        >>> zero = {"effect": 0.0, "low": 0.0, "high": 0.0}
        >>> effect_text(zero | {"values": [0.0, 0.0]}), effect_text(zero | {"values": [0.0, 9.0]})
        ('0 (exact)', '0 [0, 0]')
    """
    text = format_interval(finding["effect"], finding["low"], finding["high"])
    # A median can be zero, and its interval too, while some seeds are not.
    return "0 [0, 0]" if text == "0 (exact)" and any(finding.get("values", ())) else text


def caution(finding: Finding) -> str:
    """Return a warning if the claim's rule decides too often, see `signdyn.calibration`.

    Example:
        >>> caution({"false_verdict": 0.31})
        'The verdict rests on skewed seeds: the rule errs in 31% of draws.'
        >>> caution({"false_verdict": 0.05}), caution({"false_verdict": None})
        ('', '')
    """
    rate = finding.get("false_verdict")
    if rate is None or not rate > MAX_RATE:
        return ""
    return f"The verdict rests on skewed seeds: the rule errs in {rate:.0%} of draws."


def interval_heading(findings: Iterable[Finding]) -> str:
    """Return the heading over effects: it gives the confidence if all share one.

    Example:
        >>> interval_heading([{"confidence": 0.95}, {"confidence": 0.95}])
        'effect [95% interval]'
    """
    levels = {finding.get("confidence") for finding in findings}
    level = levels.pop() if len(levels) == 1 else None
    return f"effect [{100 * level:g}% interval]" if level is not None else "effect [interval]"


def write_tables(
    findings: Sequence[Finding], folder: Path | str, name: str, *, long: bool = False
) -> list[Path]:
    """Write the claims as ``name.md``, ``name.csv`` and ``name.tex``.

    Markdown and LaTeX hold what a reader needs, rounded; the CSV every field at full
    precision, ``nan`` where a number is undefined, empty where nothing was tested.

    Args:
        findings: As in claims.json.
        folder: Where; made if missing.
        name: File name without suffix: lower-case letters, digits, ``_`` and ``-``.
        long: Whether the LaTeX may go over several pages.

    Returns:
        The three paths.

    Raises:
        ValueError: If ``name`` cannot be a file name.
    """
    check_name(name, "write_tables")
    readable = claims_table(findings)
    raw = Table(_FIELDS, [[_raw_cell(finding, name) for name in _FIELDS] for finding in findings])
    latex = to_latex(readable, alignment=r"@{}lp{0.45\linewidth}lrr@{}", long=long)
    return _write(folder, name, to_markdown(readable), to_csv(raw), latex)


def write_table(table: Table, folder: Path | str, name: str) -> list[Path]:
    """Write any table as ``name.md``, ``name.csv`` and ``name.tex``.

    Args:
        table: Numbers as numbers: the CSV keeps them whole, the others four digits.
        folder: Where; made if missing.
        name: File name without suffix: lower-case letters, digits, ``_`` and ``-``.

    Returns:
        The three paths.

    Raises:
        ValueError: If ``name`` cannot be a file name or a row has not one cell a column.
    """
    check_name(name, "write_table")
    for row in table.rows:
        if len(row) != len(table.columns):
            raise ValueError(
                f"write_table: expected rows of {len(table.columns)} cells, got {row!r}."
            )
    return _write(folder, name, to_markdown(table), to_csv(table), to_latex(table))


def to_text(findings: Sequence[Finding], *, width: int = 100, color: bool = False) -> str:
    """Return the claims for a terminal: verdict first, sentences wrapped, plain characters.

    Args:
        findings: As in claims.json.
        width: Columns that no line exceeds, if it is 72 or more.
        color: Color the verdicts; pass ``sys.stdout.isatty()``.
    """
    table = claims_table(findings)
    texts = [[str(cell) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(len(row[column]) for row in texts) for column in range(len(table.columns))]
    widths[1] = max(width - sum(widths) + widths[1] - 2 * (len(widths) - 1), 20)
    lines = []
    for row in texts:
        claim = textwrap.wrap(
            row[1], widths[1], break_long_words=False, break_on_hyphens=False
        ) or [""]
        cells = [row[0].ljust(widths[0]), claim[0].ljust(widths[1]), row[2].ljust(widths[2])]
        cells += [row[3].rjust(widths[3]), row[4].rjust(widths[4])]
        if color and row[0] in _COLORS:
            cells[0] = f"\x1b[{_COLORS[row[0]]}m{cells[0]}\x1b[0m"
        lines.append("  ".join(cells).rstrip())
        lines += [" " * (widths[0] + 2) + rest for rest in claim[1:]]
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(lines) + "\n"


_COLORS = {"supported": 32, "refuted": 31, "inconclusive": 33}
_NUMBERS = ("effect", "low", "high")
_FIELDS = ("experiment", "id", "verdict", "sentence", "statistic", *_NUMBERS, "confidence", "n")
_FIELDS += ("left_out", "p", "p_holm", "control", "questions", "rule")


def _raw_cell(finding: Finding, name: str) -> Cell:
    value = finding.get(name)
    if name in _NUMBERS and not defined(value):
        return math.nan
    return " ".join(value or ()) if name == "questions" else value


def _write(folder: Path | str, name: str, markdown: str, data: str, latex: str) -> list[Path]:
    texts = {"md": markdown, "csv": data, "tex": latex}
    paths = [Path(folder, f"{name}.{suffix}") for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        write_bytes(path, text.encode())
    return paths
