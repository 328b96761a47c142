"""The flagship at toy size, through its command line, on a data set of the user's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments._best_rate import best_for_others, best_rate, edge_rungs
from experiments._sign_flip.claims import answer
from experiments._sign_flip.claims.small_steps import _steps_to_equal_loss
from experiments._sign_flip.start import batch_sizes
from signdyn.claims import (
    Claim,
    above,
    always,
    decide,
)
from signdyn.records import load
from signdyn.report.steps import what_is_wrong
from tests.experiments.findings import evidence

ROOT = Path(__file__).resolve().parents[2]
TOY = ["--seeds=3", "--activations=relu", "--widths=4", "--steps=8"]
TOY += ["--batch_size=4", "--block=8", "--target_fraction=0.9"]


def run(*words: str, cache: Path) -> subprocess.CompletedProcess:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": str(ROOT)}
    environment.pop("XLA_FLAGS", None)
    command = [sys.executable, "-m", "experiments.sign_flip", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a data set, run with two host devices and again with one."""
    folder = tmp_path_factory.mktemp("sign_flip")
    rng = np.random.default_rng(0)
    y = np.arange(36) % 3
    x = rng.uniform(0.0, 1.0, (36, 6)) + 0.8 * np.eye(3, 6)[y]
    arrays = {"x_train": x[:24], "y_train": y[:24], "x_test": x[24:], "y_test": y[24:]}
    np.savez(
        folder / "own.npz",
        **{k: v.astype("f4" if k[0] == "x" else "i4") for k, v in arrays.items()},
    )
    for devices in (2, 1):
        words = [
            f"--dataset=npz:{folder}/own.npz",
            f"--out={folder}/{devices}",
            f"--devices={devices}",
        ]
        done = run(*TOY, *words, cache=folder / "cache")
        assert done.returncode == 0, done.stderr
        (folder / f"{devices}.txt").write_text(done.stdout)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    # the page, run.json and the lock tell when
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    times = ("ledger.jsonl", "run.json", "report.html", ".lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.name not in times}


def findings(folder: Path) -> dict[str, dict]:
    claims = json.loads((folder / "sign_flip" / "claims.json").read_text())
    return {finding["id"]: finding for finding in claims["findings"]}


def test_one_host_device_and_two_give_bitwise_the_same_files(place):
    one, two = files(place / "1"), files(place / "2")
    assert sum(name.endswith(".nc") for name in one) > 8
    assert one == two


def test_flipping_is_exact_and_per_example_signs_are_unanimous_on_any_non_negative_data(place):
    found = findings(place / "1")
    for name in ("full", "minibatch", "momentum", "adam", "sign_descent"):
        assert found[f"flip_exact_{name}"]["verdict"] == "supported"
        assert found[f"flip_exact_{name}"]["high"] == 0.0
    assert found["example_input_relu"]["low"] == 1.0


def test_too_few_seeds_decide_nothing_but_exact_claims(place):
    decided = {id for id, f in findings(place / "1").items() if f["verdict"] != "inconclusive"}
    assert decided == {id for id in decided if id.startswith(("flip_exact", "example_"))}


def test_every_arm_starts_as_the_same_function(place):
    losses = load(place / "1" / "sign_flip", part="start").start_loss.values
    assert losses.shape == (4, 3)
    assert np.ptp(losses[0]) > 0.1  # seeds differ, arms do not
    np.testing.assert_allclose(losses, losses[:1].repeat(4, axis=0), rtol=2e-6)


def test_the_steps_to_play_begin_with_what_was_measured_at_the_start(place):
    folder = place / "1" / "sign_flip"
    start, full = load(folder, part="start"), load(folder, part="full")
    full = full.isel(variant=full.optimizer == "sgd")
    for arm in ("raw", "flipped", "centered"):
        at_start = start.isel(variant=start.arm == arm, batch_size=-1).coherence.values[0]
        for rows in full.coherence_so_far.isel(record=0, variant=full.arm == arm).values:
            np.testing.assert_allclose(rows, at_start, rtol=1e-5)
    at_end = full.turning_cosine_so_far.isel(record=-1)
    np.testing.assert_array_equal(at_end, full.turning_cosine)
    steps = json.loads((folder / "steps.json").read_text())
    assert what_is_wrong(steps) == ""
    assert steps["absent"] == []
    assert "3 seeds" in steps["caption"]


def test_flipped_networks_have_the_fisher_eigenvalue_of_raw(place):
    start = load(place / "1" / "sign_flip", part="start").set_index(variant="arm")
    raw, flipped = (start.lambda_max.sel(variant=arm) for arm in ("raw", "flipped"))
    np.testing.assert_allclose(raw, flipped, rtol=1e-5)


def test_the_output_says_first_what_will_run_and_last_what_was_written(place):
    text = (place / "2.txt").read_text()
    first, plan = text.splitlines()[:2]
    assert first.startswith("sign_flip: ")
    assert "2 cpu device(s) in blocks of 8" in plan
    assert "verdict" in text
    assert text.splitlines()[-1].startswith("wrote ")
    assert (place / "2" / "report.html").read_text().count("<svg") >= 5


def test_the_same_command_again_computes_nothing_and_changes_nothing(place):
    before = files(place / "1")
    ledger = (place / "1" / "sign_flip" / "ledger.jsonl").read_bytes()
    victim = (
        place
        / "1"
        / "sign_flip"
        / "cells"
        / next(n.rpartition("/")[2] for n in before if "exact-" in n)
    )
    words = [f"--dataset=npz:{place}/own.npz", f"--out={place}/1", "--devices=1"]
    # and a damaged cell is redone, to the same bits
    victim.write_bytes(victim.read_bytes()[:-100])
    done = run(*TOY, *words, cache=place / "cache")
    assert done.returncode == 0, done.stderr
    assert f"redone where needed: {victim.name} (checksum differs)" in done.stdout
    assert files(place / "1") == before
    assert len((place / "1" / "sign_flip" / "ledger.jsonl").read_bytes().splitlines()) == len(
        ledger.splitlines()
    )


def test_a_folder_of_another_configuration_is_refused_and_left_alone(place):
    before = files(place / "2")
    words = [f"--dataset=npz:{place}/own.npz", f"--out={place}/2", "--root_seed=1"]
    done = run(*TOY, *words, cache=place / "cache")
    assert done.returncode == 2
    assert "another configuration (root_seed=0 there, 1 here)" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert files(place / "2") == before


def test_the_best_rate_of_a_seed_is_chosen_without_looking_at_it():
    # seed 0 alone likes row 0; the others like row 1
    steps = np.array([[1.0, 9.0, 9.0, 9.0], [5.0, 5.0, 5.0, 5.0]])
    assert best_for_others(steps).tolist() == [1, 1, 1, 1]
    assert best_rate(np.full((2, 3), np.nan)) is None


def test_a_ladder_grows_only_where_a_best_rate_lies_on_its_edge():
    assert edge_rungs([1, 2], [0, 1, 2, 3]) == []
    assert edge_rungs([0, 3, None], [0, 1, 2, 3]) == [-1, 4]


def test_batch_sizes_end_with_the_whole_training_set():
    assert batch_sizes(8) == [1, 2, 4, 8]
    assert batch_sizes(1) == [1]


STATED = {
    "flip_exact_full": (always(0.0), "range", 0.0),
    "flip_coherence_relu": (above(0.1), "mean", 0.5),
    "center_steps_full_sigmoid": (above(1.0), "ratio", 4.0),
    "center_steps_full_relu": (above(1.0), "ratio", 3.0),
}
"""Claims that the answer reads: rule, kind of evidence, and what is measured."""


def answer_of(seeds: int = 16, **effects: float) -> str:
    claims = [Claim(id, ("b4",), "", "", rule) for id, (rule, _, _) in STATED.items()]
    told = {id: (kind, effects.get(id, effect)) for id, (_, kind, effect) in STATED.items()}
    return answer(decide(claims, {id: evidence(*one, seeds) for id, one in told.items()}))


def test_the_answer_tells_the_numbers_that_are_known_and_names_what_is_open():
    whole = answer_of()
    assert whole.startswith("The common sign is a symptom, the mean is the cause. ")
    assert "destroys" in whole
    assert "by no bit" in whole
    assert "by: sigmoid 4.0 [4.0, 4.0], relu 3.0 [3.0, 3.0]." in whole
    assert "destroys" not in answer_of(flip_coherence_relu=0.0)
    for effect in (0.6, np.nan):  # slower, or too few descents arrive
        part = answer_of(center_steps_full_relu=effect)
        assert "symptom" not in part
        assert "by: sigmoid 4.0 [4.0, 4.0]; that" in part
        assert part.endswith("is not confirmed: see center_steps_full_relu.")
    assert "signs changes the loss, see flip_exact_full" in answer_of(flip_exact_full=0.1)
    assert "is open, see flip_exact_full" in answer_of(flip_exact_full=np.nan)


def test_two_seeds_are_no_number_in_the_answer():
    few = answer_of(seeds=2)
    assert "nan" not in few
    assert "divides" not in few
    assert few.endswith("see center_steps_full_sigmoid, center_steps_full_relu.")


def test_a_descent_that_diverges_has_no_steps_to_equal_loss():
    falling = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [np.nan] * 3])
    other = np.array([[2.0, 1.0, 0.5], [2.0, np.nan, np.nan], [2.0, 2.0, 2.0], [2.0, 1.0, 0.5]])
    steps = _steps_to_equal_loss(falling, other)
    np.testing.assert_array_equal(steps[0], [3.0, np.nan, 2.0, np.nan])
    np.testing.assert_array_equal(steps[1], [2.0, np.nan, 1.0, np.nan])
