import json
from dataclasses import replace

import pytest

from scripts.bench.contest import Disagreement, hold
from scripts.bench.race import Bound, Contender, Race

TOYS = """
import time
import numpy as np

def make(size, wait=0.0, wrong=0.0, fails=False, extra=()):
    if fails:
        raise ValueError("no such thing")
    print("noise on standard output")
    def run():
        time.sleep(wait)
        return {"sum": np.full(3, size + wrong)}
    return run
"""


@pytest.fixture
def contender(tmp_path):
    (tmp_path / "toys.py").write_text(TOYS)

    def one(name, agrees=True, **more):
        env = {"PYTHONPATH": str(tmp_path)}
        return Contender(name, "toys:make", ("numpy",), env, more=more, agrees=agrees)

    return one


def race(*contenders, bounds=()):
    return Race(
        "toy", "Toys", "count", {"size": 2.0}, contenders, tuple(bounds), {"sum": 1e-6}, flop=1.0
    )


def held(race, rounds=2):
    return hold(race, rounds=rounds, tell=lambda text: None)


def test_a_ratio_is_of_times_of_the_same_round_and_bounds_are_told_of(contender):
    found = held(
        race(
            contender("ours", wait=0.05),
            contender("theirs", wait=0.25),
            bounds=[
                Bound("theirs", "ours", at_least=4.0),
                Bound("theirs", "ours", at_least=6.0),
                Bound("ours", "theirs", at_most=0.5),
            ],
        )
    )
    assert [bound["holds"] for bound in found["bounds"]] == [True, False, True]
    ratio = found["bounds"][0]["ratio"]
    assert 4.0 < ratio["least"] <= ratio["median"] <= ratio["most"] < 6.0
    assert found["contenders"][1]["difference"] == {"sum": 0.0}
    assert found["contenders"][1]["versions"]["numpy"]
    assert 0 < found["share_of_roof"]["median"] < 1e-3
    json.dumps(found)


def test_another_answer_stops_the_race(contender):
    with pytest.raises(Disagreement, match=r"sum of theirs differs from ours's by 0\.5"):
        held(race(contender("ours"), contender("theirs", wrong=1.0)))


def test_a_nan_is_another_answer(contender):
    with pytest.raises(Disagreement):
        held(race(contender("ours"), contender("theirs", wrong=float("nan"))))


def test_work_that_is_only_counted_in_has_an_answer_of_its_own(contender):
    found = held(race(contender("ours"), contender("step", agrees=False, wrong=1.0)), rounds=1)
    assert found["contenders"][1]["difference"] is None


def test_a_contender_that_fails_is_named_with_its_reason(contender):
    with pytest.raises(RuntimeError, match=r"theirs: ValueError.*no such thing"):
        held(race(contender("ours"), contender("theirs", fails=True)))


def test_a_bound_on_nobody_is_refused(contender):
    with pytest.raises(ValueError, match="no contender 'him'"):
        race(contender("ours"), bounds=[Bound("him", "ours", at_least=1.0)])


def test_a_less_accurate_contender_is_compared_in_the_keys_that_it_has_right(contender):
    ours, theirs = contender("ours"), contender("theirs", agrees=("sum",))
    found = held(replace(race(ours, theirs), tolerance={"sum": 1e-6, "small": 1e-6}))
    assert found["contenders"][1]["difference"] == {"sum": 0.0}
    wrong = contender("wrong", agrees=("sum",), wrong=1.0)
    with pytest.raises(Disagreement, match="sum of wrong differs"):
        held(race(ours, wrong))
