"""Kills, damages and crowds a real run, and compares every byte with those of a run left alone.

    python -m scripts.bench.torture

A small experiment is run to the end in a temporary folder, and then again and again elsewhere:
killed at random moments of every phase until it comes to its end, with every damage of
`scripts.bench.damages` in its folder, on a disk that is full, in a folder that vanishes, two at a
time; then bad inputs are tried, see `scripts.bench.bad_input`. Writes docs/record/torture.json;
python -m scripts.bench.guarantees puts it into docs/guarantees.md. About a quarter of an hour on
two cores. Signals only processes of its own.
"""

import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments._cli import UsageError, flag, option, start
from scripts.bench.damages import DAMAGES
from scripts.bench.machine import machine
from scripts.bench.subject import Ended, Subject, bytes_differing, differing, files_of
from scripts.bench.troubles import TROUBLES, Untried

PARTS = ("damages", "troubles", "kills", "bad_inputs")

KILLS = flag("kills", option(60, "Kills to try.", minimum=0, maximum=10**6))
MINUTES = flag("minutes", option(30.0, "No kill is begun after that.", minimum=0.0))
BAD_INPUTS = flag("bad_inputs", option(300, "Bad inputs to try.", minimum=1, maximum=10**6))
SEED = flag("seed", option(0, "Of all that is random.", minimum=0, maximum=2**31 - 1))
PARTS_TRIED = flag("parts", option(PARTS, "What to try; of the rest the record keeps what it has."))
ONLY = flag("only", option("", "Part of the names of damages to try; default: all."))
OUT = flag("out", option("docs/record", "Folder for the record."))

PHASES = ("start", "compile", "block", "cell", "figures", "page")
"""Where kills are aimed, in the order of a run: a cell's file on its way, say."""

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)

STATUS = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}


def try_kills(subject: Subject, count: int, rng: random.Random, until: float) -> dict[str, Any]:
    """Kill runs until ``count`` died, each folder's run going on until its end; compare the end."""
    phases, signals, wrong = Counter(), Counter(), []
    compared, differ, different, folders = 0, [], 0, 0
    while signals.total() < count and time.monotonic() < until:
        has_cache = folders % 2 == 1
        run = subject.fresh(f"killed{folders}", has_cache=has_cache)
        folders += 1
        # one folder's kills go from early to late, else the later run has passed the phase
        others = [phase for phase in PHASES if phase != "compile"]
        aims = rng.sample(others, 4) if has_cache else ["compile", *rng.sample(others, 3)]
        aims.sort(key=PHASES.index)
        for aim in aims[: count - signals.total()]:
            number = rng.choice(SIGNALS)
            ended = run.kill(aim, number, rng)
            if ended.killed_in is None:
                continue  # it had come to its end before
            phases[ended.killed_in] += 1
            signals[signal.Signals(number).name] += 1
            wrong += complaints(ended, STATUS[number])
        ended = run.go()
        wrong += complaints(ended, 0)
        found = run.kept()
        compared += len(found)
        differ += differing(subject.reference, found)
        different += bytes_differing(subject.reference, found)
        print(
            f"  {signals.total():3d} kills: {', '.join(aims)}; {len(differ)} of {compared} files "
            f"differ; wrong: {len(wrong)}",
            flush=True,
        )
        run.remove()
    return {
        "tried": signals.total(),
        "by_phase": {name: phases[name] for name in PHASES},
        "by_signal": dict(signals),
        "folders": folders,
        "files_compared": compared,
        "files_differing": sorted(differ),
        "bytes_differing": different,
        "tracebacks": tracebacks(wrong),
        "wrong": wrong,
    }


def complaints(ended: Ended, status: int) -> list[str]:
    """Return what is wrong with how a run ended."""
    found = []
    if ended.status != status:
        found.append(f"status {ended.status}, not {status}: {ended.errors[-300:]}")
    if "Traceback" in ended.errors:
        found.append(f"traceback: {ended.errors[-300:]}")
    if status in (130, 143) and ended.lines()[-1:] != [ended.going_on]:
        found.append(f"it does not say how to go on: {ended.errors[-300:]}")
    return found


def tracebacks(wrong: Sequence[str]) -> int:
    """Return how many complaints are of a traceback."""
    return sum(text.startswith("traceback") for text in wrong)


def try_damages(subject: Subject) -> list[dict[str, Any]]:
    """Inflict every damage on a copy of the finished run and give the command again."""
    rows = []
    for name, damage in chosen(DAMAGES).items():
        run = subject.copy("damaged")
        damage.inflict(run.folder)
        before = files_of(run.out)
        ended = run.go()
        wanted, found = subject.reference, run.kept()
        if damage.is_refused:
            wanted, found = before, files_of(run.out)
        rows.append(
            {
                "damage": name,
                "is_named": damage.words in ended.output + ended.errors,
                "is_silent": not damage.words,
                "outcome": {0: "mended", 2: "refused"}.get(ended.status, f"status {ended.status}"),
                **comparison(wanted, found, complaints(ended, 2 if damage.is_refused else 0)),
            }
        )
        tell(rows[-1])
        run.remove()
    return rows


def try_troubles(subject: Subject, rng: random.Random) -> list[dict[str, Any]]:
    """Let every trouble happen while the experiment runs; it must end with the same bytes."""
    rows = []
    for name, trouble in chosen(TROUBLES).items():
        try:
            found = trouble(subject, rng)
        except Untried as error:
            print(f"  {name}: cannot be tried here ({error})", flush=True)
            continue
        wrong = [text for ended in found.runs for text in complaints(*ended)]
        rows.append(
            {
                "damage": name,
                "is_named": found.is_named,
                "is_silent": False,
                "outcome": found.outcome,
                **comparison(subject.reference, found.kept, wrong),
            }
        )
        tell(rows[-1])
    return rows


def comparison(
    wanted: Mapping[str, bytes], found: Mapping[str, bytes], wrong: list[str]
) -> dict[str, Any]:
    """Return what a folder lacks of what it should hold, and what was wrong with its runs."""
    return {
        "files_differing": differing(wanted, found),
        "bytes_differing": bytes_differing(wanted, found),
        "tracebacks": tracebacks(wrong),
        "wrong": wrong,
    }


def chosen(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return what --only leaves of a table."""
    return {name: entry for name, entry in table.items() if ONLY.value in name}


def tell(row: Mapping[str, Any]) -> None:
    """Print one damage."""
    bad = [] if row["is_named"] else ["NOT NAMED"]
    bad += [f"{len(row['files_differing'])} FILES DIFFER"] if row["files_differing"] else []
    print("  " + "; ".join([f"{row['damage']}: {row['outcome']}", *bad, *row["wrong"]]), flush=True)


def is_good(tried: Any) -> bool:
    """Return whether everything promised held in one part."""
    if isinstance(tried, list):
        return all(row["is_named"] and is_good(row) for row in tried)
    wrong = (tried.get(name) for name in ("files_differing", "tracebacks", "wrong"))
    return not any(wrong)


def bad_inputs(number: int, seed: int) -> dict[str, int]:
    """Try bad command lines and calls, in this process."""
    from scripts.bench.bad_input import count_bad_input  # imports JAX

    return count_bad_input(number, seed, tell=print)


def try_parts(parts: Sequence[str], folder: Path) -> dict[str, Any]:
    """Try some of `PARTS` in a folder; return what came of each, and of what run."""
    content: dict[str, Any] = {}
    rng, begun = random.Random(SEED.value), time.monotonic()
    if set(parts) - {"bad_inputs"}:
        subject = Subject(folder)
        content["experiment"] = " ".join(subject.words)
        content["files"] = len(subject.reference)
        print(f"{content['experiment']}: {subject.seconds:.1f} s left alone", flush=True)
        if "damages" in parts:
            content["damages"] = try_damages(subject)
        if "troubles" in parts:
            content["troubles"] = try_troubles(subject, rng)
        if "kills" in parts:
            content["kills"] = try_kills(subject, KILLS.value, rng, begun + 60 * MINUTES.value)
    if "bad_inputs" in parts:
        content["bad_inputs"] = bad_inputs(BAD_INPUTS.value, SEED.value)
    return content


def main() -> None:
    """Torture and write the record; exits with 1 if a promise was broken."""
    parts = tuple(PARTS_TRIED.value)
    if wrong := [part for part in parts if part not in PARTS]:
        raise UsageError(f"--parts must be of {', '.join(PARTS)}, got {wrong[0]!r}")
    # a shell starts what runs behind it with Ctrl-C ignored, which children would inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)
    path = Path(OUT.value, "torture.json")
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        tried = try_parts(parts, Path(folder))
    before = json.loads(path.read_text()) if path.exists() else {}
    facts = {
        "command": "python -m scripts.bench.torture",
        "machine": machine(),
        "seed": SEED.value,
    }
    content = {**before, **facts, **tried}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {path}; python -m scripts.bench.guarantees puts it into docs/guarantees.md")
    if not all(is_good(content[part]) for part in parts):
        sys.exit("a promise was broken, see above")


if __name__ == "__main__":
    start(main)
