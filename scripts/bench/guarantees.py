"""Puts the record of scripts.bench.torture into docs/guarantees.md, between its markers.

    python -m scripts.bench.guarantees

Reads docs/record/torture.json; prints what it wrote.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments._cli import start
from signdyn.report.formats import Table, to_markdown

RECORD, PAGE = Path("docs/record/torture.json"), Path("docs/guarantees.md")

BEGIN, END = "<!-- torture: begin -->\n", "<!-- torture: end -->\n"


def totals(record: Mapping[str, Any]) -> Table:
    """Return what was tried and what came of it, in one line a kind."""
    kills = record["kills"]
    damages = [*record["damages"], *record["troubles"]]
    outcomes = [row["outcome"] for row in damages]
    refused = sum(outcome == "refused" for outcome in outcomes)
    bad = record["bad_inputs"]
    rows = [
        ("kills tried", kills["tried"]),
        ("files compared after them", kills["files_compared"]),
        ("bytes differing", kills["bytes_differing"]),
        ("tracebacks", kills["tracebacks"]),
        ("damages tried", len(damages)),
        ("found, or mended in silence where nothing but a drawing was lost", found(damages)),
        ("mended, to the bytes of a run left alone", len(damages) - refused),
        ("refused, nothing changed", refused),
        ("bytes differing", sum(row["bytes_differing"] for row in damages)),
        ("tracebacks", sum(row["tracebacks"] for row in damages)),
        ("bad inputs tried", bad["tried"]),
        ("accepted, or not refused in one sentence", bad["wrong"]),
        ("tracebacks", bad["tracebacks"]),
    ]
    return Table(("", "number"), rows)


def found(damages: list[Mapping[str, Any]]) -> int:
    """Return how many damages were named by the run that met them, or need no name."""
    return sum(row["is_named"] for row in damages)


def kills_table(kills: Mapping[str, Any]) -> Table:
    """Return where kills hit, by the phase of the run."""
    return Table(("killed while", "times"), [(WHILE[k], n) for k, n in kills["by_phase"].items()])


WHILE = {
    "start": "it starts: imports, data, the folder",
    "compile": "programs compile",
    "block": "a block runs",
    "cell": "a cell's file is on its way",
    "figures": "tables and figures are drawn",
    "page": "the page is written, and after",
}
"""Phase -> what a run does in it."""


def damages_table(record: Mapping[str, Any]) -> Table:
    """Return every damage with what the next run did."""
    rows = [
        (
            row["damage"],
            "-" if row["is_silent"] else "yes" if row["is_named"] else "**no**",
            row["outcome"],
            row["bytes_differing"],
        )
        for row in [*record["damages"], *record["troubles"]]
    ]
    return Table(("damage", "named", "outcome", "bytes differing"), rows)


def section(record: Mapping[str, Any]) -> str:
    """Return the part of the page between the markers."""
    machine, kills = record["machine"], record["kills"]
    signals = ", ".join(f"{count} {name}" for name, count in sorted(kills["by_signal"].items()))
    return "\n".join(
        [
            f"`{record['command']}`, seed {record['seed']}, on {machine['cores']} cores of "
            f"{machine['cpu']}, Python {machine['python']}. The run is "
            f"`{record['experiment']}`, {record['files']} files.",
            "",
            to_markdown(totals(record)),
            f"Kills by signal: {signals}; {kills['folders']} folders, each killed a few times and "
            "then run to its end, every second one with nothing compiled before.",
            "",
            to_markdown(kills_table(kills)),
            to_markdown(damages_table(record)),
        ]
    )


def with_record(page: str, record: Mapping[str, Any]) -> str:
    """Return the page with the record's section between its markers."""
    head, rest = page.split(BEGIN)
    return head + BEGIN + section(record) + rest[rest.index(END) :]


def main() -> None:
    """Write the page."""
    PAGE.write_text(with_record(PAGE.read_text(), json.loads(RECORD.read_text())))
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    start(main)
