"""Tables read back: the CSV by a parser, the others by their own rules."""

import csv
import math
import re
import shutil
import subprocess

import pytest

from signdyn.report.formats import Table, to_csv, to_latex, to_markdown
from signdyn.report.tables import to_text, write_table, write_tables

NASTY = 'It\'s 5% of a|b & <c>_d_ #1 {x} ~ ^ \\ $y$, "so"\nsaid'


def finding(**changes):
    fields = {
        "id": "flip_exact",
        "questions": ["b4", "b1"],
        "sentence": "Flipping the signs changes the trajectory by exactly zero.",
        "rule": "Supported if every seed's difference is zero.",
        "statistic": "largest difference of the loss, nats",
        "effect": 0.0,
        "low": 0.0,
        "high": 0.0,
        "confidence": 0.95,
        "n": 16,
        "left_out": 0,
        "p": None,
        "p_holm": None,
        "verdict": "supported",
        "control": False,
        "figure": None,
        "values": [0.0] * 16,
    }
    return {**fields, **changes}


FINDINGS = [
    finding(),
    finding(id="steps", effect=1 / 3, low=0.2, high=0.5, p=1e-5, p_holm=3e-5, verdict="refuted"),
    finding(id="lost", effect=None, low=None, high=None, sentence=NASTY, verdict="inconclusive"),
]


def test_the_csv_holds_every_number_at_full_precision(tmp_path):
    _, path, _ = write_tables(FINDINGS, tmp_path, "claims")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["flip_exact", "steps", "lost"]
    assert float(rows[1]["effect"]) == 1 / 3
    assert float(rows[1]["p_holm"]) == 3e-5
    assert rows[0]["p"] == ""
    assert math.isnan(float(rows[2]["effect"]))
    assert rows[2]["sentence"] == NASTY
    assert rows[0]["questions"] == "b4 b1"
    assert rows[0]["control"] == "False"


def test_the_markdown_has_one_line_a_claim_and_as_many_cells_as_columns(tmp_path):
    path, _, _ = write_tables(FINDINGS, tmp_path, "claims")
    lines = path.read_text().splitlines()
    assert len(lines) == 2 + len(FINDINGS)
    for line in lines:
        assert line.replace(r"\|", "").count("|") == 6
    assert "<c>" not in path.read_text().replace(r"\<c>", "")


def test_the_latex_escapes_every_character_that_means_something(tmp_path):
    _, _, path = write_tables(FINDINGS, tmp_path, "claims")
    row = next(line for line in path.read_text().splitlines() if "said" in line)
    for pair in (r"\%", r"\&", r"\_", r"\#", r"\{", r"\}", r"\$"):
        assert pair in row
        row = row.replace(pair, "")
    for word in ("textbar", "textless", "textgreater", "textasciitilde", "textasciicircum"):
        assert rf"\{word}{{}}" in row
        row = row.replace(rf"\{word}{{}}", "")
    row = row.replace(r"\textbackslash{}", "").removesuffix(r" \\")
    assert not set(row) & set("\\%#{}$~^<>|")
    assert row.count("&") == 4


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex (texlive-latex-base)")
def test_the_latex_compiles_and_a_long_table_goes_over_pages(tmp_path):
    long = [finding(id=f"claim{n}", sentence=NASTY) for n in range(80)]
    write_tables(FINDINGS, tmp_path, "short")
    write_tables(long, tmp_path, "long", long=True)
    write_table(Table(("αβλ ω", "×±≤≥≈−→∞"), [("[x]", 1.5), ("*", math.nan)]), tmp_path, "signs")
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,longtable}\begin{document}"
        r"\input{short}\clearpage\input{long}\clearpage\input{signs}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    (pages,) = re.findall(r"Output written on paper\.pdf \((\d+) pages", done.stdout)
    assert int(pages) > 4


def test_the_latex_has_booktabs_rules_and_a_long_table_repeats_its_head():
    table = Table(("arm", "λ"), [("raw", 1.0)])
    lines = to_latex(table, long=True).splitlines()
    assert lines[0] == r"% needs \usepackage{booktabs,longtable}"
    assert lines[1] == r"\begin{longtable}{@{}lr@{}}"
    assert lines[2:6] == [r"\toprule", r"arm & \(\lambda\) \\", r"\midrule", r"\endhead"]
    assert lines[-2:] == [r"\bottomrule", r"\end{longtable}"]
    assert "endhead" not in to_latex(table)


def test_a_latex_row_that_starts_with_a_bracket_is_no_option_of_the_row_before():
    assert "\n{}[0, 1]" in to_latex(Table(("interval",), [("[0, 1]",)]))


def test_write_tables_gives_the_same_bytes_twice(tmp_path):
    first = [path.read_bytes() for path in write_tables(FINDINGS, tmp_path, "claims")]
    second = [path.read_bytes() for path in write_tables(FINDINGS, tmp_path, "claims")]
    assert first == second
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "claims.csv",
        "claims.md",
        "claims.tex",
    ]


@pytest.mark.parametrize("width", [72, 80, 100])
def test_the_terminal_table_fits_its_width_and_starts_with_the_verdict(width):
    lines = to_text(FINDINGS, width=width).splitlines()
    assert max(map(len, lines)) <= width
    assert [line.split()[0] for line in lines if line[:1].strip()][2:] == [
        "supported",
        "refuted",
        "inconclusive",
    ]


def test_the_terminal_table_has_no_color_codes_unless_asked():
    assert "\x1b" not in to_text(FINDINGS)
    assert "\x1b[32msupported" in to_text(FINDINGS, color=True)


def test_color_codes_do_not_move_the_columns():
    colored = to_text(FINDINGS, color=True)
    for code in ("\x1b[0m", "\x1b[31m", "\x1b[32m", "\x1b[33m"):
        colored = colored.replace(code, "")
    assert colored == to_text(FINDINGS)


def test_a_median_of_zero_over_seeds_that_are_not_zero_is_not_called_exact():
    text = to_text([finding(values=[0.0, 0.0, 1e-9])])
    assert "(exact)" not in text
    assert "(exact)" in to_text([finding()])


def test_a_finding_that_names_its_experiment_is_shown_with_it():
    assert "sign_flip/flip_exact" in to_text([finding(experiment="sign_flip")], width=120)


def test_no_findings_give_a_table_of_headings_alone(tmp_path):
    assert len(to_text([]).splitlines()) == 2
    for path in write_tables([], tmp_path, "claims"):
        assert path.read_text()


def test_a_generic_table_keeps_whole_numbers_in_csv_and_four_digits_to_read():
    table = Table(("arm", "loss", "best"), [("raw", 1 / 3, True), ("flipped", math.nan, False)])
    rows = list(csv.reader(to_csv(table).splitlines()))
    assert float(rows[1][1]) == 1 / 3
    assert "| raw | 0.3333 | yes |" in to_markdown(table)
    assert "flipped & undefined & no" in to_latex(table)


def test_a_row_of_the_wrong_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected rows of 2 cells"):
        write_table(Table(("arm", "loss"), [("raw",)]), tmp_path, "losses")
    assert not list(tmp_path.iterdir())
