"""Training step by step, for the page to play: loss, sign coherence, turning cosine of each arm."""

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from experiments._best_rate import best_rate
from experiments._path_probe import COHERENCE_EVERY, between_records, steps_to_target
from experiments._sign_flip.plan import RECORD_EVERY
from experiments._sign_flip.results import Results
from signdyn.report.figures import quartiles
from signdyn.report.steps import Line, Panel, Steps, View, rounded

ARMS = ("raw", "flipped", "centered")

ONE_LOSS = "Raw and flipped have one loss at every step, to the bit, but not one sign coherence. "
"""Said only of a run in which it is so."""

NOT_RECORDED = (
    "Sign coherence and turning cosine are not shown: the cells of this run were written by a "
    "version that kept their means over the path alone. A run in a new folder has them."
)


def make_steps(results: Results) -> Steps:
    """Return every activation's arms at their own best rates, and at small steps."""
    chosen = [_at_best(results, activation) for activation in results.plan.activations]
    chosen += [_at_small(results, activation) for activation in results.plan.activations]
    views = [_view(label, arms, results.plan.target_loss) for label, arms in chosen if arms]
    recorded = "coherence_so_far" in results.part("full")
    return Steps(
        title="Step through training",
        caption="Training with full batches: lines are medians over "
        f"{len(results.seeds)} seeds, bands and brackets quartiles. "
        f"{ONE_LOSS if _is_one_loss(chosen) else ''}Sign coherence is that of the first layer's "
        f"gradient at every {COHERENCE_EVERY}th step; the turning cosine is the mean over "
        f"{RECORD_EVERY} turns; both until a seed reaches the target, and shown while half of the "
        "seeds have not.",
        views=views,
        absent=() if recorded else (NOT_RECORDED,),
    )


Arm = tuple[str, str, xr.Dataset]
"""Name in the palette, label, and rows with dims (seed, ...)."""


def _is_one_loss(views: Iterable[tuple[str, Sequence[Arm]]]) -> bool:
    """Return whether flipped has the losses of raw in every view of both, and there is one."""
    losses = [{arm: _losses(rows) for arm, _, rows in arms} for _, arms in views]
    both = [view for view in losses if {"raw", "flipped"} <= view.keys()]
    same = (np.array_equal(view["raw"], view["flipped"], equal_nan=True) for view in both)
    return bool(both) and all(same)


def _at_best(results: Results, activation: str) -> tuple[str, list[Arm]]:
    arms = []
    for arm in ARMS:
        rows = results.rows("full", activation, arm)
        place = best_rate(results.steps("full", activation, arm))
        if place is not None:
            arms.append((arm, arm, rows.isel(variant=place)))
    rates = ", ".join(f"{label} {float(rows.learning_rate):g}" for _, label, rows in arms)
    return f"{activation}, best rates ({rates})", arms


def _at_small(results: Results, activation: str) -> tuple[str, list[Arm]]:
    arms = []
    for look, label, rule in (
        ("raw", "raw", "own"),
        ("centered", "centered, its own small rate", "own"),
        ("input", "centered, at raw's rate", "common"),
    ):
        arm = "raw" if look == "raw" else "centered"
        rows = results.rows("full", activation, arm, rule=rule)
        arms += [(look, label, rows.isel(variant=0))] if rows.sizes["variant"] else []
    return f"{activation}, small steps", arms


def _view(label: str, arms: Sequence[Arm], target_loss: float) -> View:
    panels = [_panel("training loss (nat)", arms, _losses, 0, 1, log=True)]
    if all("coherence_so_far" in rows for _, _, rows in arms):

        def coherence(rows: xr.Dataset) -> np.ndarray:
            means = rows.coherence_so_far.isel(layer=0).transpose("seed", "record").values
            counts = np.ceil(_updates(rows, target_loss) / COHERENCE_EVERY)
            return between_records(means, counts)

        def cosines(rows: xr.Dataset) -> np.ndarray:
            means = rows.turning_cosine_so_far.transpose("seed", "record").values
            return between_records(means, np.maximum(_updates(rows, target_loss) - 1, 0))

        panels += [
            _panel("sign coherence, layer 1", arms, coherence, 0, COHERENCE_EVERY),
            _panel("turning cosine", arms, cosines, RECORD_EVERY - 1, RECORD_EVERY),
        ]
    return View(label, panels)


def _updates(rows: xr.Dataset, target_loss: float) -> np.ndarray:
    """Return [seed, record] updates measured until each record: none after the target."""
    reached = steps_to_target(_losses(rows), target_loss, 1)
    ends = RECORD_EVERY * (1 + np.arange(rows.sizes["record"]))
    return np.minimum(ends, np.where(np.isnan(reached), np.inf, reached)[:, None])


def _losses(rows: xr.Dataset) -> np.ndarray:
    # with full batches every step's loss is the training loss
    return rows.loss.transpose("seed", "step").values


def _panel(
    label: str, arms: Iterable[Arm], read, first: int, every: int, *, log: bool = False
) -> Panel:
    lines, count = [], 0
    for arm, name, rows in arms:
        values = read(rows).astype(np.float64)
        count = values.shape[1]
        low, middle, high = (rounded(row) for row in quartiles(values))
        lines.append(Line(arm, name, middle, low, high))
    return Panel(label, [first + every * place for place in range(count)], lines, log)
