"""The page in a real browser: colors, widths, print, keyboard, and without a script."""

import re
from pathlib import Path

from selenium.common.exceptions import WebDriverException

from tests.browser.conftest import CLAIM, unfold_all

CONTRAST = Path(__file__).with_name("contrast.js").read_text()


def test_all_text_has_the_contrast_that_wcag_asks_for_in_every_theme(page):
    browser = page(f"#{CLAIM}")
    browser.run(
        "for (const part of document.querySelectorAll('details')) part.classList.add('bare')"
    )
    folded = "details.facts, .thread details, tr:nth-child(9n) details"
    browser.run("for (const d of document.querySelectorAll(arguments[0])) d.open = true", folded)
    browser.wait()
    for system, choice in (
        ("light", "auto"),
        ("dark", "auto"),
        ("dark", "light"),
        ("light", "dark"),
    ):
        browser.emulate(prefers_color_scheme=system)
        browser.run(
            """const theme = document.querySelector("[name=theme]"); theme.value = arguments[0];
            theme.dispatchEvent(new Event("change"))""",
            choice,
        )
        ground = browser.run("return getComputedStyle(document.documentElement).backgroundColor")
        is_light = sum(map(int, re.findall(r"\d+", ground)[:3])) > 384
        assert is_light == ((system if choice == "auto" else choice) == "light")
        seen = browser.run(CONTRAST)
        assert seen["count"] > 3000
        assert seen["faint"] == []


def test_a_theme_that_was_chosen_is_remembered(page):
    choose = """const theme = document.querySelector("[name=theme]"); theme.value = arguments[0];
      theme.dispatchEvent(new Event("change"))"""
    page().run(choose, "dark")
    assert page().run("return document.documentElement.dataset.theme") == "dark"
    page().run(choose, "auto")


def test_nothing_but_what_scrolls_by_itself_is_wider_than_the_window(page):
    browser = page(width=768)
    unfold_all(browser)
    browser.run("for (const details of document.querySelectorAll('details')) details.open = true")
    for width in (768, 390, 320):
        browser.emulate(width=width)
        browser.wait()
        assert browser.run("return document.documentElement.scrollWidth") == width


def test_a_figure_is_not_cut_off_in_print(page):
    browser = page(f"#{CLAIM}", width=718)  # A4 within usual margins, in CSS pixels
    browser.protocol("Emulation.setEmulatedMedia", media="print")
    cut = browser.run(
        """const all = [...document.querySelectorAll("svg")];
        return all.filter((svg) => svg.checkVisibility()).filter((svg) => {
          const box = svg.getBoundingClientRect();
          return box.right > innerWidth + 1 || box.left < -1 || box.height > 1000;
        }).length"""
    )
    controls = browser.run("return document.querySelector('.filter').checkVisibility()")
    wide = browser.run("return document.documentElement.scrollWidth")
    printed = browser.pdf()
    assert cut == 0
    assert not controls
    assert wide <= 718
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 10


def test_the_first_tab_is_the_way_past_the_answers_and_the_focus_is_seen(page):
    browser = page()
    browser.press("tab")
    text, left, outline = browser.run(
        """const link = document.activeElement;
        const { left } = link.getBoundingClientRect();
        return [link.innerText, left, getComputedStyle(link).outlineWidth]"""
    )
    assert (text, outline) == ("Skip to the verdicts", "3px")
    assert left >= 0
    browser.press("enter")
    assert browser.run("return location.hash") == "#Verdicts"
    browser.press("tab")
    assert browser.run("return document.activeElement.closest('.filter') !== null")


def test_every_control_has_a_name_and_is_reached_with_the_keyboard(kept):
    browser = kept(f"#{CLAIM}")
    nameless = browser.run(
        """return [...document.querySelectorAll("input, select, button, [tabindex], summary, a")]
          .filter((control) => control.checkVisibility() &&
            !(control.labels?.[0]?.innerText || control.ariaLabel || control.innerText).trim())
          .map((control) => control.outerHTML.slice(0, 80))"""
    )
    assert nameless == []
    odd = browser.run("return [...document.querySelectorAll('[tabindex]')].map((e) => e.tabIndex)")
    assert set(odd) == {0}


def test_without_a_script_the_page_is_whole_and_shows_no_dead_control(browser, path):
    browser.emulate()
    browser.protocol("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(path.as_uri())
        root = browser.protocol("DOM.getDocument", depth=0)["root"]["nodeId"]

        def box(selector):
            node = browser.protocol("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
            try:
                return browser.protocol("DOM.getBoxModel", nodeId=node)["model"]["width"]
            except WebDriverException:
                return 0

        assert box("tr[data-verdict]") > 300
        assert box("figure svg") > 300
        assert box(".stepper .plain") > 300
        assert box(".filter") == 0
        assert box(".theme") == 0
        assert box(".controls") == 0
    finally:
        browser.protocol("Emulation.setScriptExecutionDisabled", value=False)
        browser.leave()  # another test must not find the page without its script
