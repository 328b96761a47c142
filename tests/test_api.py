"""Every public name is documented, and docs/api.md lists them as they are."""

import ast
import importlib

import pytest

from scripts.api import PAGE, entries, modules, page, problems

ALL = [entry for module, path in modules() for entry in entries(module, path.read_text("utf-8"))]


def test_every_public_name_is_documented_with_its_arguments_fields_and_errors():
    found = [f"{one.module}.{one.name} {', '.join(what)}" for one in ALL if (what := problems(one))]
    assert not found, "\n".join(found)


def test_the_page_of_names_is_up_to_date():
    assert PAGE.read_text("utf-8") == page(), "run python -m scripts.api"


def test_every_name_of_the_contract_is_found_where_papers_import_it():
    names = {f"{one.module}.{one.name}" for one in ALL}
    for name in (
        "activations.get_activation",
        "likelihoods.categorical",
        "analysis.fisher.fisher_factor",
        "analysis.fisher.mean_covariance_split",  # defined in a private module
        "analysis.spectrum.fisher_spectrum",
        "analysis.theory.mean_field_fisher",
        "data.Dataset",
        "diagnostics.zigzag.Path",
        "training.Structure",
        "sweeps.run_sweep",
        "records.load",
    ):
        assert f"signdyn.{name}" in names, name
    assert len(names) > 500


@pytest.mark.parametrize("module", [name for name, _ in modules()])
def test_a_module_has_the_names_that_its_source_is_read_to_define(module):
    imported = importlib.import_module(module)
    for one in ALL:
        if one.module == module:
            found = imported
            for part in one.name.split("."):
                found = getattr(found, part)


WANTING = {
    "def f(x): pass": ["no docstring"],
    "X = 1": ["no docstring"],
    "def f(a, b, c):\n 'Return a.'": ["a", "b", "c"],
    "def f(a, b):\n '''Return it.\n\n Args:\n  a: One.\n '''": ["says nothing of b"],
    "def f(a):\n 'Return a.'\n raise ValueError(a)": ["raises ValueError"],
    "class A:\n 'It.'\n a: int\n b: int\n c: int": ["a", "b", "c"],
    "class A:\n 'It.'\n def f(self): pass": ["no docstring"],
    "class A:\n 'It.'\n def __init__(self, a, b, c): pass": ["a", "b", "c"],
}
ENOUGH = [
    "X = 1\n'''One.'''",
    "X = 1  # one",
    "# one\nX = 1",
    "T = TypeVar('T')",
    "def _f(x): pass",
    "def f(a, b):\n 'Return a with b.'",
    "def f(a, b, c):\n '''It.\n\n Args:\n  a: A.\n  b: B.\n  c: C.\n '''",
    "def f(a):\n '''It.\n\n Raises:\n  ValueError: If.\n '''\n raise ValueError(a)",
    "def f(a):\n 'It.'\n def g():\n  raise ValueError(a)",
    "class A:\n '''It.\n\n Attributes:\n  a: A.\n  b: B.\n  c: C.\n '''\n a: int\n b: int\n c: int",
]


@pytest.mark.parametrize("source", WANTING)
def test_what_is_wanting_is_told(source):
    told = [text for one in entries("m", source) for text in problems(one)]
    assert len(told) == len(WANTING[source])
    assert all(part in text for part, text in zip(WANTING[source], told, strict=True))


@pytest.mark.parametrize("source", ENOUGH)
def test_what_is_documented_passes(source):
    ast.parse(source)
    assert not [text for one in entries("m", source) for text in problems(one)]
