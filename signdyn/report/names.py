"""Names that serve as file names and as anchors in a page.

May import: the standard library only.
"""

import re

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*", re.ASCII)


def is_name(text: str) -> bool:
    """Tell whether ``text`` is made of lower-case letters, digits, ``_`` and ``-`` alone.

    Example:
        >>> is_name("flip_exact"), is_name("../flip"), is_name("")
        (True, False, False)
    """
    return bool(_NAME.fullmatch(text))


def check_name(name: str, caller: str) -> None:
    """Refuse a name that cannot be a file name and an anchor.

    Args:
        name: Name of a figure or table, without its suffix.
        caller: Function that was given the name; the message starts with it.

    Raises:
        ValueError: If it is none, see :func:`is_name`.

    Example:
        >>> check_name("steps_to_target", "save_figure")
    """
    if not is_name(name):
        raise ValueError(
            f"{caller}: expected a name of lower-case letters, digits, '_' and '-', "
            f"got {name!r}; pass for example 'steps_to_target'."
        )
