"""Writes docs/experiments.md: each experiment's question, commands, time and main claims.

Questions, commands and presets are those of the modules, times and verdicts those of the recorded
run of the quick preset. Main claims are those that bear the answers on the page
(`experiments._answers`), and the headlines of the README.

    python -m scripts.experiments_page
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments._answers import STATEMENTS
from experiments._publish import ORDER
from scripts.headlines import ROWS as HEADLINES
from signdyn.files import read_json
from signdyn.report.tables import effect_text

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "experiments.md"
RECORD = ROOT / "docs" / "record" / "quick"


def page() -> str:
    """Return the text of docs/experiments.md."""
    told = {name: read_json(RECORD / name / "claims.json") for name in ORDER}
    seconds = recorded_seconds()
    device = read_json(RECORD / ORDER[0] / "run.json")["environment"]["device"]
    parts = [
        "# The experiments",
        "Made by `python -m scripts.experiments_page` from the experiments' own words and from "
        "[the recorded run](record/quick) of the quick preset "
        f"(`python -m experiments.all`, {device}, two cores). Seconds are those that each took in "
        "that run, one after the other. [Every claim by the question it answers](claims.md) is "
        "from a run of the default preset; what the files hold is on the page of "
        "[result files](result_files.md).",
        "\n".join(_overview(told, seconds)),
    ]
    for name in ORDER:
        parts += _section(name, told[name])
    return "\n\n".join(parts) + "\n"


def recorded_seconds() -> Mapping[str, float]:
    """Return how long each experiment took in the recorded run.

    All of them begin their clock together and end one after the other, so that the differences of
    their times are what each took.
    """
    ends = {name: read_json(RECORD / name / "run.json")["wall_seconds"] for name in ORDER}
    before, found = 0.0, {}
    for name in sorted(ends, key=ends.__getitem__):
        found[name] = ends[name] - before
        before = ends[name]
    return found


def _overview(told: Mapping[str, Any], seconds: Mapping[str, float]) -> Iterator[str]:
    yield "| experiment | question | seconds | seeds | supported, refuted, open |"
    yield "|---|---|---|---|---|"
    for name in ORDER:
        counts = Counter(row["verdict"] for row in told[name]["findings"])
        verdicts = ", ".join(str(counts[v]) for v in ("supported", "refuted", "inconclusive"))
        seeds = told[name]["run"]["seeds"]
        question = told[name]["question"]
        yield f"| [{name}](#{name}) | {question} | {seconds[name]:.0f} | {seeds} | {verdicts} |"
    yield (
        f"| all | | {sum(seconds.values()):.0f} | | "
        f"{sum(len(one['findings']) for one in told.values())} claims |"
    )


def _section(name: str, told: Mapping[str, Any]) -> Iterator[str]:
    source = f"experiments/{name}.py"
    doc = ast.get_docstring(ast.parse((ROOT / source).read_text("utf-8"))) or ""
    first, *paragraphs = doc.split("\n\n")
    yield f"## {name}"
    yield first
    for paragraph in paragraphs:
        if re.match(r" {4}\S", paragraph):
            yield f"```sh\n{re.sub('(?m)^ {4}', '', paragraph).rstrip()}\n```"
        elif not paragraph.startswith("Headline"):  # with its numbers below
            yield _linked(paragraph, name)
    yield f"In the record: {told['answer']}"
    yield "\n".join(_claims(name, told))


def _linked(paragraph: str, name: str) -> str:
    """Return a paragraph of a docstring, with a link to the rules: a module, or a package."""
    module = f"experiments._{name}.claims"
    path = module.replace(".", "/")
    link = f"../{path}" if (ROOT / path).is_dir() else f"../{path}.py"
    return paragraph.replace(f"`{module}`", f"[`{module}`]({link})")


def _claims(name: str, told: Mapping[str, Any]) -> Iterator[str]:
    main = {
        claim.partition("/")[2]
        for statements in STATEMENTS.values()
        for statement in statements
        for claim in statement.claims
        if claim.startswith(f"{name}/")
    } | {claim for experiment, claim, _ in HEADLINES if experiment == name}
    yield "| main claim | effect [interval] | seeds | verdict |"
    yield "|---|---|---|---|"
    for row in told["findings"]:
        if row["id"] in main:
            sentence = row["sentence"].replace("|", r"\|")
            effect = effect_text(row)
            yield f"| {sentence} (`{row['id']}`) | {effect} | {row['n']} | {row['verdict']} |"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
