"""Compares the verdicts of recorded runs: which claims changed, and which contradict each other.

Two runs contradict each other on a claim that one supports and the other refutes. A claim that one
of them leaves open contradicts nothing. An experiment that only one of two runs has is one line.
Exit status 1 if there is a contradiction.

    python -m experiments.compare docs/record/default docs/record/quick
"""

import itertools
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from experiments._cli import Options, UsageError, option, run
from experiments._publish import ORDER
from signdyn.claims import INCONCLUSIVE
from signdyn.report.results import read_results
from signdyn.report.tables import Finding, effect_text
from signdyn.report.threads import findings_by_name

Findings = Mapping[str, Finding]
"""Of one run, by "experiment/claim"."""


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Options of the comparison."""

    runs: tuple = option(
        (), "Folders of two or more finished runs, with commas between.", folder="read", least=2
    )


class Change(NamedTuple):
    """A claim on which two runs differ.

    Attributes:
        claim: "experiment/claim".
        runs: The two folders.
        verdicts: Theirs; "absent" where the run lacks the claim.
        effects: Theirs, as text.
    """

    claim: str
    runs: tuple[str, str]
    verdicts: tuple[str, str]
    effects: tuple[str, str]

    @property
    def is_contradiction(self) -> bool:
        """Whether both runs decided, and differently."""
        return not {"absent", INCONCLUSIVE} & set(self.verdicts)


def prepare(config: Config) -> dict[str, Findings]:
    """Read the runs; raises `UsageError` where one is none or a part of it is damaged."""
    read: dict[str, Findings] = {}
    for name in config.runs:
        results = read_results(Path(name), ORDER, with_figures=False)
        if results.problems:
            raise UsageError(f"--runs: {name!r} cannot be compared: {results.problems[0]}")
        if not results.experiments:
            raise UsageError(f"--runs: {name!r} is not the folder of a finished run")
        read[name] = findings_by_name(results.experiments)
    return read


def changes(runs: Mapping[str, Findings]) -> Iterator[Change]:
    """Yield every claim on which two of the runs differ, pair by pair, of experiments of both."""
    for (a, found_a), (b, found_b) in itertools.combinations(runs.items(), 2):
        shared = _experiments(found_a).keys() & _experiments(found_b).keys()
        for claim in dict.fromkeys([*found_a, *found_b]):
            if _experiment(claim) not in shared:
                continue
            one, other = (_told(found.get(claim)) for found in (found_a, found_b))
            if one[0] != other[0]:
                yield Change(claim, (a, b), (one[0], other[0]), (one[1], other[1]))


def missing(runs: Mapping[str, Findings]) -> Iterator[str]:
    """Yield a line for each experiment that not all of the runs have."""
    counts = {name: _experiments(findings) for name, findings in runs.items()}
    for experiment in dict.fromkeys(itertools.chain(*counts.values())):
        those = [name for name, count in counts.items() if experiment in count]
        if len(those) < len(runs):
            claims = counts[those[0]][experiment]
            yield f"only in {', '.join(those)}: {experiment} ({claims} claims)"


def _experiments(findings: Findings) -> Counter[str]:
    return Counter(map(_experiment, findings))


def _experiment(claim: str) -> str:
    return claim.partition("/")[0]


def _told(finding: Finding | None) -> tuple[str, str]:
    return (finding["verdict"], effect_text(finding)) if finding else ("absent", "-")


def execute(runs: dict[str, Findings]) -> None:
    """Print what changed; exit with 1 if two runs contradict each other."""
    found = list(changes(runs))
    for change in sorted(found, key=lambda change: not change.is_contradiction):
        sign = "CONTRADICTION" if change.is_contradiction else "changed"
        told = ", ".join(
            f"{run} {verdict} {effect}"
            for run, verdict, effect in zip(
                change.runs, change.verdicts, change.effects, strict=True
            )
        )
        print(f"{sign}: {change.claim}: {told}")
    for line in missing(runs):
        print(line)
    changed = {change.claim for change in found}  # however many pairs of runs differ on it
    contradictions = len({change.claim for change in found if change.is_contradiction})
    claims = len({claim for findings in runs.values() for claim in findings})
    print(
        f"{len(runs)} runs, {claims} claims: {contradictions} contradictions, "
        f"{len(changed) - contradictions} other changes"
    )
    if contradictions:
        sys.exit(1)


if __name__ == "__main__":
    run(Config, {}, prepare, execute, words="runs")
