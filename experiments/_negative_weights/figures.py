"""The figures on negative weights, each drawn from the record on disk."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments._intervals import interval_of_mean
from experiments._negative_weights.arms import DECAYS, SLOPE, STRONG_DECAY
from experiments._negative_weights.claims.common import DECAY, MIRROR, SHARES, SYNAPSES
from experiments._negative_weights.claims.decay import decay_law
from experiments._negative_weights.networks import NON_DECREASING_LOSS
from experiments._negative_weights.results import LAYERS, Results
from signdyn.report.figures import band, chance_line, key, panels, strip, theory_line
from signdyn.report.style import Look

LOOKS = (
    Look("first layer", "#d55e00", (), "o", 2.0),
    Look("second", "#2f8cc4", (6.0, 1.5, 1.0, 1.5), "^"),
    Look("third", "#117a5a", (1.0, 1.2), "D"),
    Look("output", "#2b1a4f", (3.5, 2.0), "s", 1.2),
)
"""Of layers, by depth; the output's is always the last."""

NO_STEP = 0.5
"""Where the start is drawn on a logarithmic axis of steps."""


def draw_figures(results: Results) -> Mapping[str, tuple[Figure, str]]:
    """Return name -> (figure, caption), in the order of the page."""
    drawn = {SHARES: _shares, DECAY: _decay, MIRROR: _mirror, SYNAPSES: _synapses}
    figures = {}
    for name, draw in drawn.items():
        figure, caption = draw(results)
        figures[name] = (figure, f"{caption} {results.num_seeds} seeds.")
    return figures


def _looks(part: str) -> Sequence[Look]:
    return (*LOOKS[: len(LAYERS[part]) - 1], LOOKS[-1])


def _shares(results: Results) -> tuple[Figure, str]:
    words = {"convnet": "ConvNet", "perceptron": "perceptron"}
    starts = ("symmetric", "positive")
    titles = [f"{words[part]}, {start} start" for start in starts for part in words]
    figure, axes = panels(2, 2, titles=titles, ylabel="share of weights below zero", height=1.9)
    for row, start in zip(axes, starts, strict=True):
        for ax, part in zip(row, words, strict=True):
            shares = results.share(part, start)
            for layer, appearance in enumerate(_looks(part)):
                band(ax, _places(results, part), shares[..., layer], appearance)
            ax.axvline(results.epoch, color="#999999", linewidth=0.8, zorder=1)
            _steps_axis(ax)
            ax.set_ylim(-0.02, 0.6)
    for ax in axes[-1]:
        ax.set_xlabel("updates so far")
    key(figure)
    return figure, (
        "Share of negative weights by layer against the number of updates, on "
        f"{results.data_name}, ReLU, no weight decay. Above: the usual start, kernels drawn "
        "symmetrically about zero; below: the same kernels made positive and scaled down. "
        "ConvNet: three convolutions and a dense output, SGD with momentum; perceptron: two "
        "hidden layers, SGD. Vertical line: one epoch. Median and quartiles over seeds."
    )


def _places(results: Results, part: str) -> np.ndarray:
    return np.maximum(results.marks(part), NO_STEP)


def _steps_axis(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_xticks([NO_STEP, 1, 10, 100, 1000], ["0", "1", "10", "100", "1000"])
    ax.minorticks_off()


def _decay(results: Results) -> tuple[Figure, str]:
    figure, axes = panels(1, 2, sharex=False, sharey=False, height=2.5)
    left, right = axes[0]
    decays = (0.0, *DECAYS)
    arms = {decay: "positive" if decay == 0.0 else f"decay_{decay:g}" for decay in decays}
    columns = [*arms.values(), "decay_alone"]
    shares = np.stack([results.share("perceptron", arm)[:, -1] for arm in columns])
    for layer, appearance in enumerate(_looks("perceptron")):
        values = shares[..., layer]
        intervals = np.stack([interval_of_mean(row) for row in values])
        places = np.arange(len(columns)) + 0.24 * (layer - 1)
        strip(left, places, values, appearance, intervals=intervals, spread=0.08)
    names = [f"{decay:g}" for decay in decays]
    left.set_xticks(range(len(columns)), [*names, f"{STRONG_DECAY:g},\nno data"])
    left.set_xlabel("weight decay")
    left.set_ylabel("share below zero\nafter training")
    left.set_ylim(-0.02, 0.6)
    steps = _places(results, "perceptron")
    for decay in (0.0, *DECAYS[1:]):
        mean = results.mean_weight(arms[decay])[..., -1]
        band(right, steps, mean, "raw", label="measured")
        law = decay_law(results, decay)
        theory_line(right, steps, law, "decay alone")
        _name_line(right, 1.15 * steps[-1], law[-1], f"decay {decay:g}")
    _steps_axis(right)
    right.set_xlim(NO_STEP / 1.5, 12.0 * steps[-1])
    right.set_ylim(0.0, 1.1)
    right.set_xlabel("updates so far")
    right.set_ylabel("mean output weight\n(share of its start)")
    key(figure)
    return figure, (
        "What weight decay does to a perceptron that starts with positive kernels. Left: share of "
        "negative weights after training by layer; last column: weight decay on a loss of zero. "
        "Points are seeds, bars 95% intervals of the mean. Right: mean weight of the output layer, "
        "median and quartiles over seeds, and what decay alone would make of it, "
        "(1 - rate x decay)^updates."
    )


def _name_line(ax: Axes, x: float, y: float, text: str) -> None:
    ax.annotate(text, (x, y), ha="left", va="center", fontsize="small", color="#333333")


def _mirror(results: Results) -> tuple[Figure, str]:
    shown = {
        "positive": LOOKS[0]._replace(label="ReLU"),
        "leaky": LOOKS[1]._replace(label=f"leaky ReLU, slope {SLOPE:g}"),
        "input_inverted": LOOKS[2]._replace(label="inputs negated"),
        "hidden_inverted": LOOKS[3]._replace(label="hidden units negated"),
    }
    figure, axes = panels(1, 1, height=2.4)
    ax = axes[0, 0]
    layers = LAYERS["perceptron"]
    for number, (arm, appearance) in enumerate(shown.items()):
        shares = results.share("perceptron", arm)[:, -1].T
        places = np.arange(len(layers)) + 0.2 * (number - 1.5)
        intervals = np.stack([interval_of_mean(row) for row in shares])
        strip(ax, places, shares, appearance, intervals=intervals, spread=0.07)
    chance_line(ax, 0.5, "one half", at=0.01)
    ax.set_xticks(range(len(layers)), layers)
    ax.set_ylabel("share of weights\nbelow zero after training")
    ax.set_ylim(0.0, 1.0)
    key(figure)
    return figure, (
        "Share of negative weights by layer after training of a perceptron from one positive "
        "start, no weight decay: with ReLU; with leaky ReLU; with every input negated, and the "
        "weights that read it; with every hidden unit negated after its ReLU, and the weights that "
        "read it. Points are seeds, bars 95% intervals of the mean."
    )


def _synapses(results: Results) -> tuple[Figure, str]:
    figure, axes = panels(
        1, 2, sharex=False, sharey=False, height=2.5, titles=["XOR", results.data_name]
    )
    left, right = axes[0]
    on_xor = {
        "free": ("free", LOOKS[1]),
        "later": ("later layer\nheld", LOOKS[1]),
        "mirrored": ("all held,\nx and -x", LOOKS[2]),
        "held": ("all\nheld", LOOKS[0]),
    }
    losses = [results.value("xor", arm, "final_train_loss") for arm in on_xor]
    _columns(left, losses, on_xor.values())
    chance_line(left, math.log(2.0), "best constant", at=0.02)
    chance_line(left, NON_DECREASING_LOSS, "best non-decreasing function", at=0.02)
    on_images = {
        ("perceptron", "positive"): ("free", LOOKS[1]),
        ("held", "mirrored"): ("all held,\nx and -x", LOOKS[2]),
        ("held", "plain"): ("all\nheld", LOOKS[0]),
    }
    losses = [results.value(*place, "final_train_loss") for place in on_images]
    _columns(right, losses, on_images.values())
    for ax in (left, right):
        ax.set_ylim(0.0, 1.15 * max(math.log(2.0), float(ax.dataLim.ymax)))
    left.set_ylabel("training loss (nat)")
    return figure, (
        "Training loss after training with weights held at zero or above. XOR: one hidden layer; "
        "dotted: the least losses of a constant, and of a non-decreasing function. Digits: two "
        "hidden layers, all arms from one positive start and at one rate. Points "
        "are seeds, bars 95% intervals of the mean."
    )


def _columns(ax: Axes, columns: Sequence[np.ndarray], shown: Iterable[tuple[str, Look]]) -> None:
    names = []
    for place, (values, (name, appearance)) in enumerate(zip(columns, shown, strict=True)):
        names.append(name)
        interval = interval_of_mean(values)[None]
        strip(ax, np.array([place]), values[None], appearance, intervals=interval, label="")
    ax.set_xticks(range(len(names)), names)
