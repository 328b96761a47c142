"""HTML built from nested calls: text is escaped, unless it is HTML already.

May import: the standard library only.
"""

import html

_VOID = frozenset({"br", "hr", "input", "link", "meta"})


class Html(str):
    """Text that is HTML already and goes into the page as it is."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Return plain text as HTML, quotes included; what is HTML already stays as it is.

    Example:
        >>> escape('a < b & "c"')
        'a &lt; b &amp; &quot;c&quot;'
    """
    return text if isinstance(text, Html) else Html(html.escape(str(text), quote=True))


def join(*parts: str) -> Html:
    """Return the parts one after the other, plain text escaped.

    Example:
        >>> join(tag("b", "n"), " < 3")
        '<b>n</b> &lt; 3'
    """
    return Html("".join(escape(part) for part in parts))


def tag(name: str, /, *children: str, **attributes: str | bool | None) -> Html:
    """Return one element.

    Args:
        name: Such as ``td``.
        *children: Text, which is escaped, and HTML, which is not.
        **attributes: ``class_`` is written ``class`` and ``aria_label`` ``aria-label``; True
            gives a bare attribute, False and None none.

    Example:
        >>> tag("td", "a < b", class_="claim", hidden=True, title=None)
        '<td class="claim" hidden>a &lt; b</td>'
    """
    parts = [name]
    for key, value in attributes.items():
        word = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(word)
        elif value is not None and value is not False:
            parts.append(f'{word}="{escape(str(value))}"')
    start = f"<{' '.join(parts)}>"
    return Html(start if name in _VOID else f"{start}{join(*children)}</{name}>")
