"""The page's own style and script, each put together from small files, and what may run.

May import: report.html.
"""

import base64
import hashlib
from importlib import resources

from signdyn.report.html import Html

_STYLES = ("base.css", "claims.css", "experiments.css", "stepper.css", "phone.css", "print.css")
_SCRIPTS = (
    "elements.js",
    "theme.js",
    "seeds.js",
    "filter.js",
    "claims.js",
    "lines.js",
    "walks.js",
    "stepper.js",
    "main.js",
)
"""In this order, in one scope: each defines functions, the last one calls them."""


def style() -> Html:
    """Return the text of the page's style element."""
    return Html("".join(_text(name) for name in _STYLES))


def script() -> Html:
    """Return the text of the page's only script."""
    body = "".join(_text(name) for name in _SCRIPTS)
    return Html(f'"use strict";\n(() => {{\n{body}}})();\n')


def policy(script: str) -> str:
    """Return the content policy: nothing may be loaded, and no script may run but ``script``."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def _text(name: str) -> str:
    return resources.files("signdyn.report").joinpath("web", name).read_text(encoding="utf-8")
