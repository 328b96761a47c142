"""The values of all seeds of a claim, as text that the page's script makes a plot and a table of.

May import: report.html, report.numbers, report.tables.
"""

import math
from collections.abc import Sequence

from signdyn.report.html import Html, join, tag
from signdyn.report.numbers import Number, defined, format_number
from signdyn.report.tables import Finding

_MOST_VALUES = 256
"""More values of seeds than these are counted, not listed."""


def seed_values(finding: Finding, num_seeds: int | None) -> Html:
    """Return the values of a claim, one a seed, in the order of the seeds.

    Args:
        finding: With ``values``; without any the result is empty.
        num_seeds: Of the run: as many values are those of seeds 0, 1, ...; None if not known.
    """
    values = finding["values"]
    if not values:
        return Html()
    digits = _digits(values)
    texts = [format_number(value, digits) for value in values[:_MOST_VALUES]]
    more = len(values) - len(texts)
    rest = f" and {more} more in claims.json" if more else ""
    if len(set(values)) == 1 and len(values) > 1:
        return join(f"{texts[0]} in every one of {len(texts)}", rest)
    plain = tag(
        "span",
        " ".join(texts),
        class_="values",
        data_interval=_numbers([finding["low"], finding["effect"], finding["high"]]),
        data_bounds=_numbers(finding["bounds"]),
        data_kind="ratio" if finding["kind"] == "ratio" else None,
        data_seeds=len(values) == num_seeds,
    )
    return join(plain, rest)


def _digits(values: Sequence[Number | None]) -> int:
    """Return how many digits tell the seeds apart: three of the range, four at least."""
    finite = [float(value) for value in values if value is not None and math.isfinite(value)]
    span = max(finite, default=0.0) - min(finite, default=0.0)
    if not 0 < span < math.inf:
        return 4
    return min(max(3 + math.ceil(math.log10(max(map(abs, finite)) / span)), 4), 17)


def _numbers(values: Sequence[Number | None]) -> str | None:
    """Numbers in the form that a script reads, with blanks between; None if there is none."""
    if not any(defined(value) for value in values):
        return None
    return " ".join(f"{value:.5g}" if defined(value) else "nan" for value in values)
