"""What is loaded with what: the analysis is used beside any framework, and must bring none."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import signdyn

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    *("flax", "optax", "orbax", "tensorflow_datasets", "tensorflow"),
    *("matplotlib", "xarray", "pandas", "h5netcdf", "sklearn"),
)
ANALYSIS = sorted(
    f"signdyn.analysis.{path.stem}"
    for path in (ROOT / "signdyn" / "analysis").glob("*.py")
    if path.stem != "__init__"
)
DIAGNOSTICS = sorted(
    f"signdyn.diagnostics.{path.stem}"
    for path in (ROOT / "signdyn" / "diagnostics").glob("*.py")
    if path.stem != "__init__"
)
LOADED = """
import importlib, json, sys
names, heavy = json.loads(sys.argv[1])
found = {}
for name in names:
    importlib.import_module(name)
    found[name] = [one for one in heavy if one in sys.modules]
print(json.dumps(found))
"""


def loaded(names: list[str], heavy: tuple[str, ...] = HEAVY) -> dict[str, list[str]]:
    """Return what of ``heavy`` is there after each import, one after the other, in a new Python."""
    command = [sys.executable, "-c", LOADED, json.dumps([names, heavy])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_no_module_of_the_analysis_or_of_the_diagnostics_loads_a_framework():
    assert "signdyn.analysis.spectrum" in ANALYSIS
    assert "signdyn.diagnostics.signs" in DIAGNOSTICS
    names = ["signdyn.analysis", *ANALYSIS, *DIAGNOSTICS, "signdyn.claims", "signdyn.stats"]
    found = loaded(names)
    assert found == {name: [] for name in names}


def test_the_package_alone_loads_nothing_not_even_jax():
    packages = ["signdyn", "signdyn.analysis", "signdyn.diagnostics"]
    assert loaded(packages, ("jax", "numpy", "scipy", *HEAVY)) == {name: [] for name in packages}


@pytest.mark.parametrize(
    ("module", "brings"),
    [("signdyn.optimizers", "optax"), ("signdyn.records", "xarray")],
)
def test_what_a_module_brings_is_seen(module, brings):
    assert brings in loaded([module])[module]


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert signdyn.__version__ == project["version"]


def test_a_wheel_holds_every_file_that_is_no_module():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    packed = {
        path
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    others = {
        path
        for path in (ROOT / "signdyn").rglob("*")
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts
    }
    assert packed == others
    assert any(path.suffix == ".css" for path in others)
