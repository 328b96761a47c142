"""Puts the record of how cost grows into docs/scaling.md and docs/accelerators.md.

    python -m scripts.bench.scaling_page

Between their markers; the prose around is written by hand. Reads docs/record/bench/*.json.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments._cli import Options, option, run
from scripts.bench.crossover import DENSE, FREE, largest
from scripts.bench.failures import WAYS, young
from scripts.bench.gpu_tables import gpu_blocks_text, gpu_rates_text
from scripts.bench.marked import with_parts
from scripts.bench.page import read, spread, table

GIB = 2**30

BYTES_OF_SQUARE = {"any": 20, "layers": 24}
"""Way -> bytes times the square of P that all eigenvalues need, of float32 models; see
`signdyn.analysis._tsqr.tall_bytes` and `signdyn.analysis._wide.num_bytes`."""

BYTES_OF_ONE = 640
"""Bytes times P of 40 steps of Lanczos in float32, see `signdyn.analysis.spectrum`."""


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """What is read and written."""

    record: str = option("docs/record/bench", "Folder of the record.", folder="read")
    docs: str = option("docs", "Folder of the pages.", folder="read")


def measured(content: Mapping[str, Any]) -> str:
    """Return the command and the machine."""
    machine = content["machine"]
    return f"`{content['command']}`, on {machine['cores']} cores of {machine['cpu']}"


def replicas_text(content: Mapping[str, Any]) -> str:
    """Return that cost is linear in replicas."""
    least, least_cpu = (
        min(row[name]["median"] for row in content["times"])
        for name in ("seconds_a_replica", "cpu_seconds_a_replica")
    )
    rows = [("replicas", "blocks", "time of a replica / least", "the same, of CPU time")]
    rows += [
        (
            f"{row['replicas']:,}",
            f"{row['replicas'] // content['block']:,}",
            spread({k: v / least for k, v in row["seconds_a_replica"].items()}),
            spread({k: v / least_cpu for k, v in row["cpu_seconds_a_replica"].items()}),
        )
        for row in content["times"]
    ]
    return "\n\n".join(
        [
            f"{measured(content)}: networks 64-64-64-10, {content['steps']} steps, every "
            f"replica a seed of its own, in blocks of {content['block']}; median [least, most] "
            f"over rounds. From {content['times'][0]['replicas']} to "
            f"{content['times'][-1]['replicas']:,} replicas the medians differ by a factor of "
            f"{content['ratio']:.3f}, those of CPU time by {content['cpu_ratio']:.3f}.",
            table(rows),
        ]
    )


def memory_text(content: Mapping[str, Any]) -> str:
    """Return that memory is flat in the number of blocks."""
    rows = [("blocks", "replicas", "MiB before", "most MiB", "added")]
    rows += [
        (
            f"{row['blocks']:,}",
            f"{row['blocks'] * content['block']:,}",
            f"{row['before_bytes'] / 2**20:.0f}",
            f"{row['peak_bytes'] / 2**20:.0f}",
            f"{(row['peak_bytes'] - row['before_bytes']) / 2**20:.1f}",
        )
        for row in content["memory"]
    ]
    return f"The same command, each row a fresh process.\n\n{table(rows)}"


def devices_text(content: Mapping[str, Any]) -> str:
    """Return what devices and processes make of the cores."""
    rows = [("processes", "host devices each", "speedup")]
    rows += [
        (str(r["processes"]), str(r["devices"]), spread(r["speedup"])) for r in content["ways"]
    ]
    return (
        f"{measured(content)}: {content['replicas']} replicas of {content['steps']} steps."
        f"\n\n{table(rows)}"
    )


def axes_text(content: Mapping[str, Any]) -> str:
    """Return how cost grows: exponents beside those by count of operations, and the figure."""
    rows = [("cost", "against", "from", "to", "exponent", "by count")]
    for axis in content["axes"]:
        sizes = axis["sizes"]
        rows.append(
            (axis["cost"], axis["size"], f"{sizes[0]:,}", f"{sizes[-1]:,}",
             spread(axis["exponent"]), f"{axis['expected']:g}")
        )  # fmt: skip
    return "\n\n".join(
        [
            f"{measured(content)}. One size is varied at a time; the exponent is fitted over "
            "the upper half of the sizes, median over rounds with [the least, the most]. Dashed: "
            "the exponent by the count of operations, through the last point.",
            table(rows),
            "![Time against each size, log-log](record/bench/scaling.svg)",
        ]
    )


def crossover_text(content: Mapping[str, Any]) -> str:
    """Return from where on products are faster than all eigenvalues."""
    curves = content["curves"]
    least = min(min(curve["seconds"]) for curve in curves.values())
    rows = [("parameters", *(curve["what"] for curve in curves.values()))]
    rows += [
        (f"{params:,}", *(f"{curve['seconds'][i] / least:.3g}" for curve in curves.values()))
        for i, params in enumerate(curves["any"]["params"])
    ]
    crossings = [("instead of", *FREE.values())]
    crossings += [
        (what, *(_from(content["crossings"][f"{way} {free}"], curves["any"]) for free in FREE))
        for way, what in DENSE.items()
    ]
    return "\n\n".join(
        [
            f"{measured(content)}: Fishers of networks 64-n-10 on {content['examples']:,} "
            f"digits, {content['rows']:,} rows of the factor. Time over the least one:",
            table(rows),
            "Products are faster from so many parameters on:",
            table(crossings),
            "![Time against parameters](record/bench/crossover.svg)",
        ]
    )


def _from(params: float | None, curve: Mapping[str, Any]) -> str:
    if params is None:
        return f"above {curve['params'][-1]:,}"
    return f"{params:,.0f}" if params > curve["params"][0] else f"{curve['params'][0]:,} or fewer"


def limits_text() -> str:
    """Return how many parameters fit, by the formulas."""
    sizes = (4, 16, 80)
    rows = [("what", "bytes", *(f"most P in {size} GiB" for size in sizes))]
    rows += [
        (f"{DENSE[way]}", f"{factor} P^2", *(f"{largest(n * GIB, factor):,}" for n in sizes))
        for way, factor in BYTES_OF_SQUARE.items()
    ]
    rows.append(
        (f"{FREE['top']}; density, one probe at a time", f"{BYTES_OF_ONE} P",
         *(f"{n * GIB // BYTES_OF_ONE:,}" for n in sizes))
    )  # fmt: skip
    return table(rows)


def schedule_text(content: Mapping[str, Any]) -> str:
    """Return the simulated schedules."""
    source, assumed = content["source"], content["assumed"]
    found = content["scenarios"]
    plain = [("networks", "blocks measured on", "replicas of a block", "blocks", "rounds",
              "a block, s", "start, s", "hours without failures")]  # fmt: skip
    plain += [
        (one["networks"], one["on"], f"{one['width']:,}", f"{one['blocks']:,}",
         f"{one['rounds']:,}", f"{one['block_seconds']:,.0f}", f"{one['start_seconds']:.0f}",
         f"{one['without_failures'] / 3600:.2f}")
        for one in found
    ]  # fmt: skip
    rates = list(dict.fromkeys(row["times_worse"] for row in found[0]["rows"]))
    rows = [("replicas of a block", "way", *(f"x {worse:,}" for worse in rates))]
    rows += [
        (_block(one), way, *(_hours(row) for row in one["rows"] if row["way"] == way))
        for one in found
        for way in WAYS
    ]
    hours = source["hours_between_failures"]
    best = [young(content["state_seconds"], hours * 3600 / content["devices"] / w) for w in rates]
    return "\n\n".join(
        [
            f"**Simulated**: `{content['command']}`, {content['replicas']:,} replicas of "
            f"{found[0]['steps']:,} steps on {content['devices']} devices, {content['runs']} runs "
            "of each kind. Measured: times of blocks and of a first call (gpu.json; replicas.json, "
            "where a device is such a machine), in proportion to steps; the start of a process "
            f"(startup.json); {content['state_seconds']:.2g} s to write a state (of 1,024 "
            "networks). Published: a "
            f"failure in {hours:,.0f} hours of a device ({source['text']}); multiples of that "
            f"rate are assumed. Assumed as well: {assumed['detection_seconds']:g} s until a "
            f"machine that vanished is missed, and {assumed['queue_seconds']:g} s in a queue.",
            table(plain),
            "Hours, mean [5%, 95%], and the share of device time that was lost, at multiples of "
            "the published rate:",
            table(rows),
            "Young's interval between states, sqrt(2 d M / devices), at these rates: "
            f"{', '.join(f'{seconds:,.0f}' for seconds in best)} s; a run writes one every "
            f"{assumed['between_states_seconds']:g} s at the most often.",
            "![Simulated hours, and what failures add](record/bench/schedule.svg)",
        ]
    )


def _block(one: Mapping[str, Any]) -> str:
    kind = "CNNs" if "CNN" in one["networks"] else "MLPs"
    return f"{one['width']:,} {kind}, {one['on']}"


def _hours(row: Mapping[str, Any]) -> str:
    low, high = (seconds / 3600 for seconds in row["wall_5_95"])
    return f"{row['wall_seconds'] / 3600:.3g} [{low:.3g}, {high:.3g}], {row['lost']:.1%}"


def scaling_parts(folder: Path) -> dict[str, str]:
    """Return the parts of docs/scaling.md."""
    replicas = read(folder, "replicas")
    return {
        "replicas": replicas_text(replicas),
        "memory": memory_text(replicas),
        "devices": devices_text(read(folder, "devices")),
        "axes": axes_text(read(folder, "scaling")),
        "crossover": crossover_text(read(folder, "crossover")),
        "limits": limits_text(),
        "schedule": schedule_text(read(folder, "schedule")),
    }


def accelerator_parts(folder: Path) -> dict[str, str]:
    """Return the parts of docs/accelerators.md."""
    gpu = read(folder, "gpu")
    return {"rates": gpu_rates_text(gpu), "blocks": gpu_blocks_text(gpu.get("blocks", []))}


PAGES = {"scaling.md": scaling_parts, "accelerators.md": accelerator_parts}


def execute(config: Config) -> None:
    """Write the pages."""
    for name, parts in PAGES.items():
        path = Path(config.docs, name)
        path.write_text(with_parts(path.read_text(), parts(Path(config.record))))
        print(f"wrote {path}")


if __name__ == "__main__":
    run(Config, {}, lambda config: config, execute)
