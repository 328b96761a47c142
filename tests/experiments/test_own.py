"""An experiment of one's own: its record, its programs, and what a folder of it refuses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments._session import AGAIN_OFFSET, CommonConfig
from experiments.own import (
    Arm,
    Experiment,
    Measure,
    conclude,
    fingerprint,
    measure,
    measured,
    prepare,
)
from signdyn.centering import CENTERINGS
from signdyn.claims import Claim, above, ratio_evidence
from signdyn.data import load
from signdyn.files import RecordsError, read_json
from signdyn.likelihoods import categorical
from signdyn.models.mlp import MLP
from signdyn.records import load as load_records
from signdyn.replicas import Hyper, Structure
from signdyn.sweeps import quick_to_compile, replica_keys
from signdyn.training import make_train_fn

DATA = load("two_gaussians")
STRUCTURE = Structure(MLP((3,), 2), categorical(), steps=6, record_every=2)
MEASURES = {
    "last": Measure(lambda trajectory: trajectory.loss[-1], "nat", "loss before the last step"),
    "loss": Measure(lambda trajectory: trajectory.loss, "nat", "loss before each", ("step",)),
}
ARMS = {
    "raw": Arm(STRUCTURE, Hyper(0.1)),
    "centered": Arm(STRUCTURE, Hyper(0.1, centering=CENTERINGS["batch"])),
}


def claims(results):
    raw, centered = (results["last"].sel(variant=arm).values for arm in ("raw", "centered"))
    claim = Claim("gain", (), "Centering helps.", "loss, raw / centered", above(1.0))
    yield claim, ratio_evidence(raw, centered)


TOY = Experiment("toy", "Does it help?", DATA, ARMS, MEASURES, claims)


def config(folder):
    return CommonConfig(out=str(folder), seeds=3, block=4)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    plan = prepare(TOY, config(folder))
    assert not list(folder.iterdir())  # nothing is written before all is checked
    measure(plan)
    return folder, conclude(plan)


def test_every_row_of_the_record_is_what_the_training_alone_gives(outcome):
    results = load_records(outcome[0] / "toy")
    train = jax.jit(make_train_fn(STRUCTURE, DATA), compiler_options=quick_to_compile())
    for arm, point, offset in (
        *((n, a, 0) for n, a in ARMS.items()),
        ("again", ARMS["raw"], AGAIN_OFFSET),
    ):
        keys = replica_keys(0, [offset + seed for seed in range(3)])
        centering = jax.tree.map(jnp.float32, point.hyper.centering)
        hyper = Hyper(*map(jnp.float32, point.hyper[:5]), centering)._replace(
            damping=jnp.float32("nan")
        )
        for seed, key in enumerate(keys):
            alone = train(key, hyper).loss
            row = results.loss.sel(variant=arm, seed=seed)
            np.testing.assert_allclose(row, alone, rtol=1e-5)
            assert results["last"].sel(variant=arm, seed=seed) == row[-1]
    assert results.loss.attrs == {"units": "nat", "long_name": "loss before each"}


def test_the_other_seeds_of_the_control_are_other_seeds(outcome):
    results = load_records(outcome[0] / "toy")
    raw, again = (results["last"].sel(variant=arm).values for arm in ("raw", "again"))
    assert not set(raw) & set(again)


def test_claims_tables_figure_and_page_are_written_with_the_command_that_repeats_them(outcome):
    folder, told = outcome
    written = read_json(folder / "toy" / "claims.json")
    assert written["command"] == "python -m toy --preset=quick --seeds=3 --block=4"
    assert [row["id"] for row in written["findings"]] == ["gain"]
    assert (folder / "toy/figures/measures.svg").read_text().count("<use") > 3 * 3
    assert "Does it help?" in (folder / "report.html").read_text()
    assert told.answer == "Of 1 claims: 1 inconclusive."  # three seeds decide nothing


def test_the_same_command_again_computes_nothing_and_gives_the_same_bytes(outcome):
    folder = outcome[0] / "toy"
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    plan = prepare(TOY, config(outcome[0]))
    measure(plan)
    conclude(plan)
    for path, (time, content) in before.items():
        assert path.read_bytes() == content
        assert path.parent.name != "cells" or path.stat().st_mtime_ns == time


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (TOY._replace(arms={**ARMS, "raw": Arm(STRUCTURE, Hyper(0.2))}), "arms="),
        (TOY._replace(measures={"last": MEASURES["last"]}), "programs="),
        (TOY._replace(data=DATA._replace(x_train=DATA.x_train + np.float32(1e-3))), "programs="),
    ],
    ids=["another rate", "other measures", "other data"],
)
def test_a_folder_of_other_numbers_is_refused(outcome, other, what):
    with pytest.raises(RecordsError, match=f"another configuration .*{what}"):
        prepare(other, config(outcome[0]))


def test_the_fingerprint_of_a_program_is_of_its_numbers_and_not_of_where_they_lie():
    def of(data, structure=STRUCTURE, measures=MEASURES):
        return fingerprint(measured(make_train_fn(structure, data), measures), Hyper(0.0))

    copied = DATA._replace(x_train=DATA.x_train.copy())
    labels = DATA._replace(y_train=1 - DATA.y_train)
    longer = Structure(MLP((3,), 2), categorical(), steps=8, record_every=2)
    other = {**MEASURES, "last": MEASURES["last"]._replace(read=lambda t: 2 * t.loss[-1])}
    assert of(DATA) == of(copied)
    assert len({of(DATA), of(labels), of(DATA, longer), of(DATA, measures=other)}) == 4


def test_claims_may_change_without_another_run(outcome):
    prepare(TOY._replace(claims=lambda results: [], question="What else?"), config(outcome[0]))


def test_arms_of_one_structure_share_a_program_and_others_have_their_own(tmp_path):
    wide = Structure(MLP((4,), 2), categorical(), steps=6, record_every=2)
    plan = prepare(TOY._replace(arms={**ARMS, "wide": Arm(wide, Hyper(0.1))}), config(tmp_path))
    arms = [[variant.labels["arm"] for variant in variants] for _, variants in plan.jobs]
    assert arms == [["raw", "centered", "again"], ["wide"]]


def test_a_training_in_parts_ends_with_the_same_measures():
    train = measured(make_train_fn(STRUCTURE, DATA), MEASURES)

    @partial(jax.jit, compiler_options=quick_to_compile())
    def both(draw, hyper):
        parts, kept = train.stages(3), []
        state = parts.begin(draw, hyper)
        for part in range(3):
            state, of_part = parts.advance(draw, hyper, state, jnp.int32(part))
            kept.append(of_part)
        joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), *kept)
        return train.run(draw, hyper), parts.finish(draw, hyper, state, joined)

    at_once, in_parts = both(train.draw(jax.random.key(0)), Hyper(0.1))
    assert set(in_parts) == set(MEASURES)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), at_once, in_parts)


@pytest.mark.parametrize(
    "wrong",
    [{"arms": {}}, {"measures": {}}, {"arms": {"again": ARMS["raw"]}}, {"name": "To Y"}],
    ids=["no arm", "no measure", "an arm called again", "a name that is no folder's"],
)
def test_what_cannot_be_run_is_refused_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(ValueError, match="expected"):
        prepare(TOY._replace(**wrong), config(tmp_path))
    assert not list(tmp_path.iterdir())
