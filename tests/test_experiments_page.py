"""docs/experiments.md is what its generator makes of the modules and the record."""

import pytest

from experiments._publish import ORDER
from scripts.experiments_page import PAGE, RECORD, page, recorded_seconds
from signdyn.files import read_json

TEXT = PAGE.read_text("utf-8")


def test_the_page_is_up_to_date():
    assert page() == TEXT, "run python -m scripts.experiments_page"


@pytest.mark.parametrize("name", ORDER)
def test_every_experiment_has_its_command_and_a_main_claim(name):
    section = TEXT[TEXT.index(f"\n## {name}\n") :].partition("\n## ")[2].partition("\n## ")[0]
    assert f"```sh\npython -m experiments.{name} " in section
    assert "| supported |" in section
    assert "Negative control" in section


def test_the_seconds_of_the_experiments_are_those_of_the_whole_run():
    ends = [read_json(RECORD / name / "run.json")["wall_seconds"] for name in ORDER]
    seconds = recorded_seconds()
    assert set(seconds) == set(ORDER)
    assert min(seconds.values()) > 0
    assert sum(seconds.values()) == pytest.approx(max(ends))
