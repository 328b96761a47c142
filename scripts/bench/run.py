"""Races signdyn against its peers, side by side on this machine, and keeps the ratios.

    python -m scripts.bench.run                        # every race, then docs/benchmarks.md
    python -m scripts.bench.run --races=fisher_dense   # some of them

Peers are installed by the extra `bench`, kfac-jax in an environment of its own: see
scripts/bench/setup.sh. A race first checks that all answers agree, then lets the contenders take
turns. Ratios are medians over rounds with the least and the most. About half an hour on two cores.
"""

import json
import sys
import time
from pathlib import Path

from experiments._cli import flag, option, start
from scripts.bench.contest import Disagreement, hold
from scripts.bench.machine import machine
from scripts.bench.races import all_races

RACES = flag(
    "races", option((), "The races to hold; default: all.", choices=tuple(all_races()), least=0)
)
ROUNDS = flag("rounds", option(7, "Turns of every contender.", minimum=1, maximum=1000))
OUT = flag("out", option("docs/record/bench", "Folder for one JSON file a race.", folder="written"))


def main() -> None:
    """Hold the races asked for; exits with 1 if one could not be held or answers differ."""
    races = all_races()
    names = RACES.value or list(races)
    folder = Path(OUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"{len(names)} races, {ROUNDS.value} rounds each, half a minute to three -> {folder}")
    failed = []
    for number, name in enumerate(names, 1):
        begun = time.monotonic()
        print(f"[{number}/{len(names)}] {name}: {races[name].work}", flush=True)
        try:
            held = hold(
                races[name], rounds=ROUNDS.value, tell=lambda text: print(f"  {text}", flush=True)
            )
        except (Disagreement, RuntimeError) as error:
            failed.append(name)
            print(f"  not held: {error}")
            continue
        content = {**held, "machine": machine()}
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
        for bound in held["bounds"]:
            ratio = bound["ratio"]
            asked = f"at least {bound['at_least']}" if bound["at_least"] else ""
            asked += f"at most {bound['at_most']}" if bound["at_most"] else ""
            print(
                f"  {bound['slow']} / {bound['fast']}: {ratio['median']:.3g} "
                f"[{ratio['least']:.3g}, {ratio['most']:.3g}], {asked}: "
                f"{'yes' if bound['holds'] else 'NO'}"
            )
        share = held["share_of_roof"]
        if share:
            print(f"  share of the roof: {share['median']:.0%}")
        print(f"  {time.monotonic() - begun:.0f} s", flush=True)
    if failed:
        sys.exit(f"not held: {', '.join(failed)}")
    print(f"wrote {folder}/*.json; python -m scripts.bench.page writes docs/benchmarks.md of them")


if __name__ == "__main__":
    start(main)
