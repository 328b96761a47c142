"""docs/data_sets.md: its names, sizes and numbers are those of the code and of the recorded run."""

import json
import re
from pathlib import Path

import pytest

from experiments._cli import parse_config
from experiments._negative_weights.plan import PRESETS, Config
from signdyn import inputs
from signdyn.data import DATASETS, load
from signdyn.data.cifar import ARCHIVE
from signdyn.data.fetching import PATIENCE
from signdyn.data.idx_table import IDX_SETS, STEMS
from signdyn.handing import LARGE

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "data_sets.md").read_text("utf-8")
RECORD = DOCS / "record" / "fashion_mnist" / "negative_weights"
RUN = json.loads((RECORD / "run.json").read_text())
FINDINGS = {f["id"]: f for f in json.loads((RECORD / "claims.json").read_text())["findings"]}
DIGITS = {
    f["id"]: f
    for f in json.loads(
        (DOCS / "record" / "default" / "negative_weights" / "claims.json").read_text()
    )["findings"]
}
STORY = " ".join(PAGE[PAGE.index("## A run on all") :].split())


def rows(header):
    lines = PAGE[PAGE.index(f"| {header} |") :].splitlines()[2:]
    table = lines[: next((i for i, line in enumerate(lines) if not line), None)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_every_name_is_listed():
    listed = [word for row in rows("name") for word in re.findall(r"`([^`]+)`", row[0])]
    assert {re.sub("<.*>", "", word) for word in listed} == set(DATASETS)


def test_sizes_are_those_of_the_data():
    told = {row[0].strip("`"): row[1:3] for row in rows("name")}
    digits = load("digits")
    assert told["digits"][0] == f"{len(digits.x_train):,} / {len(digits.x_test):,}"
    assert told["digits"][1] == "8x8, 10"
    for name in ("fashion_mnist", "mnist"):
        assert told[name] == ["60,000 / 10,000", "28x28x1, 10"]  # as its own test has it


def test_what_must_be_had_is_named():
    assert all(f"`{stem}`" in PAGE for stem in STEMS)
    assert f"`{ARCHIVE}`" in PAGE
    for one in IDX_SETS.values():
        assert f"`{one.subfolder}`" in PAGE
    fashion = IDX_SETS["fashion_mnist"]
    assert f"apt install {fashion.package}" in PAGE
    assert f"`{fashion.system}`" in PAGE
    assert (PATIENCE, "within ten seconds" in PAGE) == (10.0, True)


def test_chunks_and_bytes_are_those_of_the_code():
    assert f"`{inputs.ONE_PASS}` examples (`signdyn.inputs.ONE_PASS`)" in PAGE
    assert re.search(rf"`{inputs.CHUNK}`\s+\(`signdyn.inputs.CHUNK`\)", PAGE)
    assert f"arrays of `{LARGE / 2**20:g}` MiB and more" in PAGE
    (left, right) = re.search(r"`([\d *]+) = (\d+)` bytes", PAGE).groups()
    numbers = [int(number) for number in left.split(" * ")]
    assert numbers[0] * numbers[1] * numbers[2] == int(right)


def test_the_command_is_that_of_the_recorded_run():
    (command,) = re.findall(
        r"```\n(python -m experiments\.negative_weights.*?)\n```", PAGE, re.DOTALL
    )
    words = command.replace("\\\n", " ").split()[3:]
    config = parse_config(Config, PRESETS, [word for word in words if "--out" not in word])
    assert "--out=docs/record/fashion_mnist" in words
    assert RUN["config"]["num_examples"] == 60_000
    for name, value in RUN["config"].items():
        if name not in ("fingerprint", "num_examples"):
            assert getattr(config, name) == value, name


def test_what_is_told_of_the_run_is_what_it_says():
    assert f"it took {RUN['wall_seconds'] / 60:.0f} minutes" in STORY
    verdicts = [finding["verdict"] for finding in FINDINGS.values()]
    counts = {name: verdicts.count(name) for name in ("supported", "refuted", "inconclusive")}
    told = (
        f"Of {len(verdicts)} claims {counts['supported']} are supported, {counts['refuted']} "
        f"refuted and {counts['inconclusive']} inconclusive"
    )
    assert told in STORY
    assert f"trains {RUN['config']['seeds']} perceptrons" in STORY
    epoch = RUN["config"]["num_examples"] // 32
    assert (RUN["config"]["conv_steps"], RUN["config"]["steps"]) == (epoch, 2 * epoch)


def test_no_verdict_is_another_than_on_digits_and_those_left_open_are_named():
    open_ones = [
        name for name, finding in FINDINGS.items() if finding["verdict"] != DIGITS[name]["verdict"]
    ]
    assert {FINDINGS[name]["verdict"] for name in open_ones} <= {"inconclusive"}
    (told,) = re.findall(r"(\d+) that digits decide are open here: ([^.]*)\.", STORY)
    assert int(told[0]) == len(open_ones)
    assert re.findall(r"`(\w+)`", told[1]) == open_ones


@pytest.mark.parametrize("row", rows("claim"), ids=lambda row: row[0].strip("`"))
def test_every_number_of_the_table_is_recorded(row):
    finding = FINDINGS[row[0].strip("`")]
    assert row[2:] == [f"{finding['effect']:.2f}", finding["verdict"]]
