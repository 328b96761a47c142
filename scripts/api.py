"""Writes docs/api.md: the public names of signdyn, with the first lines of their docstrings.

Read from the source, so that nothing is imported. What is public: modules, and the classes,
functions and constants that are defined in them, without a leading underscore; of a class its
methods and properties. `problems` says what is missing from a docstring; the tests want nothing.

    python -m scripts.api
"""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "api.md"

Function = ast.FunctionDef | ast.AsyncFunctionDef
FEW = 2
"""Parameters, at most, that a docstring without Args may have: its sentences name them all."""


class Entry(NamedTuple):
    """A public name.

    Attributes:
        module: Dotted name of its module.
        name: Of a method with its class's in front.
        node: Where it is defined.
        doc: Its docstring; of a constant the string below it, or the comment above or beside it.
    """

    module: str
    name: str
    node: ast.stmt
    doc: str


def modules() -> Iterator[tuple[str, Path]]:
    """Yield the public modules of signdyn and their files, by name."""
    for path in sorted((ROOT / "signdyn").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not any(part.startswith("_") for part in name.split(".")):
            yield name, path


def entries(module: str, source: str) -> Iterator[Entry]:
    """Yield the public names that a module defines, in its order.

    Args:
        module: Its dotted name.
        source: Its text.
    """
    lines = source.splitlines()
    body = ast.parse(source).body
    listed = _all_of(body)
    for place, node in enumerate(body):
        if isinstance(node, ast.ImportFrom):
            yield from _offered(module, node, listed)
        elif isinstance(node, ast.ClassDef | Function):
            if node.name.startswith("_"):
                continue
            yield Entry(module, node.name, node, ast.get_docstring(node) or "")
            if isinstance(node, ast.ClassDef):
                yield from _methods(module, node)
        elif name := _assigned(node):
            rest = (one for one in body[place + 1 :] if not isinstance(one, ast.AugAssign))
            yield Entry(module, name, node, _text_of(node, next(rest, None), lines))


def _all_of(body: Sequence[ast.stmt]) -> Sequence[str]:
    for node in body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return ()


def _offered(module: str, node: ast.ImportFrom, listed: Sequence[str]) -> Iterator[Entry]:
    """Yield what is taken from another module to be offered: ``import x as x``, or in __all__."""
    names = {one.name for one in node.names if one.asname == one.name or one.name in listed}
    if names:
        path = ROOT / f"{(node.module or '').replace('.', '/')}.py"
        for one in entries(module, path.read_text("utf-8")):
            if one.name.partition(".")[0] in names:
                yield one


def _methods(module: str, node: ast.ClassDef) -> Iterator[Entry]:
    for one in node.body:
        if isinstance(one, Function) and not one.name.startswith("_"):
            yield Entry(module, f"{node.name}.{one.name}", one, ast.get_docstring(one) or "")


def _assigned(node: ast.stmt) -> str:
    """Return the public name that a statement assigns; nothing if it does not.

    What is made for annotations alone, as by TypeVar, is no name to use.
    """
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    if not isinstance(node, ast.Assign | ast.AnnAssign) or len(targets) != 1:
        return ""
    name = targets[0].id if isinstance(targets[0], ast.Name) else "_"
    made = ast.unparse(node.value).partition("(")[0] if node.value else ""
    return "" if name.startswith("_") or made in ("TypeVar", "ParamSpec") else name


def _text_of(node: ast.stmt, following: ast.stmt | None, lines: list[str]) -> str:
    """Return the string below an assignment, or the comment above or beside it."""
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        return str(following.value.value)
    for line in (lines[node.lineno - 2], lines[node.lineno - 1]):
        if "#" in line:
            return line.rpartition("#")[2].strip()
    return ""


def problems(entry: Entry) -> list[str]:
    """Return what the docstring of a public name lacks.

    A function has every parameter under Args, or, of at most `FEW`, in its sentences; Raises if it
    raises ValueError itself. A class of fields has every field under Attributes or Args, or in its
    sentences, if they are few; so has a class with an ``__init__``.
    """
    if not entry.doc.strip():
        return ["no docstring"]
    node, found = entry.node, []
    if isinstance(node, Function):
        found += _undescribed(_parameters(node), entry.doc, ("Args",))
        if _raises_value_error(node) and "Raises:" not in entry.doc:
            found.append("raises ValueError, and does not say so")
    elif isinstance(node, ast.ClassDef):
        described = ("Attributes", "Args")
        found += _undescribed(_fields(node), entry.doc, described)
        made = [one for one in node.body if isinstance(one, Function) and one.name == "__init__"]
        for init in made:
            text = f"{entry.doc}\n{ast.get_docstring(init) or ''}"
            found += _undescribed(_parameters(init), text, described)
    return found


def _parameters(node: Function) -> list[str]:
    spec = node.args
    named = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]
    names = [one.arg for one in (*named, spec.vararg, spec.kwarg) if one is not None]
    is_property = any(ast.unparse(one).endswith("property") for one in node.decorator_list)
    return [] if is_property else [name for name in names if name not in ("self", "cls")]


def _fields(node: ast.ClassDef) -> list[str]:
    """Return the public fields of a NamedTuple, a dataclass or a Flax module."""
    fields = [one.target for one in node.body if isinstance(one, ast.AnnAssign)]
    names = [target.id for target in fields if isinstance(target, ast.Name)]
    return [name for name in names if not name.startswith("_")]


def _undescribed(names: list[str], doc: str, sections: tuple[str, ...]) -> list[str]:
    listed = [name for section in sections for name in _section(doc, section)]
    if not listed and len(names) <= FEW:
        return []
    return [f"says nothing of {name}" for name in names if name not in listed]


def _section(doc: str, title: str) -> list[str]:
    """Return the names that a section of a docstring describes."""
    found = re.search(rf"^( *){title}:\n((?:\1 +.*\n?|\s*\n)*)", doc, re.MULTILINE)
    return re.findall(r"^ +\**(\w+):", found[2], re.MULTILINE) if found else []


def _raises_value_error(node: Function) -> bool:
    inner = {
        id(below)
        for one in ast.walk(node)
        if isinstance(one, Function) and one is not node
        for below in ast.walk(one)
    }
    raised = (one for one in ast.walk(node) if isinstance(one, ast.Raise) and id(one) not in inner)
    return any("ValueError" in ast.unparse(one) for one in raised)


def page() -> str:
    """Return the text of docs/api.md."""
    parts = [
        "# Public names",
        "Made by `python -m scripts.api` from the docstrings, which hold shapes, units, errors and "
        "examples: `python -m pydoc signdyn.analysis.fisher`.",
    ]
    for module, path in modules():
        source = path.read_text("utf-8")
        summary = _first_line(ast.get_docstring(ast.parse(source)) or "")
        rows = [f"| `{one.name}` | {_first_line(one.doc)} |" for one in entries(module, source)]
        link = f"../{path.relative_to(ROOT).as_posix()}"
        parts.append(f"## [{module}]({link})\n\n{summary}")
        if rows:
            parts.append("\n".join(["| name | |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _first_line(doc: str) -> str:
    """Return a docstring's first sentence as a cell of a table."""
    paragraph = " ".join(doc.strip().partition("\n\n")[0].split())
    return re.sub(r":(?:\w+):`([^`]+)`", r"`\1`", paragraph).replace("``", "`").replace("|", r"\|")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
