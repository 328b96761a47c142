"""Every damage of the torture script, inflicted on a small sweep within the process."""

import json
import shutil

import jax
import jax.numpy as jnp
import pytest

from scripts.bench.damages import DAMAGES
from signdyn.files import RecordsError
from signdyn.records import Variable, load, order_ledger
from signdyn.resume import Group, Layout, Ready, Variant, plan_cells, run_group
from signdyn.run_folder import open_run
from signdyn.shares import Shares
from signdyn.sweeps import block_program
from signdyn.training import Draw, Hyper, TrainFn, Trajectory

CONFIG = {"seeds": 3}
ENVIRONMENT = {"packages": {"jax": jax.__version__}, "platform": "cpu"}
LAYOUT = Layout(seeds=range(3), root=0, block=2, width=1, devices=jax.devices()[:1])
VARIANTS = [Variant({"rate": rate}, Hyper(rate)) for rate in (0.1, 0.2, 0.3, 0.4)]


def draw(key):
    return Draw({"w": jax.random.normal(key, (3,), jnp.float32)}, (), jnp.zeros((2, 1)), None)


def run(draw, hyper):
    loss = hyper.learning_rate * jnp.cumsum(draw.params["w"])
    return Trajectory(loss, loss[:1], jnp.int32(-1), {}, (), draw.params)


def tabulate(trajectory):
    return {"loss": Variable(("step",), trajectory.loss, "nat", "mean nll of the batch")}


GROUP = Group("toy", "descent", TrainFn(draw, run), tabulate, {"steps": 3})


@pytest.fixture(scope="module")
def program():
    return block_program(GROUP.train_fn, block=2, width=1)


def go(folder, program):
    """Do as an experiment does; return what it found damaged."""
    found = []
    hold = open_run(folder, CONFIG, ENVIRONMENT)
    shares = Shares(folder, on_damage=found.extend)
    run_group(folder, GROUP, VARIANTS, LAYOUT, program=lambda: Ready(program), shares=shares)
    order_ledger(folder, [cell.id for cell in plan_cells(GROUP, VARIANTS, LAYOUT)])
    hold.check()
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory, program):
    folder = tmp_path_factory.mktemp("out") / "toy"
    assert go(folder, program) == []
    for name in ("claims.json", "figures/a.svg", "tables/claims.csv", "../report.html"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("<svg/>")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("cells/*")}


def everything(out):
    paths = (path for path in out.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_named_and_mended_bitwise_or_refused(finished, tmp_path, program, name):
    damage = DAMAGES[name]
    folder = shutil.copytree(finished.parent, tmp_path / "out") / finished.name
    damage.inflict(folder)
    before = everything(folder.parent)
    if damage.is_refused:
        with pytest.raises(RecordsError, match=damage.words):
            go(folder, program)
        assert everything(folder.parent) == before
        return
    found = go(folder, program)
    assert damage.words in "; ".join(found)
    assert bool(found) == bool(damage.words)
    assert contents(folder) == contents(finished)
    assert load(folder).identical(load(finished))
    assert go(folder, program) == []  # and all is forgotten


def test_only_what_is_damaged_is_written_again(finished, tmp_path, program):
    folder = shutil.copytree(finished.parent, tmp_path / "out") / finished.name
    before = everything(folder)
    DAMAGES["a cell in another's place, its checksum in the ledger"].inflict(folder)
    go(folder, program)
    after = everything(folder)
    again = [path for path in before if path.endswith(".nc") and after[path] != before[path]]
    assert len(again) == 1


def test_a_damage_to_results_is_one_that_nothing_is_loaded_from(finished, tmp_path):
    # what is in the ledger in vain is told by the next run, and spoils no number
    harmless = {"a ledger line twice", "a ledger line missing", "a cell deleted"}
    for name, damage in DAMAGES.items():
        if not damage.words or damage.is_refused or name in harmless:
            continue
        folder = shutil.copytree(finished.parent, tmp_path / name.replace("/", "")) / finished.name
        damage.inflict(folder)
        with pytest.raises(RecordsError):
            load(folder)


def test_the_ledger_of_a_finished_run_has_a_line_for_every_cell(finished):
    lines = (finished / "ledger.jsonl").read_text().splitlines()
    assert {json.loads(line)["file"] for line in lines} == set(contents(finished))
