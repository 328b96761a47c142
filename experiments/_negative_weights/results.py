"""What the record on disk says; claims and figures are made from this alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from experiments._data import spoken_name
from experiments._negative_weights.networks import Network
from experiments._negative_weights.plan import BATCH
from experiments._negative_weights.signs import marks
from signdyn.records import load, read_json
from signdyn.report.formats import Table

LAYERS = {
    "perceptron": ("hidden 1", "hidden 2", "output"),
    "convnet": ("conv 1", "conv 2", "conv 3", "output"),
}
"""Networks whose signs are counted: their layers in the order of every layer axis."""

PARTS = (*LAYERS, "held", "xor")


class Results:
    """The record of a run; numbers are [seed, ...] in the order of every part's seeds."""

    def __init__(self, folder: Path):
        """Load every part; raises `RecordsError` if one is unfinished or damaged."""
        self._parts = {name: load(folder, part=name) for name in PARTS}
        self._config = read_json(folder / "run.json")["config"]

    @property
    def num_seeds(self) -> int:
        """Number of seeds."""
        return self._parts["xor"].sizes["seed"]

    @property
    def data_name(self) -> str:
        """Name of the data set."""
        return spoken_name(self._config.get("dataset", "digits"))

    @property
    def epoch(self) -> int:
        """Steps of an epoch on the images."""
        return int(self._config["num_examples"]) // BATCH

    def arms(self, part: str) -> list[str]:
        """Return the arms of a part."""
        return self._parts[part].arm.values.tolist()

    def steps(self, part: str) -> int:
        """Return the number of updates of a training."""
        return self._parts[part].sizes["step"]

    def marks(self, part: str) -> np.ndarray:
        """Return the numbers of steps after which signs were counted."""
        return np.array(marks(self.steps(part)))

    def mark_within(self, part: str, steps: int) -> int:
        """Return the place of the last mark after at most so many steps."""
        return int(np.searchsorted(self.marks(part), steps, side="right")) - 1

    def value(self, part: str, arm: str, name: str) -> np.ndarray:
        """Return a variable of the record, [seed, ...], in float64."""
        rows = self._parts[part]
        values = rows.isel(variant=(rows.arm == arm).values).squeeze("variant")[name]
        return values.transpose("seed", ...).values.astype(np.float64)

    def sizes(self, part: str) -> np.ndarray:
        """Return [layer] the number of weights: no weight of a start is exactly zero."""
        negative, positive = (
            self.value(part, "symmetric", sign)[0, 0] for sign in ("negative", "positive")
        )
        return negative + positive

    def share(self, part: str, arm: str) -> np.ndarray:
        """Return [seed, mark, layer] the share of weights below zero."""
        return self.value(part, arm, "negative") / self.sizes(part)

    def share_of_all(self, part: str, arm: str, *, first: int = 0) -> np.ndarray:
        """Return [seed, mark] the share of weights below zero of the layers from ``first`` on."""
        negative = self.value(part, arm, "negative")[..., first:].sum(axis=-1)
        return negative / self.sizes(part)[first:].sum()

    def mean_weight(self, arm: str) -> np.ndarray:
        """Return [seed, mark, layer] the perceptron's mean weight, over that of the start."""
        mean = self.value("perceptron", arm, "mean_weight")
        return mean / mean[:, :1]

    def networks(self, part: str, arm: str) -> list[Network]:
        """Return the trained network of every seed; of parts that hold parameters."""
        ends = [name for name in self._parts[part] if str(name).endswith("_kernel")]
        layers = [
            [self.value(part, arm, str(name).replace("kernel", kind)) for name in ends]
            for kind in ("kernel", "bias")
        ]
        return [
            Network(*([layer[seed] for layer in kind] for kind in layers))
            for seed in range(self.num_seeds)
        ]

    def of_networks(self, part: str, arm: str, measure: Callable[[Network], float]) -> np.ndarray:
        """Return [seed] what ``measure`` says of the trained networks."""
        return np.array([measure(network) for network in self.networks(part, arm)])


def shares_table(results: Results) -> Table:
    """Return one row a network, arm and layer: mean share of weights below zero over seeds."""
    rows = []
    for part, layers in LAYERS.items():
        places = [results.mark_within(part, steps) for steps in (0, 2, results.epoch)]
        for arm in results.arms(part):
            shares = results.share(part, arm).mean(axis=0)
            for number, layer in enumerate(layers):
                told = (float(shares[place, number]) for place in (*places, -1))
                rows.append((part, arm, layer, *told))
    columns = ("network", "arm", "layer", "at_start", "after_2_steps", "after_1_epoch", "trained")
    return Table(columns, rows)


def held_table(results: Results) -> Table:
    """Return one row a problem and arm with weights held or free: means over seeds."""
    names = ("final_train_loss", "final_train_accuracy", "final_test_accuracy")
    places = [("xor", arm) for arm in results.arms("xor")]
    places += [("perceptron", "positive"), *(("held", arm) for arm in results.arms("held"))]
    rows = [
        (part, arm, *(float(results.value(part, arm, name).mean()) for name in names))
        for part, arm in places
    ]
    return Table(("network", "arm", *names), rows)
