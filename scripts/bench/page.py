"""Writes docs/benchmarks.md from the record of the races and measurements.

    python -m scripts.bench.page

Reads docs/record/bench/*.json, which the commands named in the page write; prints what it wrote.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments._cli import Options, option, run
from scripts.bench.races import all_races


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """What is read and written."""

    record: str = option("docs/record/bench", "Folder of the record.", folder="read")
    page: str = option("docs/benchmarks.md", "File to write.")


HEAD = """# Benchmarks

Written by `python -m scripts.bench.page` from `docs/record/bench/`. Times on a CPU are told as
ratios only: all contenders of a race do the same work in the same minutes, in processes of their
own, taking turns; a ratio is the median over rounds with [the least, the most]. Before the clock
starts their answers are compared; "differs" is the relative difference from ours in the 2-norm.
The roof is what one float32 product of 2048 x 2048 matrices makes of the same cores in the same
rounds. "First call" is what making, compiling and the first run take, relative to ours. How cost
grows with size is in [scaling](scaling.md). Repeat with:

```sh
./scripts/bench/setup.sh          # the peers, in .venv-bench and .venv-kfac
.venv-bench/bin/python -m scripts.bench.run
.venv-bench/bin/python -m scripts.bench.page
```
"""


def races_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the sections of all races, by topic."""
    topics: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        topics.setdefault(record["topic"], []).append(record)
    parts = []
    for topic, held in topics.items():
        parts += [f"## {topic}", *(race_text(record) for record in held)]
    return "\n\n".join(parts)


def race_text(record: Mapping[str, Any]) -> str:
    """Return one race: its work, who took how long relative to ours, and what was asked."""
    ours, *peers = record["contenders"]
    work = f"**{record['work']}.** `--races={record['id']}`, {record['rounds']} rounds"
    if record["share_of_roof"]:
        share = record["share_of_roof"]
        work += (
            f"; {record['flop_of']}: {record['flop'] / record['units']:.3g} FLOP a "
            f"{record['unit']}, {share['median']:.0%} of the roof"
        )
    rows = [("contender", "time / ours", "first call / ours", "differs", "peak MiB")]
    rows += [(f"**{ours['name']}**", "1", "1", "", mebibytes(ours))]
    for peer in peers:
        first = peer["first_seconds"] / ours["first_seconds"]
        rows.append((named(peer), spread(peer["of_ours"]), f"{first:.2g}", differs(peer),
                     mebibytes(peer)))  # fmt: skip
    asked = [("asked", "", "found", "holds")]
    for bound in record["bounds"]:
        least = bound["at_least"] is not None
        limit = f"at least {bound['at_least']:g}" if least else f"at most {bound['at_most']:g}"
        asked.append(
            (f"{bound['slow']} / {bound['fast']}", limit, spread(bound["ratio"]),
             "yes" if bound["holds"] else "**no**")
        )  # fmt: skip
    return "\n\n".join([f"{work}.", table(rows), table(asked)])


def named(contender: Mapping[str, Any]) -> str:
    """Return a contender's name with the versions it ran."""
    versions = ", ".join(f"{name} {version}" for name, version in contender["versions"].items())
    return f"{contender['name']} ({versions})" if versions else contender["name"]


def differs(contender: Mapping[str, Any]) -> str:
    """Return how far a contender's answer is from ours, the largest of its parts."""
    found = contender["difference"]
    return "other work" if found is None else f"{max(found.values()):.1g}"


def mebibytes(contender: Mapping[str, Any]) -> str:
    """Return the peak of a contender's process."""
    return f"{contender['peak_bytes'] / 2**20:,.0f}"


def spread(found: Mapping[str, float]) -> str:
    """Return median [least, most]."""
    return "{median:.3g} [{least:.3g}, {most:.3g}]".format(**found)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first row is its head."""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def machines_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return what the races ran on, one line a kind of machine."""
    kinds: dict[str, list[str]] = {}
    for record in records:
        machine = record["machine"]
        kind = f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}"
        kinds.setdefault(kind, []).append(record["id"])
    if len(kinds) == 1:
        return f"All races: {next(iter(kinds))}."
    return "\n".join(f"* {kind}: {', '.join(ids)}" for kind, ids in kinds.items())


def summary_text(records: Sequence[Mapping[str, Any]]) -> str:
    """Return how many bounds hold, and every one that does not."""
    bounds = [(record, bound) for record in records for bound in record["bounds"]]
    missed = [(record, bound) for record, bound in bounds if not bound["holds"]]
    lines = [f"{len(bounds) - len(missed)} of {len(bounds)} bounds hold.", ""]
    lines += [
        f"* Not {record['id']}: {bound['slow']} / {bound['fast']}, {spread(bound['ratio'])}."
        for record, bound in missed
    ]
    return "\n".join(lines).rstrip()


def read(folder: Path, name: str) -> Any:
    """Return a file of the record, or None if it was not measured."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def startup_text(content: Mapping[str, Any]) -> str:
    """Return what a user waits for before anything runs."""
    words = {
        "help_seconds": "`python -m experiments.sign_flip --help`, s",
        "first_line_seconds": "its first line of progress, nothing compiled before, s",
        "first_share": "compiling, share of CPU time of the quick preset, nothing compiled before",
        "second_share": "the same, run a second time elsewhere",
    }
    rows = [("what", "found", "at most", "holds")]
    for name, limit in content["limits"].items():
        found = content["found"][name]
        rows.append(
            (words[name], f"{found:.2g}", f"{limit:g}", "yes" if found <= limit else "**no**")
        )
    return "\n\n".join(
        [
            "## What a user waits for",
            f"`{content['command']}`. Compiling is tracing, lowering, and XLA's own compiling or "
            "fetching from its cache on disk.",
            table(rows),
        ]
    )


def imports_text(content: Mapping[str, Any]) -> str:
    """Return how long the analysis takes to import."""
    seconds, limit = content["seconds"], content["limit"]
    verdict = "holds" if content["ratio"] <= limit else "**does not hold**"
    return (
        f"`{content['command']}`: importing all of `signdyn.analysis` takes {content['ratio']:.2f} "
        f"times as long as `import jax`, which is a part of it ({seconds['analysis']:.2g} s and "
        f"{seconds['jax']:.2g} s from the start of Python; at most {limit:g} is asked: {verdict})."
    )


def memory_text(content: Mapping[str, Any]) -> str:
    """Return what spectra need beside the stated formula."""
    rows = [("task", "parameters", "rows", "method", "peak MiB", "formula MiB", "peak / formula")]
    for task in content["tasks"]:
        measured, formula = task["array_bytes"], task["formula_bytes"]
        rows.append(
            (task["task"], f"{task['params']:,}", f"{task['rows']:,}", task["method"],
             f"{measured / 2**20:,.0f}", f"{formula / 2**20:,.0f}", f"{measured / formula:.2f}")
        )  # fmt: skip
    return "\n\n".join(
        [
            "## Memory",
            f"`{content['command']}`. Peak of a process of its own above what it had before, "
            "beside the formula of the docstrings in `signdyn.analysis.spectrum`.",
            table(rows),
        ]
    )


def gpu_text(content: Mapping[str, Any]) -> str:
    """Return the sweeps on a GPU: rates against the width of a block."""
    head = ("networks", "seeds in a block", "contender", "thousand steps/s", "time / ours")
    rows = [(*head, "differs", "share of the roof")]
    for race in sorted(content["races"], key=lambda race: ("cnn" in race["id"], race["units"])):
        seeds, _, work = race["work"].partition(" seeds of ")
        networks = work.partition(", batch")[0]
        for contender in race["contenders"]:
            is_ours = contender["difference"] is None
            rate = race["units"] / contender["seconds"] / 1e3
            share = f"{race['share_of_roof']['median']:.1%}" if is_ours else ""
            rows.append(
                (networks, f"{int(seeds):,}", named(contender), f"{rate:,.0f}",
                 "" if is_ours else spread(contender["of_ours"]),
                 "" if is_ours else differs(contender), share)
            )  # fmt: skip
    return "\n\n".join(
        [
            f"## One {content['device']}",
            f"`{content['command']}`. A step is one seed's; products at JAX's and PyTorch's "
            "default precision for float32. Ours also evaluates every network on the whole "
            "training set at its start and end, and carries sites, statistics and hyperparameters "
            "as data.",
            table(rows),
        ]
    )


SECTIONS: Mapping[str, Callable[[Any], str]] = {
    "spectra_memory": memory_text,
    "startup": startup_text,
    "imports": imports_text,
    "gpu": gpu_text,
}
"""Measurement -> its section; files of the record that are no races."""


def page_text(folder: Path) -> str:
    """Return the whole page."""
    records = [found for name in all_races() if (found := read(folder, name))]
    parts = [HEAD.rstrip(), machines_text(records), summary_text(records), races_text(records)]
    for name, section in SECTIONS.items():
        if (content := read(folder, name)) is not None:
            parts.append(section(content))
    return "\n\n".join(part for part in parts if part) + "\n"


def execute(config: Config) -> None:
    """Write the page."""
    path = Path(config.page)
    path.write_text(page_text(Path(config.record)))
    print(f"wrote {path}")


if __name__ == "__main__":
    run(Config, {}, lambda config: config, execute)
