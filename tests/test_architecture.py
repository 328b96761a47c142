"""The layers of the code base, read from its imports, and a checker that is itself checked."""

import ast
import io
import tokenize
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = ("signdyn", "experiments", "scripts")
MAX_LINES = 250  # of code: docstrings, comments and blank lines are free
LONG = {"scripts/bench/bad_calls.py"}  # a table, a row for each bad call of a public function

# A module imports from the lines above its own only.
LAYERS = (
    ("checks", "types", "files", "inputs", "lanes", "memory", "wires"),
    ("handing", "peers"),
    ("meeting",),
    ("locks", "processes"),
    ("activations", "likelihoods", "centering", "choice", "data", "diagnostics", "stats"),
    ("checkpoints", "records", "run_folder", "variants"),
    ("analysis", "models", "claims"),
    ("preconditioning", "calibration"),
    ("kronecker",),
    ("optimizers", "probes", "replicas"),
    ("descent",),
    ("training",),
    ("sweeps",),
    ("shares", "staged"),
    ("resume", "report"),
)

# Inside a package, modules do not import each other, unless its own order is written here.
# A private module (`_name`) serves its whole package, whatever the order.
INNER_LAYERS = {
    "signdyn.analysis": (
        ("fisher", "layers", "theory"),
        ("kfac", "layer_algebra", "_whole"),
        ("_fisher_spectrum", "matrix"),
        ("natural", "spectrum"),
        ("layer_natural",),
    ),
    "signdyn.data": (
        ("check", "checksums", "dataset", "digits_builder", "idx", "idx_table", "near", "places"),
        ("arrays", "preparing", "toys", "wanted"),
        ("digits",),
        ("npz", "prepared"),
        ("cifar", "fetching", "idx_sets"),
        ("known",),
        ("loading",),
    ),
    "signdyn.models": (
        ("convolution", "norms"),
        ("layers", "taps", "traces"),
        ("mlp", "cnn", "resnet", "whole_set"),
    ),
    "signdyn.report": (
        ("html", "names", "numbers", "palettes", "steps"),
        ("assets", "formats", "results", "svg"),
        ("style", "tables"),
        ("evidence", "figures", "seeds", "stepper"),
        ("verdicts",),
        ("controls", "sections", "threads"),
        ("page",),
    ),
}

# Who may import what from outside: path prefixes.
HOMES = {
    "absl": ("experiments/", "scripts/"),
    "flax": ("signdyn/models/",),
    "optax": (
        "signdyn/kronecker.py",
        "signdyn/optimizers.py",
        "signdyn/descent.py",
        "signdyn/preconditioning.py",
    ),
    "matplotlib": ("signdyn/report/", "experiments/"),
    **dict.fromkeys(["h5netcdf", "h5py", "netCDF4", "zarr"], ("signdyn/records.py",)),
}
WRITERS = {"to_netcdf", "to_zarr", "save_mfdataset"}  # xarray's; called in records.py only


def module_name(path: str) -> str:
    """Return the dotted name of the module in file ``path``."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def dotted_imports(path: str, tree: ast.Module) -> Iterator[str]:
    """Yield the absolute dotted name of all that is imported anywhere in the module."""
    package = module_name(path).split(".")
    if not path.endswith("/__init__.py"):
        package.pop()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            base = [*base, *([node.module] if node.module else [])]
            yield from (".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            constants = (a.value for a in node.args if isinstance(a, ast.Constant))
            yield from (name for name in constants if isinstance(name, str))


def resolve(name: str, modules: dict[str, str]) -> str | None:
    """Return the longest prefix of ``name`` that is one of ours, None if there is none."""
    while name not in modules and "." in name:
        name = name.rpartition(".")[0]
    return name if name in modules else None


def place(name: str, order: tuple[tuple[str, ...], ...]) -> int | None:
    """Return the number of the line of ``order`` that holds ``name``."""
    return next((number for number, line in enumerate(order) if name in line), None)


def is_private_helper(target: str, importer: str) -> bool:
    """Return whether ``target`` is private to a package, not the root, that holds ``importer``."""
    parts = target.split(".")
    private = [number for number, part in enumerate(parts) if part.startswith("_")]
    return (
        bool(private)
        and private[0] > 1
        and importer.startswith(".".join(parts[: private[0]]) + ".")
    )


def complaint(importer: str, target: str, packages: set[str]) -> str | None:
    """Return what is wrong with ``importer`` importing ``target``, both modules of ours."""
    above, below = importer.split("."), target.split(".")
    shared = ".".join(above[:2])
    if below[0] == "experiments" and above[0] == "experiments":
        allowed = importer.endswith(".all") or any(part.startswith("_") for part in below)
        return None if allowed else "an experiment does not import another one"
    if below[0] != "signdyn" or above[0] != "signdyn":
        backwards = CODE.index(below[0]) > CODE.index(above[0])
        return f"{above[0]} does not import {below[0]}" if backwards else None
    if importer in packages and target.startswith(importer + "."):
        return None  # a package offers its own modules
    if is_private_helper(target, importer):
        return None
    if any(part.startswith("_") for part in below):
        return "it is private to its package"
    if len(below) == 1:
        return "the root package lies above all its modules"
    if above[1] != below[1]:
        upper, lower = place(above[1], LAYERS), place(below[1], LAYERS)
    elif shared in INNER_LAYERS and target != shared:
        upper = place(above[-1], INNER_LAYERS[shared])
        lower = place(below[-1], INNER_LAYERS[shared])
    else:
        return "modules of one package do not import each other"
    if upper is None or lower is None:
        return "one of them has no place in the table of layers"
    return None if lower < upper else "it is not in a lower layer"


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of one import circle; empty if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def outside_complaints(path: str, names: set[str], tree: ast.Module) -> Iterator[str]:
    """Yield what a module takes from other projects that is not its to take."""
    for name in sorted({name.partition(".")[0] for name in names} & set(HOMES)):
        if not path.startswith(HOMES[name]):
            yield f"{path} imports {name}, which only {' and '.join(HOMES[name])} may"
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and node.attr in WRITERS
            and path != "signdyn/records.py"
        ):
            yield f"{path} calls {node.attr}; results are written by signdyn/records.py"


def violations(sources: dict[str, str]) -> list[str]:
    """Return every breach of the rules above in ``sources``, a mapping path -> Python source."""
    modules = {module_name(path): path for path in sources}
    packages = {module_name(path) for path in sources if path.endswith("/__init__.py")}
    found, graph = [], {}
    for path, source in sources.items():
        tree, importer = ast.parse(source), module_name(path)
        names = set(dotted_imports(path, tree))
        graph[importer] = {t for name in names if (t := resolve(name, modules))}
        found.extend(
            f"{path} imports {target}: {reason}"
            for target in sorted(graph[importer])
            if (reason := complaint(importer, target, packages))
        )
        found.extend(outside_complaints(path, names, tree))
        if not ast.get_docstring(tree):
            found.append(f"{path} has no docstring")
        if path not in LONG and (length := code_lines(source, tree)) > MAX_LINES:
            found.append(f"{path} has {length} lines of code, more than {MAX_LINES}")
    if members := circle(graph):
        found.append(f"import circle: {' -> '.join(members)}")
    return found


def code_lines(source: str, tree: ast.Module) -> int:
    """Return the number of lines that hold code, not only a docstring or a comment."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        line
        for node in ast.walk(tree)
        if isinstance(node, documented) and ast.get_docstring(node) is not None
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    empty = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in empty and token.type != tokenize.ENDMARKER:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines - docstrings)


def code_base() -> dict[str, str]:
    """Return path -> source of all our modules, tests aside."""
    files = sorted(file for folder in CODE for file in (ROOT / folder).rglob("*.py"))
    return {file.relative_to(ROOT).as_posix(): file.read_text("utf-8") for file in files}


def test_the_code_base_keeps_its_layers():
    sources = code_base()
    assert "signdyn/types.py" in sources
    found = "\n".join(violations(sources))
    assert not found, found


# A small code base in good order; each case below adds or replaces a file.
SOUND = {
    "signdyn/__init__.py": "",
    "signdyn/types.py": "import jax",
    "signdyn/stats.py": "from signdyn.types import Params",
    "signdyn/records.py": "import xarray, h5netcdf\nxarray.Dataset().to_netcdf()",
    "signdyn/data/__init__.py": "from signdyn.data.loading import load",
    "signdyn/data/dataset.py": "from .. import types",
    "signdyn/data/loading.py": "from signdyn.data import dataset, _cache",
    "signdyn/data/npz.py": "from . import dataset",
    "signdyn/data/_cache.py": "from signdyn.types import Params",
    "signdyn/analysis/__init__.py": "",
    "signdyn/analysis/fisher.py": "import signdyn.stats as s, signdyn.types",
    "signdyn/analysis/spectrum.py": "from signdyn.analysis import fisher",
    "signdyn/diagnostics/__init__.py": "",
    "signdyn/diagnostics/signs.py": "import signdyn.types\nfrom . import _counts",
    "signdyn/diagnostics/zigzag.py": "from signdyn.diagnostics._counts import count",
    "signdyn/diagnostics/_counts.py": "import numpy",
    "signdyn/models/__init__.py": "",
    "signdyn/models/mlp.py": "import flax.linen as nn\nfrom signdyn.data import load",
    "signdyn/optimizers.py": "import optax",
    "signdyn/training.py": "import signdyn.optimizers\nfrom signdyn.models import mlp",
    "signdyn/report/__init__.py": "",
    "signdyn/report/html.py": "import matplotlib",
    "experiments/__init__.py": "",
    "experiments/_cli.py": "from absl import app, flags",
    "experiments/one.py": "import signdyn\nfrom . import _cli\nfrom signdyn import training",
    "experiments/two.py": "from experiments._cli import run\nimport matplotlib.pyplot",
    "experiments/all.py": "from experiments import one, two",
    "scripts/speed.py": "import absl.app\nfrom experiments import one",
}

STATS, FISHER, ONE = "signdyn/stats.py", "signdyn/analysis/fisher.py", "experiments/one.py"
ZIGZAG, COUNTS = "signdyn/diagnostics/zigzag.py", "signdyn/diagnostics/_counts.py"
HIGHER, SIBLING = "not in a lower layer", "modules of one package"
BREACHES = {
    "a higher layer": (STATS, "from signdyn.analysis.fisher import f", HIGHER),
    "a higher layer by alias": (STATS, "import signdyn.analysis.fisher as y", HIGHER),
    "a higher layer from the root": (STATS, "from signdyn import training", HIGHER),
    "a higher layer, relative": (STATS, "from .analysis import fisher", HIGHER),
    "a higher layer, two dots": (FISHER, "from ..training import f", HIGHER),
    "a higher layer, bare dots": (FISHER, "from .. import training", HIGHER),
    "a higher layer in a function": (STATS, "def f():\n    import signdyn.training", HIGHER),
    "a higher layer under a guard": (STATS, "if x:\n    from signdyn import training", HIGHER),
    "a higher layer by name": (STATS, "importlib.import_module('signdyn.training')", HIGHER),
    "a higher layer, from a package": ("signdyn/data/__init__.py", "import signdyn.models", HIGHER),
    "the same layer": (STATS, "from signdyn.records import load", HIGHER),
    "a package of the same layer": (FISHER, "import signdyn.models.mlp", HIGHER),
    "the root package": (STATS, "import signdyn", "the root package"),
    "a sibling": (ZIGZAG, "from signdyn.diagnostics.signs import f", SIBLING),
    "a sibling, relative": (ZIGZAG, "from .signs import f", SIBLING),
    "a sibling, in a function": (ZIGZAG, "def f():\n    from . import signs", SIBLING),
    "a sibling, from a private module": (COUNTS, "from . import signs", SIBLING),
    "a sibling against the inner order": (
        "signdyn/data/dataset.py",
        "import signdyn.data.npz",
        HIGHER,
    ),
    "a sibling without a place": ("signdyn/data/other.py", "from . import dataset", "no place"),
    "its own package": ("signdyn/data/npz.py", "from signdyn.data import load", SIBLING),
    "a private module elsewhere": (
        "signdyn/training.py",
        "from .diagnostics import _counts",
        "private",
    ),
    "a module without a layer": ("signdyn/surprise.py", "import signdyn.types", "no place"),
    "experiments from signdyn": (STATS, "from experiments import _cli", "signdyn does not import"),
    "scripts from experiments": (ONE, "import scripts.speed", "experiments does not import"),
    "another experiment": (ONE, "def f():\n    from . import two", "an experiment does not"),
    "absl": ("signdyn/training.py", "from absl import flags", "imports absl"),
    "flax": ("signdyn/training.py", "def f():\n    import flax.linen as nn", "imports flax"),
    "flax in an experiment": (ONE, "import flax", "imports flax"),
    "optax": (FISHER, "from optax import sgd", "imports optax"),
    "matplotlib": (STATS, "import matplotlib.pyplot as plt", "imports matplotlib"),
    "h5netcdf": (ONE, "import h5netcdf", "imports h5netcdf"),
    "a result written elsewhere": (ONE, "dataset.to_netcdf('x')", "calls to_netcdf"),
    "too many lines": (STATS, "x = 1\n" * (MAX_LINES + 1), f"has {MAX_LINES + 1} lines"),
    "a long experiment": (ONE, "x = 1\n" * (MAX_LINES + 1), f"has {MAX_LINES + 1} lines"),
}


def documented(sources: dict[str, str]) -> dict[str, str]:
    return {path: f'"""What it is for."""\n{source}' for path, source in sources.items()}


def test_a_sound_code_base_has_no_violation():
    assert violations(documented(SOUND)) == []


@pytest.mark.parametrize("breach", BREACHES)
def test_a_breach_is_found_in_the_file_that_commits_it(breach):
    path, source, reason = BREACHES[breach]
    found = violations(documented({**SOUND, path: source}))
    (found,) = (line for line in found if not line.startswith("import circle"))
    assert found.startswith(path)
    assert reason in found


def test_a_module_that_imports_itself_is_a_circle():
    sources = documented({**SOUND, "experiments/_cli.py": "import experiments._cli"})
    (found,) = violations(sources)
    assert found == "import circle: experiments._cli -> experiments._cli"


def test_a_circle_through_several_private_modules_is_named():
    chain = {
        "experiments/_a.py": "from experiments import _b",
        "experiments/_b.py": "def late():\n    from ._c import x",
        "experiments/_c.py": "import experiments._a as a",
    }
    (found,) = violations(documented({**SOUND, **chain}))
    assert found.startswith("import circle")
    assert all(name in found for name in ("_a", "_b", "_c"))


def test_a_module_without_a_docstring_is_a_violation():
    sources = {**documented(SOUND), "signdyn/stats.py": "# only a comment"}
    assert violations(sources) == ["signdyn/stats.py has no docstring"]
