"""Simulates 10^5 replicas over 64 devices that fail now and then, from measured block times.

    python -m scripts.bench.schedule

Nothing is trained here. Times of blocks come from the record: gpu.json (python -m
scripts.bench.gpu) and replicas.json (python -m scripts.bench.replicas), scaled from the steps
measured there to --steps. Two ways to use the devices are compared:

* one run: as many processes as devices share the missing blocks in turn; one that fails ends the
  run for all, which is started again and deals what is missing anew;
* an array: a task a device has its share of the blocks from the start; one that fails is queued
  again alone, the others go on.

Either goes on from finished blocks and from the last state of an unfinished one. Failures are
exponential, of every device, at the rate of a published run and at multiples of it. Writes
schedule.json and schedule.svg into --out; about 2 minutes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments._cli import Options, UsageError, option, run
from scripts.bench.failures import (
    BETWEEN_STATES,
    PART,
    WAYS,
    Costs,
    Work,
    state_interval,
    without_failures,
)

SOURCE = {
    "text": "419 unexpected interruptions in 54 days on 16,384 GPUs: The Llama 3 Herd of Models, "
    "arXiv:2407.21783, section 3.3.4",
    "hours_between_failures": 16384 * 54 * 24 / 419,
}
"""Of one device."""

TIMES_WORSE = (1, 10, 100, 1000)
"""Rates simulated, in units of the source's; those above 1 are assumed. The last one is a failure
in two days, as of machines that are lent until somebody else wants them."""

DETECTION, QUEUE = 30.0, 60.0
"""Seconds until a machine that vanished is missed (`signdyn.peers`), and in a queue: assumed."""


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """What is simulated."""

    runs: int = option(200, "Simulated runs of each kind.", minimum=2, maximum=10**6)
    replicas: int = option(100_000, "Replicas.", minimum=1, maximum=10**9)
    devices: int = option(64, "Devices.", minimum=1, maximum=10**6)
    steps: int = option(2_000_000, "Updates of a replica.", minimum=1, maximum=10**12)
    seed: int = option(0, "Of the failures.", minimum=0, maximum=2**31 - 1)
    record: str = option("docs/record/bench", "Folder of the record.", folder="read")
    out: str = option("docs/record/bench", "Folder for the record.", folder="written")


class Scenario(NamedTuple):
    """A kind of work whose blocks were measured.

    Attributes:
        networks: What is trained.
        on: What device was measured.
        width: Replicas of a block.
        step_seconds: A step of a whole block takes.
        compile_seconds: Compiling its program takes.
    """

    networks: str
    on: str
    width: int
    step_seconds: float
    compile_seconds: float


def scenarios(folder: Path) -> list[Scenario]:
    """Return what the record has measured."""
    found = []
    if gpu := read(folder / "gpu.json"):
        for race in gpu["races"]:
            seeds, _, networks = race["work"].partition(" seeds of ")
            steps = race["units"] / int(seeds)
            ours = race["contenders"][0]
            found.append(
                Scenario(networks.partition(", batch")[0], gpu["device"], int(seeds),
                         ours["seconds"] / steps, ours["first_seconds"])
            )  # fmt: skip
    if cpu := read(folder / "replicas.json"):
        machine, largest = cpu["machine"], cpu["times"][-1]
        width = cpu["block"] * machine["cores"]
        found.append(
            Scenario("64-64-64-10 sigmoid", f"{machine['cores']} cores of {machine['cpu']}", width,
                     largest["seconds_a_replica"]["median"] * width / cpu["steps"], 0.0)
        )  # fmt: skip
    return sorted(found)


def read(path: Path) -> Any:
    """Return a file of the record, None if there is none."""
    return json.loads(path.read_text()) if path.exists() else None


def simulate(
    scenario: Scenario, config: Config, start_seconds: float, state_seconds: float
) -> dict[str, Any]:
    """Return what a scenario takes, every way, at every rate."""
    blocks = -(-config.replicas // scenario.width)
    work = Work(blocks, scenario.step_seconds * config.steps, config.devices)
    first = start_seconds + scenario.compile_seconds
    interval = state_interval(work.seconds)
    costs = Costs(first, DETECTION + QUEUE + first, state_seconds, interval)
    rows = []
    for worse in TIMES_WORSE:
        mean = SOURCE["hours_between_failures"] * 3600 / worse
        for way, simulated in WAYS.items():
            rng = np.random.default_rng(config.seed)
            runs = [simulated(work, costs, mean, rng) for _ in range(config.runs)]
            walls = [ended.wall for ended in runs]
            rows.append(
                {
                    "times_worse": worse,
                    "way": way,
                    "wall_seconds": float(np.mean(walls)),
                    "wall_5_95": [float(q) for q in np.quantile(walls, (0.05, 0.95))],
                    "failures": float(np.mean([ended.failures for ended in runs])),
                    "lost": float(np.mean([ended.lost for ended in runs])),
                }
            )
    return {
        **scenario._asdict(),
        "steps": config.steps,
        "blocks": work.blocks,
        "block_seconds": work.seconds,
        "rounds": work.rounds,
        "start_seconds": first,
        "restart_seconds": costs.restart,
        "without_failures": without_failures(work, costs),
        "rows": rows,
    }


def draw(found: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Draw time against the width of a block, and what failures add where blocks are long."""
    from signdyn.report.figures import panels
    from signdyn.report.style import look, restyle, save_figure

    device = max((one["on"] for one in found), key=[one["on"] for one in found].count)
    own = [one for one in found if one["on"] == device]
    curve = [one for one in own if "CNN" not in one["networks"]]
    longest = sorted(own, key=lambda one: one["block_seconds"])[-2:]
    looks = dict(zip(WAYS, map(look, ("raw", "flipped", "centered")), strict=True))
    with restyle():
        titles = ["no failures", *(_titled(one) for one in longest)]
        figure, axes = panels(1, 3, height=2.4, titles=titles, ylabel="simulated hours",
                              sharex=False, sharey=False)  # fmt: skip
        first, *others = axes.flat
        widths = [one["width"] for one in curve]
        first.loglog(widths, [one["without_failures"] / 3600 for one in curve], marker="o", ms=3.5)
        first.set_xticks(widths, [f"{width:,}" for width in widths], minor=False)
        first.set_xlabel("replicas of a block")
        for ax, one in zip(others, longest, strict=True):
            for way, style in looks.items():
                rows = [row for row in one["rows"] if row["way"] == way]
                added = [row["wall_seconds"] / one["without_failures"] - 1 for row in rows]
                ax.semilogx(TIMES_WORSE, added, marker=style.marker, ms=3.5, lw=1.2,
                            color=style.color, label=way)  # fmt: skip
            ax.set_xticks(TIMES_WORSE, [f"{worse:,}" for worse in TIMES_WORSE], minor=False)
            ax.set_xlabel("failures / published rate")
            ax.set_ylabel("time added, share")
        others[0].legend(fontsize="x-small")
        for ax in axes.flat:
            ax.minorticks_off()
        save_figure(figure, folder, "schedule")


def _titled(one: Mapping[str, Any]) -> str:
    kind = "CNNs" if "CNN" in one["networks"] else "perceptrons"
    return f"{one['width']:,} {kind} a block"


def prepare(config: Config) -> tuple[Config, list[Scenario]]:
    """Return the options with what was measured."""
    kinds = scenarios(Path(config.record))
    if not kinds:
        raise UsageError(f"--record has neither gpu.json nor replicas.json: {config.record}")
    return config, kinds


def execute(plan: tuple[Config, list[Scenario]]) -> None:
    """Simulate, and write the record and the figure."""
    config, kinds = plan
    folder, record = Path(config.out), Path(config.record)
    startup = read(record / "startup.json")
    start_seconds = startup["found"]["first_line_seconds"] if startup else 0.0
    cpu = read(record / "replicas.json")
    state_seconds = cpu["state"]["seconds"] if cpu else 0.0
    found = [simulate(one, config, start_seconds, state_seconds) for one in kinds]
    content = {
        "command": "python -m scripts.bench.schedule",
        "is_simulated": True,
        "replicas": config.replicas,
        "devices": config.devices,
        "runs": config.runs,
        "source": SOURCE,
        "state_seconds": state_seconds,
        "assumed": {
            "detection_seconds": DETECTION,
            "queue_seconds": QUEUE,
            "part_seconds": PART,
            "between_states_seconds": BETWEEN_STATES,
        },
        "scenarios": found,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schedule.json").write_text(json.dumps(content, indent=1) + "\n")
    draw(found, folder)
    for one in found:
        print(f"{one['networks']} on {one['on']}, blocks of {one['width']:,}: "
              f"{one['without_failures']:,.0f} s without failures")  # fmt: skip
        for row in one["rows"]:
            low, high = row["wall_5_95"]
            print(f"  x{row['times_worse']:<4} {row['way']:18} {row['wall_seconds']:10,.0f} s "
                  f"[{low:,.0f}, {high:,.0f}], {row['failures']:.2f} failures, "
                  f"{row['lost']:.2%} lost")  # fmt: skip
    print(f"wrote {folder / 'schedule.json'}, {folder / 'schedule.svg'}")


if __name__ == "__main__":
    run(Config, {}, prepare, execute)
