"""Pages of prose with parts that come from the record, between markers that name them."""

import re
from collections.abc import Mapping

MARKED = re.compile(r"(<!-- record: (\w+) -->\n).*?(<!-- end -->\n)", re.DOTALL)


def with_parts(page: str, parts: Mapping[str, str]) -> str:
    r"""Return the page with every part in its place; what lies outside of markers is kept.

    Raises:
        ValueError: If the page has no place for a part, or no part for a place.

    Example:
        >>> page = "above\n<!-- record: a -->\nold\n<!-- end -->\nbelow\n"
        >>> print(with_parts(page, {"a": "new"}))
        above
        <!-- record: a -->
        new
        <!-- end -->
        below
        <BLANKLINE>
    """
    places = [match[2] for match in MARKED.finditer(page)]
    if sorted(places) != sorted(parts):
        raise ValueError(f"with_parts: the page has places {places} for {[*parts]}.")
    return MARKED.sub(lambda match: f"{match[1]}{parts[match[2]].rstrip()}\n{match[3]}", page)
