"""The pages of docs/: their code runs and prints what they say, their links lead somewhere."""

import contextlib
import importlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/lecture/*.md")]
NUMBER = r"-?\d+(?:\.\d+)?(?:e-?\d+)?"


def blocks(name):
    """Return a page's fenced blocks as (language, text)."""
    page = (ROOT / "docs" / name).read_text("utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)


def assert_prints(found, expected, within=0.02):
    """Compare texts: words exactly, numbers to two percent or their last digit."""
    assert re.sub(NUMBER, "#", found).split() == re.sub(NUMBER, "#", expected).split()
    pairs = zip(re.findall(NUMBER, found), re.findall(NUMBER, expected), strict=True)
    for one, other in pairs:
        last = 10.0 ** -len(other.partition(".")[2])
        assert abs(float(one) - float(other)) <= max(1.01 * last, within * abs(float(other)))


def run_page(name, namespace):
    """Run a page's Python in order, as a reader's session does, and check what it prints."""
    of_page = blocks(name)
    for (language, text), (following, expected) in zip(
        of_page, [*of_page[1:], ("", "")], strict=True
    ):
        if language != "python":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), jax.enable_x64(False):
            exec(compile(text, name, "exec"), namespace)
        assert_prints(printed.getvalue(), expected if following == "text" else "")


def run_command(command, folder):
    """Run a page's command in a folder of its own and return what it prints."""
    words = command.split()
    assert words[:2] == ["python", "-m"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_ENABLE_X64": "0"}
    run = subprocess.run(
        [sys.executable, *words[1:]], cwd=folder, env=env, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def code_lines(text):
    """Return the lines that are neither blank, nor a docstring of one line, nor an import."""
    unimported = re.sub(r"(?ms)^(from|import) [^(\n]*(\(.*?^\))?[^\n]*$", "", text)
    lines = [line.strip() for line in unimported.splitlines()]
    return [line for line in lines if line and not line.startswith(('"""', "#"))]


# --- links ------------------------------------------------------------------------------------


def anchors(page):
    """Return the addresses that GitHub gives a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_to_a_file_and_a_heading_that_exist(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        led = (page.parent / path).resolve() if path else page
        assert led.exists(), target
        assert led.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(led), target


def test_the_index_names_every_page():
    index = (ROOT / "docs/README.md").read_text("utf-8")
    for page in ROOT.glob("docs/*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


# --- extending --------------------------------------------------------------------------------


def test_the_examples_of_extending_run_and_print_what_stands_below_them():
    run_page("extending.md", {"__name__": "page"})


def test_each_extension_takes_less_than_twenty_lines_besides_imports():
    examples = [text for language, text in blocks("extending.md") if language == "python"]
    assert len(examples) == 4
    assert max(len(code_lines(text)) for text in examples) < 20


def test_the_experiment_of_one_own_runs_from_a_file_outside(tmp_path):
    (source,) = [text for _, text in blocks("extending.md") if "run_own" in text]
    (tmp_path / "softplus.py").write_text(source)
    ((_, command), (_, expected)) = blocks("extending.md")[-2:]
    printed = run_command(command, tmp_path)
    verdicts = re.findall(r"^(?:supported|refuted|inconclusive) .*$", printed, re.MULTILINE)
    assert_prints("\n".join(verdicts), expected, within=0.1)
    assert (tmp_path / "results/softplus/figures/measures.svg").exists()


# --- use in a paper ---------------------------------------------------------------------------


def torch_weights():
    rng = np.random.default_rng(0)
    shapes = {"0.weight": (6, 4), "0.bias": (6,), "2.weight": (3, 6), "2.bias": (3,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def haiku_stand_in(state):
    """Return an ``apply`` of Haiku's signature and the weights as Haiku keeps them."""
    params = {
        "linear": {"w": state["0.weight"].T, "b": state["0.bias"]},
        "linear_1": {"w": state["2.weight"].T, "b": state["2.bias"]},
    }

    def apply(params, rng, x):
        assert rng is None
        hidden = jnp.tanh(x @ params["linear"]["w"] + params["linear"]["b"])
        return hidden @ params["linear_1"]["w"] + params["linear_1"]["b"]

    return SimpleNamespace(apply=apply), jax.tree.map(jnp.asarray, params)


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """Run the page in a folder of its own, and return the folder and what its code defined."""
    folder = tmp_path_factory.mktemp("paper")
    run_command("python -m experiments.two_weights", folder)  # what the quickstart leaves
    state = torch_weights()
    np.savez(folder / "mlp.npz", **state)
    transformed, params = haiku_stand_in(state)
    names = {"__name__": "page", "transformed": transformed, "params_of_haiku": params}
    with contextlib.chdir(folder):
        run_page("use_in_a_paper.md", names)
    return folder, names


def test_the_page_runs_and_prints_what_it_says(paper):
    assert (paper[0] / "paper/loss.pdf").stat().st_size > 4000


def test_the_exported_model_computes_what_its_layers_say(paper):
    names, w = paper[1], torch_weights()
    x = np.asarray(names["x"], np.float64)
    expected = np.tanh(x @ w["0.weight"].T + w["0.bias"]) @ w["2.weight"].T + w["2.bias"]
    np.testing.assert_allclose(names["of_torch"](w, names["x"]), expected, rtol=1e-4, atol=1e-5)


def test_one_network_has_one_fisher_whatever_it_is_written_in():
    told = [text for language, text in blocks("use_in_a_paper.md") if language == "text"]
    lines = [line for text in told[:5] for line in text.splitlines()]
    torch, linen, tapped, nnx, equinox, haiku = lines
    assert torch == linen == tapped == haiku
    assert nnx != torch != equinox  # weights of their own


def test_the_table_is_one_that_booktabs_sets(paper):
    latex = (paper[0] / "paper/claims.tex").read_text()
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}"):
        assert word in latex


def test_the_figures_have_the_width_that_was_asked_for(paper):
    for name in ("loss", "two_weights"):
        svg = (paper[0] / f"paper/{name}.svg").read_text()
        assert f'width="{3.25 * 72:g}pt"' in svg


def test_the_command_on_ones_own_data_reads_the_file_that_the_page_made(paper):
    from experiments._cli import parse_config
    from experiments._data import load_whole
    from experiments.sign_flip import PRESETS, Config

    (command,) = [text for language, text in blocks("use_in_a_paper.md") if language == "sh"]
    words = command.split()
    assert words[:3] == ["python", "-m", "experiments.sign_flip"]
    with contextlib.chdir(paper[0]):
        data = load_whole(parse_config(Config, PRESETS, words[3:]))
    assert data.x_train.shape == (300, 8)
    assert data.num_classes == 3
    assert data.x_train.min() >= 0


def test_the_citation_is_a_citation_file_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    # https://github.com/citation-file-format: what version 1.2.0 requires and knows
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= set(citation)
    known = {"cff-version", "message", "title", "authors", "type", "version", "license"}
    assert set(citation) <= known | {"abstract", "keywords"}
    assert citation["type"] == "software"
    assert all(isinstance(author["name"], str) for author in citation["authors"])
    assert f'version = "{citation["version"]}"' in project
    assert f'license = "{citation["license"]}"' in project


# --- quickstart -------------------------------------------------------------------------------


def test_the_quickstart_shows_what_the_record_says():
    from experiments._cli import parse_config
    from experiments.all import Config
    from signdyn.files import read_json
    from signdyn.report.tables import effect_text

    (_, commands), (_, shown) = blocks("quickstart.md")
    (words,) = re.findall(r"^\./scripts/run\.sh (\S+)", commands, flags=re.MULTILINE)
    assert parse_config(Config, {}, [words]).only == ("two_weights",)
    told = read_json(ROOT / "docs/record/quick/two_weights/claims.json")
    (row,) = [row for row in told["findings"] if row["id"] == "large_zigzag"]
    shown = " ".join(shown.split())
    assert f"{effect_text(row)} {row['n']}" in shown
    assert told["answer"].startswith(shown.rpartition("two_weights: ")[2].partition(" ...")[0])


# --- walkthrough ------------------------------------------------------------------------------


def test_the_walks_data_and_commands_are_understood(tmp_path):
    from experiments._cli import parse_config
    from experiments._data import load_whole

    (source,) = [text for language, text in blocks("walkthrough.md") if language == "python"]
    shell = "".join(text for language, text in blocks("walkthrough.md") if language == "sh")
    shell = shell.replace("\\\n", " ").replace("$i", "1")
    commands = re.findall(r"python -m experiments\.(sign_flip|two_weights)\b([^&\n]*)", shell)
    assert len(commands) == 5
    with contextlib.chdir(tmp_path):
        exec(compile(source, "walkthrough", "exec"), {})
        for name, words in commands:
            module = importlib.import_module(f"experiments.{name}")
            config = parse_config(module.Config, module.PRESETS, words.split())
            if name == "sign_flip":
                assert load_whole(config).x_train.shape == (400, 30)
