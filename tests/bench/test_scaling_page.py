"""The pages on scaling and accelerators are those of the record, which keeps its word."""

import json
import re
from pathlib import Path

import pytest

from scripts.bench.crossover import crossing, largest
from scripts.bench.gpu_tables import gpu_blocks_text
from scripts.bench.marked import with_parts
from scripts.bench.scaling_page import BYTES_OF_ONE, BYTES_OF_SQUARE, PAGES
from signdyn.analysis import _tsqr, _wide

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
RECORD = DOCS / "record" / "bench"


def record(name):
    return json.loads((RECORD / f"{name}.json").read_text())


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_are_those_of_the_record(name):
    page = (DOCS / name).read_text()
    assert with_parts(page, PAGES[name](RECORD)) == page


def test_a_part_without_a_place_and_a_place_without_a_part_are_refused():
    page = "<!-- record: a -->\n<!-- end -->\n"
    for parts in ({}, {"a": "x", "b": "y"}):
        with pytest.raises(ValueError, match="places"):
            with_parts(page, parts)


def test_cost_is_linear_in_replicas_within_a_tenth_from_16_to_1024():
    found = record("replicas")
    assert [row["replicas"] for row in found["times"]] == [16, 64, 256, 1024]
    medians = [row["seconds_a_replica"]["median"] for row in found["times"]]
    assert max(medians) / min(medians) == pytest.approx(found["ratio"])
    assert found["ratio"] <= 1.1


def test_memory_is_flat_in_the_number_of_blocks():
    rows = record("replicas")["memory"]
    assert [row["blocks"] for row in rows] == [4, 16, 64, 256]
    assert max(row["peak_bytes"] - row["before_bytes"] for row in rows) < 16 * 2**20


def test_the_formulas_of_the_page_are_those_of_the_code():
    for params in (1_000, 10_000):
        # float32, chunks of as many rows as parameters
        assert _tsqr.tall_bytes(params, params, 2, 4) == BYTES_OF_SQUARE["any"] * params**2
        assert _wide.num_bytes(params) == BYTES_OF_SQUARE["layers"] * params**2
    assert BYTES_OF_ONE == 4 * 40 * 4
    assert 24 * largest(2**32, 24) ** 2 <= 2**32 < 24 * (largest(2**32, 24) + 1) ** 2


def test_what_crosses_twice_counts_from_the_last_time():
    assert crossing([1, 2, 4, 8], [2.0, 1.0, 2.0, 2.0], [1.0, 2.0, 1.0, 1.0]) == pytest.approx(
        8**0.5
    )


def test_a_gpu_that_disagrees_with_a_cpu_stands_out():
    row = {
        "kind": "mlp", "width": 8, "precision": "high", "steps_a_second": 2e6,
        "share_of_peak": {"median": 0.5}, "differs_from_cpu": 0.3, "within": 1e-3,
        "device_bytes": 3 * 2**20,
    }  # fmt: skip
    assert "| mlp | 8 | high | 2,000 | 50.0% | 3 | 0.3 | **no** |" in gpu_blocks_text(
        [{**row, "agrees": False}]
    )
    assert "Not measured" in gpu_blocks_text([])


@pytest.mark.parametrize("name", ["slurm.md", *PAGES])
def test_every_command_file_and_page_that_is_named_exists(name):
    page = (DOCS / name).read_text()
    for module in re.findall(r"python -m ([\w.]+)", page):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()
    for path in re.findall(r"`((?:tests|scripts)/[\w/.]+)`", page):
        assert (ROOT / path).exists()
    for path in re.findall(r"\]\(([\w/.]+)(?:#[\w-]+)?\)", page):
        assert (DOCS / path).exists()
