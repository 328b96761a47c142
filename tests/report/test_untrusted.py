"""Results that somebody else wrote: names are shown, never run, and lead nowhere."""

import copy
import hashlib
import json
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest

from signdyn.files import RecordsError, read_json
from signdyn.records import Replica, Variable, load, read_ledger, write_cell
from signdyn.report.evidence import write_evidence
from signdyn.report.formats import Markdown, Table, to_csv, to_latex, to_markdown
from signdyn.report.page import write_page
from signdyn.report.results import read_results

EVIL = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "</title></style></script><svg onload=alert(1)>",
    "javascript:alert(1)",
    "[x](javascript:alert(1))",
    "=cmd|' /C calc'!A0",
    "\\input{/etc/passwd} $x$ %",
    "../../x",
    "\0\x1b[31m",
    "\u202ecba",
    "\ud800",
    "x" * 20_000,
    10**400,
    1e308,
    float("nan"),
    True,
    None,
    [],
    {},
    [[{}]],
)

FINDING = {
    "id": "one",
    "questions": ["q"],
    "sentence": "It holds.",
    "rule": "above 0",
    "statistic": "steps",
    "effect": 1.0,
    "low": 0.5,
    "high": 1.5,
    "n": 9,
    "verdict": "supported",
    "p": 0.1,
    "p_holm": 0.1,
    "figure": "fig",
    "bounds": [0.0, None],
    "values": [1.0, 2.0],
}
FILES = {
    "claims.json": {
        "title": "A title",
        "question": "Why?",
        "answer": "So.",
        "command": "python -m x",
        "findings": [FINDING],
        "figures": [{"name": "fig", "caption": "A caption"}],
    },
    "run.json": {"config": {"dataset": "digits", "seeds": 3}, "environment": {"device": "cpu"}},
    "calibration.json": {"false_verdict": {"one": 0.1}},
    "steps.json": {
        "title": "Steps",
        "caption": "A caption",
        "views": [
            {
                "label": "lines",
                "panels": [
                    {
                        "label": "loss",
                        "steps": [0, 4],
                        "lines": [
                            {
                                "arm": "raw",
                                "label": "raw",
                                "middle": [1.0, None],
                                "low": [0.5, None],
                                "high": [2.0, None],
                            }
                        ],
                        "log": True,
                    }
                ],
                "walks": [],
                "maps": {},
            },
            {
                "label": "paths",
                "panels": [],
                "walks": [
                    {
                        "label": "raw",
                        "arm": "raw",
                        "map": "m",
                        "points": [0.0, 1.0],
                        "loss": [0.5],
                        "turns": [None],
                        "note": "n",
                    }
                ],
                "maps": {"m": {"box": [0, 1, 0, 1], "contours": [[0, 0]], "minimum": [0, 1]}},
            },
        ],
        "absent": ["No more."],
    },
}


def places(content, path=()):
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in pairs:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


PLACES = [(file, *path) for file in FILES for path in places(FILES[file])]


class Tags(HTMLParser):
    """Collects what a browser would run or load."""

    def __init__(self):
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        names = {name for name, _ in attrs}
        self.found += [tag] if tag in ("script", "img", "iframe", "object") else []
        self.found += [name for name in names if name.startswith("on")]
        self.found += [v for n, v in attrs if n == "href" and v and v.startswith(("java", ".."))]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: "-".join(map(str, place)))
def test_whatever_stands_in_a_file_the_page_is_written_and_runs_its_own_script_alone(
    place, tmp_path
):
    folder = tmp_path / "results" / "mine"
    folder.mkdir(parents=True)
    for value in (EVIL[0], *EVIL[PLACES.index(place) % 4 :: 4]):
        files = copy.deepcopy(FILES)
        entry = files
        for key in place[:-1]:
            entry = entry[key]
        entry[place[-1]] = value
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
        page = write_page(tmp_path / "results")
        tags = Tags()
        tags.feed(page.path.read_text())
        assert tags.found == ["script"], value
        results = read_results(tmp_path / "results")
        if results.experiments and all(
            "q" in f["questions"] for f in results.experiments[0].findings
        ):
            told = {"preamble": "p", "figures": ".."}
            write_evidence(results.experiments, {"q": "Why?"}, tmp_path / "out", "claims", **told)
            assert "](java" not in (tmp_path / "out" / "claims.md").read_text()
    assert {path.name for path in tmp_path.iterdir()} <= {"results", "out"}


def test_a_folder_called_like_html_is_no_experiment(tmp_path):
    for name in ("<b>", "a b", "x'y"):
        (tmp_path / name).mkdir()
        for file, content in FILES.items():
            (tmp_path / name / file).write_text(json.dumps(content))
    page = write_page(tmp_path)
    assert len(page.problems) == 3
    assert "<b>" not in page.path.read_text()


def test_tables_escape_formulas_links_and_commands():
    texts = ["=1+1", "+1", "-1", "@x", "\t=1", "a=1", "[x](y)", "<b>", "a|b", "\\input{x}"]
    table = Table(("=head", "n"), [(text, -1.5) for text in texts])
    rows = [line.rsplit(",", 1) for line in to_csv(table).splitlines()]
    assert [cell.strip('"')[0] for cell, _ in rows[:6]] == ["'"] * 6
    assert rows[6] == ["a=1", "-1.5"]
    shown = to_markdown(table)
    assert "[x]\\(y)" in shown
    assert "\\<b>" in shown
    assert "\\textbackslash{}input\\{x\\}" in to_latex(table)
    link = Table(("figure",), [(Markdown("[x](y.svg)"),)])
    assert "[x](y.svg)" in to_markdown(link)


@pytest.mark.parametrize(
    "text", ["", "[]", "nan", '{"a": "\\ud800"}', '{"a": 1' + "0" * 999 + "}", "[" * 99_999]
)
def test_json_that_cannot_be_used_is_one_sentence(text, tmp_path):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(RecordsError, match="JSON") as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


# --- cells ------------------------------------------------------------------------------------


def external(cell: h5py.File, other: Path) -> None:
    cell.create_dataset("loss", (2,), "f8", external=[(str(other), 0, 16)])


def linked(cell: h5py.File, other: Path) -> None:
    cell["loss"] = h5py.ExternalLink(str(other), "/loss")


def softly_linked(cell: h5py.File, other: Path) -> None:
    cell["loss"] = h5py.SoftLink("/seed")


def virtual(cell: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout(shape=(2,), dtype="f8")
    layout[:] = h5py.VirtualSource(str(other), "loss", shape=(2,))
    cell.create_virtual_dataset("loss", layout)


def grouped(cell: h5py.File, other: Path) -> None:
    cell.create_group("loss")


@pytest.mark.parametrize("change", [external, linked, softly_linked, virtual, grouped])
def test_a_cell_that_reads_another_file_is_damaged_although_its_checksum_fits(change, tmp_path):
    run, other = tmp_path / "run", tmp_path / "other.h5"
    (run / "cells").mkdir(parents=True)
    with h5py.File(other, "w") as file:
        file["loss"] = np.array([42.0, 43.0])
    values = Variable((), np.array([1.0, 2.0]), "nat", "Loss")
    replicas = [Replica(seed, {"arm": "raw"}) for seed in (0, 1)]
    write_cell(run, "part", "a" * 16, replicas, {"loss": values}, 0.1)
    assert load(run).loss.values.tolist() == [[1.0, 2.0]]
    (path,) = (run / "cells").iterdir()
    with h5py.File(path, "a") as cell:
        del cell["loss"]
        change(cell, other)
    line = json.loads((run / "ledger.jsonl").read_text())
    line["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (run / "ledger.jsonl").write_text(json.dumps(line) + "\n")
    assert "refers to other files" in read_ledger(run).damaged[0]
    with pytest.raises(RecordsError, match="damaged"):
        load(run)


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "a\0b", "part-x.nc/../../y", "..", ""])
def test_a_ledger_leads_out_of_no_folder(name, tmp_path):
    line = {"id": "x", "part": "part", "file": name, "sha256": "0" * 64, "seconds": 1}
    (tmp_path / "ledger.jsonl").write_text(json.dumps(line) + "\n" + "[" * 99_999 + "\n")
    ledger = read_ledger(tmp_path)
    assert not ledger.good
    assert len(ledger.damaged + ledger.spare) == 2
    with pytest.raises(RecordsError):
        load(tmp_path, part=name)
