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
    """Return what was tried and what came of it, a line a kind."""
    kills, bad = record["kills"], record["bad_inputs"]
    damages = [*record["damages"], *record["troubles"]]
    refused = sum(row["outcome"] == "refused" for row in damages)
    rows = [
        (
            "kills",
            kills["tried"],
            "-",
            f"{kills['files_compared']} files of {kills['folders']} folders",
            "-",
            kills["bytes_differing"],
            kills["tracebacks"],
        ),
        (
            "damages",
            len(damages),
            sum(row["is_named"] for row in damages),
            len(damages) - refused,
            refused,
            sum(row["bytes_differing"] for row in damages),
            sum(row["tracebacks"] for row in damages),
        ),
        (
            "bad inputs",
            bad["tried"],
            bad["tried"] - bad["wrong"] - bad["tracebacks"],
            "-",
            bad["tried"] - bad["wrong"] - bad["tracebacks"],
            "-",
            bad["tracebacks"],
        ),
    ]
    columns = ("", "tried", "found", "repaired", "refused", "bytes differing", "tracebacks")
    return Table(columns, [tuple(str(cell) for cell in row) for row in rows])


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
            "-" if row["is_silent"] else "yes" if row["is_named"] else "NO",
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
    silent = sum(row["is_silent"] for row in record["damages"])
    return "\n".join(
        [
            f"`{record['command']}`, seed {record['seed']}, on {machine['cores']} cores of "
            f"{machine['cpu']}, Python {machine['python']}. The run is",
            f"`{record['experiment']}`, {record['files']} files.",
            "",
            to_markdown(totals(record)),
            f"Kills by signal: {signals}; a folder's run was killed a few times before it came to",
            "its end, in every second folder with nothing compiled before. Of the damages, "
            f"{silent} are to",
            "what every run writes anew, and need no word.",
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
