"""Writes the table of all claims of a recorded run, by the question they answer.

Each rule is calibrated on the run's own seeds: draws in which there is nothing to decide are made
from them, and the share that it calls supported, or refuted, stands beside it, see
`signdyn.calibration`; where that is too large, the table says so at the claim. The shares are kept
in the run's folder, <run>/<experiment>/calibration.json.

    python -m experiments.claims_table --run=docs/record/default --out=docs    about 5 minutes
    python -m experiments.claims_table --run=docs/record/default --out=docs --draws=0    a second,
                                                                     with the shares that are there
"""

import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from experiments._cli import Options, UsageError, num_cores, option, run
from experiments._interrupt import quiet_children
from experiments._publish import ORDER
from experiments._questions import QUESTIONS
from signdyn.calibration import false_verdict_rate
from signdyn.records import write_json
from signdyn.report.evidence import write_evidence
from signdyn.report.results import Results, read_results
from signdyn.report.tables import MAX_RATE


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Options of the table."""

    run: str = option(
        "results", "Folder of a finished run, one folder an experiment.", folder="read"
    )
    out: str = option("docs", "Folder for claims.md, claims.csv and claims.tex.", folder="written")
    draws: int = option(
        400, "Draws without an effect a rule; 0 takes what is there.", minimum=0, maximum=10**6
    )


class Plan(NamedTuple):
    """The run that was read."""

    config: Config
    results: Results


def prepare(config: Config) -> Plan:
    """Read the run; raises `UsageError` if there is none or a part of it is damaged."""
    results = read_results(Path(config.run), ORDER)
    if not results.experiments or results.problems:
        why = results.problems[0] if results.problems else "it holds no experiment"
        raise UsageError(f"--run={config.run} cannot be used: {why}")
    return Plan(config, results)


def execute(plan: Plan) -> None:
    """Calibrate, write the table, and tell how many rules decide too often."""
    folder, draws = Path(plan.config.run), plan.config.draws
    claims = sum(len(experiment.findings) for experiment in plan.results.experiments)
    print(
        f"claims_table: {claims} claims of {folder}"
        + (
            f", {draws} draws a rule, about {claims * draws * 0.004 / 60 / num_cores():.0f} min"
            if draws
            else ""
        ),
        flush=True,
    )
    if draws:
        _calibrate(plan)
    results = read_results(folder, ORDER)
    out = Path(plan.config.out)
    written = write_evidence(
        results.experiments,
        QUESTIONS,
        out,
        "claims",
        preamble=preamble(results, folder),
        figures=os.path.relpath(folder, out),
    )
    rates = [f["false_verdict"] for e in results.experiments for f in e.findings]
    rates = [rate for rate in rates if rate is not None]
    if rates:
        print(
            f"{len(rates)} rules calibrated: with nothing to decide they decide in "
            f"{max(rates):.1%} of the draws at most; {sum(rate > MAX_RATE for rate in rates)} in "
            f"more than {MAX_RATE:.0%}, which stands at the claim"
        )
    print(f"wrote {', '.join(str(path) for path in written)}")


def preamble(results: Results, folder: Path) -> str:
    """Return what stands above the table: which run it is of."""
    config = results.experiments[0].facts["config"]
    return (
        "# Every claim, by the question it answers\n\n"
        f"Written by `python -m experiments.claims_table --run={folder}` from the run recorded in "
        f"`{folder}`: preset {config['preset']}, root seed {config['root_seed']}. What each "
        "experiment ran on stands beside its command."
    )


def _rate(finding: Mapping[str, Any], num_draws: int) -> float:
    """Return a rule's rate; one that seems too high is measured anew, with four times the draws.

    The largest of hundreds of estimates are high by chance.
    """
    rate = false_verdict_rate(finding, num_draws=num_draws, seed=0)
    if rate > MAX_RATE:
        return false_verdict_rate(finding, num_draws=4 * num_draws, seed=1)
    return rate


def _calibrate(plan: Plan) -> None:
    draws = plan.config.draws
    with quiet_children():
        pool = ProcessPoolExecutor(num_cores(), mp_context=get_context("spawn"))
        for _ in range(num_cores()):
            pool.submit(int)  # starts one more
    with pool:
        for experiment in plan.results.experiments:
            rate = partial(_rate, num_draws=draws)
            slim = [_needed(finding) for finding in experiment.findings]
            rates = pool.map(rate, slim, chunksize=4)
            names = [finding["id"] for finding in experiment.findings]
            content = {"num_draws": draws, "false_verdict": dict(zip(names, rates, strict=True))}
            write_json(Path(plan.config.run) / experiment.name / "calibration.json", content)
            print(f"  {experiment.name}: {len(slim)} rules", flush=True)


def _needed(finding: Mapping[str, Any]) -> dict[str, Any]:
    return {name: finding[name] for name in ("bounds", "kind", "values")}


if __name__ == "__main__":
    run(Config, {}, prepare, execute)
