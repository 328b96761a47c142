"""Tables of docs/accelerators.md, from gpu.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from scripts.bench.page import table


def gpu_rates_text(content: Mapping[str, Any]) -> str:
    """Return rates of blocks on a GPU against their width."""
    rows = [("networks", "replicas of a block", "a step of the block, us", "thousand steps/s",
             "share of the peak", "host MiB", "first call, s")]  # fmt: skip
    races = sorted(content["races"], key=lambda race: ("cnn" in race["id"], race["units"]))
    for race in races:
        width, _, networks = race["work"].partition(" seeds of ")
        ours, steps = race["contenders"][0], race["units"] / int(width)
        rows.append(
            (networks.partition(", batch")[0], f"{int(width):,}",
             f"{ours['seconds'] / steps * 1e6:,.0f}",
             f"{race['units'] / ours['seconds'] / 1e3:,.0f}",
             f"{race['share_of_roof']['median']:.1%}", f"{ours['peak_bytes'] / 2**20:,.0f}",
             f"{ours['first_seconds']:.1f}")
        )  # fmt: skip
    return "\n\n".join(
        [
            f"`{content['command']}` on one {content['device']}, JAX "
            f"{races[0]['contenders'][0]['versions']['jax']}, products at their default precision:",
            table(rows),
        ]
    )


def gpu_blocks_text(blocks: Sequence[Mapping[str, Any]]) -> str:
    """Return rates by precision and agreement with a CPU, or that they were not measured."""
    if not blocks:
        return (
            "**Not measured yet**: rates at each precision and agreement with a CPU. The command "
            "above does it where there is a GPU; it was tried on a CPU only."
        )
    rows = [("networks", "replicas of a block", "precision", "thousand steps/s",
             "share of the peak", "device MiB", "differs from a CPU by", "within")]  # fmt: skip
    rows += [
        (row["kind"], f"{row['width']:,}", row["precision"],
         f"{row['steps_a_second'] / 1e3:,.0f}", f"{row['share_of_peak']['median']:.1%}",
         f"{row['device_bytes'] / 2**20:,.0f}" if row["device_bytes"] else "not told",
         f"{row['differs_from_cpu']:.1g}", f"{row['within']:g}" if row["agrees"] else "**no**")
        for row in blocks
    ]  # fmt: skip
    return table(rows)
