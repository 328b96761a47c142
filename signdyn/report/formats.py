"""One table as Markdown, CSV and LaTeX.

May import: report.numbers.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from signdyn.report.numbers import UNDEFINED, Number, format_number

Cell = str | Number | bool | None
"""What a table holds; None and NaN are undefined."""


class Markdown(str):
    """Text that is Markdown already, such as a link; elsewhere it is text like any other."""

    __slots__ = ()


class Table(NamedTuple):
    """Names of the columns, and rows of as many cells; None and NaN are undefined."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def to_markdown(table: Table) -> str:
    r"""Return a table as Markdown (GitHub's flavor), numbers to the right.

    Example:
        >>> print(to_markdown(Table(("arm", "steps"), [("a|b", 118), ("c", None)])), end="")
        | arm | steps |
        | --- | ---: |
        | a\|b | 118 |
        | c | undefined |
    """
    lines = [[_markdown(name) for name in table.columns]]
    lines += [["---:" if number else "---" for number in _numeric(table)]]
    lines += [[_markdown(_text(cell)) for cell in row] for row in table.rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_csv(table: Table) -> str:
    """Return a table as CSV at full precision; NaN is ``nan``, None is empty.

    Text that a spreadsheet would run as a formula gets an apostrophe in front.

    Example:
        >>> print(to_csv(Table(("arm", "loss"), [("raw, 1", 0.1), ("b", None)])), end="")
        arm,loss
        "raw, 1",0.1
        b,
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in (table.columns, *table.rows):
        writer.writerow([_no_formula(cell) for cell in row])
    return buffer.getvalue()


def _no_formula(cell: Cell) -> Cell:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_latex(table: Table, *, alignment: str | None = None, long: bool = False) -> str:
    r"""Return a table as a LaTeX ``tabular`` with booktabs rules, everything escaped.

    Args:
        table: The table.
        alignment: Column specification; without it numbers go right and text left.
        long: Whether it may go over several pages, as a ``longtable``.

    Example:
        >>> print(to_latex(Table(("arm", "steps"), [("a_b", 118)])), end="")
        % needs \usepackage{booktabs}
        \begin{tabular}{@{}lr@{}}
        \toprule
        arm & steps \\
        \midrule
        a\_b & 118 \\
        \bottomrule
        \end{tabular}
    """
    if alignment is None:
        alignment = f"@{{}}{''.join('r' if number else 'l' for number in _numeric(table))}@{{}}"
    head = " & ".join(_latex(name) for name in table.columns)
    body = [" & ".join(_latex(_text(cell)) for cell in row) for row in table.rows]
    # LaTeX would take a bracket or star at the start of a row for an option of the row before.
    body = [f"{{}}{line}" if line.startswith(("[", "*")) else line for line in body]
    kind, packages = ("longtable", "booktabs,longtable") if long else ("tabular", "booktabs")
    lines = [
        rf"% needs \usepackage{{{packages}}}",
        rf"\begin{{{kind}}}{{{alignment}}}",
        r"\toprule",
        rf"{head} \\",
        r"\midrule",
        *([r"\endhead"] if long else []),
        *(rf"{line} \\" for line in body),
        r"\bottomrule",
        rf"\end{{{kind}}}",
    ]
    return "\n".join(lines) + "\n"


def _text(cell: Cell) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if cell is None:
        return UNDEFINED
    return cell if isinstance(cell, str) else format_number(cell)


def _numeric(table: Table) -> list[bool]:
    """Which columns hold numbers alone."""
    return [
        bool(table.rows) and all(cell is None or _is_number(cell) for cell in column)
        for column in (zip(*table.rows, strict=True) if table.rows else [()] * len(table.columns))
    ]


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, Number) and not isinstance(cell, bool)


def _markdown(text: str) -> str:
    if isinstance(text, Markdown):
        return text
    # An underscore inside a word starts no emphasis, and flip\_exact is hard to read.
    escaped = re.sub(r"([\\|<*`]|(?<!\w)_|_(?!\w))", r"\\\1", text)
    return " ".join(escaped.replace("](", "]\\(").split())  # no link, nor picture


_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "×": r"\(\times\)",
    "±": r"\(\pm\)",
    "≤": r"\(\leq\)",
    "≥": r"\(\geq\)",
    "≈": r"\(\approx\)",
    "−": r"\(-\)",
    "→": r"\(\to\)",
    "∞": r"\(\infty\)",
}
_GREEK = "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi"
for _letter in (*_GREEK.split(), "chi", "psi", "omega"):
    # Unicode spells lambda without its b
    _name = f"GREEK SMALL LETTER {_letter.replace('lambda', 'lamda').upper()}"
    _LATEX[unicodedata.lookup(_name)] = rf"\(\{_letter}\)"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
