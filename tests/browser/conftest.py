"""One browser and one page for all tests: the page of the quick run on record."""

import json
import shutil
from pathlib import Path

import pytest

from experiments._answers import answered_threads
from experiments._publish import ORDER, PLAYED, SOURCES
from signdyn.report.page import write_page
from tests.browser.browser import Browser, missing

RECORD = Path(__file__).resolve().parents[2] / "docs" / "record"
CLAIM = "sign_flip/batch_unanimity_sigmoid"
FOCUS = "document.querySelector(arguments[0]).focus()"


def all_findings() -> dict[str, dict]:
    """Return "experiment/claim" -> finding, of the quick run."""
    found = {}
    for path in sorted((RECORD / "quick").glob("*/claims.json")):
        for finding in json.loads(path.read_text())["findings"]:
            found[f"{path.parent.name}/{finding['id']}"] = finding
    return found


def unfold_all(browser: Browser) -> None:
    """Press the button, and wait until all claims are drawn."""
    browser.click("[name=unfold]")
    browser.wait()


def pytest_collection_modifyitems(items):
    """Skip what needs a browser where there is none, and say what to install."""
    if lacking := missing():
        here = Path(__file__).parent
        for item in items:
            if item.path.is_relative_to(here):
                item.add_marker(pytest.mark.skip(reason=lacking))


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    """A browser, started once."""
    with Browser(tmp_path_factory.mktemp("profile")) as started:
        yield started


def page_of(record: Path, folder: Path) -> Path:
    """Copy a recorded run without its cells, and write its page."""
    ignored = shutil.ignore_patterns("cells", "*.pdf", "report.html", "ledger.jsonl", ".lock")
    shutil.copytree(record, folder, ignore=ignored)
    return write_page(
        folder, order=ORDER, threads=answered_threads(), sources=SOURCES, played=PLAYED
    ).path


@pytest.fixture(scope="session")
def path(tmp_path_factory) -> Path:
    """Path of the page of the quick run."""
    return page_of(RECORD / "quick", tmp_path_factory.mktemp("page") / "quick")


@pytest.fixture
def page(browser, path):
    """Return a function that loads the page at an address; nothing may be logged meanwhile."""
    browser.leave()
    for kind in ("browser", "performance"):
        browser.log(kind)

    def at(fragment: str = "", **window):
        browser.emulate(**window)
        browser.open(path.as_uri() + fragment)
        return browser

    yield at
    assert browser.log("browser") == []


@pytest.fixture
def kept(browser, path):
    """Return a function that goes to an address in the page, all claims shown and in order.

    Loading takes half a second, so the page stays loaded from one such test to the next.
    """

    def at(fragment: str = ""):
        if not browser.run("return location.href").startswith(path.as_uri()):
            browser.emulate()
            browser.open(path.as_uri())
        for address in ("#Verdicts?", fragment):
            browser.run("location.hash = arguments[0]", address)
            browser.wait()
        return browser

    yield at
    assert browser.log("browser") == []
