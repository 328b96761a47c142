"""--dataset and --download: images of any size, and one sentence for what is missing."""

import dataclasses
import importlib
import os
import pkgutil
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

import experiments
from experiments import _negative_weights, _sign_coherence, negative_weights, sign_coherence
from experiments._cli import UsageError, parse_config
from experiments._data import check_images, load_data, load_whole, spoken_name
from experiments._negative_weights.plan import Config, Plan, make_jobs
from experiments._negative_weights.problem import images, xor
from experiments._options import check_folder
from signdyn.data import Dataset, load

SHAPES = [(8, 8), (28, 28, 1), (32, 32, 3)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Let no data set but the digits be found."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def random_images(shape, number=64, classes=10):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (number + 8, *shape), dtype=np.uint8)
    y = np.arange(number + 8) % classes
    return {"x_train": x[:-8], "y_train": y[:-8], "x_test": x[-8:], "y_test": y[-8:]}


def plan_modules():
    names = [m.name for m in pkgutil.iter_modules(experiments.__path__) if m.ispkg]
    return [importlib.import_module(f"experiments.{name}.plan") for name in names]


def test_whoever_has_a_data_set_may_download_it():
    having = []
    for plan in plan_modules():
        fields = {field.name: field for field in dataclasses.fields(plan.Config)}
        assert ("dataset" in fields) == ("download" in fields), plan.__name__
        if "dataset" in fields:
            having.append(plan.NAME)
            assert fields["dataset"].default == "digits"
            assert fields["download"].default is False
            assert "data_dir" in fields
    assert set(having) >= {"negative_weights", "sign_coherence", "sign_flip", "generalization"}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_convolutional_network_reads_images_of_any_size(tmp_path, shape):
    path = tmp_path / "mine.npz"
    np.savez(path, **random_images(shape))
    config = Config(dataset=f"npz:{path}", num_train=64, steps=4, conv_steps=4)
    data = load_whole(config)
    assert data.x_train.dtype == np.uint8  # and stays so on the device
    check_images(data)
    plan = Plan(config, images(data), xor(), data.fingerprint, None)
    for job, variants in make_jobs(plan):
        train_fn = job.group.train_fn
        draw = jax.eval_shape(train_fn.draw, jax.random.key(0))
        trajectory = jax.eval_shape(train_fn.run, draw, variants[0].hyper)
        assert trajectory.loss.dtype == np.float32


@pytest.mark.parametrize("shape", SHAPES)
def test_signs_are_read_of_images_of_any_size(tmp_path, shape):
    path = tmp_path / "mine.npz"
    np.savez(path, **random_images(shape))
    own = _sign_coherence.plan
    words = [f"--dataset=npz:{path}", "--num_train=64", "--steps=64", "--convolution_steps=4"]
    config = parse_config(own.Config, {}, words)
    plan = own.Plan(config, load_whole(config), None)
    for job, variants in own.make_jobs(plan):
        draw = jax.eval_shape(job.group.train_fn.draw, jax.random.key(0))
        assert jax.eval_shape(job.group.train_fn.run, draw, variants[0].hyper)


def refused(module, plan, *words):
    with pytest.raises(UsageError) as caught:
        module.prepare(parse_config(plan.Config, plan.PRESETS, words))
    (line,) = str(caught.value).splitlines()
    return line


@pytest.mark.parametrize("dataset", ["xor", "two_gaussians"])
def test_points_are_no_images(tmp_path, dataset):
    for module, plan in (
        (negative_weights, _negative_weights.plan),
        (sign_coherence, _sign_coherence.plan),
    ):
        words = (f"--dataset={dataset}", f"--out={tmp_path}", "--num_train=128")
        assert "--dataset must hold images" in refused(module, plan, *words)
    assert list(tmp_path.iterdir()) == []


def test_too_few_examples_are_told(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, **random_images((8, 8), number=20))
    words = (f"--dataset=npz:{path}", f"--out={tmp_path / 'out'}")
    said = refused(negative_weights, _negative_weights.plan, *words)
    assert "at least the 32 training examples of a minibatch" in said
    said = refused(sign_coherence, _sign_coherence.plan, *words)
    assert "--num_train must be at most the 20 training examples" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--dataset=mnist",), "or add --download (looked in"),
        (("--dataset=mnist",), "name that with --data_dir"),
        (("--dataset=cifar10", "--download"), "cifar10: cannot be downloaded"),
        (("--dataset=mnis",), "did you mean 'mnist'?"),
        (("--dataset=tfds:kmnist",), "name its folder with --data_dir, or add --download"),
    ],
)
def test_a_missing_data_set_is_one_sentence_with_the_flags_to_give(monkeypatch, words, said):
    from signdyn.data import fetching

    def unreachable(url):
        raise OSError(f"{url} cannot be reached")

    monkeypatch.setattr(fetching, "check_answer", unreachable)
    assert said in refused(negative_weights, _negative_weights.plan, *words)


def test_the_command_exits_with_2_at_once_and_writes_nothing(tmp_path):
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "experiments.negative_weights", "--dataset=mnist", "--out=results"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": experiments.__path__[0]
             + "/.."},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: --dataset: mnist: its files are not there; put train-images")
    assert time.monotonic() - begun < 100
    assert not (tmp_path / "results").exists()


def test_a_data_folder_that_cannot_be_written_to_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    check_folder("--data_dir", str(tmp_path), "kept")
    with pytest.raises(UsageError, match="--data_dir must be a folder that can be written to"):
        check_folder("--data_dir", str(tmp_path / "other"), "kept")
    with pytest.raises(UsageError, match="--data_dir must be a folder that can be written to"):
        check_folder("--data_dir", str(tmp_path), "written")


def test_num_train_keeps_the_first_examples():
    config = parse_config(
        importlib.import_module("experiments._sign_flip.plan").Config,
        {},
        ["--dataset=circle", "--num_train=7"],
    )
    data = load_data(config, batch_size=3)
    np.testing.assert_array_equal(data.x_train, load("circle").x_train[:7])
    with pytest.raises(UsageError, match="--batch_size must be at most the 7 training examples"):
        load_data(config, batch_size=8)


@pytest.mark.parametrize(
    ("dataset", "spoken"),
    [("mnist", "mnist"), ("tfds:a/b:1.0.0", "a/b:1.0.0"), ("npz:/x/y.npz", "y.npz")],
)
def test_names_are_spoken_without_what_they_are_called_by(dataset, spoken):
    assert spoken_name(dataset) == spoken
    assert isinstance(load("xor"), Dataset)
