"""What a GPU will be measured with, at toy size on a CPU."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from experiments._cli import UsageError
from scripts.bench.blocks import WITHIN, measure_blocks, row_of
from scripts.bench.gpu import Config, on_gpu, prepare
from scripts.bench.races.sweeps import mlp_race

RACE = on_gpu(mlp_race(4, (0,) * 5), 8)
SMALL = replace(RACE, case={**RACE.case, "widths": (64, 10)})


def worker(seconds, **answer):
    facts = {"first_seconds": 1.0}
    return SimpleNamespace(turns=seconds, facts=facts, device_bytes=2**20, answer=lambda: answer)


def test_a_cpu_agrees_with_itself_to_the_bit():
    (row,) = measure_blocks(
        SMALL, ["highest"], rounds=1, tell=lambda text: None, env={"JAX_PLATFORMS": "cpu"}
    )
    assert (row["differs_from_cpu"], row["agrees"]) == (0.0, True)
    assert (row["kind"], row["width"], row["precision"]) == ("mlp", 4, "highest")
    assert row["steps_a_second"] > 0
    assert 0 < row["share_of_peak"]["median"] < 1


@pytest.mark.parametrize(
    ("loss", "agrees"), [(1.0, True), (1.0 + 1e-5, True), (1.01, False), (np.nan, False)]
)
def test_losses_that_are_too_far_from_a_cpus_do_not_agree(loss, agrees):
    block, roof = worker([0.5, 0.5], loss=np.full(2, loss)), worker([1.0, 1.0], flop=np.array(1e9))
    row = row_of(RACE, "highest", block, roof, {"loss": np.ones(2)})
    assert row["agrees"] is agrees
    assert row["steps_a_second"] == 4 * 8 / 0.5
    assert row["share_of_peak"]["median"] == pytest.approx(RACE.flop / 0.5 / 1e9)


def test_more_digits_are_held_to_less():
    assert WITHIN["highest"] < WITHIN["high"] < WITHIN["default"]


def test_without_a_gpu_nothing_is_measured():
    with pytest.raises(UsageError, match="no gpu here, but cpu"):
        prepare(Config())
