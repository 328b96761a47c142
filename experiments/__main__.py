"""Lists the commands: `python -m experiments`."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from experiments._options import nearest

FOLDER = Path(__file__).parent

TOGETHER = ("all", "own", "compare", "page", "claims_table")
"""Commands that are no question of their own, in the order of the list."""


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command with the first line of its docstring; nothing of it is imported."""
    names = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
    for name in (*(one for one in names if one not in TOGETHER), *TOGETHER):
        doc = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))) or ""
        yield name, doc.partition("\n")[0]


def main() -> None:
    """Print the list; after a word, which is how a command is not run, exit with 2."""
    listed = dict(commands())
    if words := sys.argv[1:]:
        meant = words[0] if words[0] in listed else "COMMAND"
        near = "" if words[0] in listed else nearest(words[0], listed)
        print(
            f"error: run python -m experiments.{meant}, with a dot, got {words[0]!r}{near}; "
            "python -m experiments lists the commands",
            file=sys.stderr,
        )
        sys.exit(2)
    width = max(map(len, listed))
    print("usage: python -m experiments.COMMAND [--help] [--preset=quick|default|paper] ...\n")
    for name, line in listed.items():
        if name == TOGETHER[0]:
            print()
        print(f"  {name:{width}}  {line}")


if __name__ == "__main__":
    main()
