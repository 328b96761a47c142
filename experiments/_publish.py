"""The end of every experiment: claims, tables, figures, the page, and what was written."""

import dataclasses
import math
import shlex
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from experiments._answers import answered_threads
from experiments._cli import run
from experiments._session import NOT_IN_CONFIG, CommonConfig
from experiments._team import ended_together, team
from signdyn.claims import ALPHA, MIN_SEEDS, Finding
from signdyn.files import remove_leftovers, write_json
from signdyn.locks import wait_for_folder
from signdyn.report.page import write_page
from signdyn.report.steps import Steps, write_steps
from signdyn.report.style import save_figure
from signdyn.report.tables import to_text, write_tables

ORDER = (
    "sign_flip",
    "two_weights",
    "sign_coherence",
    "centering",
    "fisher_spectrum",
    "natural_gradient",
    "optimizers",
    "negative_weights",
    "sigmoid_vs_tanh",
    "vanishing_gradients",
    "generalization",
)
"""Experiments in the order of the page."""

SOURCES = {name: f"experiments/_{name}/claims/__init__.py" for name in ORDER}
"""Where each experiment's claims are gathered; the modules beside it state their rules."""

PLAYED = ("sign_flip", "two_weights")
"""Experiments whose training the page plays step by step."""


class Publication(NamedTuple):
    """What an experiment has to say.

    Attributes:
        title: A few words.
        question: One sentence.
        answer: One or two sentences, with the numbers of this run.
        findings: The decided claims.
        figures: Name -> (figure, caption).
        config: The run's options.
        presets: The experiment's presets.
        steps: Training step by step, if the page is to play it.
        module: What ``python -m`` runs, if it is not the one in `experiments`.
    """

    title: str
    question: str
    answer: str
    findings: Sequence[Finding]
    figures: Mapping[str, tuple[Figure, str]]
    config: CommonConfig
    presets: Mapping[str, Mapping[str, Any]]
    steps: Steps | None = None
    module: str = ""


class Outcome(NamedTuple):
    """What an experiment leaves: rows of claims.json, its answer, paths, problems."""

    name: str
    rows: Sequence[Mapping[str, Any]]
    answer: str
    written: Sequence[Path]
    problems: Sequence[str]


def publish(folder: Path, publication: Publication) -> Outcome:
    """Write claims.json, figures and tables into a run's folder, and the page beside it."""
    name = folder.name
    rows = [finding.row() for finding in publication.findings]
    captions = []
    for figure_name, (figure, caption) in publication.figures.items():
        save_figure(figure, folder / "figures", figure_name)
        captions.append({"name": figure_name, "caption": caption})
    write_tables(rows, folder / "tables", "claims")
    content = {
        "experiment": name,
        "title": publication.title,
        "question": publication.question,
        "answer": publication.answer,
        "command": command(
            publication.module or f"experiments.{name}", publication.config, publication.presets
        ),
        "run": {"preset": publication.config.preset, "seeds": publication.config.seeds},
        "findings": rows,
        "figures": captions,
    }
    if publication.steps is not None:
        write_steps(publication.steps, folder)
    write_json(folder / "claims.json", content)
    # of two that end together the second finds what the first has written
    with wait_for_folder(folder.parent) as hold:
        if hold.is_exclusive:
            remove_leftovers(folder.parent)
        page = write_page(
            folder.parent, order=ORDER, threads=answered_threads(), sources=SOURCES, played=PLAYED
        )
    written = [
        *(folder / part for part in ("claims.json", "figures", "tables", "cells")),
        page.path,
    ]
    return Outcome(name, rows, publication.answer, written, page.problems)


def run_experiment(
    config_type: type[CommonConfig],
    presets: Mapping[str, Mapping[str, Any]],
    prepare: Callable[[Any], Any],
    measure: Callable[[Any], None],
    conclude: Callable[[Any], Outcome],
) -> None:
    """Parse the command line, prepare, open the folder, measure, conclude, show: a main."""

    def ready(config: CommonConfig) -> Any:
        plan = prepare(config)
        plan.session.open()
        return plan

    def execute(plan: Any) -> None:
        measure(plan)
        if team().is_first:
            show([conclude(plan)])
        team().leave()

    with ended_together():
        run(config_type, presets, ready, execute)


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the verdicts, the answers and what was written."""
    rows = [{**row, "experiment": outcome.name} for outcome in outcomes for row in outcome.rows]
    print(to_text(rows, color=sys.stdout.isatty()))
    for outcome in outcomes:
        print(textwrap.fill(f"{outcome.name}: {outcome.answer}", 100))
        if told := too_few_seeds(outcome.rows):
            print(f"note: {outcome.name}: {told}")
    written = dict.fromkeys(_short(path) for outcome in outcomes for path in outcome.written)
    print("wrote " + ", ".join(written))
    # the last page knows of all experiments
    for problem in outcomes[-1].problems:
        print(f"note: {problem}")


def too_few_seeds(rows: Sequence[Mapping[str, Any]]) -> str:
    """Tell how many seeds a verdict takes where none of the tests can decide; else return ""."""
    tested = [row["n"] for row in rows if not math.isnan(row["p"])]
    seeds = max(tested, default=0)
    # n signs give no p below 2^(1-n), and Holm's method multiplies the smallest by their number
    least = len(tested) * 2.0 ** (1 - seeds)
    if not seeds or least <= ALPHA:
        return ""
    enough = max(MIN_SEEDS, math.ceil(1 + math.log2(len(tested) / ALPHA)))
    return (
        f"{seeds} seeds give no p (Holm) below {min(least, 1.0):.2g} to {len(tested)} tested "
        f"claims, so these stay inconclusive; take --seeds={enough} or more"
    )


def command(module: str, config: CommonConfig, presets: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the command that repeats a run: options that differ from their preset's."""
    words = ["python", "-m", module, f"--preset={config.preset}"]
    usual = presets.get(config.preset, {})
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        given = value != usual.get(field.name, field.default)
        if given and field.name not in (*NOT_IN_CONFIG, "preset"):
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            words.append(f"--{field.name}={text}")
    return shlex.join(words)


def _short(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
