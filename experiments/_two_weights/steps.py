"""The paths of the picture, step by step, for the page to play."""

import numpy as np
from matplotlib.figure import Figure

from experiments._two_weights.figure import (
    LEVELS,
    View,
    common_span,
    draw_contours,
    middle_of,
    views_of,
)
from experiments._two_weights.results import Results
from signdyn.report import steps
from signdyn.report.steps import Map, Steps, Walk, rounded

GRID = 61
"""Points along each axis at which the loss is computed for its contours."""


def make_steps(results: Results, num_seeds: int) -> Steps:
    """Return the six paths of the first seed on the contours of their loss."""
    views = views_of(results)
    span = common_span(views)
    maps = {}
    for view in views:
        maps.setdefault(_arm(view), _map(view, span))
    return Steps(
        title="Walk the paths of two weights",
        caption=f"One seed of {num_seeds}, the picture's: paths over contours of the loss, "
        f"{LEVELS[0]:g} nats above the minimum and fourfold from line to line; the cross is the "
        "minimum. Horizontal is the weight of the ink, vertical that of the constant input. All "
        "panels have one scale; a path that has arrived waits.",
        views=[steps.View("paths", walks=[_walk(view) for view in views], maps=maps)],
    )


def _arm(view: View) -> str:
    return view.title.partition(",")[0]


def _map(view: View, span: float) -> Map:
    middle = middle_of(view)
    drawn = draw_contours(Figure().subplots(), view.data, middle, span, points=GRID)
    box = np.repeat(middle, 2) + span / 2 * np.array([-1, 1, -1, 1])
    lines = [rounded(line.ravel()) for level in drawn.allsegs for line in level]
    return Map(rounded(box), lines, rounded(view.data.minimum.values))


def _walk(view: View) -> Walk:
    updates = np.diff(view.path, axis=0)
    sizes = np.linalg.norm(updates, axis=1)
    inner = np.sum(updates[1:] * updates[:-1], axis=1)
    with np.errstate(invalid="ignore"):  # no update, no turn
        turns = [np.nan, *(inner / (sizes[1:] * sizes[:-1])), np.nan]
    return Walk(
        label=view.title,
        arm=view.arm,
        map=_arm(view),
        points=rounded(view.path.ravel()),
        loss=rounded(view.loss),
        turns=rounded(turns[: len(view.path)]),
        note=_plain(view.note),
    )


def _plain(note: str) -> str:
    r"""Return a figure's note without its mathematics.

    Example:
        >>> _plain("step 2, $2/\\lambda_{\\max}$ = 2.5\n9 steps")
        'Step 2, 2 / lambda_max = 2.5, 9 steps.'
    """
    text = note.replace(r"$2/\lambda_{\max}$", "2 / lambda_max").replace("\n", ", ")
    return f"{text[:1].upper()}{text[1:]}."
