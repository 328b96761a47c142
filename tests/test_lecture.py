"""The lecture runs as it stands, prints what its sentences say, and writes its figures."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

LECTURE = Path(__file__).resolve().parents[1] / "docs" / "lecture" / "lecture.py"
SOURCE = LECTURE.read_text("utf-8")
CELLS = re.split(r"(?m)^(?=# %%)", SOURCE)[1:]


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """Return what the lecture prints, and the folder of its figures."""
    folder = tmp_path_factory.mktemp("lecture")
    with pytest.MonkeyPatch.context() as patch, pytest.MonkeyPatch.context() as lines:
        told = []
        patch.setenv("FIGURES", str(folder))
        lines.setattr("builtins.print", lambda *words: told.append(" ".join(map(str, words))))
        runpy.run_path(str(LECTURE), run_name="__main__")
    return "\n".join(told), folder


def number(printed, pattern):
    return float(re.search(pattern.replace("#", r"\s*(-?[\d.]+)"), printed[0])[1])


def test_one_examples_gradient_has_one_sign_and_a_batchs_less_so(printed):
    assert number(printed, "gradient has one sign: #%") == 100
    shares = [float(v) for v in re.findall(r"mean over batches ([\d.]+)", printed[0])]
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] > 0.2  # twice the level of random signs


def test_the_cap_on_the_rate_is_where_theory_says(printed):
    assert len(re.findall(r"at 1\.1 of the cap: does not arrive", printed[0])) == 2
    for arm in ("raw", "centered"):
        assert number(printed, rf"{arm}\s+at 0\.2 of the cap:.* steps,#% of the turns") == 0
    assert number(printed, r"raw\s+at 0\.9 of the cap:.* steps,#% of the turns") > 50
    slow, fast = (
        number(printed, rf"{arm}\s+at 0\.2 of the cap:# steps") for arm in ("raw", "centered")
    )
    assert slow > 10 * fast


def test_flipping_takes_the_common_sign_and_changes_no_bit(printed):
    raw, flipped = (
        number(printed, f"{arm}\\s*: sign coherence of the readout's gradient#")
        for arm in ("raw", "flipped")
    )
    assert raw > 2 * flipped
    assert "same loss at every step and rate, bit for bit: True" in printed[0]
    assert number(printed, r"raw\s*:# steps to") == number(printed, r"flipped\s*:# steps to")
    assert number(printed, "raw / centered:#") > 2


def test_the_mean_is_the_outlier_of_the_second_moment_and_of_the_fisher(printed):
    squared = number(printed, r"\|mean\|\^2 =#")
    largest = number(printed, r"raw\s*: largest eigenvalues#")
    assert largest == pytest.approx(squared, rel=0.02)
    assert number(printed, r"centered\s*: largest eigenvalues#") < 0.02 * largest
    assert number(printed, "lambda_max, raw / centered:#") > 3


def test_the_natural_gradient_is_blind_to_the_mean(printed):
    raw, centered = (
        number(printed, rf"natural gradient, {arm}\s*:# steps") for arm in ("raw", "centered")
    )
    assert raw == centered <= 5
    assert "outputs differ by less than 1e-9 at every step: True" in printed[0]


def test_every_figure_is_a_file(printed):
    names = re.findall(r'show\(figure, "(\w+)"\)', SOURCE)
    files = {path.name: path.stat().st_size for path in printed[1].iterdir()}
    assert set(files) == {f"{name}.{kind}" for name in names for kind in ("svg", "pdf")}
    assert len(names) == 4
    assert min(files.values()) > 4000


def test_every_cell_is_a_page_of_text_or_code_that_a_notebook_can_hold():
    assert CELLS[0].startswith("# %% [markdown]\n# # ")
    assert "".join(CELLS) == SOURCE
    for cell in CELLS:
        head, *lines = cell.splitlines()
        assert head in ("# %%", "# %% [markdown]")
        if head.endswith("[markdown]"):
            assert all(line.startswith("#") for line in lines if line)
        else:
            compile(cell, "cell", "exec")


@pytest.mark.parametrize("named", [True, False], ids=["script", "notebook"])
def test_within_a_clone_its_signdyn_is_found_wherever_the_lecture_is_run(named, tmp_path):
    first = next(cell for cell in CELLS if "CLONE" in cell)
    names = {"__file__": str(LECTURE)} if named else {}
    code = f"exec({first!r}, {names!r})\nimport signdyn; print(signdyn.__file__)"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(
        [sys.executable, "-P", "-c", code],  # -P: the working folder is not on the path
        cwd=tmp_path if named else LECTURE.parent, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == str(LECTURE.parents[2] / "signdyn/__init__.py")


def test_a_hosted_notebook_installs_signdyn_from_the_clones_address(monkeypatch):
    called = []
    monkeypatch.setitem(sys.modules, "signdyn", None)  # as if it were not installed
    monkeypatch.setattr(subprocess, "run", lambda words, check: called.append((words, check)))
    first = next(cell for cell in CELLS if "CLONE" in cell)
    exec(first.replace("the address of your clone", "https://host/me/signdyn"), {})
    ((words, check),) = called
    assert check
    assert words[1:4] == ["-m", "pip", "install"]
    assert words[-1] == "signdyn @ git+https://host/me/signdyn"
