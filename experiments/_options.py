"""Options of a command line, each declared once: its default, its help, and what it accepts.

May import the standard library only, so that a bad word is refused before anything heavy loads.
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

_LONGEST = 60
"""Characters of a bad value that a message repeats."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)


class UsageError(ValueError):
    """The user asked for something that cannot be done; the message is one sentence."""


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    entries: type = str,
    least: int = 1,
    most: int = 64,
    folder: Literal["written", "read", "kept"] | None = None,
) -> Any:
    """Return a dataclass field that becomes a flag; its type is that of ``default``.

    Args:
        default: An int, float, bool, str, or a tuple of str.
        help: One sentence.
        choices: All accepted values, of a tuple's entries.
        minimum: Of a number, or of a tuple's entries.
        maximum: As well.
        entries: int if the words of a tuple are to be integers; they stay words.
        least: Fewest entries of a tuple.
        most: Most of them.
        folder: Of a str or a tuple's entries: it names a folder that will be "written" to (made
            if missing), one to be "read", or one where something is "kept": it can be read, or
            made if missing. An empty default may stay empty.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "entries": entries,
        "least": least,
        "most": most,
        "folder": folder,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What every script's Config is: a frozen dataclass of `option` fields, valid or not made."""

    def __post_init__(self):
        """Raise `UsageError` for the first field that does not hold what it accepts."""
        for field in dataclasses.fields(self):
            check_value(field, getattr(self, field.name))


def read_value(field: Any, text: str) -> Any:
    """Return what the text of a flag means.

    Raises:
        UsageError: If it is nothing that the field accepts.
    """
    value: Any = text
    if isinstance(field.default, tuple):
        value = tuple(word.strip() for word in text.split(",")) if text.strip() else ()
    elif isinstance(field.default, int):
        value = int(text) if _INTEGER.fullmatch(text) else text
    elif isinstance(field.default, float):
        value = float(text) if _NUMBER.fullmatch(text) else text
    check_value(field, value)
    return value


def check_value(field: Any, value: Any) -> None:
    """Raise `UsageError` unless the field accepts the value."""
    if isinstance(field.default, bool):
        good = isinstance(value, bool)
    elif isinstance(field.default, tuple):
        good = isinstance(value, tuple) and _are_good(field, value)
    else:
        good = _is_good(field, value)
    if not good:
        text = ",".join(map(str, value)) if isinstance(value, tuple) else value
        raise UsageError(
            f"--{field.name} must be {accepted(field)}, got {shortened(text)}{_near(field, value)}"
        )
    if field.metadata["folder"] and value != "":
        for name in value if isinstance(value, tuple) else (value,):
            check_folder(f"--{field.name}", name, field.metadata["folder"])


def accepted(field: Any) -> str:
    """Return what a field accepts, in words that follow "must be"."""
    choices, minimum, maximum = (field.metadata[key] for key in ("choices", "minimum", "maximum"))
    if isinstance(field.default, bool):
        return "true or false"
    if not isinstance(field.default, tuple):
        if choices is not None:
            return f"one of {', '.join(choices)}"
        if isinstance(field.default, str):
            return "a folder's name" if field.metadata["folder"] else "a line of printable text"
        kind = "an integer" if isinstance(field.default, int) else "a number"
        return f"{kind} {_span(minimum, maximum)}".rstrip()
    least = field.metadata["least"]
    count = "" if least == 0 else f", {_COUNTS.get(least, least)} or more"
    if choices is not None:
        return f"names with commas between, of {', '.join(choices)}{count}, each once"
    if field.metadata["entries"] is int:
        return f"integers {_span(minimum, maximum)} with commas between{count}"
    return f"names with commas between{count}" + ", each once" * _once(field)


def check_folder(flag: str, name: str, use: Literal["written", "read", "kept"]) -> None:
    """Raise `UsageError` unless ``name`` is a folder that can be read, or made and written to."""
    if not name or not name.isprintable():
        raise UsageError(f"{flag} must be a folder's name, got {shortened(name)}")
    path = Path(name)
    try:
        if path.is_dir() or use == "read":
            _check_is_folder(flag, path)
        if path.is_dir() and use == "kept":
            return
        place = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
        if not place.is_dir():
            file = "a file" if place == path else f"below the file {shortened(place)}"
            raise UsageError(f"{flag} must be a folder's name, but {shortened(name)} is {file}")
    except OSError as error:
        told = error.strerror or error
        raise UsageError(f"{flag} cannot be {shortened(name)}: {str(told).lower()}") from error
    if use != "read" and not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(
            f"{flag} must be a folder that can be written to, but {shortened(place)} cannot"
        )


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return " (nearest: name)" for the known name that a word resembles, or nothing."""
    near = difflib.get_close_matches(word[:_LONGEST], list(known), n=1)
    return f" (nearest: {prefix}{near[0]})" if near else ""


def shortened(value: Any) -> str:
    r"""Return a bad value as one short line of ASCII.

    Example:
        >>> shortened("é"), len(shortened("x" * 10_000))
        ("'\\xe9'", 62)
    """
    text = value if isinstance(value, str) else str(value)
    cut = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return ascii(cut) if isinstance(value, str | Path) else ascii(cut)[1:-1]


_COUNTS = {1: "one", 2: "two", 3: "three"}


def _are_good(field: Any, words: tuple) -> bool:
    """Tell whether a tuple's words are accepted, all and together."""
    if not field.metadata["least"] <= len(words) <= field.metadata["most"]:
        return False
    if not all(isinstance(word, str) for word in words):
        return False
    if _once(field) and len(set(words)) < len(words):
        return False
    if field.metadata["entries"] is int:
        words = tuple(int(word) if _INTEGER.fullmatch(word) else word for word in words)
    return all(_is_good(field, word) for word in words)


def _once(field: Any) -> bool:
    return field.metadata["choices"] is not None or field.metadata["folder"] is not None


def _is_good(field: Any, value: Any) -> bool:
    """Tell whether a value that is no tuple, or one entry of one that is, is accepted."""
    choices, minimum, maximum = (field.metadata[key] for key in ("choices", "minimum", "maximum"))
    if isinstance(field.default, str | tuple) and field.metadata["entries"] is str:
        if not isinstance(value, str) or not value.isprintable():
            return False
        return value in choices if choices is not None else bool(value) or value == field.default
    kinds = (int, float) if isinstance(field.default, float) else (int,)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return False
    # written so that NaN fails too
    low, high = (float("-inf") if minimum is None else minimum), maximum
    return low <= value <= high if high is not None else low <= value < float("inf")


def _span(minimum: float | None, maximum: float | None) -> str:
    if minimum is None or maximum is None:
        return "" if minimum is None else f"of at least {_number(minimum)}"
    return f"from {_number(minimum)} to {_number(maximum)}"


def _number(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _near(field: Any, value: Any) -> str:
    choices = field.metadata["choices"]
    words = value if isinstance(value, tuple) else (value,)
    odd = [word for word in words if choices is not None and str(word) not in choices]
    return nearest(str(odd[0]), choices) if odd else ""


def _check_is_folder(flag: str, path: Path) -> None:
    if not path.is_dir():
        told = "is a file" if path.exists() else "does not exist"
        raise UsageError(f"{flag} must name a folder, but {shortened(path)} {told}")
    if not os.access(path, os.R_OK | os.X_OK):
        raise UsageError(f"{flag} must name a folder that can be read, got {shortened(path)}")
