import json
import re
from pathlib import Path

from scripts.bench.damages import DAMAGES
from scripts.bench.guarantees import BEGIN, END, section, with_record
from scripts.bench.troubles import TROUBLES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()
RECORD = json.loads((ROOT / "docs" / "record" / "torture.json").read_text())


def test_the_page_is_that_of_the_record():
    assert with_record(PAGE, RECORD) == PAGE
    assert section(RECORD) in PAGE


def test_what_lies_outside_of_the_markers_is_kept():
    page = with_record(f"above\n{BEGIN}of another record\n{END}below\n", RECORD)
    assert page.startswith("above\n")
    assert page.endswith(f"{END}below\n")
    assert "of another record" not in page


def test_the_record_is_of_every_damage_and_trouble_and_of_fifty_kills_in_every_phase():
    assert [row["damage"] for row in RECORD["damages"]] == list(DAMAGES)
    assert {row["damage"] for row in RECORD["troubles"]} == set(TROUBLES)
    assert RECORD["kills"]["tried"] >= 50
    assert min(RECORD["kills"]["by_phase"].values()) > 0


def test_every_promise_was_kept():
    rows = [*RECORD["damages"], *RECORD["troubles"]]
    assert all(row["is_named"] for row in rows)
    for tried in (RECORD["kills"], *rows):
        assert (tried["bytes_differing"], tried["tracebacks"], tried["wrong"]) == (0, 0, [])
    assert RECORD["bad_inputs"]["tried"] >= 300
    assert RECORD["bad_inputs"]["tracebacks"] == RECORD["bad_inputs"]["wrong"] == 0


def test_a_broken_promise_stands_out():
    row = {**RECORD["damages"][0], "is_named": False, "bytes_differing": 3}
    text = section({**RECORD, "damages": [row]})
    assert f"| {row['damage']} | NO | mended | 3 |" in text
    damages = 1 + len(TROUBLES)
    assert f"| damages | {damages} | {damages - 1} |" in text


def test_every_test_and_script_that_the_page_names_exists():
    for path in re.findall(r"`(tests/[\w/.]+)`", PAGE):
        assert (ROOT / path).exists()
    for module in re.findall(r"python -m ([\w.]+)", PAGE):
        assert (ROOT / f"{module.replace('.', '/')}.py").exists()
