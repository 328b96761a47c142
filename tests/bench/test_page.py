from pathlib import Path

from scripts.bench.page import page_text, race_text, summary_text

ROOT = Path(__file__).parents[2]


def contender(name, ratio, **more):
    spread = {"median": ratio, "least": ratio, "most": ratio}
    return {
        "name": name,
        "of_ours": spread,
        "first_seconds": 1.0,
        "peak_bytes": 2**20,
        "versions": {},
        "difference": {"x": 1e-7},
        **more,
    }


def record(ratio, asked):
    spread = {"median": ratio, "least": ratio, "most": ratio}
    return {
        "id": "toy",
        "topic": "Toys",
        "work": "count",
        "unit": "step",
        "units": 4.0,
        "flop": 800.0,
        "flop_of": "two a weight",
        "share_of_roof": {"median": 0.25, "least": 0.2, "most": 0.3},
        "rounds": 3,
        "contenders": [contender("ours", 1.0), contender("theirs", ratio, versions={"jax": "1.0"})],
        "bounds": [
            {"slow": "theirs", "fast": "ours", "at_least": asked, "at_most": None,
             "ratio": spread, "holds": ratio >= asked}
        ],
    }  # fmt: skip


def test_a_race_is_told_with_its_ratio_its_bound_and_its_share():
    text = race_text(record(3.0, asked=2.0))
    assert "| theirs (jax 1.0) | 3 [3, 3] | 1 | 1e-07 | 1 |" in text
    assert "| theirs / ours | at least 2 | 3 [3, 3] | yes |" in text
    assert "two a weight: 200 FLOP a step, 25% of the roof" in text


def test_a_bound_that_does_not_hold_stands_out_and_leads_the_page():
    missed = record(1.5, asked=2.0)
    assert "**no**" in race_text(missed)
    assert summary_text([missed]).startswith("0 of 1 bounds hold.\n\n* Not toy: theirs / ours, 1.5")


def test_the_page_is_that_of_the_record():
    written = (ROOT / "docs" / "benchmarks.md").read_text()
    assert written == page_text(ROOT / "docs" / "record" / "bench")
