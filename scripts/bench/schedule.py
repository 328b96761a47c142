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
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from experiments._cli import UsageError, flag, option, start

RUNS = flag("runs", option(200, "Simulated runs of each kind.", minimum=2, maximum=10**6))
REPLICAS = flag("replicas", option(100_000, "Replicas.", minimum=1, maximum=10**9))
DEVICES = flag("devices", option(64, "Devices.", minimum=1, maximum=10**6))
STEPS = flag("steps", option(2_000_000, "Updates of a replica.", minimum=1, maximum=10**12))
SEED = flag("seed", option(0, "Of the failures.", minimum=0, maximum=2**31 - 1))
RECORD = flag("record", option("docs/record/bench", "Folder of the record.", folder="read"))
OUT = flag("out", option("docs/record/bench", "Folder for the record.", folder="written"))

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

PART, BETWEEN_STATES = 20.0, 60.0
"""Seconds of a part of a long block, and at least between its states (--checkpoint_seconds)."""


class Costs(NamedTuple):
    """What is lost beside the work.

    Attributes:
        start: Seconds from being started to the first step.
        restart: From a failure to the first step after it.
        state: To write a state.
        interval: Of work between states; infinite for none.
    """

    start: float
    restart: float
    state: float = 0.0
    interval: float = math.inf


@dataclass(frozen=True)
class Work:
    """What is to be done, by devices that are alike.

    Attributes:
        blocks: How many.
        seconds: One of them takes on a device.
        devices: How many.
    """

    blocks: int
    seconds: float
    devices: int

    @property
    def rounds(self) -> int:
        """Blocks, one after the other, of the device that has the most."""
        return -(-self.blocks // self.devices)


class Ended(NamedTuple):
    """One simulated run.

    Attributes:
        wall: Seconds to its end.
        failures: How many there were.
        lost: Share of the seconds of devices that have blocks in which no work was done that
            stayed; the wait of those that are done for those that are not is left out.
    """

    wall: float
    failures: int
    lost: float


def state_interval(seconds: float) -> float:
    """Return how much of a block is worked between two states; infinite where it has none.

    Example:
        >>> state_interval(15.0), state_interval(100.0), state_interval(120.0)
        (inf, 60.0, 60.0)
    """
    parts = math.ceil(seconds / PART)
    if parts <= 1:
        return math.inf
    interval = math.ceil(BETWEEN_STATES * parts / seconds) * seconds / parts
    return interval if interval < seconds else math.inf


def without_failures(work: Work, costs: Costs) -> float:
    """Return the seconds of a run in which nothing fails."""
    return costs.start + work.rounds * whole(work.seconds, costs)


def whole(seconds: float, costs: Costs) -> float:
    """Return what a block, or the rest of one, takes with its states: none at its end."""
    return seconds + max(0, math.ceil(seconds / costs.interval) - 1) * costs.state


def reached(elapsed: float, costs: Costs) -> float:
    """Return the work of a block that is safe after it ran for so long."""
    if math.isinf(costs.interval):
        return 0.0
    return math.floor(elapsed / (costs.interval + costs.state)) * costs.interval


def one_run(work: Work, costs: Costs, mean: float, rng: np.random.Generator) -> Ended:
    """Simulate processes that end together; ``mean`` seconds between a device's failures."""
    rests = [work.seconds] * work.blocks  # of the missing blocks
    wall, failures, kept, delay = 0.0, 0, 0.0, costs.start
    while True:
        shares = [rests[i :: work.devices] for i in range(work.devices)]
        ends = [np.cumsum([whole(rest, costs) for rest in share]) for share in shares]
        last = max(own[-1] for own in ends if len(own))
        failure = rng.exponential(mean / work.devices)
        if failure >= delay + last:
            wall += delay + last
            kept += sum(rests)
            return Ended(wall, failures, _lost(kept, work, wall))
        worked = max(0.0, failure - delay)
        after = []
        for share, own in zip(shares, ends, strict=True):
            done = int(np.searchsorted(own, worked, side="right"))
            kept += sum(share[:done])
            left = share[done:]
            if left:
                saved = reached(worked - (own[done - 1] if done else 0.0), costs)
                kept += saved
                left[0] -= saved
            after.append(left)
        rests = [rest for rests in _in_turn(after) for rest in rests]
        wall, failures, delay = wall + failure, failures + 1, costs.restart


def _in_turn(shares: Sequence[Sequence[float]]) -> Iterator[list[float]]:
    """Yield the shares' first, second, ... entries: the order in which they were dealt."""
    for place in range(max(map(len, shares))):
        yield [share[place] for share in shares if len(share) > place]


def array(work: Work, costs: Costs, mean: float, rng: np.random.Generator) -> Ended:
    """Simulate tasks that know nothing of each other."""
    walls, failures, used = [], 0, 0.0
    for place in range(work.devices):
        rests = [work.seconds] * len(range(place, work.blocks, work.devices))
        wall, delay = 0.0, costs.start
        while rests:
            ends = np.cumsum([whole(rest, costs) for rest in rests])
            failure = rng.exponential(mean)
            if failure >= delay + ends[-1]:
                wall += delay + ends[-1]
                break
            worked = max(0.0, failure - delay)
            done = int(np.searchsorted(ends, worked, side="right"))
            rests = rests[done:]
            if rests:
                rests[0] -= reached(worked - (ends[done - 1] if done else 0.0), costs)
            wall, failures, delay = wall + failure, failures + 1, costs.restart
        walls.append(wall)
        used += wall
    kept = work.blocks * work.seconds
    return Ended(max(walls), failures, max(0.0, 1 - kept / used))


def _lost(kept: float, work: Work, wall: float) -> float:
    busy = min(work.devices, work.blocks)
    idle = (work.rounds * busy - work.blocks) * work.seconds  # in the last round
    return max(0.0, 1 - kept / (busy * wall - idle))


def without_states(work: Work, costs: Costs, mean: float, rng: np.random.Generator) -> Ended:
    """Simulate one run that keeps finished blocks, and nothing of those it works on."""
    return one_run(work, costs._replace(interval=math.inf), mean, rng)


WAYS = {"one run": one_run, "one run, no states": without_states, "an array": array}


def daly(seconds: float, costs: Costs, mean: float) -> float:
    """Return the expected seconds of work on one device that fails, a state at every interval.

    Daly, A higher order estimate of the optimum checkpoint interval for restart dumps, 2006, with M
    the mean time between failures, R the restart, d a state, tau the interval, K intervals:

        M exp(R / M) ((K - 1) (exp((tau + d) / M) - 1) + exp(tau / M) - 1) .

    Failures may hit a restart; no state is written at the end, and the start takes no time.
    """
    tau, count = costs.interval, seconds / costs.interval
    each = (count - 1) * math.expm1((tau + costs.state) / mean) + math.expm1(tau / mean)
    return mean * math.exp(costs.restart / mean) * each


def young(state: float, mean: float) -> float:
    """Return Young's interval between states, sqrt(2 d M): the best where M is much larger.

    Example:
        >>> young(0.5, 10_000.0)
        100.0
    """
    return math.sqrt(2 * state * mean)


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
    scenario: Scenario, steps: int, start_seconds: float, state_seconds: float
) -> dict[str, Any]:
    """Return what a scenario takes, both ways, at every rate."""
    work = Work(-(-REPLICAS.value // scenario.width), scenario.step_seconds * steps, DEVICES.value)
    first = start_seconds + scenario.compile_seconds
    interval = state_interval(work.seconds)
    costs = Costs(first, DETECTION + QUEUE + first, state_seconds, interval)
    rows = []
    for worse in TIMES_WORSE:
        mean = SOURCE["hours_between_failures"] * 3600 / worse
        for way, run in WAYS.items():
            rng = np.random.default_rng(SEED.value)
            runs = [run(work, costs, mean, rng) for _ in range(RUNS.value)]
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
        "steps": steps,
        "blocks": work.blocks,
        "block_seconds": work.seconds,
        "rounds": work.rounds,
        "start_seconds": first,
        "restart_seconds": costs.restart,
        "without_failures": without_failures(work, costs),
        "rows": rows,
    }


def draw(found: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Draw the time against the width of a block, where several widths were measured."""
    from signdyn.report.figures import panels
    from signdyn.report.style import look, restyle, save_figure

    device = max((one["on"] for one in found), key=[one["on"] for one in found].count)
    curve = sorted(
        (one for one in found if one["on"] == device and "CNN" not in one["networks"]),
        key=lambda one: one["width"],
    )
    widths = [one["width"] for one in curve]
    looks = dict(zip(WAYS, map(look, ("raw", "flipped", "centered")), strict=True))
    with restyle():
        titles = [f"failures x {worse}" for worse in TIMES_WORSE]
        figure, axes = panels(1, len(TIMES_WORSE), height=2.2, titles=titles,
                              ylabel="simulated hours", sharex=True, sharey=True)  # fmt: skip
        for ax, worse in zip(axes.flat, TIMES_WORSE, strict=True):
            none = [one["without_failures"] / 3600 for one in curve]
            ax.loglog(widths, none, ls="--", lw=1.0, color="#8a8a8a", label="no failures")
            for way, own in looks.items():
                rows = [
                    next(r for r in one["rows"] if (r["way"], r["times_worse"]) == (way, worse))
                    for one in curve
                ]
                low, high = np.transpose([row["wall_5_95"] for row in rows]) / 3600
                mean = [row["wall_seconds"] / 3600 for row in rows]
                ax.fill_between(widths, low, high, color=own.color, alpha=0.2, lw=0)
                ax.loglog(widths, mean, marker=own.marker, ms=3.5, lw=1.2, color=own.color,
                          label=way)  # fmt: skip
            ax.set_xticks(widths, [f"{width:,}" for width in widths], minor=False)
            ax.minorticks_off()
            ax.set_xlabel("replicas of a block")
        axes.flat[0].legend(fontsize="x-small")
        save_figure(figure, folder, "schedule")


def main() -> None:
    """Simulate, and write the record and the figure."""
    logging.set_verbosity(logging.WARNING)
    folder, record = Path(OUT.value), Path(RECORD.value)
    kinds = scenarios(record)
    if not kinds:
        raise UsageError(f"--record has neither gpu.json nor replicas.json: {record}")
    startup = read(record / "startup.json")
    start_seconds = startup["found"]["first_line_seconds"] if startup else 0.0
    cpu = read(record / "replicas.json")
    state_seconds = cpu["state"]["seconds"] if cpu else 0.0
    found = [simulate(one, STEPS.value, start_seconds, state_seconds) for one in kinds]
    content = {
        "command": "python -m scripts.bench.schedule",
        "is_simulated": True,
        "replicas": REPLICAS.value,
        "devices": DEVICES.value,
        "runs": RUNS.value,
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
    start(main)
