"""Sweeps that can be interrupted: finished blocks are skipped, damaged ones redone.

A cell is one block's results on disk. Its id is the hash of everything that decides its
numbers, so a cell is reused exactly when the same computation is asked for.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from signdyn.checkpoints import remove_states
from signdyn.handing import Shelf
from signdyn.records import Replica, Variable, content_id, jsonable, write_cell
from signdyn.shares import Shares
from signdyn.staged import Programs, StagedProgram, staged_programs
from signdyn.sweeps import (
    block_program,
    block_shapes,
    num_blocks,
    replica_keys,
    run_blocks,
    stack_hypers,
)
from signdyn.training import Hyper, TrainFn

ROUNDING = 2
"""Raised when the code comes to round otherwise: cells of before are then other cells."""

CHECKPOINTS = "checkpoints"
"""Folder of a run, while a long block of it is not finished."""


class Variant(NamedTuple):
    """One point of a sweep.

    Attributes:
        labels: What tells it from the others; coordinates of the results.
        hyper: Its numbers: a `Hyper`, or whatever NamedTuple of them the group's function takes.
        seed_offset: Added to every seed before its key is made; 0 pairs variants by seed.
    """

    labels: Mapping[str, str | float]
    hyper: Any
    seed_offset: int = 0


class Group(NamedTuple):
    """Variants that run as one compiled program.

    Attributes:
        name: For the terminal.
        part: Table of the results that its cells belong to.
        train_fn: Draws and runs one replica.
        tabulate: Results of a block -> named arrays.
        identity: Everything static that decides the numbers, in JSON's types.
        example: A point of the kind that its variants hold, to compile the program for; nothing
            is None in it that is a number in one of them.
        num_parts: Into how many its training is cut, so that its state can be written in between;
            decides the programs, see `signdyn.staged`.
    """

    name: str
    part: str
    train_fn: TrainFn
    tabulate: Callable[[Any], Mapping[str, Variable]]
    identity: Mapping[str, Any]
    example: Any = Hyper(learning_rate=0.0)
    num_parts: int = 1


class Layout(NamedTuple):
    """How replicas are laid out: see `signdyn.sweeps.run_blocks`.

    Attributes:
        seeds: Of every variant.
        root: Of all random numbers.
        block: Replicas that a device runs in one call.
        width: Replicas of those that are vmapped together.
        devices: Where to run.
    """

    seeds: Sequence[int]
    root: int
    block: int
    width: int
    devices: Sequence[Any]


class Cell(NamedTuple):
    """One block of a group: its id and what its rows are."""

    id: str
    replicas: list[Replica]


def plan_cells(group: Group, variants: Sequence[Variant], layout: Layout) -> list[Cell]:
    """Return the cells that hold ``variants`` x seeds, variant by variant.

    Args:
        group: The program.
        variants: Points to run.
        layout: Seeds and blocks.

    Example:
        >>> from signdyn.training import Hyper
        >>> group = Group("g", "part", None, None, {})
        >>> layout = Layout(seeds=range(3), root=0, block=2, width=1, devices=[])
        >>> cells = plan_cells(group, [Variant({"arm": "raw"}, Hyper(0.1))], layout)
        >>> [[replica.seed for replica in cell.replicas] for cell in cells]
        [[0, 1], [2]]
    """
    rows = [(variant, seed) for variant in variants for seed in layout.seeds]
    common = _identity(group, layout)
    cells = []
    for index in range(num_blocks(len(rows), layout.block)):
        own = rows[index * layout.block : (index + 1) * layout.block]
        identity = {
            **common,
            "replicas": [
                [dict(v.labels), _numbers(v.hyper), v.seed_offset, seed] for v, seed in own
            ],
        }
        replicas = [Replica(seed, variant.labels) for variant, seed in own]
        cells.append(Cell(content_id(jsonable(identity)), replicas))
    return cells


def _identity(group: Group, layout: Layout) -> dict[str, Any]:
    """Return what decides the numbers of all the group's cells, and of their states."""
    settings = ("jax_enable_x64", "jax_default_matmul_precision")
    numerics = [getattr(jax.config, name) for name in settings]
    return {
        "group": group.identity,
        **({"num_parts": group.num_parts} if group.num_parts > 1 else {}),
        "part": group.part,
        "root": layout.root,
        "block": layout.block,
        "width": layout.width,
        "jax": jax.__version__,
        "rounding": ROUNDING,
        "numerics": numerics + sorted({device.platform for device in layout.devices}),
    }


class Ready(NamedTuple):
    """A group's program, compiled.

    Attributes:
        call: (draws, hypers) -> results.
        in_flight: How many calls of it may be started on a device before the first one's results
            are taken.
    """

    call: Callable[[Any, Any], Any]
    in_flight: int = 2


def run_group(
    folder: Path,
    group: Group,
    variants: Sequence[Variant],
    layout: Layout,
    *,
    program: Callable[[], Ready] | None = None,
    on_block: Callable[[int, float], None] = lambda replicas, seconds: None,
    on_cell: Callable[[Mapping[str, Variable]], None] = lambda variables: None,
    shares: Shares | None = None,
) -> int:
    """Run the variants' missing cells and write each as it finishes; return how many ran.

    Args:
        folder: The run's folder.
        group: The program.
        variants: Points to run.
        layout: Seeds, blocks and devices.
        program: Gives the program if it was compiled ahead; asked only if a cell is missing.
        on_block: Called with (replicas, seconds) after each block, skipped ones included.
        on_cell: Called before that with what was written of a block that ran.
        shares: Of the run, if several processes work on it, or to learn of damage.
    """
    shares = shares or Shares(folder)
    cells = plan_cells(group, variants, layout)
    dealt = shares.deal([cell.id for cell in cells], len(layout.devices))
    skip = frozenset(range(len(cells))) - dealt.own
    for index in sorted(skip):
        on_block(len(cells[index].replicas), 0.0)
    if not dealt.own:
        return 0
    seeds = [v.seed_offset + s for v in variants for s in layout.seeds]
    hypers = _stacked(group, [v.hyper for v in variants for _ in layout.seeds])
    ready = _compiled(folder, group, layout) if program is None else program()
    staged = ready.call if isinstance(ready.call, StagedProgram) else None
    blocks = run_blocks(
        group.train_fn,
        replica_keys(layout.root, seeds),
        hypers,
        block=layout.block,
        width=layout.width,
        devices=layout.devices,
        skip=skip,
        program=ready.call,
        in_flight=ready.in_flight if staged is None else 1,  # a next call forgets the last state
    )
    process = shares.team.index
    try:
        for block in blocks:
            cell = cells[block.index]
            variables = group.tabulate(block.trajectory)
            rows = (cell.id, cell.replicas, variables, block.seconds)
            write_cell(folder, group.part, *rows, process=process)
            on_cell(variables)
            on_block(len(cell.replicas), block.seconds)
    except BaseException:
        if staged is not None:
            staged.stop()  # else the process would wait for blocks of other devices
        blocks.close()
        raise
    if staged is not None:
        staged.forget()
    return len(dealt.own)


def _compiled(folder: Path, group: Group, layout: Layout) -> Ready:
    """Return the group's program, compiled in this thread: others trace by other settings."""
    hyper = jax.tree.map(lambda leaf: leaf[0], _stacked(group, [group.example]))
    draws, hypers = block_shapes(group.train_fn, hyper, layout.block)
    shelf = Shelf(layout.devices)
    if group.num_parts > 1:
        jitted = group_programs(group, layout)
        compiled = jitted.compiled(draws, hypers, None, shelf.compiled)
        return Ready(keep_states(folder, group, layout, compiled, jitted, seconds=math.inf))
    program = block_program(group.train_fn, block=layout.block, width=layout.width)
    return Ready(shelf.compiled(program.trace(draws, hypers), None))


def group_programs(group: Group, layout: Layout) -> Programs:
    """Return the programs of a group of several parts, not compiled yet."""
    return staged_programs(group.train_fn, group.num_parts, block=layout.block, width=layout.width)


def keep_states(
    folder: Path,
    group: Group,
    layout: Layout,
    compiled: Programs,
    jitted: Programs,
    **options: Any,
) -> StagedProgram:
    """Return the group's program, which keeps its states in the run's folder.

    Args:
        folder: The run's folder.
        group: Of several parts.
        layout: As for `run_group`.
        compiled: Its programs.
        jitted: From `group_programs`.
        options: Of `signdyn.staged.StagedProgram`.
    """
    told = content_id(jsonable(_identity(group, layout)))
    return StagedProgram(compiled, jitted, folder / CHECKPOINTS, told=told, **options)


def forget_states(folder: Path) -> None:
    """Remove what is left of states in a run's folder, once all of its cells are there."""
    remove_states(folder / CHECKPOINTS)


def _stacked(group: Group, hypers: Sequence[Any]) -> Any:
    """Return the points as the arrays that the group's program takes."""
    program = jax.tree.structure(group.example)
    stacked = jax.tree.map(lambda leaf: leaf[1:], stack_hypers([group.example, *hypers]))
    if jax.tree.structure(stacked) != program:
        raise ValueError(
            f"run_group: the example of group {group.name!r} must have every number that a variant "
            f"has, got {group.example!r}."
        )
    return stacked


def _numbers(hyper: Any) -> list[float | None]:
    leaves = jax.tree.leaves(hyper, is_leaf=lambda node: node is None)
    return [None if leaf is None else float(leaf) for leaf in leaves]
