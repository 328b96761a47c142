"""The nearest name, for a message."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Return " (did you mean 'name'?)" for the known name that a word resembles, or nothing.

    Args:
        word: What was given.
        known: What could have been meant.
        prefix: Put before the name, such as ``--`` of a flag.

    Example:
        >>> did_you_mean("minst", ["mnist", "cifar10"])
        " (did you mean 'mnist'?)"
    """
    near = difflib.get_close_matches(word[:60], list(known), n=1)
    return f" (did you mean {prefix + near[0]!r}?)" if near else ""
