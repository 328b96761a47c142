"""The page in a real browser: alone, and what its table and its claims answer."""

import json
import re

import pytest

from tests.browser.conftest import CLAIM, FOCUS, RECORD, all_findings, page_of, unfold_all

SHOWN = """return [...document.querySelectorAll("tr[data-verdict]")]
  .filter((row) => row.checkVisibility()).map((row) => [row.id, row.dataset.verdict])"""
COUNT = "return document.querySelector('.filter output').value"


# --- alone --------------------------------------------------------------------------------------


def test_the_page_asks_for_no_file_but_itself(page, path):
    browser = page(f"#{CLAIM}")
    events = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    requests = [
        e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"
    ]
    assert any(url.startswith(path.as_uri()) for url in requests)
    for url in requests:
        assert url.startswith((path.as_uri(), "data:", "about:blank")), url


def test_the_pages_of_the_runs_on_record_are_smaller_than_three_megabytes(path, tmp_path):
    assert path.stat().st_size < 3_000_000
    assert page_of(RECORD / "default", tmp_path / "default").stat().st_size < 3_000_000


def test_a_link_inside_the_page_leads_to_something(kept):
    lost = kept().run(
        """return [...document.querySelectorAll('a[href^="#"]')]
          .filter((link) => !document.getElementById(decodeURIComponent(link.hash.slice(1))))
          .map((link) => link.hash)"""
    )
    assert lost == []


def test_every_figure_is_drawn(kept):
    browser = kept()
    sizes = browser.run(
        """return [...document.querySelectorAll("figure svg:not(.swatch)")].map((svg) => {
          const [box, frame] = [svg.getBBox(), svg.getBoundingClientRect()];
          return [box.width, box.height, frame.width, frame.height];
        })"""
    )
    figures = sum(
        len(json.loads(path.read_text())["figures"])
        for path in (RECORD / "quick").glob("*/claims.json")
    )
    assert len(sizes) > figures  # those of the steppers too
    assert all(min(size) > 0 for size in sizes)


# --- filter and order ---------------------------------------------------------------------------


def test_it_opens_with_all_claims_by_experiment(kept):
    browser = kept()
    assert len(browser.run(SHOWN)) == len(all_findings())
    assert browser.run(COUNT) == f"{len(all_findings())} of {len(all_findings())} claims"
    headings = browser.run("return [...document.querySelectorAll('h2')].map((h) => h.innerText)")
    assert headings[2] == "Verdicts"  # after the two answers


def test_the_filter_is_worked_with_the_keyboard_and_its_state_is_an_address(kept, page):
    browser = kept()
    browser.run(FOCUS, "[value=supported]")
    browser.press("space", "tab", "tab", "space")  # off: supported and inconclusive
    expected = [
        [name, "refuted"] for name, f in all_findings().items() if f["verdict"] == "refuted"
    ]
    assert sorted(browser.run(SHOWN)) == sorted(expected)
    told = f"{len(expected)} of {len(all_findings())} claims"
    assert browser.run(COUNT) == told
    assert browser.run("return document.querySelector('.filter output').role") == "status"
    browser.run(FOCUS, "[name=experiment]")
    browser.press("I")  # "Is the common sign ..."
    own = [[name, verdict] for name, verdict in expected if name.startswith("sign_flip/")]
    assert sorted(browser.run(SHOWN)) == sorted(own)
    fragment = browser.run("return location.hash")
    assert fragment == "#Verdicts?experiment=sign_flip&verdict=refuted"
    again = page(fragment)
    assert sorted(again.run(SHOWN)) == sorted(own)
    assert again.run(COUNT) == f"{len(own)} of {len(all_findings())} claims"
    again.click("[type=reset]")
    assert len(again.run(SHOWN)) == len(all_findings())
    assert again.run("return location.hash") == "#Verdicts"


def test_claims_are_sorted_by_verdict_and_back(kept):
    browser = kept()
    before = browser.run(SHOWN)
    choose = """const sort = document.querySelector("[name=sort]"); sort.value = arguments[0];
      sort.dispatchEvent(new Event("input", { bubbles: true }))"""
    browser.run(choose, "verdict")
    order = ["supported", "refuted", "inconclusive"]
    assert browser.run(SHOWN) == sorted(before, key=lambda row: order.index(row[1]))
    browser.run(choose, "experiment")
    assert browser.run(SHOWN) == before


def test_words_narrow_the_claims_down(kept):
    browser = kept()
    browser.type("[name=words]", "Natural ADAM")
    shown = [name for name, _ in browser.run(SHOWN)]
    known = all_findings()
    expected = [n for n, f in known.items() if {"natural", "adam"} <= words_in(n, f)]
    assert sorted(shown) == sorted(expected)
    browser.type("[name=words]", " nothing-like-it")
    assert browser.run(COUNT) == f"0 of {len(known)} claims"


def words_in(name: str, finding: dict) -> set[str]:
    text = f"{name} {finding['sentence']}".lower()
    return {word for word in ("natural", "adam") if word in text}


def test_an_odd_address_does_no_harm(kept):
    browser = kept("#%")
    for address in ("#%E0%A4%A", "#Verdicts?verdict=x&sort=y&experiment=z", "#a?b?c", "#tr"):
        browser.run("location.hash = arguments[0]", address)
        browser.wait()
    assert browser.run(COUNT).startswith("0 of ")  # no verdict is called x
    browser.run("location.hash = '#Verdicts?'")
    browser.wait()
    assert len(browser.run(SHOWN)) == len(all_findings())


# --- claims -------------------------------------------------------------------------------------


def test_a_link_to_a_claim_unfolds_it_and_shows_all_that_decided_it(kept):
    browser = kept(f"#{CLAIM}")
    row, top, focused = browser.run(
        """const row = document.getElementById(arguments[0]);
        const { top } = row.getBoundingClientRect();
        return [row.innerText, top, row.contains(document.activeElement)]""",
        CLAIM,
    )
    finding = all_findings()[CLAIM]
    for part in (
        finding["sentence"],
        finding["rule"],
        finding["statistic"],
        "16 used, 0 left out",
        "python -m experiments.sign_flip --preset=quick",
        "experiments/_sign_flip/claims/__init__.py",
        "p, uncorrected",
    ):
        assert part in row
    assert -1 <= top < 120
    assert focused
    sizes = browser.run(
        """const row = document.getElementById(arguments[0]);
        const use = row.querySelector(".plate use");
        return [use.getBBox().width, row.querySelector(".plate svg").clientWidth,
          row.querySelectorAll(".strip circle").length]""",
        CLAIM,
    )
    assert sizes[0] > 100
    assert sizes[1] > 300
    assert sizes[2] == len(finding["values"])


def test_a_link_to_a_claim_that_the_filter_hides_shows_it_all_the_same(kept):
    browser = kept("#Verdicts?verdict=supported")
    assert CLAIM not in dict(browser.run(SHOWN))
    browser.run(f"location.hash = '#{CLAIM}'")
    browser.wait()
    assert CLAIM in dict(browser.run(SHOWN))


def test_every_claim_unfolds_to_its_seeds(page):
    browser = page()
    unfold_all(browser)
    rows = browser.run(
        """return [...document.querySelectorAll("tr[data-verdict]")].map((row) => [
          row.id, row.querySelectorAll(".strip circle").length,
          [...row.querySelectorAll(".grid li")].map((cell) => cell.lastChild.textContent)])"""
    )
    known = all_findings()
    assert {name for name, _, _ in rows} == set(known)
    for name, dots, texts in rows:
        values = known[name]["values"]
        if len(set(values)) > 1:
            assert dots in (0, sum(value is not None for value in values)), name
            for text, value in zip(texts, values, strict=True):
                if value is None:
                    assert text == "undefined", name
                else:
                    shown = float(text.replace("−", "-"))
                    assert shown == pytest.approx(value, rel=1e-3, abs=1e-300), name


def test_every_figure_is_shown_by_the_claims_on_it(page):
    browser = page()
    first = {}
    for name, finding in all_findings().items():
        if finding["figure"]:
            first.setdefault((name.partition("/")[0], finding["figure"]), name)
    browser.run(
        """for (const name of arguments[0])
          document.getElementById(name).querySelector("details").open = true""",
        list(first.values()),
    )
    browser.wait()
    widths = browser.run(
        """return arguments[0].map((name) =>
          document.getElementById(name).querySelector(".plate use").getBBox().width)""",
        list(first.values()),
    )
    assert len(first) > 20
    assert min(widths) > 100


def test_the_value_of_a_seed_is_read_with_arrow_keys_and_with_the_pointer(kept):
    browser = kept(f"#{CLAIM}")
    values = all_findings()[CLAIM]["values"]
    browser.run(FOCUS, ".strip")
    reading = "return document.querySelector('.reading').textContent"
    smallest = min(range(len(values)), key=values.__getitem__)
    largest = max(range(len(values)), key=values.__getitem__)
    assert browser.run(reading) == f"seed {smallest}: {values[smallest]:.4g}"
    browser.press("end")
    assert browser.run(reading) == f"seed {largest}: {values[largest]:.4g}"
    browser.press("left")
    second = sorted(values)[-2]
    assert browser.run(reading) == f"seed {values.index(second)}: {second:.4g}"
    browser.run("document.activeElement.blur()")
    browser.move_to(".strip")
    assert re.match(r"seed \d+: 0\.\d+", browser.run(reading))
