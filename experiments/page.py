"""Writes the page of a run as far as it is: report.html, anew, in the run's folder.

Every experiment writes the page when it ends. This writes it while one is running, which is then
shown as unfinished, with its number of cells; and from a run on record, whose page is not kept.

    python -m experiments.page --run=results
    python -m experiments.page --run=docs/record/default
"""

from dataclasses import dataclass
from pathlib import Path

from experiments._answers import answered_threads
from experiments._cli import Options, UsageError, option, run
from experiments._publish import ORDER, PLAYED, SOURCES
from signdyn.locks import wait_for_folder
from signdyn.report.page import write_page


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Options of the page."""

    run: str = option("results", "Folder of a run, finished or not.", folder="written")


def prepare(config: Config) -> Path:
    """Look for experiments; raises `UsageError` if there are none."""
    folder = Path(config.run)
    if not any(folder.glob("*/run.json")):
        raise UsageError(f"--run={config.run} holds no experiment: expected <experiment>/run.json")
    return folder


def execute(folder: Path) -> None:
    """Write the page, and tell what it lacks."""
    with wait_for_folder(folder):
        page = write_page(
            folder, order=ORDER, threads=answered_threads(), sources=SOURCES, played=PLAYED
        )
    print(f"wrote {page.path}")
    for problem in page.problems:
        print(f"note: {problem}")


if __name__ == "__main__":
    run(Config, {}, prepare, execute)
